"""upgraded(): TLS on a connection that began without (STARTTLS)."""

from __future__ import annotations

import asyncio
import ssl

from asyncnet.deadline import phase
from asyncnet.dial import CLOSE_SECONDS, server_name
from asyncnet.endpoint import Endpoint
from asyncnet.errors import DisconnectedError
from asyncnet.tls import Handshake
from asyncnet.trace import noted
from asyncnet.translation import CONNECTING, translated


async def upgraded(
    plain: asyncio.Transport, protocol: asyncio.Protocol, context: ssl.SSLContext, endpoint: Endpoint
) -> asyncio.Transport:
    """Put TLS on `plain`, which must not be reading, and give the transport that now carries `protocol`.

    Raises:
        TLSError: the handshake failed, or the certificate is not trusted or is another host's.
        DisconnectedError: the peer left meanwhile.

    On failure or cancellation the connection is dropped; the protocol hears of it only if TLS stood before.
    """
    phase("TLS handshake")
    try:
        with translated(CONNECTING, endpoint, "STARTTLS"):
            transport = await asyncio.get_running_loop().start_tls(
                plain,
                protocol,
                context,
                server_hostname=server_name(endpoint),
                ssl_handshake_timeout=86_400.0,  # the caller's deadline is the bound
                ssl_shutdown_timeout=CLOSE_SECONDS,
            )
        if transport is None:  # what the loop gives where the connection was lost in the last moment
            raise DisconnectedError("the connection was lost in the handshake", endpoint=endpoint, operation="STARTTLS")
    except BaseException:
        plain.abort()
        raise
    noted(Handshake(transport.get_extra_info("ssl_object")))
    return transport
