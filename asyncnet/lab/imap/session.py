"""Session: one client of the lab's IMAP server, from the greeting to the goodbye (RFC 9051 §3).

A command is read whole, looked up, and done by a function of one of the modules below; what that gives back is its OK.
What others did to the open mailbox is told before that OK, where RFC 3501 §7.4.1 allows it. Nothing that a client sends
ends in a traceback: it is BAD, or BYE.
"""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Awaitable, Callable, Iterator
from typing import NamedTuple

from asyncnet.errors import LimitError, ProtocolError, UsageError
from asyncnet.lab.conversation import Conversation
from asyncnet.lab.faults import CONNECT
from asyncnet.lab.imap import mailbox_name
from asyncnet.lab.imap.arguments import Arguments
from asyncnet.lab.imap.command import Command
from asyncnet.lab.imap.incoming import TooMuch, read
from asyncnet.lab.imap.refusal import Bad, No
from asyncnet.lab.imap.strings import string
from asyncnet.lab.imap.view import View
from asyncnet.lab.login import MECHANISMS
from asyncnet.lab.mailbox import Mailbox, OverQuota
from asyncnet.lab.store import Account, NoMailbox, check_name

ANY, STRANGER, SIGNED_IN, SELECTED = "any", "stranger", "signed in", "selected"
"""States of RFC 9051 §3 in which a command may be given; SIGNED_IN is also while a mailbox is open."""

IN_THE_CLEAR = frozenset({"PLAIN", "LOGIN", "XOAUTH2", "OAUTHBEARER"})
"""Mechanisms by which a listener would learn the secret."""

MAX_SESSIONS = 500
"""One more is greeted with BYE."""

MAX_BAD = 50
"""So many BADs in a row end a session: whoever gets there does not speak IMAP."""

_BEFORE = ("IMAP4rev1", "IMAP4rev2", "LITERAL+", "SASL-IR", "ID", "ENABLE")
_AFTER = (
    *_BEFORE,
    "NAMESPACE",
    "UIDPLUS",
    "UNSELECT",
    "MOVE",
    "MULTIAPPEND",
    "IDLE",
    "CHILDREN",
    "LIST-EXTENDED",
    "LIST-STATUS",
    "SPECIAL-USE",
    "STATUS=SIZE",
    "ESEARCH",
    "SEARCHRES",
    "WITHIN",
    "CONDSTORE",
    "QRESYNC",
    "BINARY",
    "UTF8=ACCEPT",
)

Done = Callable[["Session", Command], Awaitable[str]]
"""does a command, and gives the text of its OK"""


class Entry(NamedTuple):
    """What the server knows of a command.

    Args:
        do: does it.
        state: in which it may be given.
        capability: which must be offered; "" is none.
        may_expunge: whether messages may lose their numbers with its answer.
    """

    do: Done
    state: str
    capability: str = ""
    may_expunge: bool = True


