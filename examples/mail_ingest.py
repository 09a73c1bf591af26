"""A small service that takes in mail: python examples/mail_ingest.py imaps://me@imap.example.org/INBOX ... (see usage).

It watches a mailbox, stores the attachments of each message, tells a webhook, and confirms to the sender. Killed at any
point it goes on where it was: a message counts once it is stored, told and confirmed. docs/lab-pytest.md tests it.
"""

import asyncio
import re
import ssl
import sys
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import parseaddr
from pathlib import Path

from asyncnet import Credentials, imap, jobs, smtp

RETRY = jobs.Retry(attempts=5, first_delay=0.2, max_delay=60.0)


@dataclass
class Ingest:
    """The service: where mail comes from and goes to."""

    mailbox: str
    hook: str
    relay: str
    folder: Path
    credentials: Credentials
    address: str = "me@example.org"
    tls: ssl.SSLContext | None = None
    retry: jobs.Retry = RETRY

    async def run(self) -> None:
        """Take in what is there and what comes, until cancelled; a refused login or mailbox ends it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        state = self.folder / "state"
        since = state.read_text() if state.exists() else await self.beginning()
        async with imap.watch(
            self.mailbox, self.credentials, since=since, headers_only=False, retry=self.retry, tls=self.tls
        ) as arrivals:
            async for arrival in arrivals:
                await self.take_in(arrival.message.parse(), f"{arrival.state}")
                written = self.folder / "state.new"
                written.write_text(str(arrival.state))
                written.replace(state)  # at once: a kill leaves the one or the other, and never half of one

    async def beginning(self) -> imap.WatchState:
        """Give the state from which on the watch tells everything in the mailbox."""
        async with imap.session(self.mailbox, self.credentials, tls=self.tls) as session:
            opened = await session.select("INBOX", read_only=True)
        assert opened.uidvalidity is not None, "a mailbox whose UIDs do not last cannot be watched"
        return imap.WatchState(opened.uidvalidity, 1)

    async def take_in(self, message: EmailMessage, key: str) -> None:
        """Store, tell and confirm one message; the key is the same if it has to be done again."""
        folder = self.folder / re.sub(r"\D", "-", key)
        names = [self.store(folder, part) for part in message.iter_attachments()]
        sender = parseaddr(str(message["From"]))[1]
        told = {"from": sender, "subject": str(message["Subject"]), "files": names}
        thanks = smtp.compose(self.address, to=sender, subject="Received", text=f"{len(names)} files\n")
        tell = jobs.post(self.hook, json=told, idempotency_key=key, retry=self.retry, tls=self.tls)
        confirm = jobs.send(thanks, self.relay, self.credentials, retry=self.retry, tls=self.tls)
        [outcome] = await jobs.run([tell.then(lambda _: confirm)])
        outcome.result()

    def store(self, folder: Path, part: EmailMessage) -> str:
        """Write one attachment under a name that is one, and give the name."""
        name = re.sub(r"[^\w.-]", "_", Path(part.get_filename() or "unnamed").name).lstrip(".") or "unnamed"
        folder.mkdir(parents=True, exist_ok=True)
        content = part.get_payload(decode=True)
        (folder / name).write_bytes(content if isinstance(content, bytes) else part.as_bytes())
        return name


async def main() -> None:
    """Run it with the places of the command line, and the secret by prompt."""
    if len(sys.argv) != 5:
        raise SystemExit("usage: mail_ingest.py imaps://user@host/INBOX https://host/hook smtps://host folder")
    mailbox, hook, relay, folder = sys.argv[1:]
    await Ingest(mailbox, hook, relay, Path(folder), await Credentials.prompt()).run()


if __name__ == "__main__":
    asyncio.run(main())
