"""The IMAP clients that are Python: `python -m benchmarks.mail.imap_clients NAME HOST PORT USER COUNT BATCH FOLDER`.

Each fetches the first COUNT messages of INBOX, BATCH of them a command where it has batches, and drops them, but for
those that write them into FOLDER. The secret is in the environment. Only what a client needs is imported, and its
imports are not timed.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.mail.rounds import Tally, measured

if TYPE_CHECKING:
    import imaplib
    from collections.abc import AsyncIterator

    from asyncnet import imap

SECRET = "BENCHMARK_SECRET"


class Job(NamedTuple):
    """What a client is to do."""

    host: str
    port: int
    user: str
    count: int
    batch: int
    folder: Path

    @property
    def secret(self) -> str:
        """Signs in."""
        return os.environ[SECRET]

    def batches(self) -> Iterator[str]:
        """The messages as sequence sets: `1:200`, `201:400`..."""
        for start in range(1, self.count + 1, self.batch):
            yield f"{start}:{min(self.count, start + self.batch - 1)}"


# Ours


def _ours(work: Callable[[imap.Session, Job, Tally], Awaitable[None]]) -> Callable[[Job], None]:
    def client(job: Job) -> None:
        from asyncnet import Credentials, imap

        @asynccontextmanager
        async def opened() -> AsyncIterator[imap.Session]:
            async with imap.session(f"imap://{job.host}:{job.port}", Credentials(job.user, job.secret)) as mailbox:
                await mailbox.select(read_only=True)
                yield mailbox

        async def main() -> None:
            async with opened() as mailbox:
                await work(mailbox, job, tally)

        import asyncnet.imap.wire  # noqa: F401 (loads the wing, which is not timed)

        with measured() as tally:
            asyncio.run(main())

    return client


def _asked(mailbox: imap.Session, job: Job) -> str:
    there = mailbox.selected
    return "ALL" if there is not None and there.exists == job.count else f"1:{job.count}"


async def _messages(mailbox: imap.Session, job: Job, tally: Tally) -> None:
    """`async for message in mailbox.messages()`, message by message."""
    async for message in mailbox.messages(_asked(mailbox, job)):
        tally.add(message.raw)


async def _one_call(mailbox: imap.Session, job: Job, tally: Tally) -> None:
    """All of it in one call, each message handed to a function."""
    await mailbox.messages(_asked(mailbox, job)).rest(lambda message: tally.add(message.raw))


async def _one_list(mailbox: imap.Session, job: Job, tally: Tally) -> None:
    """All of it in one call, as a list."""
    for message in await mailbox.fetch_many(range(1, job.count + 1)):
        tally.add(message.raw)


async def _to_disk(mailbox: imap.Session, job: Job, tally: Tally) -> None:
    """Each message streamed to a file."""
    for uid in range(1, job.count + 1):
        tally.size += await mailbox.download(uid, job.folder / f"{uid}.eml")
        tally.count += 1


async def _overview(mailbox: imap.Session, job: Job, tally: Tally) -> None:
    """FLAGS, RFC822.SIZE and ENVELOPE, as values."""
    told = await mailbox.overview(received=False)
    tally.count = sum(one.envelope is not None for one in told)


async def _storing(mailbox: imap.Session, job: Job, tally: Tally) -> None:
    r"""Each message flagged from the body of the loop, the answers not waited for one by one."""
    await mailbox.select()
    async with mailbox.storing() as flags:
        async for message in mailbox.messages(_asked(mailbox, job)):
            assert isinstance(message.uid, int)
            await flags.store(message.uid, add={r"\Seen"})
            tally.add(message.raw)


async def _stored(mailbox: imap.Session, job: Job, tally: Tally) -> None:
    """Each message flagged from the body of the loop, and the answer waited for."""
    await mailbox.select()
    async for message in mailbox.messages(_asked(mailbox, job)):
        assert isinstance(message.uid, int)
        await mailbox.store(message.uid, add={r"\Seen"})
        tally.add(message.raw)


def sync(job: Job) -> None:
    """asyncnet: `imap.sync` into a Maildir."""
    import asyncnet.imap.sync  # noqa: F401 (loads the wing, which is not timed)
    from asyncnet import Credentials, imap

    with measured() as tally:
        url = f"imap://{job.host}:{job.port}/INBOX"
        done = asyncio.run(imap.sync(url, job.folder / "mail", Credentials(job.user, job.secret)))
        tally.count, tally.size = done.messages, done.fetched_bytes


# The standard library


def _opened(job: Job) -> imaplib.IMAP4:
    import imaplib

    # A line of ENVELOPEs or a SEARCH of 10,000 is longer than it takes by itself.
    imaplib._MAXLINE = 100_000_000  # type: ignore[attr-defined]
    client = imaplib.IMAP4(job.host, job.port)
    client.login(job.user, job.secret)
    client.select(readonly=True)
    return client


def _imaplib_fetched(job: Job, sets: Iterator[str]) -> None:
    import imaplib  # noqa: F401 (not timed)

    with measured() as tally:
        client = _opened(job)
        for chosen in sets:
            for item in client.uid("FETCH", chosen, "(UID FLAGS BODY.PEEK[])")[1]:
                if isinstance(item, tuple):
                    tally.add(item[1])
        client.logout()


def imaplib_batch(job: Job) -> None:
    """imaplib, a batch a command."""
    _imaplib_fetched(job, job.batches())


def imaplib_all(job: Job) -> None:
    """imaplib, `1:*` in one command."""
    _imaplib_fetched(job, iter([f"1:{job.count}"]))


def imaplib_one(job: Job) -> None:
    """imaplib, a command a message."""
    _imaplib_fetched(job, map(str, range(1, job.count + 1)))


def imaplib_overview(job: Job) -> None:
    """imaplib: FLAGS, RFC822.SIZE and ENVELOPE, as the lines that came."""
    import imaplib  # noqa: F401 (not timed)

    with measured() as tally:
        client = _opened(job)
        lines = client.uid("FETCH", "1:*", "(UID FLAGS RFC822.SIZE ENVELOPE)")[1]
        tally.count = sum(b"ENVELOPE" in (line[0] if isinstance(line, tuple) else line) for line in lines)
        client.logout()


# aioimaplib


def _aioimaplib_fetched(job: Job, sets: Iterator[str]) -> None:
    import aioimaplib

    async def main() -> None:
        client = aioimaplib.IMAP4(job.host, job.port, timeout=600)
        await client.wait_hello_from_server()
        await client.login(job.user, job.secret)
        await client.select("INBOX")  # after EXAMINE it takes no FETCH
        for chosen in sets:
            for line in (await client.uid("fetch", chosen, "(UID FLAGS BODY.PEEK[])")).lines:
                if isinstance(line, bytearray):
                    tally.add(line)
        await client.logout()

    with measured() as tally:
        asyncio.run(main())


def aioimaplib_batch(job: Job) -> None:
    """aioimaplib, a batch a command."""
    _aioimaplib_fetched(job, job.batches())


def aioimaplib_one(job: Job) -> None:
    """aioimaplib, a command a message."""
    _aioimaplib_fetched(job, map(str, range(1, job.count + 1)))


# imap-tools, IMAPClient, Twisted


def imap_tools_batch(job: Job) -> None:
    """imap-tools, which parses each message, a batch a command."""
    import imap_tools

    with measured() as tally:
        mailbox = imap_tools.MailBoxUnencrypted(job.host, job.port).login(job.user, job.secret, None)
        mailbox.folder.set("INBOX", readonly=True)
        for _ in mailbox.fetch(f"1:{job.count}", mark_seen=False, bulk=job.batch):
            tally.count += 1
        mailbox.logout()


def imapclient_batch(job: Job) -> None:
    """IMAPClient, a batch a command."""
    import imapclient

    with measured() as tally:
        client = imapclient.IMAPClient(job.host, job.port, ssl=False)
        client.login(job.user, job.secret)
        client.select_folder("INBOX", readonly=True)
        for start in range(1, job.count + 1, job.batch):
            chosen = range(start, min(start + job.batch, job.count + 1))
            for one in client.fetch(list(chosen), ["FLAGS", "BODY.PEEK[]"]).values():
                tally.add(one[b"BODY[]"])
        client.logout()


def imapclient_overview(job: Job) -> None:
    """IMAPClient: FLAGS, RFC822.SIZE and ENVELOPE, as values."""
    import imapclient

    with measured() as tally:
        client = imapclient.IMAPClient(job.host, job.port, ssl=False)
        client.login(job.user, job.secret)
        client.select_folder("INBOX", readonly=True)
        told = client.fetch(list(range(1, job.count + 1)), ["FLAGS", "RFC822.SIZE", "ENVELOPE"]).values()
        tally.count = sum(one[b"ENVELOPE"] is not None for one in told)
        client.logout()


def twisted_batch(job: Job) -> None:
    """Twisted's IMAP4Client, a batch a command."""
    from twisted.internet import defer, reactor
    from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
    from twisted.mail.imap4 import IMAP4Client

    async def main() -> None:
        client = await connectProtocol(TCP4ClientEndpoint(reactor, job.host, job.port), IMAP4Client())
        await client.login(job.user.encode(), job.secret.encode())
        await client.examine("INBOX")
        for chosen in job.batches():
            for (fields,) in (await client.fetchSpecific(chosen, uid=True, peek=True)).values():
                tally.count += bool(fields[-1])
        await client.logout()
        reactor.stop()

    def failed(failure: object) -> None:
        print(failure, file=sys.stderr)
        os._exit(1)

    with measured() as tally:
        defer.ensureDeferred(main()).addErrback(failed)
        reactor.run()


CLIENTS: dict[str, Callable[[Job], None]] = {
    "messages": _ours(_messages),
    "one_call": _ours(_one_call),
    "one_list": _ours(_one_list),
    "to_disk": _ours(_to_disk),
    "overview": _ours(_overview),
    "stored": _ours(_stored),
    "storing": _ours(_storing),
    "sync": sync,
    "imaplib_batch": imaplib_batch,
    "imaplib_all": imaplib_all,
    "imaplib_one": imaplib_one,
    "imaplib_overview": imaplib_overview,
    "aioimaplib_batch": aioimaplib_batch,
    "aioimaplib_one": aioimaplib_one,
    "imap_tools_batch": imap_tools_batch,
    "imapclient_batch": imapclient_batch,
    "imapclient_overview": imapclient_overview,
    "twisted_batch": twisted_batch,
}

if __name__ == "__main__":
    _, name, host, port, user, count, batch, folder = sys.argv
    CLIENTS[name](Job(host, int(port), user, int(count), int(batch), Path(folder)))
