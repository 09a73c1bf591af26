"""Trees of jobs, drawn at random: each ends as it must, within every limit, also when it is cancelled on the way."""

import asyncio
import random
from itertools import count, product

import hypothesis
import pytest
from hypothesis import strategies as st

from asyncnet.errors import DeadlineError
from asyncnet.jobs import Job, Retry, all_of, as_completed, first_of, run
from tests.clock import MS
from tests.jobs.work import Passing, Site, Trouble

AGAIN = Retry(attempts=3, first_delay=0.0)
HOSTS = (None, None, "a", "b")


class Forest:
    """Makes trees of jobs by lot, and knows of each which values it may give; none at all means that it must fail."""

    def __init__(self, seed: int) -> None:
        self._lot = random.Random(seed)
        self._names = count()
        self.site = Site()

    def tree(self, depth: int) -> tuple[Job, list]:
        kinds = [self._leaf, self._flaky]
        if depth:
            kinds += [self._all, self._first, self._hedged, self._then, self._spread, self._or_else, self._timed]
        return self._lot.choice(kinds)(depth - 1)

    def _leaf(self, depth):
        name, fails = str(next(self._names)), self._lot.random() < 0.15
        error = Trouble(name) if fails else None
        return self.site.leaf(name, host=self._host(), turns=self._turns(), error=error), [] if fails else [name]

    def _flaky(self, depth):
        name, failures = str(next(self._names)), self._lot.choice([0, 1, 2, 3])
        leaf = self.site.leaf(name, host=self._host(), turns=self._turns(), error=Passing(name), failures=failures)
        return leaf.retry(AGAIN), [name] if failures < 3 else []

    def _all(self, depth):
        jobs, values = self._several(depth, least=0)
        return all_of(*jobs), [list(values) for values in product(*values)]

    def _first(self, depth):
        jobs, values = self._several(depth, least=1)
        return first_of(*jobs), [value for part in values for value in part]

    def _hedged(self, depth):
        jobs, values = self._several(depth, least=1)
        return first_of(*jobs, after=0.0), [value for part in values for value in part]

    def _then(self, depth):
        (job, values), (second, further) = self.tree(depth), self.tree(depth)
        return job.then(lambda _: second), further if values else []

    def _spread(self, depth):
        job, values = self.tree(depth)
        jobs, further = self._several(depth, least=0)
        return job.then(lambda _: iter(jobs)), [list(each) for each in product(*further)] if values else []

    def _or_else(self, depth):
        (job, values), (spare, others) = self.tree(depth), self.tree(depth)
        return job.or_else(spare), values or others

    def _timed(self, depth):
        job, values = self.tree(depth)
        return job.timeout(60.0), values

    def _several(self, depth, least):
        parts = [self.tree(depth) for _ in range(self._lot.randint(least, 3))]
        return [job for job, _ in parts], [values for _, values in parts]

    def _host(self):
        return self._lot.choice(HOSTS)

    def _turns(self):
        return self._lot.choice([0, 0, 1, 2, 7])


async def stream(items):
    for item in items:
        await asyncio.sleep(0)
        yield item


LIMITS = st.fixed_dictionaries(
    {
        "limit": st.sampled_from([1, 2, 3, 64]),
        "per_host": st.sampled_from([1, 2, None]),
        "max_parked": st.sampled_from([1, 2, 5, 1000]),
    }
)
SEEDS = st.integers(min_value=0, max_value=2**32)
SOURCES = st.sampled_from([list, iter, stream])


def judge(site: Site, limits) -> None:
    assert site.active == 0
    assert site.most <= limits["limit"]
    if limits["per_host"] is not None:
        assert all(most <= limits["per_host"] for most in site.most_at.values())


@hypothesis.given(seed=SEEDS, limits=LIMITS, source=SOURCES, streamed=st.booleans())
def test_every_tree_ends_as_it_must_within_all_limits(seed, limits, source, streamed):
    async def main():
        forest = Forest(seed)
        trees = [forest.tree(3) for _ in range(12)]
        named = [all_of(job, name=str(number)) for number, (job, _) in enumerate(trees)]
        async with asyncio.timeout(20):  # a deadlock would otherwise hang here
            if streamed:
                outcomes = [outcome async for outcome in as_completed(source(named), **limits)]
                outcomes.sort(key=lambda outcome: int(outcome.name))
            else:
                outcomes = await run(source(named), **limits)
        assert [outcome.name for outcome in outcomes] == [str(number) for number in range(len(trees))]
        for outcome, (_, values) in zip(outcomes, trees, strict=True):
            assert outcome.ok == bool(values), outcome
            assert not outcome.ok or outcome.value[0] in values
        judge(forest.site, limits)

    asyncio.run(main())


@hypothesis.given(seed=SEEDS, limits=LIMITS, source=SOURCES, turns=st.integers(min_value=1, max_value=60))
def test_a_run_of_trees_is_cancelled_at_any_moment_without_a_trace(seed, limits, source, turns):
    async def main():
        forest = Forest(seed)
        before = asyncio.all_tasks()
        trees = [forest.tree(3)[0] for _ in range(12)]
        running = asyncio.ensure_future(run(source(trees), **limits))
        for _ in range(turns):
            await asyncio.sleep(0)
        running.cancel()
        async with asyncio.timeout(20):
            await asyncio.wait([running])
        assert running.cancelled() or len(running.result()) == 12
        judge(forest.site, limits)
        assert asyncio.all_tasks() == before

    asyncio.run(main())


@hypothesis.given(seed=SEEDS, limits=LIMITS, timeout=st.sampled_from([0.0, 0.2 * MS, 1 * MS]))
def test_a_run_of_trees_whose_time_is_up_still_tells_the_end_of_each(seed, limits, timeout):
    async def main():
        forest = Forest(seed)
        trees = [forest.tree(3) for _ in range(12)]
        async with asyncio.timeout(20):
            outcomes = await run([job for job, _ in trees], timeout=timeout, **limits)
        for outcome, (_, values) in zip(outcomes, trees, strict=True):
            assert isinstance(outcome.error, DeadlineError) or outcome.ok == bool(values), outcome
        judge(forest.site, limits)

    asyncio.run(main())


@pytest.mark.parametrize("seed", range(5))
def test_the_slots_are_all_free_again_however_a_branch_ended(seed):
    async def main():
        forest = Forest(seed)
        trees = [forest.tree(4)[0] for _ in range(20)]
        last = [forest.site.leaf(f"last{number}", until="go") for number in range(3)]
        running = asyncio.ensure_future(run([*trees, *last], limit=3, per_host=1))
        await forest.site.until(lambda: sum(name.startswith("last") for name in forest.site.begun) == 3)
        forest.site.gate("go").set()
        outcomes = await running
        assert [outcome.value for outcome in outcomes[-3:]] == ["last0", "last1", "last2"]

    asyncio.run(main())
