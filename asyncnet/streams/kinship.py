"""KinProtocol: what makes our protocol one of asyncio's streams, once somebody asks for a StreamReader or StreamWriter.

asyncio's StreamReaderProtocol makes a deque and a Future for each connection, 800 bytes that only a StreamWriter uses.
Here they are made by `adopt`; until then class attributes stand in.
"""

from __future__ import annotations

import asyncio
from typing import cast


class KinProtocol(asyncio.StreamReaderProtocol):
    """A stream protocol whose StreamReader and StreamWriter are made on first use."""

    _connection_lost = False
    _over_ssl = False
    _closed: asyncio.Future[None]
    _loop: asyncio.AbstractEventLoop
    _paused: bool
    transport: asyncio.Transport | None
    reader: asyncio.StreamReader | None
    writer: asyncio.StreamWriter | None = None

    def become_kin(self, *, server_side: bool) -> asyncio.StreamReader:
        """Make the reader, without a byte in it, and become what a StreamWriter needs."""
        reader = asyncio.StreamReader(loop=self._loop)
        paused, lost, over_ssl = self._paused, self._connection_lost, self._over_ssl
        asyncio.StreamReaderProtocol.__init__(self, reader, loop=self._loop)
        self._paused, self._connection_lost, self._over_ssl = paused, lost, over_ssl
        if server_side:
            self._client_connected_cb = _accepted  # by this StreamWriter.start_tls knows which side it is on
        if lost:
            self._closed.set_result(None)
        self._transport = self.transport
        if self.transport is not None:
            reader.set_transport(self.transport)
        self.reader = reader
        return reader

    def make_writer(self) -> asyncio.StreamWriter:
        """Give the one StreamWriter: a second would close the connection when it is dropped."""
        if self.writer is None:
            assert self.transport is not None
            self.writer = asyncio.StreamWriter(self.transport, self, self.reader, self._loop)
        return self.writer

    # StreamWriter.start_tls tells its protocol by the one or the other, as the version has it.

    def _replace_transport(self, transport: asyncio.Transport) -> None:
        assert self.reader is not None
        self._transport = self.transport = transport
        self._over_ssl = True
        # The reader's pause and resume must go to the new transport (gh-152431); set_transport() takes but one.
        self.reader._transport = transport  # type: ignore[attr-defined]
        self.connection_made(transport)

    def _replace_writer(self, writer: asyncio.StreamWriter) -> None:
        self._replace_transport(cast(asyncio.Transport, writer.transport))

    def __del__(self) -> None:
        if getattr(self, "reader", None) is not None:
            super().__del__()


def _accepted(reader: object, writer: object) -> None:
    raise AssertionError("asyncio calls this for a connection that it accepted itself")
