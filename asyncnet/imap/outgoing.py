"""Outgoing: what of a command follows its first line: the server's `+`, and literals written no faster than they go."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from contextlib import aclosing

from asyncnet.imap.command import Segment
from asyncnet.imap.file_literal import FileLiteral

_WRITE_BYTES = 256 * 1024
"""A long literal is written in pieces of this size, each when the transport has taken most of the last."""


class Outgoing:
    """The way out of one connection. One command at a time may wait for a `+`."""

    def __init__(self) -> None:
        self._writable = asyncio.Event()
        self._writable.set()
        self._is_lost = False
        self._owner: object = None
        self._prompt: asyncio.Future[bytes | None] | None = None

    # The server's `+`

    def expect(self, owner: object) -> None:
        """Let the next `+` be for the command `owner`."""
        self._owner = owner
        self._prompt = asyncio.get_running_loop().create_future()

    def is_expected(self, owner: object) -> bool:
        """Whether the command `owner` waits for a `+` that has not come."""
        return self._owner is owner and self._prompt is not None and not self._prompt.done()

    def go_on(self, text: bytes) -> object:
        """Take a `+`, and give the command that it is for; None where none waits for one."""
        if self._prompt is None or self._prompt.done():
            return None
        self._prompt.set_result(text)
        return self._owner

    def refuse(self, owner: object) -> None:
        """Let `owner` know that no `+` will come: the command has ended."""
        if self.is_expected(owner) and self._prompt is not None:
            self._prompt.set_result(None)

    async def prompt(self, owner: object) -> bytes | None:
        """Wait for the `+` of `owner` and give what stands after it; None where the command ended instead."""
        if self._is_lost:
            return None
        if self._prompt is None:
            self.expect(owner)
        assert self._prompt is not None
        try:
            return await self._prompt
        finally:
            self._owner = self._prompt = None

    # Flow

    def pause(self) -> None:
        """Let writers wait: the transport has enough."""
        self._writable.clear()

    def resume(self) -> None:
        """Let writers go on."""
        self._writable.set()

    def lose(self) -> None:
        """Let nobody wait any more: the connection is gone."""
        self._is_lost = True
        self._writable.set()
        if self._prompt is not None and not self._prompt.done():
            self._prompt.set_result(None)

    async def write(
        self, owner: object, transport: asyncio.WriteTransport, rest: list[Segment], capabilities: Collection[str]
    ) -> bool:
        """Write what is left of a command: a literal, text, a literal..., each when its `+` has come if it needs one.

        False where the command was ended, or the connection lost, before all was written.
        """
        while rest:
            literal = rest.pop(0)
            assert not isinstance(literal, str)
            if self.is_expected(owner) and await self.prompt(owner) is None:
                return False
            if not await self._write_literal(transport, literal):
                return False
            line = taken_text(rest)
            if rest:
                line += announcement(rest[0], capabilities)
                if not line.endswith("+}"):
                    self.expect(owner)
            transport.write(line.encode("ascii") + b"\r\n")
        return True

    async def _write_literal(self, transport: asyncio.WriteTransport, literal: bytes | FileLiteral) -> bool:
        if isinstance(literal, bytes):
            view = memoryview(literal)
            for start in range(0, len(view), _WRITE_BYTES):
                if not await self._write_block(transport, view[start : start + _WRITE_BYTES]):
                    return False
        else:
            async with aclosing(literal.blocks()) as blocks:
                async for block in blocks:
                    if not await self._write_block(transport, block):
                        return False
        return not self._is_lost

    async def _write_block(self, transport: asyncio.WriteTransport, block: bytes | memoryview) -> bool:
        transport.write(block)
        await asyncio.sleep(0)  # uvloop writes, and says that it has enough, in the next turn only
        await self._writable.wait()
        return not self._is_lost


def announcement(literal: Segment, capabilities: Collection[str]) -> str:
    """Give what announces `literal`: `{5}`, or `{5+}` where the server takes it without being asked (RFC 7888)."""
    size = len(literal)  # of a str it is never asked
    at_once = "LITERAL+" in capabilities or ("LITERAL-" in capabilities and size <= 4096)
    return f"{{{size}+}}" if at_once else f"{{{size}}}"


def taken_text(segments: list[Segment]) -> str:
    """Take the text off the front, if text stands there."""
    if not segments or not isinstance(segments[0], str):
        return ""
    text = segments.pop(0)
    assert isinstance(text, str)
    return text
