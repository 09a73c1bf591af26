"""What the tests of clusters lease to workers: functions that both ends import by their names."""

import asyncio
import os

from asyncnet import Credentials, jobs

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