class Session:
    """One client.

    Args:
        conversation: how to talk with it.

    Attributes:
        account: who has signed in, or None.
        view: the mailbox that is open, or None.
        enabled: extensions that are on (RFC 5161).
        is_over: whether BYE was said.
        failures: how many attempts to sign in have failed.
    """

    def __init__(self, conversation: Conversation) -> None:
        self.conversation = conversation
        self.lab = conversation.lab
        self.store = conversation.lab.store
        self.account: Account | None = None
        self.view: View | None = None
        self.enabled: set[str] = set()
        self.is_over = False
        self.failures = 0
        self._bad = 0

    # From beginning to end

    async def run(self) -> None:
        """Talk until the client leaves.

        Raises:
            Ended, NetError: it has left, or was left.
        """
        try:
            if await self.conversation.begin(CONNECT):
                await self._greet()
            while not self.is_over:
                await self._next()
        except (TooMuch, LimitError) as error:
            await self.goodbye("[TOOBIG] more than is read" if isinstance(error, TooMuch) else str(error))
        finally:
            self.leave()

    async def _greet(self) -> None:
        if self.lab.imap.clients > MAX_SESSIONS:
            await self.goodbye("[UNAVAILABLE] there are too many already")  # RFC 9051 §7.1.5
        else:
            await self.write(b"* OK [CAPABILITY %b] the lab's IMAP server\r\n" % self.capabilities())

    async def _next(self) -> None:
        asked = await read(self.conversation, None if self.account is None else self.lab.max_message_bytes)
        if asked.command is None:
            assert asked.refusal is not None
            await self._refuse(asked.tag, asked.refusal)
            return
        command = asked.command
        verb = command.name.removeprefix("UID ")
        also = command.name if command.name != verb else ""
        if not await self.conversation.begin(verb, asked.line, tag=command.tag, also=also):
            return
        entry = self._entry(command.name)
        try:
            if entry is None:
                raise Bad("there is no such command")
            self._check_state(entry)
            text = await entry.do(self, command)
        except (Bad, No) as refusal:
            await self._tell_news(may_expunge=entry is not None and entry.may_expunge)
            await self._refuse(command.tag, refusal)
        except OverQuota as error:
            await self._refuse(command.tag, No(_told(error), code="OVERQUOTA"))
        else:
            self._bad = 0
            if text:
                await self._tell_news(may_expunge=entry.may_expunge)
                await self.write(f"{command.tag} OK {text}\r\n".encode())

    async def _refuse(self, tag: str, refusal: Bad | No) -> None:
        kind = "BAD" if isinstance(refusal, Bad) else "NO"
        code = f"[{refusal.code}] " if refusal.code else ""
        await self.write(f"{tag} {kind} {code}{refusal.text}\r\n".encode())
        self._bad = self._bad + 1 if kind == "BAD" else 0
        if self._bad >= MAX_BAD:
            await self.goodbye("that was no IMAP")

    async def goodbye(self, text: str) -> None:
        """Say BYE; nothing more is read."""
        self.is_over = True
        await self.write(f"* BYE {text}\r\n".encode())

    def leave(self) -> None:
        """Let go of the mailbox that is open, if one is."""
        view, self.view = self.view, None
        if view is not None:
            view.close()

    # What commands use

    async def write(self, data: bytes) -> None:
        """Send a piece of an answer, with its line end."""
        await self.conversation.write(data)

    @property
    def signed_in(self) -> Account:
        """The account; only in commands that need one."""
        assert self.account is not None
        return self.account

    @property
    def opened(self) -> View:
        """The mailbox that is open; only in commands that need one."""
        assert self.view is not None
        return self.view

    @property
    def is_rev2(self) -> bool:
        """Whether IMAP4rev2 is on (RFC 9051 §6.3.1)."""
        return "IMAP4REV2" in self.enabled

    @property
    def is_utf8(self) -> bool:
        """Whether names of mailboxes are UTF-8 on the wire (RFC 6855 §3)."""
        return self.is_rev2 or "UTF8=ACCEPT" in self.enabled

    @property
    def may_show_secrets(self) -> bool:
        """Whether a listener could not read what is said, or there is none: TLS, or loopback where that will do."""
        if self.conversation.is_tls:
            return True
        peer = self.conversation.connection.peer
        is_near = peer.is_unix or ipaddress.ip_address(str(peer.host).partition("%")[0]).is_loopback
        return is_near and not self.lab.require_tls

    def capabilities(self) -> bytes:
        """Give what the server can do, now."""
        return " ".join(self._capabilities()).encode()

    def _capabilities(self) -> Iterator[str]:
        offers = self.conversation.offers
        yield from (name for name in (_BEFORE if self.account is None else _AFTER) if offers(name.upper()))
        if self.account is not None:
            yield f"APPENDLIMIT={self.lab.max_message_bytes}"
            return
        if self.conversation.offers_tls:
            yield "STARTTLS"
        in_the_clear = self.may_show_secrets
        if not in_the_clear or not offers("LOGIN"):
            yield "LOGINDISABLED"
        for name in MECHANISMS:
            if (in_the_clear or name not in IN_THE_CLEAR) and offers(f"AUTH={name}"):
                yield f"AUTH={name}"

    def can(self, capability: str) -> bool:
        """Whether an extension is offered: no fault strips it."""
        return self.conversation.offers(capability.upper())

    def read_name(self, arguments: Arguments) -> str:
        """Take the name of a mailbox.

        Raises:
            Bad: it cannot be read.
        """
        raw = arguments.astring()
        return self.decoded_name(raw)

    def decoded_name(self, raw: bytes) -> str:
        """Read a name, or a pattern, from the wire."""
        if not self.is_utf8:
            return mailbox_name.decoded(raw)
        try:
            return raw.decode()
        except UnicodeDecodeError:
            raise Bad("a name that is not UTF-8") from None

    def written_name(self, name: str) -> bytes:
        """Write a name for the wire: always quoted."""
        if not self.is_utf8:
            return string(mailbox_name.encoded(name).encode())
        escaped = name.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'.encode()

    def mailbox(self, name: str, *, missing: str = "NONEXISTENT") -> Mailbox:
        """Give a mailbox of the account.

        Args:
            name: its name.
            missing: the code of the NO if there is none: TRYCREATE for what would go into it.

        Raises:
            No: there is none.
        """
        try:
            return self.signed_in.mailbox(name)
        except NoMailbox:
            code = missing if _is_name(name) else "CANNOT"
            raise No("there is no such mailbox", code=code) from None

    async def tell_news(self) -> None:
        """Tell what has happened in the open mailbox, expunges too."""
        await self._tell_news(may_expunge=True)

    async def _tell_news(self, *, may_expunge: bool) -> None:
        if self.view is None:
            return
        for line in self.view.news(
            may_expunge=may_expunge,
            with_recent=not self.is_rev2,
            with_modseq="CONDSTORE" in self.enabled,
            vanished="QRESYNC" in self.enabled,
        ):
            await self.write(line)

    def _entry(self, name: str) -> Entry | None:
        entry = _table().get(name)
        if entry is None or not self.conversation.offers(name.removeprefix("UID ")):
            return None
        return entry if not entry.capability or self.can(entry.capability) else None

    def _check_state(self, entry: Entry) -> None:
        if entry.state == STRANGER and self.account is not None:
            raise Bad("you have signed in already")
        if entry.state in (SIGNED_IN, SELECTED) and self.account is None:
            raise Bad("sign in first")
        if entry.state == SELECTED and self.view is None:
            raise Bad("open a mailbox first")


async def talk_imap(conversation: Conversation) -> None:
    """Serve one client of IMAP; see `asyncnet.lab.conversation`."""
    await Session(conversation).run()


def _is_name(name: str) -> bool:
    try:
        check_name(name)
    except UsageError:
        return False
    return True


def _told(error: LimitError | ProtocolError) -> str:
    return str(error).replace("\r", " ").replace("\n", " ")


@functools.cache
def _table() -> dict[str, Entry]:
    # Late: the commands know the session.
    from asyncnet.lab.imap.commands import TABLE

    return TABLE
