"""Be a server: bind, listen, accept many: python examples/serve_echo.py tcp://127.0.0.1:4242.

Ctrl-C or SIGTERM ends it: clients get five seconds to finish.
"""

import sys

import asyncnet


async def shout(connection: asyncnet.Connection) -> None:
    """Answer every line in capitals, until the client ends."""
    async for line in connection.lines(max_bytes=4096):
        await connection.write(line.upper())


async def main(url: str) -> None:
    """Serve until a signal comes."""
    async with asyncnet.serve(shout, url, max_clients=100, grace=5.0) as server:
        print(f"listening on {server.endpoint}", flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    asyncnet.run(main(sys.argv[1] if len(sys.argv) > 1 else "tcp://127.0.0.1:4242"), signals=True)
