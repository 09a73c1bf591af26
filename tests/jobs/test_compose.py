"""all_of and first_of: jobs made of jobs, their slots, and who is cancelled when."""

import asyncio
import pickle

import pytest

from asyncnet.errors import AllFailed, DeadlineError, UsageError
from asyncnet.jobs import Outcome, Retry, all_of, call, first_of, run
from tests.clock import MS
from tests.jobs.work import Passing, Site, Trouble, settle


async def one(job, **options) -> Outcome:
    (outcome,) = await run([job], **options)
    return outcome


# all_of


async def test_all_of_gives_the_values_in_order_however_they_end():
    site = Site()
    slow, quick = site.leaf("slow", turns=9), site.leaf("quick")
    assert (await one(all_of(slow, quick, slow))).value == ["slow", "quick", "slow"]
    assert site.ended[0] == "quick"


async def test_all_of_runs_its_parts_at_once():
    site = Site()
    outcome = await one(all_of(*(site.leaf(f"{number}", turns=50) for number in range(20))))
    assert outcome.ok
    assert site.most == 20


async def test_all_of_keeps_the_limit_of_the_run():
    site = Site()
    outcome = await one(all_of(*(site.leaf(f"{number}", turns=2) for number in range(50))), limit=3)
    assert len(outcome.value) == 50
    assert site.most == 3


async def test_the_first_failure_of_all_of_cancels_the_rest_and_is_the_failure():
    site = Site()
    error = Trouble("no")
    stuck = [site.leaf(f"stuck{number}", until="never") for number in range(3)]
    outcome = await one(all_of(*stuck, site.leaf("bad", turns=3, error=error)))
    assert outcome.error is error
    assert sorted(site.cancelled) == ["stuck0", "stuck1", "stuck2"]
    assert site.active == 0


async def test_after_a_failure_no_part_is_begun_any_more():
    site = Site()
    outcome = await one(all_of(site.leaf("bad", error=Trouble("no")), site.leaf("late"), site.leaf("later")), limit=1)
    assert isinstance(outcome.error, Trouble)
    assert site.begun == ["bad"]


async def test_what_a_cancelled_part_does_at_its_end_is_awaited():
    ended = []

    async def tidy():
        try:
            await asyncio.Event().wait()
        finally:
            await settle(5)
            ended.append("tidy")

    async def fail():
        await asyncio.sleep(0)
        raise Trouble("no")

    outcome = await one(all_of(call(tidy), call(fail)))
    assert isinstance(outcome.error, Trouble)
    assert ended == ["tidy"]


async def test_of_two_failures_the_first_counts():
    site = Site()
    first, second = Trouble("first"), Trouble("second")
    outcome = await one(all_of(site.leaf("b", turns=4, error=second), site.leaf("a", turns=1, error=first)))
    assert outcome.error is first


async def test_all_of_nothing_is_an_empty_list():
    assert (await one(all_of())).value == []


async def test_a_failed_all_of_harms_no_other_job():
    site = Site()
    outcomes = await run(
        [all_of(site.leaf("a", error=Trouble("no")), site.leaf("b", turns=3)), site.leaf("c", turns=9)]
    )
    assert not outcomes[0].ok
    assert outcomes[1].value == "c"


async def test_jobs_made_of_jobs_nest():
    site = Site()
    tree = all_of(all_of(site.leaf("a"), all_of(site.leaf("b", turns=4))), all_of(), site.leaf("c"))
    assert (await one(tree)).value == [["a", ["b"]], [], "c"]


async def test_a_failure_deep_down_cancels_everything_above_it():
    site = Site()
    inner = all_of(site.leaf("x", until="never"), site.leaf("bad", turns=3, error=Trouble("deep")))
    outcome = await one(all_of(site.leaf("y", until="never"), all_of(site.leaf("z", until="never")), inner))
    assert str(outcome.error) == "deep"
    assert sorted(site.cancelled) == ["x", "y", "z"]


def test_a_composition_is_named_after_its_parts():
    site = Site()
    assert all_of(site.leaf("a"), site.leaf("b")).name == "a, b"
    assert first_of(*(site.leaf(str(number)) for number in range(10))).name == "0, 1, 2 and 7 more"
    assert all_of(site.leaf("a"), name="both").name == "both"
    assert all_of().name == "nothing"


@pytest.mark.parametrize("make", [all_of, first_of])
def test_a_composition_of_anything_but_jobs_is_refused_at_once(make):
    with pytest.raises(UsageError, match="made of jobs"):
        make("http://a/")


# first_of


