"""Numbers and foreign words as text for people."""

import pytest

from asyncnet.cli import text
from asyncnet.cli.tally import Tally


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.00 kB"),
        (9994, "9.99 kB"),
        (9996, "10.0 kB"),
        (12_345, "12.3 kB"),
        (99_960, "100 kB"),
        (999_499, "999 kB"),
        (999_500, "1.00 MB"),
        (20 * 2**20, "21.0 MB"),
        (5 * 10**12, "5.00 TB"),
        (5 * 10**15, "5000 TB"),
    ],
)
def test_a_size_has_three_digits(count, expected):
    assert text.size(count) == expected


def test_times_are_as_exact_as_anybody_reads_them():
    assert [text.seconds(amount) for amount in (0.0123, 1.26, 75.4)] == ["0.012 s", "1.3 s", "75 s"]


def test_nouns_follow_their_numbers():
    assert [text.number(count, "message") for count in (0, 1, 1200)] == ["0 messages", "1 message", "1,200 messages"]


def test_foreign_words_move_no_cursor():
    assert text.shown("a\x1b[2Jb\r\nc\u202ed") == "a\\x1b[2Jb\\r\\nc\\u202ed"
    assert text.shown("x" * 3000) == "x" * 2000 + "..."


@pytest.mark.parametrize(
    ("done", "later", "failed", "status"), [(0, 0, 0, 0), (3, 0, 0, 0), (3, 1, 0, 3), (3, 1, 1, 1), (0, 0, 1, 1)]
)
def test_the_exit_status_follows_from_the_failures(done, later, failed, status):
    tally = Tally()
    for _ in range(done):
        tally.succeeded(10)
    for _ in range(later):
        tally.failed_by(transient=True)
    for _ in range(failed):
        tally.failed_by(transient=False)
    assert tally.status == status
    assert tally.received_bytes == 10 * done
    assert str(tally) == (f"{done} done, {later + failed} failed" if later + failed else f"{done} done")
