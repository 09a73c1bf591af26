"""A run over all protocols, killed again and again, ends as if nothing had happened.

`python -m benchmarks.jobs --only kills` is the long one: 100 kills, 20,000 jobs.
"""

import pytest

from tests.jobs.killed import LIMIT, killed_run

KILLS = 6
JOBS = 1500


@pytest.mark.slow
def test_a_run_that_is_killed_again_and_again_ends_whole(tmp_path):
    run = killed_run(tmp_path, KILLS, JOBS)
    assert run.status == 1, "some pages are not there"
    assert (run.kills, run.lost, run.doubled) == (KILLS, [], [])
    assert len(run.records) == JOBS
    assert run.repeated <= KILLS * LIMIT
    once = {name: times for name, times in run.asked.items() if name.startswith(("POST /once", "SMTP")) and times > 1}
    assert once == {}, "what must not be done twice was"
    bad = {record["url"] for record in run.records if not record["ok"] and record["error"]["type"] != "StatusError"}
    assert all(name.startswith(("http://", "smtp://", "POST", "SMTP")) for name in bad)
