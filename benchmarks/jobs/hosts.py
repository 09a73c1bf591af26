"""How a run goes easy on hosts: adaptive concurrency, a host that allows 10 requests a second, and lost answers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
import urllib.request
from collections.abc import Iterator
from itertools import repeat
from typing import Any

from asyncnet import jobs
from benchmarks.jobs.page import head
from benchmarks.jobs.process import serving

_FIXED = (1, 4, 8, 16, 32, 64, 128)
_ASKED_A_SECOND = 30
"""of the host that allows 10: three times what it grants, so that in 20 seconds 400 wait, and not `max_parked`"""

_AGAIN = jobs.Retry(attempts=20, first_delay=0.0)


async def rate_at(port: str, seconds: float, skipped: float, per_host: int | jobs.Adaptive) -> float:
    """Give the GETs a second after so many seconds have been skipped."""
    began = time.perf_counter()
    counted = 0
    source = repeat(f"http://127.0.0.1:{port}/")
    async with contextlib.aclosing(jobs.as_completed(source, limit=_FIXED[-1], per_host=per_host)) as outcomes:
        async for outcome in outcomes:
            outcome.result()
            passed = time.perf_counter() - began
            counted += passed >= skipped
            if passed > seconds:
                break
    return counted / (seconds - skipped)


def adaptive(quick: bool) -> Iterator[str]:
    """Adaptive concurrency after five seconds, against each fixed number."""
    scale = 0.3 if quick else 1.0
    yield head("server", "best fixed", "adaptive", "ratio")
    for kind in ("fast", "wait", "slots"):
        with serving(kind) as port:
            fixed = {number: asyncio.run(rate_at(port, 2.0 * scale, 0.5 * scale, number)) for number in _FIXED}
            found = asyncio.run(rate_at(port, 8.0, 5.0, jobs.Adaptive()))
        best = max(fixed, key=fixed.__getitem__)
        yield f"| {kind} | {fixed[best]:,.0f} (at {best}) | {found:,.0f} | {found / fixed[best]:.2f} |"


async def beside(fast: str, ten: str, seconds: float, rate: jobs.Rate | None) -> float:
    """Fetch from a fast host, and beside it from one that allows 10 a second; give what the fast one gave a second.

    Args:
        fast: the fast one's port.
        ten: the other's; "" fetches nothing from it.
        seconds: for how long.
        rate: what is known of it.
    """
    began = time.perf_counter()
    retry, end, counted = jobs.Retry(attempts=8), began + seconds, 0

    def source() -> Iterator[jobs.Job[object]]:
        asked = 0
        while (now := time.perf_counter()) < end:
            yield jobs.fetch(f"http://127.0.0.2:{fast}/")
            if ten and asked < (now - began) * _ASKED_A_SECOND:
                asked += 1
                yield jobs.fetch(f"http://127.0.0.1:{ten}/", retry=retry)

    async with contextlib.aclosing(jobs.as_completed(source(), limit=32, rate=rate)) as outcomes:
        async for outcome in outcomes:
            counted += "127.0.0.2" in outcome.name
            if time.perf_counter() > end:
                break
    return counted / seconds


def ten(quick: bool) -> Iterator[str]:
    """A host that allows 10 requests a second, with and without being told, beside a fast one."""
    seconds = 6.0 if quick else 20.0
    yield head("", "granted a second", "refused", "fast host, of alone")
    with serving("fast") as fast:
        alone = asyncio.run(beside(fast, "", seconds / 2, None))
        for name, rate in (("rate=10", jobs.Rate(per_host={"127.0.0.1": 10})), ("Retry-After alone", None)):
            with serving("ten") as port:
                quick_host = asyncio.run(beside(fast, port, seconds, rate))
                granted, refused = _counts(port)
            before, alone = alone, asyncio.run(beside(fast, "", seconds / 2, None))
            figures = f"{granted / seconds:.2f} | {refused / (granted + refused):.1%}"
            yield f"| {name} | {figures} | {2 * quick_host / (before + alone):.2f} |"


def _counts(port: str) -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/counts", timeout=10.0) as answer:
        return json.load(answer)


def posts(quick: bool) -> Iterator[str]:
    """1,000 POSTs to a server that loses three answers of ten."""
    count = 100 if quick else 1000
    yield head("POSTs", "asked", "done at the server", "done twice", "answered", "said to be unknown")
    for name, with_keys in (("with keys", True), ("without", False)):
        with serving("lossy") as port:
            url = f"http://127.0.0.1:{port}"
            source = [
                jobs.post(f"{url}/{n}", body=b"", retry=_AGAIN, idempotency_key=f"key {n}" if with_keys else None)
                for n in range(count)
            ]
            outcomes = asyncio.run(jobs.run(source))
            asked, effects, twice = _counts(port)
        answered = sum(outcome.ok for outcome in outcomes)
        unknown = sum(getattr(outcome.error, "outcome_unknown", False) for outcome in outcomes)
        yield f"| {count:,} {name} | {asked:,} | {effects:,} | {twice} | {answered:,} | {unknown} |"
