"""Do many things at once, composed: python examples/compose_jobs.py PAGE MIRROR [URL...].

The first two race, and the one that answers first wins. Beside them every other URL is fetched, https, imaps or pop3s;
a tcp:// one is taken for an echo server (`asyncnet echo`) and talked to. A secret comes from ASYNCNET_PASSWORD, or is
asked for.
"""

import os
import sys
from typing import Any

import asyncnet
from asyncnet import Credentials, Endpoint, jobs


async def main(page: str, mirror: str, *urls: str) -> int:
    """Run the jobs, at most eight at once, and tell what came of each."""
    fastest = jobs.first_of(jobs.fetch(page), jobs.fetch(mirror), name="the faster of two").timeout(20.0)
    others = [await job_for(Endpoint.parse(url)) for url in urls]
    outcomes = await jobs.run([fastest, *others], limit=8, timeout=60.0)
    for outcome in outcomes:  # one failure harms no other
        print(f"{outcome.name}: {told(outcome.value) if outcome.ok else outcome.error}")
    return 0 if all(outcome.ok for outcome in outcomes) else 1


async def job_for(url: Endpoint) -> jobs.Job[Any]:
    """A fetch that is tried up to three times; or a conversation of our own, which is a job as well."""
    if url.protocol == "tcp":
        return jobs.call(talk, url, name=str(url))
    password = os.environ.get("ASYNCNET_PASSWORD")
    who = None
    if url.username is not None:
        who = Credentials(url.username, password) if password else await Credentials.prompt(url.username)
    return jobs.fetch(url, who, timeout=20.0, retry=jobs.Retry(attempts=3))


async def talk(url: Endpoint) -> bytes:
    """Send a line and read one."""
    async with asyncnet.connect(url, timeout=5.0) as connection:
        await connection.write(b"hello\n")
        return await connection.read_until(b"\n")


def told(value: Any) -> str:
    """Say how much came: messages, a page, or bytes."""
    return f"{len(value)} messages" if isinstance(value, list) else f"{len(getattr(value, 'body', value))} bytes"


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit("usage: compose_jobs.py PAGE MIRROR [URL...]")
    sys.exit(asyncnet.run(main(*sys.argv[1:])))
