"""Reading: how the transports read for us, and how they are told.

A StreamProtocol is a plain protocol: asyncio's transport receives into a fresh `bytes` that is given on as it is, with
no copy on the way. Asked for 256 KiB, as asyncio does, malloc would map and unmap memory for every small message. 64
KiB come from the heap, and what is not filled goes back at once: three system calls a message instead of six.

A read that waits with memory of its own is another matter: for as long as it waits, the transport is given a `Filling`
for its protocol, and receives straight into that memory. `set_protocol` is what asyncio's own STARTTLS calls. On uvloop
and under TLS the chunk is copied into that memory instead.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

try:
    import fcntl
    import termios
except ImportError:  # Windows, whose transports the rest works with
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from asyncnet.streams.protocol import StreamProtocol

READ_BYTES = 65_536
"""One read of the kernel."""

RECORD_BYTES = 16_384
"""The most that a TLS record holds (RFC 8446 §5.1), so what one read of the TLS layer gives."""

DISCARDED_BYTES = 16 * 1024 * 1024
"""The most that a close reads for nobody: whoever sends on and on does not wait for our last words."""

_encrypted: WeakKeyDictionary[asyncio.AbstractEventLoop, tuple[bytearray, memoryview]] = WeakKeyDictionary()


def tune(transport: Any, loop: asyncio.AbstractEventLoop) -> bool:
    """Set the size of a transport's reads, where it can be set; whether it can be given a Filling.

    asyncio's TLS layer holds 256 KiB for each connection to receive into, and makes a `bytes` of as many for each read
    of a record, although it has emptied the one and cut the other when its callback ends. So all TLS connections of a
    loop share 64 KiB, and a read is of one record: 256 KiB less a connection, and no memory mapped for a message. The
    names are private ones, which a test holds to their meaning on each version of Python; without them (as on uvloop)
    all works as asyncio has it.
    """
    if hasattr(transport, "max_size"):
        transport.max_size = READ_BYTES
        return True
    layer = getattr(transport, "_ssl_protocol", None)
    if isinstance(getattr(layer, "_ssl_buffer", None), bytearray):
        shared = _encrypted.get(loop)
        if shared is None:
            memory = bytearray(READ_BYTES)
            shared = _encrypted[loop] = memory, memoryview(memory)
        layer.max_size = RECORD_BYTES  # type: ignore[union-attr]
        layer._ssl_buffer, layer._ssl_buffer_view = shared  # type: ignore[union-attr]
    return False


def waits_unread(transport: asyncio.Transport) -> bool:
    """Whether the kernel holds bytes of the peer that nobody has read, as far as it tells."""
    sock = transport.get_extra_info("socket")
    if sock is None or fcntl is None:
        return False
    try:
        return any(fcntl.ioctl(sock.fileno(), termios.FIONREAD, b"\0" * 4))
    except OSError:
        return False


def is_acknowledged(transport: asyncio.Transport) -> bool:
    """Whether all that was written has arrived at the peer's kernel; False where nobody tells (tcp(7), SIOCOUTQ)."""
    sock = transport.get_extra_info("socket")
    if sock is None or fcntl is None or sys.platform != "linux" or transport.get_write_buffer_size():
        return False
    try:
        return not any(fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0" * 4))
    except OSError:
        return False


class _Proxy:
    """A transport's protocol for a while; what is not of bytes goes to the one that it stands for."""

    def __init__(self, protocol: StreamProtocol) -> None:
        self._protocol = protocol

    def eof_received(self) -> bool:
        """Hand it on."""
        return self._protocol.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """Hand it on."""
        self._protocol.connection_lost(exc)

    def pause_writing(self) -> None:
        """Hand it on."""
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        """Hand it on."""
        self._protocol.resume_writing()


class Filling(_Proxy, asyncio.BufferedProtocol):
    """The protocol of a transport while a read waits with `target`."""

    _lent: memoryview | None = None

    def get_buffer(self, sizehint: int) -> memoryview:
        """Give the memory that the next bytes go to."""
        protocol = self._protocol
        assert protocol.target is not None
        self._lent = protocol.target[protocol.filled :]
        return self._lent

    def end(self) -> None:
        """Let go of that memory; idempotent.

        The frame of the transport that asked for it may be kept by the traceback of an error, and a collection of both
        with the BytesIO that owns the memory crashed some Pythons (gh-111049).
        """
        if self._lent is not None:
            self._lent.release()

    def buffer_updated(self, nbytes: int) -> None:
        """Note that `nbytes` were put there; the read goes on when it has what it wants."""
        protocol = self._protocol
        protocol.received_bytes += nbytes
        protocol.filled += nbytes
        if protocol.filled >= protocol.wanted:
            protocol.wake()


class Discarding(_Proxy, asyncio.Protocol):
    """The protocol of a transport that closes once its peer has: what still comes is for nobody."""

    _room = DISCARDED_BYTES

    def data_received(self, data: bytes) -> None:
        """Drop it; beyond `DISCARDED_BYTES`, end the connection."""
        self._room -= len(data)
        if self._room < 0 and self._protocol.transport is not None:
            self._protocol.transport.abort()

    def eof_received(self) -> bool:
        """Let the transport close."""
        self._protocol.eof_received()
        return False
