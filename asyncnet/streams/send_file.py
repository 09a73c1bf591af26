"""send_file(): a file's bytes to a connection, by sendfile(2) where no TLS lies between, else in chunks.

asyncio's own sendfile stops reading from the connection until all is sent, so that two ends that send files to each
other would wait for ever; it counts nothing meanwhile, so that a long file looks like silence; and uvloop has none. So
sendfile(2) is called here, on a duplicate of the socket's descriptor, which either loop can watch beside its own.
"""

from __future__ import annotations

import asyncio
import errno
import io
import math
import os
import threading
from typing import TYPE_CHECKING, Any, BinaryIO

from asyncnet.daemon import in_daemon
from asyncnet.deadline import Deadline, deadline
from asyncnet.errors import NetError, UsageError
from asyncnet.translation import TALKING, Translations, described, translated

if TYPE_CHECKING:
    from asyncnet.streams.send import SendStream

CHUNK_BYTES = 262_144
"""Read, or given to the kernel, at a time: others have their turn in between."""

_FILES_FAULT = frozenset({errno.EIO, errno.ESTALE, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EOVERFLOW})
"""What sendfile(2) says of the file, or of the pair; the rest it says of the socket."""


async def send_file(
    connection: SendStream,
    file: BinaryIO | str | os.PathLike[str],
    offset: int,
    count: int | None,
    timeout: float | None,
) -> int:
    """Send `count` bytes of a file from `offset`; see `Connection.send_file`."""
    if offset < 0 or (count is not None and count < 0):
        raise UsageError("offset and count are at least 0", endpoint=connection.endpoint, operation="send_file")
    connection._writable("send_file")
    # As in `write`: a server's own limit is for each step, so that a slow client may take a large file.
    each = timeout is None and connection._server_side
    seconds = connection._write_timeout if timeout is None else timeout
    sending = _Sending(connection, offset, count, seconds if each else None)
    try:
        async with deadline(None if each else seconds, connection.endpoint, "send_file"):
            return await sending.run(file)
    except BaseException as error:
        if isinstance(error, NetError) and not isinstance(error, UsageError):
            connection._protocol.fail(error)
        elif sending.has_begun:
            connection.abort()  # the peer waits for the rest, and how much of it has gone is not known
        raise


