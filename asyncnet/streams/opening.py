"""Opening: what `connect` and `serve` give back, to be awaited or entered by `async with`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from types import TracebackType
from typing import Any, Generic, Protocol, TypeVar


class Resource(Protocol):
    """What is entered and left as an `async with` block leaves it."""

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close."""


R = TypeVar("R", bound=Resource)


class Opening(Generic[R]):
    """Something that will be open.

    `async with opening as it` closes it too; `it = await opening` leaves that to you.
    """

    __slots__ = ("_open", "_resource")

    def __init__(self, open_it: Callable[[], Awaitable[R]]) -> None:
        self._open = open_it
        self._resource: R | None = None

    def __await__(self) -> Generator[Any, None, R]:
        return self._open().__await__()

    async def __aenter__(self) -> R:
        self._resource = await self._open()
        return self._resource

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._resource is not None
        await self._resource.__aexit__(kind, error, traceback)
