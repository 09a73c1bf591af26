"""Get a page, and the first 100 bytes of it: python examples/http_get.py https://example.org/.

An address of the standard library's server will do too: python -m http.server 8080 --bind 127.0.0.1.
"""

import sys

import asyncnet
from asyncnet import http


async def main(url: str) -> None:
    """Fetch the page twice over one session: whole, and its first 100 bytes alone."""
    async with http.session(timeout=30.0) as session:
        page = await session.get(url)
        print(f"{page.status} {page.reason}: {len(page.body)} bytes of {page.headers.get('Content-Type', 'something')}")
        if page.url != url:
            print(f"redirected to {page.url}")

        begin = await session.get(url, first_bytes=100)  # stops reading there, which is no error
        print(begin.text())


if __name__ == "__main__":
    asyncnet.run(main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080/"))
