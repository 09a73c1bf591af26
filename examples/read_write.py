"""Send all, receive, and receive into a buffer: python examples/read_write.py tcp://127.0.0.1:4242.

Talks to an echo server; start one with `asyncnet echo`.
"""

import sys

import asyncnet


async def main(url: str) -> None:
    """Send two messages; take the first answer as bytes, the second into memory of our own."""
    async with asyncnet.connect(url, timeout=5.0) as connection:
        await connection.write(b"hello\n")  # all of it
        print("received", await connection.read(1024))  # what is there, at most 1,024 bytes

        buffer = bytearray(1024)
        await connection.write(b"and into a buffer\n")
        count = await connection.read_into(buffer)
        print("received into the buffer", bytes(buffer[:count]))

        await connection.write_eof()  # our end; the server echoes what is left and ends too
        print("then the end:", await connection.read())


if __name__ == "__main__":
    asyncnet.run(main(sys.argv[1] if len(sys.argv) > 1 else "tcp://127.0.0.1:4242"))
