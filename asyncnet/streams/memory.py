"""memory_pair(): two Connections joined in memory, for tests of whatever speaks over one.

They behave as a TCP connection over loopback does, with smaller buffers: backpressure, half-close, a reset for who
writes to one that has closed, and for who is aborted. There is no socket, so there are no addresses and no TLS.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Iterable
from typing import Any

from asyncnet.endpoint import Endpoint
from asyncnet.errors import UsageError
from asyncnet.streams.connection import Connection
from asyncnet.streams.protocol import StreamProtocol
from asyncnet.streams.reading import READ_BYTES

_HIGH_WATER = 65_536
_LOW_WATER = 16_384
_ENDPOINT = Endpoint("unix", "", 0, None, "/memory")


def memory_pair(*, timeout: float | None = 30.0, max_buffer_bytes: int = 262_144) -> tuple[Connection, Connection]:
    """Give two Connections, client and server; what one writes the other reads. Only inside a running loop.

    Args:
        timeout: seconds for each read and write on both, None is no limit.
        max_buffer_bytes: as in `connect`.

    Raises:
        UsageError: a buffer of less than 1 byte.
    """
    if max_buffer_bytes < 1:
        raise UsageError("a buffer of less than 1 byte")
    loop = asyncio.get_running_loop()
    ends = [StreamProtocol(loop, _ENDPOINT, max_buffer_bytes) for _ in range(2)]
    transports = [MemoryTransport(loop, protocol) for protocol in ends]
    transports[0].peer, transports[1].peer = transports[1], transports[0]
    for protocol, transport in zip(ends, transports, strict=True):
        protocol.connection_made(transport)
    client, server = ends
    return (
        Connection(client, _ENDPOINT, timeout=timeout),
        Connection(server, _ENDPOINT, timeout=timeout, server_side=True),
    )


class MemoryTransport(asyncio.Transport):
    """One end of the pair."""

    def __init__(self, loop: asyncio.AbstractEventLoop, protocol: StreamProtocol) -> None:
        super().__init__()
        self._loop = loop
        self._protocol = protocol
        self._held = bytearray()  # written by us, not yet taken by the peer
        self._eof = False
        self._eof_told = False
        self._flushing = False
        self._paused_reading = False
        self._paused_writing = False
        self._closing = False
        self._lost = False
        self.peer: MemoryTransport | None = None

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Know nothing: there is no socket."""
        return default

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Give the protocol."""
        return self._protocol

    def set_protocol(self, protocol: Any) -> None:
        """Give what comes to another protocol from now on."""
        self._protocol = protocol

    def is_closing(self) -> bool:
        """Whether it is closed or being closed."""
        return self._closing

    def is_reading(self) -> bool:
        """Whether bytes are taken."""
        return not (self._paused_reading or self._closing)

    def pause_reading(self) -> None:
        """Take no more bytes."""
        self._paused_reading = True

    def resume_reading(self) -> None:
        """Take bytes again."""
        self._paused_reading = False
        if self.peer is not None:
            self._loop.call_soon(self.peer._flush)

    def get_write_buffer_size(self) -> int:
        """How many bytes the peer has not taken."""
        return len(self._held)

    def write(self, data: Any) -> None:
        """Hand bytes to the peer, or hold them while it does not take any.

        Raises:
            RuntimeError: after `write_eof()`, as asyncio has it.
        """
        if self._closing:
            return
        if self._eof:
            raise RuntimeError("Cannot call write() after write_eof()")
        if self.peer is None or self.peer._lost:
            self._lose(_reset())
            return
        self._held += data
        self._flush()
        if len(self._held) > _HIGH_WATER and not self._paused_writing:
            self._paused_writing = True
            self._protocol.pause_writing()

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        """Write all."""
        self.write(b"".join(list_of_data))

    def can_write_eof(self) -> bool:
        """Half-close works."""
        return True

    def write_eof(self) -> None:
        """End our side once what is held has been taken."""
        self._eof = True
        self._flush()

    def close(self) -> None:
        """End both sides once what is held has been taken."""
        if not self._closing:
            self._closing = True
            self.write_eof()

    def abort(self) -> None:
        """Drop everything; the peer sees a reset."""
        if not self._lost:
            self._lose(None)
            if self.peer is not None:
                self.peer._lose(_reset())

    def _flush(self) -> None:
        if self._flushing or self._lost:
            return  # who is woken below may write on: the loop there takes that too
        self._flushing = True
        try:
            self._hand_over()
        finally:
            self._flushing = False
        if self._paused_writing and len(self._held) <= _LOW_WATER:
            self._paused_writing = False
            self._protocol.resume_writing()
        if self._closing and not self._held:
            peer = self.peer
            self._lose(None)
            if peer is not None and peer._held:
                peer._lose(_reset())  # what nobody will read is answered so (RFC 9293 §3.10.4, RFC 2525 §2.17)

    def _hand_over(self) -> None:
        peer = self.peer
        while self._held and peer is not None and peer.is_reading():
            data = bytes(self._held[:READ_BYTES])
            del self._held[:READ_BYTES]
            peer._protocol.data_received(data)
        if peer is None or peer._lost:
            self._held.clear()
        elif self._eof and not self._held and not self._eof_told:
            self._eof_told = True
            peer._protocol.eof_received()

    def _lose(self, error: Exception | None) -> None:
        if not self._lost:
            self._lost = self._closing = True
            self._held.clear()
            self._loop.call_soon(self._protocol.connection_lost, error)


def _reset() -> ConnectionResetError:
    return ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
