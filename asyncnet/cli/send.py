"""send: messages handed over to a mail server, one after the other, over one session."""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from email.message import EmailMessage
from typing import TYPE_CHECKING, Any

import click

from asyncnet import Credentials, Endpoint, NetError, UsageError, jobs
from asyncnet.cli import text as words
from asyncnet.cli.clerk import Clerk
from asyncnet.cli.compose import compose
from asyncnet.cli.given import given
from asyncnet.cli.login import Login
from asyncnet.cli.loop import completed
from asyncnet.cli.options import network_options, parsed, said_options, secret_options, trust
from asyncnet.cli.output import Printer
from asyncnet.cli.screen import Screen
from asyncnet.cli.tally import Tally, is_transient

if TYPE_CHECKING:
    from asyncnet import smtp


@dataclass(frozen=True, slots=True)
class Parcel:
    """A message to send: what it is called, and how to get at it."""

    name: str
    load: Callable[[], EmailMessage | bytes]


@click.command(short_help="Send messages through a mail server.")
@click.argument("arguments", nargs=-1, metavar="URL [FILE|-]...")
@click.option("--to", multiple=True, metavar="ADDRESS", help="A recipient; may be given again and again.")
@click.option("--from", "sender", metavar="ADDRESS", help="Who sends it, and whom bounces go to.")
@click.option("--subject", default=None, metavar="TEXT", help="The subject of a message to compose.")
@click.option("--text", default=None, metavar="TEXT|@FILE", help="Its text (@- is standard input).")
@click.option(
    "--attach", multiple=True, metavar="FILE", type=click.Path(exists=True, dir_okay=False), help="An attachment."
)
@click.option(
    "--output",
    type=click.Choice(["json", "table"]),
    help="What to print: JSON lines, or a table.  [default: a table on a terminal, else json]",
)
@network_options
@secret_options
@said_options
def send(arguments: tuple[str, ...], quiet: bool, verbose: int, **options: Any) -> int:
    """Send messages through a mail server: smtps://host, smtp+starttls://host, or smtp://host without TLS.

    Each FILE is a whole message as it is (RFC 5322; `-` is standard input) and goes to every --to address; all go over
    one session. Without a FILE, a message is composed of --subject, --text and --attach.

    Nothing is sent twice: where a connection is lost before the answer came, the message may have been taken, and the
    error says so. To sign in, name the user in the URL (smtps://alice@mail.example.org) or by --username; the secret is
    handed over as for `asyncnet fetch`.

    Exit status: 0 all is accepted for all, 1 something was refused for good, 3 something failed but is worth trying
    again.
    """
    endpoint, files = _split(arguments)
    parcels = _parcels(files, options)
    return completed(Sending(endpoint, parcels, options, Screen(quiet=quiet, verbose=verbose)).main())


def _split(arguments: tuple[str, ...]) -> tuple[Endpoint, list[str]]:
    urls = [argument for argument in arguments if "://" in argument]
    if len(urls) != 1:
        raise UsageError("give one URL of a mail server, such as smtp+starttls://alice@mail.example.org")
    return parsed(urls[0], "smtp"), [argument for argument in arguments if argument != urls[0]]


def _parcels(files: list[str], options: dict[str, Any]) -> deque[Parcel]:
    sender, to, subject, text = options["sender"], options["to"], options["subject"], options["text"]
    is_composed = subject is not None or text is not None or options["attach"]
    if bool(files) == bool(is_composed):
        raise UsageError("give the files of whole messages, or else --subject, --text and --attach to compose one")
    if sender is None or not to:
        raise UsageError("who sends it, and to whom? --from ADDRESS --to ADDRESS")
    if files:
        return deque(Parcel(file, lambda file=file: given(f"@{file}")) for file in files)  # type: ignore[misc]
    body = "" if text is None else given(text).decode("utf-8", "replace")
    message = compose(sender, to, subject or "", body, options["attach"])
    return deque([Parcel("the message", lambda: message)])


