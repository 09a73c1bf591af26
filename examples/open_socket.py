"""Open a socket and close it: python examples/open_socket.py tcp://127.0.0.1:4242.

Start a server to talk to with `asyncnet echo`; tls://host:443 and unix:///path work as well.
"""

import sys

import asyncnet


async def main(url: str) -> None:
    """Connect, say where to, and close."""
    async with asyncnet.connect(url, timeout=5.0) as connection:
        print(f"connected from {connection.local} to {connection.peer}")
    print("closed")


if __name__ == "__main__":
    asyncnet.run(main(sys.argv[1] if len(sys.argv) > 1 else "tcp://127.0.0.1:4242"))
