"""Hosts: how many leaves may be at one host at once, whatever protocol they speak.

Pure counting: who waits for a place stands in a queue here, and whoever owns the queue decides what becomes of him.
A host nobody is at or waits for is forgotten, so a run over a million hosts stays small.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

W = TypeVar("W")


class Host(Generic[W]):
    """One host: how many are there, and who waits to be."""

    __slots__ = ("active", "name", "waiting")

    def __init__(self, name: str) -> None:
        self.name = name
        self.active = 0
        self.waiting: deque[W] = deque()


class Hosts(Generic[W]):
    """The hosts that a run is at.

    Args:
        per_host: how many may be at one host at once; None is no limit.
    """

    __slots__ = ("_hosts", "per_host")

    def __init__(self, per_host: int | None) -> None:
        self.per_host = per_host
        self._hosts: dict[str, Host[W]] = {}

    def __iter__(self) -> Iterator[Host[W]]:
        return iter(self._hosts.values())

    def __len__(self) -> int:
        return len(self._hosts)

    def enter(self, name: str) -> Host[W] | None:
        """Take a place at a host; None if it is full. What was entered must be left."""
        host = self._hosts.get(name)
        if host is None:
            host = self._hosts[name] = Host(name)
        elif self.per_host is not None and host.active >= self.per_host:
            return None
        host.active += 1
        return host

    def wait(self, name: str, who: W) -> None:
        """Stand in the queue of a host that is full."""
        self._hosts[name].waiting.append(who)

    def leave(self, host: Host[W]) -> W | None:
        """Give a place back, or give it on: to the one who is returned, for whom it stays taken."""
        if host.waiting:
            return host.waiting.popleft()
        host.active -= 1
        if not host.active:
            del self._hosts[host.name]
        return None