class _Sending:
    """One file on its way.

    Args:
        step: seconds for each read of the file and each wait for room; None where a deadline is around it all.

    Attributes:
        has_begun: whether bytes may have gone.
    """

    def __init__(self, connection: SendStream, offset: int, count: int | None, step: float | None) -> None:
        self._connection = connection
        self._protocol = connection._protocol
        self._offset = offset
        self._left = math.inf if count is None else count
        self._step = step
        self._room = math.inf if step is None else step
        self._sent = 0
        self.has_begun = False

    async def run(self, file: BinaryIO | str | os.PathLike[str]) -> int:
        """Send it, and give the number of bytes."""
        async with self._connection._in_turn("send_file", self._room) as transport:
            try:
                transport.write(b"")
            except RuntimeError as error:  # after write_eof()
                raise self._connection._unwritable("send_file") from error
            source = _source(file)
            try:
                async with self._in_time():
                    await source.open()
                if source.descriptor is None or not await self._natively(transport, source.descriptor):
                    await self._in_chunks(transport, source)
            finally:
                source.close()
        return self._sent

    def _in_time(self) -> Deadline:
        return deadline(self._step, self._connection.endpoint, "send_file")

    def _count(self, sent: int) -> None:
        self._sent += sent
        self._left -= sent

    async def _in_chunks(self, transport: asyncio.Transport, source: _Source) -> None:
        while self._left:
            want = int(min(CHUNK_BYTES, self._left))
            async with self._in_time():
                chunk = await source.read(self._offset + self._sent, want)
            if not chunk:
                return
            self.has_begun = True
            await self._connection._hand_over(transport, chunk, self._room)
            self._count(len(chunk))

    async def _natively(self, transport: asyncio.Transport, source: int) -> bool:
        """Send by sendfile(2); False where that does not work here, and nothing was sent."""
        sock = transport.get_extra_info("socket")
        if sock is None or self._protocol._over_ssl or not hasattr(os, "sendfile"):
            return False
        await self._emptied(transport)
        try:
            target = os.dup(sock.fileno())
        except OSError:  # out of descriptors
            return False
        try:
            while self._left and await self._send_piece(target, source):
                pass
        except _Unfit:
            return False
        finally:
            os.close(target)
        return True

    async def _send_piece(self, target: int, source: int) -> bool:
        """Send what the kernel takes at once, or wait until it takes some; False at the end of the file."""
        self._connection._writable("send_file")
        with translated(TALKING, self._connection.endpoint, "send_file"):
            sent = self._sendfile(target, source)
        if sent is None:
            async with self._in_time():
                await self._until_writable(target)
            return True
        self.has_begun = self.has_begun or sent > 0
        self._protocol.sent_bytes += sent
        self._count(sent)
        await asyncio.sleep(0)
        return bool(sent)

    def _sendfile(self, target: int, source: int) -> int | None:
        try:
            return os.sendfile(target, source, self._offset + self._sent, int(min(CHUNK_BYTES, self._left)))
        except BlockingIOError:
            return None
        except OSError as error:
            if error.errno not in _FILES_FAULT:
                raise
            if not self._sent:
                raise _Unfit from error
            raise _unreadable(error, self._connection.endpoint, "send_file") from error

    async def _until_writable(self, target: int) -> None:
        loop, protocol = asyncio.get_running_loop(), self._protocol
        ready: asyncio.Future[None] = loop.create_future()
        if protocol.closed is None:
            protocol.closed = loop.create_future()
        loop.add_writer(target, _set, ready)
        try:
            # The duplicate outlives the connection: of its end one hears by `closed` alone.
            await asyncio.wait({ready, protocol.closed}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            loop.remove_writer(target)

    async def _emptied(self, transport: asyncio.Transport) -> None:
        """Wait until the transport holds nothing: the file comes behind it."""
        if not transport.get_write_buffer_size():
            return
        low, high = transport.get_write_buffer_limits()
        transport.set_write_buffer_limits(0)
        try:
            await self._connection._room("send_file", self._room)
        finally:
            transport.set_write_buffer_limits(high, low)


class _Unfit(Exception):
    """The kernel does not send this file to this socket, and has sent nothing."""


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class _Source:
    """What is sent.

    Attributes:
        descriptor: of a real file, or None.
    """

    descriptor: int | None = None

    async def open(self) -> None:
        """Make it ready to be read."""

    def close(self) -> None:
        """Let go of it."""

    async def read(self, at: int, count: int) -> bytes:
        """Read at most `count` bytes from there; b"" is the end."""
        with translated(_READING, operation="send_file"):
            data = await in_daemon(lambda: self._read(at, count))
        if not isinstance(data, bytes):
            raise UsageError("the file gives no bytes: open it in binary mode", operation="send_file")
        return data

    def _read(self, at: int, count: int) -> Any:
        raise NotImplementedError


class _Real(_Source):
    """A file of the system's, by a descriptor of our own: nobody else's position is moved, nobody's close() matters."""

    def __init__(self, file: io.BufferedReader | io.FileIO | str | os.PathLike[str]) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._left = False

    async def open(self) -> None:
        with translated(_READING, operation="send_file"):
            if isinstance(self._file, (io.BufferedReader, io.FileIO)):
                self.descriptor = os.dup(self._file.fileno())
            else:
                await in_daemon(self._open)

    def _open(self) -> None:
        # In a thread; closed at once where nobody waits any more.
        assert isinstance(self._file, (str, os.PathLike))
        descriptor = os.open(self._file, os.O_RDONLY | os.O_CLOEXEC)
        with self._lock:
            if self._left:
                os.close(descriptor)
            else:
                self.descriptor = descriptor

    def close(self) -> None:
        with self._lock:
            self._left = True
            if self.descriptor is not None:
                os.close(self.descriptor)
                self.descriptor = None

    def _read(self, at: int, count: int) -> bytes:
        descriptor = self.descriptor
        return b"" if descriptor is None else os.pread(descriptor, count, at)


class _Object(_Source):
    """Whatever else can be read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._at: int | None = None

    def _read(self, at: int, count: int) -> Any:
        if at != self._at and (at or self._file.seekable()):
            self._file.seek(at)
        data = self._file.read(count)
        self._at = at + len(data or b"")
        return data


def _source(file: BinaryIO | str | os.PathLike[str]) -> _Source:
    if isinstance(file, (str, os.PathLike)):
        return _Real(file)
    # What only looks so gives other bytes than its descriptor does: a GzipFile unpacks, a writer holds some back.
    raw = file.raw if type(file) is io.BufferedReader else file
    with translated(_READING, operation="send_file"):
        is_real = type(raw) is io.FileIO and raw.seekable()
    return _Real(file) if is_real else _Object(file)  # type: ignore[arg-type]


def _unreadable(error: Exception, endpoint: object, operation: str | None) -> NetError:
    name = getattr(error, "filename", None)
    what = "the file" if name is None else os.fsdecode(name)
    return UsageError(f"cannot read {what}: {described(error)}", endpoint=endpoint, operation=operation)


_READING: Translations = (((OSError, ValueError, EOFError), _unreadable),)
