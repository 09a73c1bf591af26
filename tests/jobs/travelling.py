"""What the tests of clusters lease to workers: functions that both ends import by their names."""

import asyncio
import os

from asyncnet import Credentials, jobs
from asyncnet.jobs.cluster import lease_jobs
from asyncnet.jobs.reply import Reply, bare, heard, told

SECRET = "never-to-be-leased"


async def pid() -> int:
    return os.getpid()


async def double(number: int) -> int:
    return 2 * number


async def sleep(seconds: float) -> float:
    await asyncio.sleep(seconds)
    return seconds


async def fail(word: str) -> None:
    raise ValueError(word)


async def fail_oddly(word: str) -> None:
    """Fail by an error of a class that cannot be imported."""
    raise type("Odd", (Exception,), {"__module__": "only_at_the_worker"})(word)


async def bulk(size: int) -> bytes:
    return bytes(size)


async def unpicklable() -> object:
    return lambda: None


def doubled(number: int) -> jobs.Job[int]:
    return jobs.call(double, number)


async def find(endpoint) -> Credentials | None:
    return Credentials("alice", SECRET) if endpoint.username == "alice" else None


class Teller:
    """A client of a worker's own: it tells what it was asked for."""

    closed = 0

    async def fetch(self, endpoint, credentials=None, /):
        return str(endpoint).encode()

    async def aclose(self) -> None:
        Teller.closed += 1


def teller() -> Teller:
    return Teller()


lie = ""
"""how `lying` tampers with what a worker tells"""


async def lying(data, dask_worker):
    """What a worker runs in place of `lease_jobs`."""
    ok, made = await lease_jobs(data, dask_worker)
    reply = heard(made)
    lies = {
        "garbage": (ok, b"garbage"),
        "no bytes": (ok, 7),
        "no answer": None,
        "no error": (False, b"garbage"),
        "nothing of them": (ok, told(Reply([], [], 0))),
        "too many": (ok, told(Reply(reply.ended, [], reply.held + 1))),
        "twice": (ok, told(Reply(reply.ended * 2, [], reply.held))),
        "of others": (ok, told(Reply([(999, jobs.Outcome("x", 1)), *reply.ended], [], reply.held))),
        "no outcome": (ok, bare(([(number, 7) for number, _ in reply.ended], [], reply.held))),
    }
    return lies[lie]