async def test_the_first_success_wins_and_the_rest_are_cancelled():
    site = Site()
    outcome = await one(first_of(site.leaf("stuck", until="never"), site.leaf("quick", turns=3)))
    assert outcome.value == "quick"
    assert site.cancelled == ["stuck"]
    assert site.active == 0


async def test_a_failure_does_not_end_first_of():
    site = Site()
    outcome = await one(first_of(site.leaf("bad", error=Trouble("no")), site.leaf("good", turns=5)))
    assert outcome.value == "good"


async def test_if_all_fail_it_is_one_error_with_theirs_in_order():
    site = Site()
    outcome = await one(
        first_of(
            site.leaf("a", turns=5, error=Trouble("a")),
            site.leaf("b", error=Passing("b")),
            site.leaf("c", turns=2, error=ValueError("c")),
        )
    )
    assert isinstance(outcome.error, AllFailed)
    assert [str(error) for error in outcome.error.errors] == ["a", "b", "c"]
    assert outcome.error.transient, "one of them was"
    assert len(pickle.loads(pickle.dumps(outcome.error)).errors) == 3


async def test_a_first_of_that_failed_for_good_is_not_tried_again_and_one_that_may_pass_is():
    site = Site()
    again = Retry(attempts=2, first_delay=0.0)
    good = first_of(site.leaf("x", error=Trouble("x")), site.leaf("y", error=Passing("y"), failures=1)).retry(again)
    bad = first_of(site.leaf("z", error=Trouble("z"))).retry(again)
    outcomes = await run([good, bad])
    assert outcomes[0].value == "y"
    assert [outcome.attempts for outcome in outcomes] == [2, 1]


async def test_under_a_limit_of_one_the_parts_run_in_turn_until_one_succeeds():
    site = Site()
    parts = [site.leaf("a", turns=3, error=Trouble("no")), site.leaf("b", turns=3), site.leaf("c")]
    outcome = await one(first_of(*parts), limit=1)
    assert outcome.value == "b"
    assert site.begun == ["a", "b"]
    assert site.most == 1


def test_first_of_nothing_is_refused():
    with pytest.raises(UsageError):
        first_of()


async def test_two_that_succeed_at_the_same_moment_make_one_value():
    site = Site()
    outcome = await one(first_of(site.leaf("a", turns=3), site.leaf("b", turns=3)))
    assert outcome.value == "a"


# first_of(after=)


async def test_a_hedge_is_not_begun_while_the_first_may_still_be_in_time():
    site = Site()
    outcome = await one(first_of(site.leaf("a", turns=30), site.leaf("b"), after=60.0))
    assert outcome.value == "a"
    assert site.begun == ["a"]


async def test_a_hedge_begins_when_the_first_takes_too_long():
    site = Site()
    outcome = await one(first_of(site.leaf("slow", until="never"), site.leaf("hedge"), after=2 * MS))
    assert outcome.value == "hedge"
    assert site.cancelled == ["slow"]


async def test_a_hedge_begins_at_once_when_the_first_fails():
    site = Site()
    outcome = await one(
        first_of(site.leaf("a", error=Trouble("a")), site.leaf("b", error=Trouble("b")), site.leaf("c"), after=60.0)
    )
    assert outcome.value == "c"
    assert site.begun == ["a", "b", "c"]


async def test_the_first_may_win_after_the_hedge_began():
    site = Site()
    slow, hedge = site.leaf("slow", until="go"), site.leaf("hedge", until="never")
    running = asyncio.ensure_future(run([first_of(slow, hedge, after=1 * MS)]))
    await site.until(lambda: "hedge" in site.begun)
    site.gate("go").set()
    (outcome,) = await running
    assert outcome.value == "slow"
    assert site.cancelled == ["hedge"]


async def test_hedges_that_all_fail_are_one_error_with_all_of_theirs():
    site = Site()
    outcome = await one(first_of(*(site.leaf(str(n), error=Trouble(str(n))) for n in range(4)), after=60.0))
    assert isinstance(outcome.error, AllFailed)
    assert [str(error) for error in outcome.error.errors] == ["0", "1", "2", "3"]


async def test_a_hedge_waits_for_a_slot_and_never_takes_one_from_the_first():
    site = Site()
    running = asyncio.ensure_future(run([first_of(site.leaf("a", until="go"), site.leaf("b"), after=0.0)], limit=1))
    await asyncio.sleep(3 * MS)
    site.gate("go").set()
    (outcome,) = await running
    assert outcome.value == "a"
    assert site.begun == ["a"]