class Sending:
    """One run of the command."""

    def __init__(self, endpoint: Endpoint, parcels: deque[Parcel], options: dict[str, Any], screen: Screen) -> None:
        self._endpoint = endpoint
        self._parcels = parcels
        self._count = len(parcels)
        self._options = options
        self._screen = screen
        self._tally = Tally()
        self._printer = Printer()
        self._is_table = options["output"] == "table" or (options["output"] is None and sys.stdout.isatty())

    async def main(self) -> int:
        """Send everything, print what came of each, and give the exit status."""
        options = self._options
        login = Login(
            options["username"], options["password_command"], options["token_command"], asking=self._screen.asking
        )
        with self._screen.logs():
            credentials = await login.credentials(self._endpoint)
            try:
                async with Clerk() as clerk, self._screen.progress(lambda: f"{self._tally} of {self._count}"):
                    await self._send_all(clerk, credentials)
            except asyncio.CancelledError:
                self._screen.say(f"interrupted: {self._tally} of {self._count}")
                raise
        return self._tally.status

    async def _send_all(self, clerk: Clerk, credentials: Credentials | None) -> None:
        from asyncnet import smtp  # with aiosmtplib under it, which no other command should wait for

        options, trusted = self._options, trust(self._options["ca"])
        while self._parcels:
            session = smtp.session(
                self._endpoint,
                credentials,
                tls=trusted,
                timeout=options["timeout"],
                proxy=options["proxy"],
                allow_plaintext_login=options["allow_plaintext_login"],
            )
            try:
                async with session:
                    while self._parcels and session.is_open:
                        await self._send(clerk, session, self._parcels.popleft())
            except NetError as error:
                if isinstance(error, UsageError):
                    raise
                await self._give_up(clerk, error)

    async def _send(self, clerk: Clerk, session: smtp.Session, parcel: Parcel) -> None:
        try:
            message = await clerk.do(parcel.load)
            if isinstance(message, EmailMessage):
                receipt = await session.send(message)
            else:
                receipt = await session.send(message, sender=self._options["sender"], recipients=self._options["to"])
        except NetError as error:
            await self._failed(clerk, parcel, error)
        else:
            await self._accepted(clerk, parcel, receipt)

    async def _accepted(self, clerk: Clerk, parcel: Parcel, receipt: smtp.Receipt) -> None:
        refused = receipt.refused
        if refused:
            self._tally.failed_by(transient=all(reply.is_transient for reply in refused.values()))
        else:
            self._tally.succeeded()
        record = {
            "file": parcel.name,
            "ok": not refused,
            "accepted": list(receipt.accepted),
            "refused": {address: {"code": reply.code, "text": reply.text} for address, reply in refused.items()},
            "reply": f"{receipt.code} {receipt.text}",
            "message_id": receipt.message_id,
        }
        reached = words.number(len(receipt.accepted), "recipient")
        await self._print(clerk, record, f"sent to {reached:<14} {words.shown(parcel.name)}")
        for address, reply in refused.items():
            self._screen.say(words.shown(f"error: {parcel.name}: {address}: refused ({reply.code} {reply.text})"))

    async def _failed(self, clerk: Clerk, parcel: Parcel, error: NetError) -> None:
        self._tally.failed_by(transient=error.transient)
        record: dict[str, Any] = {"file": parcel.name, "ok": False, "error": jobs.error_record(error)}
        is_unknown = bool(getattr(error, "outcome_unknown", False))
        if is_unknown:
            record["outcome_unknown"] = True
        await self._print(clerk, record, f"{'failed':<22} {words.shown(parcel.name)}")
        self._screen.tell(error, parcel.name)
        if is_unknown:
            self._screen.say("  it may have been accepted all the same: look before you send it again")

    async def _give_up(self, clerk: Clerk, error: NetError) -> None:
        """No session: what is left fails by the same error, and none of it is tried in vain."""
        self._screen.tell(error, str(self._endpoint))
        for parcel in self._parcels:
            self._tally.failed_by(transient=is_transient(error))
            record = {"file": parcel.name, "ok": False, "error": jobs.error_record(error)}
            await self._print(clerk, record, f"{'not sent':<22} {words.shown(parcel.name)}")
        self._parcels.clear()

    async def _print(self, clerk: Clerk, record: dict[str, Any], row: str) -> None:
        self._screen.clear()
        line = f"{row}\n" if self._is_table else jobs.json_line(record)
        await clerk.do(lambda: self._printer.write(line))
