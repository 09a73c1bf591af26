"""Adopting: an accepted socket becomes a transport with our protocol on it.

Over plain TCP nothing is negotiated, so no task has to wait: the loop's own coroutine is started here and goes on when
the transport tells that it is made. A task for that costs as much as the handler's.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Coroutine
from functools import partial
from typing import Any

from asyncnet.deadline import deadline
from asyncnet.dial import CLOSE_SECONDS
from asyncnet.endpoint import Endpoint
from asyncnet.errors import DeadlineError
from asyncnet.streams.address import Address
from asyncnet.streams.protocol import StreamProtocol
from asyncnet.translation import CONNECTING, TALKING, translated


def adopt(loop: asyncio.AbstractEventLoop, sock: socket.socket, protocol: StreamProtocol) -> None:
    """Make the transport of a plain connection: what is called by `call_soon` from now on finds it in `protocol`.

    Raises:
        OSError: the socket is of no use; it is the caller's still.
    """
    opening = loop.connect_accepted_socket(lambda: protocol, sock)
    try:
        made = opening.send(None)
    except StopIteration:
        return  # a loop that had nothing to wait for
    made.add_done_callback(partial(_go_on, opening))


def _go_on(opening: Coroutine[Any, Any, object], made: asyncio.Future[None]) -> None:
    try:
        opening.send(None)
    except StopIteration:
        pass  # the pair that it gives is known: the protocol has its transport
    else:
        opening.close()


async def adopt_tls(
    loop: asyncio.AbstractEventLoop,
    sock: socket.socket,
    protocol: StreamProtocol,
    context: ssl.SSLContext,
    seconds: float,
) -> None:
    """Make the transport, and shake hands within `seconds`.

    Raises:
        TLSError, DisconnectedError, DeadlineError: there is no connection; the transport has closed the socket, if
            there was one.
    """
    with translated(CONNECTING, protocol.endpoint, "TLS handshake"):
        try:
            await loop.connect_accepted_socket(
                lambda: protocol,
                sock,
                ssl=context,
                ssl_handshake_timeout=seconds,
                ssl_shutdown_timeout=CLOSE_SECONDS,
            )
        except ConnectionAbortedError as error:  # so asyncio calls it
            raise DeadlineError(f"not done within {seconds:g} seconds", seconds=seconds) from error


async def asked_proxy(sock: socket.socket, endpoint: Endpoint, seconds: float) -> Address | None:
    """Take the PROXY header off, within `seconds`; None where it tells nobody.

    Raises:
        ProtocolError, DisconnectedError, DeadlineError: there is no header, or no whole one.
    """
    from asyncnet.streams.proxy_header import receive_header

    sock.setblocking(False)
    async with deadline(seconds, endpoint, "PROXY header"):
        with translated(TALKING, endpoint, "PROXY header"):
            return (await receive_header(sock)).source
