"""The server under attack: `python -m benchmarks.core.attacks.victim PEM [uvloop]`.

Three servers of one process: an echo, an echo over TLS, and one that answers blocks of 64 bytes. But for room for a
crowd, every limit and timeout is the default. Prints: port, process, port of TLS, port of blocks.
"""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import sys

import asyncnet

MAX_CLIENTS = 20_000
BLOCK_BYTES = 64


async def blocks(connection: asyncnet.Connection) -> None:
    """Answer block by block: a handler that waits for the rest of something, as most do."""
    with contextlib.suppress(asyncnet.IncompleteRead):
        while True:
            await connection.write(await connection.read_exactly(BLOCK_BYTES))


async def main(pem: str) -> None:
    """Serve."""
    tls = asyncnet.server_context(pem)
    place = "tcp://127.0.0.1:0"
    async with (
        asyncnet.serve(asyncnet.echo, place, max_clients=MAX_CLIENTS) as plain,
        asyncnet.serve(asyncnet.echo, "tls://127.0.0.1:0", tls=tls, max_clients=MAX_CLIENTS) as secure,
        asyncnet.serve(blocks, place, max_clients=MAX_CLIENTS) as waiting,
    ):
        print(plain.endpoint.port, os.getpid(), secure.endpoint.port, waiting.endpoint.port, flush=True)
        await plain.serve_forever()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    asyncnet.run(main(sys.argv[1]), uvloop="uvloop" in sys.argv[2:])