@pytest.mark.parametrize("after", [-1.0, float("nan")])
def test_after_is_a_number_of_seconds(after):
    with pytest.raises(UsageError):
        first_of(Site().leaf("a"), after=after)


# slots


async def test_parents_hold_no_slot_so_under_a_limit_of_one_nothing_deadlocks():
    site = Site()
    leaf = site.leaf("x", turns=2)
    tree = all_of(
        all_of(all_of(leaf), first_of(leaf, leaf)),
        leaf.then(lambda _: all_of(leaf, leaf.then(lambda _: [leaf, leaf]))),
        leaf.timeout(60.0).retry(Retry()),
    )
    outcomes = await run([tree, tree], limit=1)
    assert [outcome.value for outcome in outcomes] == [[[["x"], "x"], ["x", ["x", "x"]], "x"]] * 2
    assert site.most == 1


async def test_who_waits_between_attempts_holds_no_slot():
    site = Site()
    waiting = [site.leaf(f"w{n}", error=Passing("later")).retry(Retry(attempts=2, first_delay=60.0)) for n in range(5)]
    running = asyncio.ensure_future(run([*waiting, *(site.leaf(f"j{n}") for n in range(5))], limit=1))
    await site.until(lambda: site.ended == [f"j{n}" for n in range(5)])
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_what_has_begun_is_finished_before_more_is_begun():
    site = Site()

    def three_steps(number):
        return site.leaf(f"{number}a").then(lambda _: site.leaf(f"{number}b").then(lambda _: site.leaf(f"{number}c")))

    await run([three_steps(number) for number in range(3)], limit=1)
    assert site.begun == ["0a", "0b", "0c", "1a", "1b", "1c", "2a", "2b", "2c"]


async def test_the_parts_of_one_job_come_before_the_next_job_and_what_follows_them_too():
    site = Site()

    def job(number):
        parts = all_of(site.leaf(f"{number}a"), site.leaf(f"{number}b"))
        return parts.then(lambda _: site.leaf(f"{number}c"))

    await run([job(number) for number in range(3)], limit=1)
    assert site.begun == ["0a", "0b", "0c", "1a", "1b", "1c", "2a", "2b", "2c"]


async def test_what_follows_the_parts_of_a_job_comes_before_the_next_job():
    site = Site()
    job = all_of(site.leaf("a"), site.leaf("b")).then(lambda _: site.leaf("c"))
    await run([job, site.leaf("d")], limit=1)
    assert site.begun == ["a", "b", "c", "d"]


async def test_a_part_that_was_set_aside_is_not_begun_after_a_failure_and_keeps_nobody_from_its_host():
    site = Site()
    parts = all_of(site.leaf("bad", host="h", turns=9, error=Trouble("no")), site.leaf("aside", host="h"))
    outcomes = await run([parts, site.leaf("next", host="h")], limit=3, per_host=1)
    assert isinstance(outcomes[0].error, Trouble)
    assert outcomes[1].ok
    assert site.begun == ["bad", "next"]


async def test_a_place_that_a_chain_leaves_behind_is_taken_at_once():
    site = Site()
    chain = site.leaf("a", host="h", turns=9).then(lambda _: site.leaf("b", until="go"))
    running = asyncio.ensure_future(run([chain, site.leaf("c", host="h")], limit=3, per_host=1))
    await site.until(lambda: site.ended == ["a", "c"])
    site.gate("go").set()
    assert [outcome.value for outcome in await running] == ["b", "c"]


async def test_wide_jobs_do_not_pile_up_a_task_for_each_part():
    site = Site()
    before = len(asyncio.all_tasks())
    jobs = [all_of(*(site.leaf("x", until="go") for _ in range(1000))) for _ in range(3)]
    running = asyncio.ensure_future(run(jobs, limit=4))
    await site.until(lambda: site.active == 4)
    await settle()
    assert len(asyncio.all_tasks()) - before <= 12
    site.gate("go").set()
    assert all(outcome.ok for outcome in await running)


async def test_a_branch_that_is_given_up_frees_its_slots_for_the_others():
    site = Site()
    stuck = all_of(*(site.leaf(f"stuck{number}", until="never") for number in range(2))).timeout(5 * MS)
    outcomes = await run([stuck, site.leaf("after")], limit=2)
    assert isinstance(outcomes[0].error, DeadlineError)
    assert outcomes[1].value == "after"


async def test_hosts_count_for_the_parts_too():
    site = Site()
    parts = [site.leaf(f"{number}", host="a", turns=2) for number in range(20)]
    outcome = await one(all_of(*parts), per_host=2)
    assert outcome.ok
    assert site.most_at["a"] == 2
