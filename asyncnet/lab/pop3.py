"""POP3 of the lab (RFC 1939): a maildrop that is locked, snapshot at login, and changed by QUIT alone.

CAPA (RFC 2449), TOP, UIDL, PIPELINING, RESP-CODES and AUTH-RESP-CODE (RFC 3206), STLS (RFC 2595), APOP, SASL
(RFC 5034), UTF8 (RFC 6856).
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Awaitable, Callable

from asyncnet.lab.conversation import BadLine, Conversation
from asyncnet.lab.faults import CONNECT
from asyncnet.lab.login import (
    MECHANISMS,
    LoginCancelled,
    LoginMalformed,
    LoginRefused,
    check_password,
    sign_in,
)
from asyncnet.lab.mailbox import StoredMessage
from asyncnet.lab.store import Account

_OFFERED = ("SCRAM-SHA-256", "PLAIN", "LOGIN", "CRAM-MD5", "XOAUTH2", "OAUTHBEARER")
_MAX_ERRORS = 100
_NUMBER = re.compile(rb"[0-9]{1,9}")


class _No(Exception):
    """The answer is -ERR with this text."""


async def talk_pop3(conversation: Conversation) -> None:
    """Talk with one client until it quits; the lock of its maildrop goes with it, however it ends."""
    session = _Session(conversation)
    try:
        await session.talk()
    finally:
        session.unlock()


class _Session:
    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._lab = conversation.lab
        self._stamp = f"<{secrets.token_hex(8)}.{conversation.number}@lab.{self._lab.domain}>"
        self._user: str | None = None
        self._account: Account | None = None
        self._messages: list[StoredMessage] = []
        self._deleted: set[int] = set()
        self._errors = 0
        self._over = False
        self._before_login: dict[str, Callable[[bytes], Awaitable[None]]] = {
            "USER": self._user_is,
            "PASS": self._pass,
            "APOP": self._apop,
            "AUTH": self._auth,
            "STLS": self._stls,
            "UTF8": self._utf8,
        }
        self._after_login: dict[str, Callable[[bytes], Awaitable[None]]] = {
            "STAT": self._stat,
            "LIST": self._list,
            "UIDL": self._uidl,
            "RETR": self._retr,
            "TOP": self._top,
            "DELE": self._dele,
            "RSET": self._rset,
            "NOOP": self._noop,
        }

    async def talk(self) -> None:
        conversation = self._conversation
        if await conversation.begin(CONNECT):
            await self._yes(f"asyncnet lab ready {self._stamp}")
        while not self._over:
            try:
                line = await conversation.read_command()
            except BadLine as error:
                await self._no(error.message)
                continue
            await self._do(line)

    async def _do(self, line: bytes) -> None:
        word, _, argument = line.partition(b" ")
        verb = word.decode("ascii", "replace").upper()
        if verb in ("PASS", "APOP", "AUTH"):
            self._conversation.dialogue.redact(b" ".join([*line.split(b" ")[: 1 + (verb != "PASS")], b"(a secret)"]))
        if not await self._conversation.begin(verb, line):
            return
        try:
            await self._command(verb)(argument)
        except _No as answer:
            await self._no(str(answer))

    def _command(self, verb: str) -> Callable[[bytes], Awaitable[None]]:
        if verb in ("CAPA", "QUIT"):
            return self._capa if verb == "CAPA" else self._quit
        here, elsewhere = self._before_login, self._after_login
        if self._account is not None:
            here, elsewhere = elsewhere, here
        if verb == "STLS" and not self._conversation.offers("STLS"):
            raise _No("unknown command")
        if verb not in here:
            raise _No("not in this state" if verb in elsewhere else "unknown command")
        return here[verb]

    async def _yes(self, text: str = "") -> None:
        await self._conversation.write(f"+OK {text}".rstrip().encode() + b"\r\n")

    async def _no(self, text: str) -> None:
        self._errors += 1
        self._over |= self._errors > _MAX_ERRORS
        await self._conversation.write(f"-ERR {text}\r\n".encode("utf-8", "replace"))

    async def _many(self, text: str, lines: list[str]) -> None:
        await self._conversation.write("".join(f"{line}\r\n" for line in (f"+OK {text}", *lines, ".")).encode())

    # AUTHORIZATION (§4).

    async def _user_is(self, argument: bytes) -> None:
        if not argument.strip():
            raise _No("syntax: USER name")
        self._check_secret_is_safe()
        self._user = argument.decode("utf-8", "replace")
        await self._yes("and the password")  # whether there is such a user is told to nobody

    async def _pass(self, argument: bytes) -> None:
        user, self._user = self._user, None
        if user is None:
            raise _No("USER first")
        try:  # a password may hold spaces (§7)
            account = check_password(self._lab.store, user, argument.decode("utf-8", "surrogateescape"))
        except LoginRefused:
            raise _No("[AUTH] wrong user or password") from None
        await self._enter(account)

    async def _apop(self, argument: bytes) -> None:
        name, _, digest = argument.decode("utf-8", "replace").rpartition(" ")
        account = self._lab.store.accounts.get(name)
        secret = account.secret if account is not None else secrets.token_hex()
        expected = hashlib.md5(f"{self._stamp}{secret}".encode(), usedforsecurity=False).hexdigest()
        if account is None or not hmac.compare_digest(expected.encode(), digest.encode()):
            raise _No("[AUTH] wrong user or digest")
        await self._enter(account)

    async def _auth(self, argument: bytes) -> None:
        words = argument.split()
        self._check_secret_is_safe()
        if len(words) not in (1, 2) or (name := words[0].decode("ascii", "replace").upper()) not in MECHANISMS:
            raise _No("no such mechanism; CAPA lists them")
        try:
            account = await sign_in(self._lab.store, name, words[1] if len(words) == 2 else None, self._challenge)
        except LoginRefused:
            raise _No("[AUTH] authentication failed") from None
        except (LoginMalformed, BadLine):
            raise _No("not a response of this mechanism") from None
        except LoginCancelled:
            raise _No("authentication cancelled") from None
        await self._enter(account)

    async def _challenge(self, challenge: bytes) -> bytes:
        await self._conversation.write(b"+ " + challenge + b"\r\n")
        return await self._conversation.read_line(16_384, secret=True)

    def _check_secret_is_safe(self) -> None:
        if self._lab.require_tls and not self._conversation.is_tls:
            raise _No("a secret goes over TLS alone: STLS first")

    async def _stls(self, argument: bytes) -> None:
        if argument.strip():
            raise _No("STLS takes no arguments")
        if self._conversation.is_tls:
            raise _No("TLS is on already")
        if self._conversation.has_input:  # it did not wait: what follows would be taken for secure
            self._over = True
            raise _No("more came before TLS began")
        await self._conversation.start_tls(b"+OK begin TLS\r\n")
        self._user = None

    async def _utf8(self, _: bytes) -> None:
        await self._yes("UTF-8 it is")  # mail is sent as it lies here in either case

    async def _enter(self, account: Account) -> None:
        if account.maildrop_locked:
            raise _No("[IN-USE] another session holds the maildrop")
        account.maildrop_locked = True
        self._account = account
        self._conversation.dialogue.username = account.username
        self._messages = account.inbox.messages
        await self._yes(f"{len(self._messages)} messages")

    def unlock(self) -> None:
        """Give the maildrop free; idempotent."""
        if self._account is not None:
            self._account.maildrop_locked = False
            self._account = None

    # TRANSACTION (§5).

    async def _stat(self, _: bytes) -> None:
        sizes = [len(_whole(message)) for _, message in self._present()]
        await self._yes(f"{len(sizes)} {sum(sizes)}")

    async def _list(self, argument: bytes) -> None:
        await self._scan(argument, lambda message: str(len(_whole(message))))

    async def _uidl(self, argument: bytes) -> None:
        assert self._account is not None
        validity = self._account.inbox.uid_validity
        await self._scan(argument, lambda message: f"{validity:x}.{message.uid}")

    async def _scan(self, argument: bytes, tell: Callable[[StoredMessage], str]) -> None:
        if argument.strip():
            number, message = self._message(argument)
            await self._yes(f"{number} {tell(message)}")
        else:
            present = self._present()
            await self._many(f"{len(present)} messages", [f"{number} {tell(message)}" for number, message in present])

    def _present(self) -> list[tuple[int, StoredMessage]]:
        return [one for one in enumerate(self._messages, 1) if one[0] not in self._deleted]

    def _message(self, argument: bytes) -> tuple[int, StoredMessage]:
        word = argument.strip()
        number = int(word) if _NUMBER.fullmatch(word) else 0
        if not 1 <= number <= len(self._messages) or number in self._deleted:
            raise _No("no such message")
        return number, self._messages[number - 1]

    async def _retr(self, argument: bytes) -> None:
        raw = _whole(self._message(argument)[1])
        await self._conversation.write(b"+OK %d octets\r\n" % len(raw) + _stuffed(raw) + b".\r\n")

    async def _top(self, argument: bytes) -> None:
        words = argument.split()
        if len(words) != 2 or not _NUMBER.fullmatch(words[1]):
            raise _No("syntax: TOP message lines")
        raw = _whole(self._message(words[0])[1])
        header, blank, body = (b"", b"", raw) if raw.startswith(b"\r\n") else raw.partition(b"\r\n\r\n")
        lines = body.split(b"\r\n")[:-1][: int(words[1]) + (not blank)]
        top = header + blank + b"".join(line + b"\r\n" for line in lines)
        await self._conversation.write(b"+OK\r\n" + _stuffed(top) + b".\r\n")

    async def _dele(self, argument: bytes) -> None:
        number, _ = self._message(argument)
        self._deleted.add(number)
        await self._yes(f"message {number} goes at QUIT")

    async def _rset(self, _: bytes) -> None:
        self._deleted.clear()
        await self._yes(f"{len(self._messages)} messages")

    async def _noop(self, _: bytes) -> None:
        await self._yes()

    # Everywhere, and UPDATE (§6).

    async def _capa(self, _: bytes) -> None:
        conversation = self._conversation
        lines = ["TOP", "UIDL", "PIPELINING", "RESP-CODES", "AUTH-RESP-CODE", "UTF8 USER", "EXPIRE NEVER"]
        if conversation.is_tls or not self._lab.require_tls:
            lines += ["USER", f"SASL {' '.join(_OFFERED)}"]
        if conversation.offers_tls and self._account is None:
            lines.append("STLS")
        lines.append("IMPLEMENTATION asyncnet-lab")
        await self._many("capabilities", [line for line in lines if conversation.offers(line.split()[0])])

    async def _quit(self, _: bytes) -> None:
        account, self._over = self._account, True
        if account is not None:
            account.inbox.expunge([self._messages[number - 1].uid for number in sorted(self._deleted)])
            self.unlock()
        await self._yes("bye")


def _whole(message: StoredMessage) -> bytes:
    """Give the bytes as POP3 can send them: the last line is ended."""
    return message.raw if message.raw.endswith(b"\r\n") or not message.raw else message.raw + b"\r\n"


def _stuffed(raw: bytes) -> bytes:
    """Put a dot before each that begins a line (§3)."""
    return (b"." if raw.startswith(b".") else b"") + raw.replace(b"\r\n.", b"\r\n..")
