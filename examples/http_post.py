"""Send a form, by GET and by POST: python examples/http_post.py https://example.org/form [name=value...].

Shows the status and the reason of each answer. No status is an error by itself; ask with raise_for_status().
"""

import sys

import asyncnet
from asyncnet import StatusError, http


async def main(url: str, fields: dict[str, str]) -> None:
    """Send the same fields in the query and in the body, and say what came of it."""
    async with http.session(timeout=30.0) as session:
        by_get = await session.get(url, params=fields)
        print(f"GET {by_get.url}: {by_get.status} {by_get.reason}")

        by_post = await session.post(url, form=fields)
        print(f"POST {by_post.url}: {by_post.status} {by_post.reason}")
        try:
            print(by_post.raise_for_status().text())
        except StatusError as error:
            print(f"not done: {error.code}, {'worth trying again' if error.transient else 'for good'}")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    given = dict(argument.split("=", 1) for argument in sys.argv[2:])
    asyncnet.run(main(sys.argv[1], given or {"name": "alice", "greeting": "good morning"}))
