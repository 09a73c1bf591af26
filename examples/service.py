"""A service that keeps one Client for its life: python examples/service.py ROUNDS URL... (ASYNCNET_PASSWORD signs in).

Each round asks all URLs at once: a page of http, the unread mail of imap://alice@host/INBOX?UNSEEN, the maildrop of
pop3, a report to smtp, an echo of tcp. What is kept warm stays warm; a server that restarts costs a few calls.
"""

import asyncio
import os
import sys
from collections import Counter

import asyncnet
from asyncnet import Client, Credentials, Endpoint

REPORT = b"From: service@example.org\r\nSubject: all is well\r\n\r\nIt is.\r\n"


async def key(endpoint: Endpoint) -> Credentials | None:
    """Find who signs in: the user of the URL, by the password of the environment."""
    user = endpoint.username
    return None if user is None else Credentials(user, os.environ["ASYNCNET_PASSWORD"])


class Service:
    """Talks to many servers over one Client, and counts what came of it."""

    def __init__(self, client: Client, report_to: str = "me@example.org") -> None:
        self.client = client
        self.report_to = report_to
        self.done: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()

    async def ask(self, url: str) -> None:
        """Make one call; what fails is counted, and the next one may do better."""
        where = Endpoint.parse(url)
        try:
            await getattr(self, where.protocol)(url)
            self.done[where.protocol] += 1
        except asyncnet.NetError as error:
            self.failed[f"{where.protocol} {type(error).__name__}"] += 1

    async def http(self, url: str) -> None:
        page = (await self.client.get(url)).raise_for_status()
        await self.client.post(url, form={"bytes": len(page.body)})

    async def imap(self, url: str) -> None:
        await self.client.fetch(url)

    pop3 = imap

    async def smtp(self, url: str) -> None:
        await self.client.send(REPORT, url, sender="service@example.org", recipients=self.report_to)

    async def tcp(self, url: str) -> None:
        async with self.client.connect(url) as connection:
            await connection.write(b"is anybody there?\n")
            await connection.read_until(b"\n")


async def main(rounds: str, *urls: str) -> None:
    async with Client(timeout=10.0, credentials=key) as client:
        service = Service(client)
        for _ in range(int(rounds)):
            await asyncio.gather(*map(service.ask, urls))
        print(f"done: {dict(service.done)}, failed: {dict(service.failed)}")


if __name__ == "__main__":
    asyncnet.run(main(*sys.argv[1:]))
