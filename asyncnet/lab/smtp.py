"""SMTP of the lab (RFC 5321): a strict server that takes mail in and hands it to the lab.

PIPELINING (RFC 2920), CHUNKING (RFC 3030), 8BITMIME (RFC 6152), SMTPUTF8 (RFC 6531), SIZE (RFC 1870), DSN (RFC 3461,
recorded), ENHANCEDSTATUSCODES (RFC 2034), STARTTLS (RFC 3207), AUTH (RFC 4954).
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from email.utils import format_datetime

from asyncnet.lab.conversation import BadLine, Conversation
from asyncnet.lab.envelope import BadPath, DataReader, Path, has_bare_line_ends
from asyncnet.lab.faults import CONNECT, MESSAGE
from asyncnet.lab.login import MECHANISMS, LoginCancelled, LoginMalformed, LoginRefused, sign_in
from asyncnet.lab.mailbox import OverQuota
from asyncnet.lab.sent import Sent

_MAX_COMMAND = 4_096  # 512, and what each extension adds (RFC 5321 §4.5.3.1.4); an AUTH line may be longer still
_MAX_RECIPIENTS = 1_000
_MAX_ERRORS = 100
_OFFERED = ("SCRAM-SHA-256", "PLAIN", "LOGIN", "CRAM-MD5", "XOAUTH2", "OAUTHBEARER")
_NUMBER = re.compile(rb"[0-9]{1,18}")
_DSN_NOTIFY = re.compile(r"NEVER|(?:SUCCESS|FAILURE|DELAY)(?:,(?:SUCCESS|FAILURE|DELAY)){0,2}", re.IGNORECASE)

_NOT_HERE = frozenset({"EXPN", "ETRN", "TURN", "ATRN", "SEND", "SOML", "SAML"})  # known, but not done (§4.2.4)
_OK = b"250 2.0.0 Ok"
_TOO_BIG = b"552 5.3.4 The message is too big"
_BARE = b"550 5.6.0 A bare CR or LF in the message; lines end in CRLF (RFC 5321, 2.3.8)"
_ORDER = b"503 5.5.1 Bad sequence of commands"


async def talk_smtp(conversation: Conversation) -> None:
    """Talk with one client until it quits."""
    await _Session(conversation).talk()


class _Session:
    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._lab = conversation.lab
        self._helo = ""
        self._extended = False
        self._username: str | None = None
        self._errors = 0
        self._over = False
        self._reset()
        self._commands: dict[str, Callable[[bytes], Awaitable[None]]] = {
            "EHLO": self._ehlo,
            "HELO": self._ehlo_of_old,
            "MAIL": self._mail,
            "RCPT": self._rcpt,
            "DATA": self._data,
            "BDAT": self._bdat,
            "RSET": self._rset,
            "NOOP": self._noop,
            "VRFY": self._vrfy,
            "HELP": self._help,
            "AUTH": self._auth,
            "QUIT": self._quit,
            "STARTTLS": self._starttls,
        }

    def _reset(self) -> None:
        self._sender: Path | None = None
        self._recipients: dict[str, Path] = {}
        self._body: bytearray | None = None  # of BDAT
        self._is_broken = False

    async def talk(self) -> None:
        conversation = self._conversation
        if await conversation.begin(CONNECT):
            await self._reply(f"220 lab.{self._lab.domain} ESMTP asyncnet lab".encode())
        while not self._over:
            try:
                line = await conversation.read_command(_MAX_COMMAND * 4)
            except BadLine as error:
                await self._refuse(b"500 5.5.2 " + error.message.encode("ascii", "replace"))
                continue
            await self._do(line)

    async def _do(self, line: bytes) -> None:
        word, _, argument = line.partition(b" ")
        verb = word.decode("ascii", "replace").upper()
        if verb == "AUTH":
            self._conversation.dialogue.redact(
                b" ".join([*line.split()[:2], *[b"(a secret)"] * (len(line.split()) > 2)])
            )
        if verb != "BDAT" and not await self._conversation.begin(verb, line):
            return
        command = self._commands.get(verb)
        if verb in _NOT_HERE:
            await self._refuse(b"502 5.5.1 Not implemented")
            return
        if command is None or (verb == "STARTTLS" and not self._conversation.offers("STARTTLS")):
            await self._refuse(b"500 5.5.2 Command not recognised")
            return
        if len(line) > _MAX_COMMAND and verb != "AUTH":
            await self._refuse(b"500 5.5.2 The line is too long")
            return
        try:
            await command(argument)
        except BadPath as error:
            await self._refuse(error.reply)

    async def _reply(self, line: bytes) -> None:
        await self._conversation.write(line + b"\r\n")

    async def _refuse(self, line: bytes) -> None:
        self._errors += 1
        if self._errors > _MAX_ERRORS:
            line, self._over = b"421 4.7.0 Too many errors", True
        await self._reply(line)

    # Who is there (RFC 5321 §4.1.1.1).

    async def _ehlo(self, argument: bytes) -> None:
        if not await self._greet(argument):
            return
        self._extended = True
        lines = [f"lab.{self._lab.domain} at your service".encode(), *self._capabilities()]
        for line in lines[:-1]:
            await self._reply(b"250-" + line)
        await self._reply(b"250 " + lines[-1])

    async def _ehlo_of_old(self, argument: bytes) -> None:
        if await self._greet(argument):
            self._extended = False
            await self._reply(f"250 lab.{self._lab.domain}".encode())

    async def _greet(self, argument: bytes) -> bool:
        name = argument.strip().decode("ascii", "replace")
        if not name or not name.isprintable() or " " in name:
            await self._refuse(b"501 5.5.4 Say who you are: EHLO name")
            return False
        self._helo = name
        self._reset()
        return True

    def _capabilities(self) -> list[bytes]:
        conversation = self._conversation
        lines = [b"PIPELINING", b"SIZE %d" % self._lab.max_message_bytes, b"8BITMIME", b"SMTPUTF8", b"CHUNKING", b"DSN"]
        lines.append(b"ENHANCEDSTATUSCODES")
        if conversation.offers_tls:
            lines.append(b"STARTTLS")
        if self._may_sign_in:
            lines.append(b"AUTH " + " ".join(_OFFERED).encode())
        return [line for line in lines if conversation.offers(line.split()[0].decode())]

    @property
    def _may_sign_in(self) -> bool:
        return self._conversation.is_tls or not self._lab.require_tls

    async def _starttls(self, argument: bytes) -> None:
        conversation = self._conversation
        if conversation.is_tls:
            await self._refuse(b"503 5.5.1 TLS is on already")
        elif argument.strip():
            await self._refuse(b"501 5.5.4 STARTTLS takes no parameters")
        elif conversation.has_input:  # it did not wait: what follows would be taken for secure (RFC 3207 §4.2)
            self._over = True
            await self._refuse(b"554 5.5.1 More came before TLS began")
        else:
            await conversation.start_tls(b"220 2.0.0 Go ahead\r\n")
            self._reset()
            self._helo, self._extended, self._username = "", False, None

    async def _auth(self, argument: bytes) -> None:
        words = argument.split()
        if not self._extended or self._sender is not None or self._username is not None:
            await self._refuse(_ORDER)
        elif not self._may_sign_in:
            await self._refuse(b"538 5.7.11 A secret goes over TLS alone: STARTTLS first")
        elif len(words) not in (1, 2) or words[0].decode("ascii", "replace").upper() not in MECHANISMS:
            await self._refuse(b"504 5.5.4 No such mechanism" if words else b"501 5.5.4 Syntax: AUTH mechanism")
        else:
            initial = words[1] if len(words) == 2 else None
            await self._sign_in(words[0].decode().upper(), initial)

    async def _sign_in(self, mechanism: str, initial: bytes | None) -> None:
        try:
            account = await sign_in(self._lab.store, mechanism, initial, self._challenge)
        except LoginRefused:
            await self._refuse(b"535 5.7.8 Authentication credentials invalid")
        except (LoginMalformed, BadLine):
            await self._refuse(b"501 5.5.2 Not a response of this mechanism")
        except LoginCancelled:
            await self._refuse(b"501 5.7.0 Authentication cancelled")
        else:
            self._username = self._conversation.dialogue.username = account.username
            await self._reply(b"235 2.7.0 Authentication successful")

    async def _challenge(self, challenge: bytes) -> bytes:
        await self._reply(b"334 " + challenge)
        return await self._conversation.read_line(_MAX_COMMAND * 4, secret=True)

    # A mail (§3.3).

    async def _mail(self, argument: bytes) -> None:
        if not self._helo or self._sender is not None:
            await self._refuse(_ORDER)
            return
        if self._lab.require_login and self._username is None:
            await self._refuse(b"530 5.7.0 Authentication required")
            return
        path = Path.parse("FROM", argument)
        self._check_mail(path)
        self._reset()
        self._sender = path
        await self._reply(b"250 2.1.0 Ok")

    def _check_mail(self, path: Path) -> None:
        known = {"SIZE", "BODY", "SMTPUTF8", "RET", "ENVID", "AUTH"} if self._extended else set()
        for name, value in path.parameters.items():
            if name not in known:
                raise BadPath(b"555 5.5.4 A parameter that is not known here")
            good = {
                "SIZE": value.isascii() and value.isdigit() and len(value) <= 20,
                "BODY": value.upper() in ("7BIT", "8BITMIME"),
                "RET": value.upper() in ("FULL", "HDRS"),
                "SMTPUTF8": not value,
            }.get(name, bool(value))
            if not good:
                raise BadPath(b"501 5.5.4 A parameter with a wrong value")
        if int(path.parameters.get("SIZE") or 0) > self._lab.max_message_bytes:
            raise BadPath(_TOO_BIG)
        self._check_ascii(path, path)

    def _check_ascii(self, path: Path, sender: Path) -> None:
        if not path.address.isascii() and "SMTPUTF8" not in sender.parameters:
            raise BadPath(b"553 5.6.7 An address beyond ASCII needs SMTPUTF8")

    async def _rcpt(self, argument: bytes) -> None:
        if self._sender is None:
            await self._refuse(_ORDER)
            return
        path = Path.parse("TO", argument)
        self._check_ascii(path, self._sender)
        if path.parameters.keys() - ({"NOTIFY", "ORCPT"} if self._extended else set()):
            raise BadPath(b"555 5.5.4 A parameter that is not known here")
        if not _DSN_NOTIFY.fullmatch(path.parameters.get("NOTIFY", "NEVER")):
            raise BadPath(b"501 5.5.4 A parameter with a wrong value")
        if len(self._recipients) >= _MAX_RECIPIENTS:
            raise BadPath(b"452 4.5.3 Too many recipients")
        if not self._takes(path.address):
            raise BadPath(b"550 5.1.1 Nobody of that name here")
        self._recipients[path.address] = path
        await self._reply(b"250 2.1.5 Ok")

    def _takes(self, address: str) -> bool:
        local, _, domain = address.rpartition("@")
        if (local or domain).lower() == "postmaster":  # §4.5.1
            return True
        return domain.lower() != self._lab.domain or self._lab.store.account_for(address) is not None

    async def _data(self, argument: bytes) -> None:
        if argument.strip():
            await self._refuse(b"501 5.5.4 DATA takes no parameters")
        elif not self._recipients:
            await self._refuse(b"554 5.5.1 No valid recipients" if self._sender else _ORDER)
        elif self._body is not None or self._is_broken:
            await self._refuse(_ORDER)  # RFC 3030 §2: BDAT has begun this mail
        else:
            await self._reply(b"354 End with a dot alone on a line")
            await self._conversation.settle()
            data = await self._read_data()
            if await self._conversation.begin(MESSAGE):
                await self._take(data)
            self._reset()

    async def _read_data(self) -> bytes | None:
        conversation, reader = self._conversation, DataReader(self._lab.max_message_bytes)
        while (rest := reader.feed(conversation.take_buffered())) is None:
            await conversation.receive()
        conversation.unread(rest)
        data = None if reader.is_too_big else reader.content()
        conversation.dialogue.say("C", data if data is not None else b"(a message that is too big)")
        return data

    async def _bdat(self, argument: bytes) -> None:
        conversation, words = self._conversation, argument.upper().split()
        if not words or not _NUMBER.fullmatch(words[0]) or words[1:] not in ([], [b"LAST"]):
            self._over = True  # where the next command begins, nobody knows
            await self._refuse(b"501 5.5.4 Syntax: BDAT size [LAST]")
            return
        size, last = int(words[0]), len(words) == 2
        refusal = self._no_to_chunk(size)
        if refusal is None:
            self._body = self._body or bytearray()
            self._body += await conversation.read_exactly(size)
        else:
            await conversation.skip(size)
        if not await conversation.begin("BDAT", b"BDAT " + argument, also=MESSAGE if last else ""):
            self._is_broken = True
        elif refusal is not None:
            self._is_broken = True
            await self._refuse(refusal)
        elif last:
            await self._take(bytes(self._body or b""))
        else:
            await self._reply(b"250 2.0.0 Ok, %d bytes so far" % len(self._body or b""))
        if last:
            self._reset()

    def _no_to_chunk(self, size: int) -> bytes | None:
        if self._is_broken or self._sender is None:
            return _ORDER
        if not self._recipients:
            return b"554 5.5.1 No valid recipients"
        return _TOO_BIG if len(self._body or b"") + size > self._lab.max_message_bytes else None

    async def _take(self, data: bytes | None) -> None:
        if data is None:
            await self._refuse(_TOO_BIG)
            return
        if has_bare_line_ends(data):
            await self._refuse(_BARE)
            return
        assert self._sender is not None
        mail = Sent(
            sender=self._sender.address,
            recipients=tuple(self._recipients),
            raw=data,
            username=self._username,
            is_tls=self._conversation.is_tls,
            helo=self._helo,
            options=self._sender.parameters,
            recipient_options={name: path.parameters for name, path in self._recipients.items()},
        )
        try:
            self._lab.accept(mail, trace=self._trace(mail))
        except OverQuota:
            await self._refuse(b"452 4.3.1 The store of the lab is full")
        else:
            await self._reply(b"250 2.0.0 Ok: taken as %d" % self._lab.sent.total)

    def _trace(self, mail: Sent) -> bytes:
        """Give the lines that the server that delivers puts before a mail (§4.4)."""
        protocol = ("UTF8" if "SMTPUTF8" in mail.options else "E" if self._extended else "") + "SMTP"
        protocol += ("S" if mail.is_tls else "") + ("A" if mail.username else "") if self._extended else ""
        lines = [
            f"Return-Path: <{mail.sender}>",
            f"Received: from {mail.helo} ({self._conversation.connection.peer})",
            f"\tby lab.{self._lab.domain} with {protocol}; {format_datetime(mail.received)}",
        ]
        return "".join(f"{line}\r\n" for line in lines).encode()

    # The rest.

    async def _rset(self, argument: bytes) -> None:
        if argument.strip():
            await self._refuse(b"501 5.5.4 RSET takes no parameters")
            return
        self._reset()
        await self._reply(_OK)

    async def _noop(self, _: bytes) -> None:
        await self._reply(_OK)

    async def _vrfy(self, argument: bytes) -> None:
        if argument.strip():
            await self._reply(b"252 2.0.0 Send some mail, and see")
        else:
            await self._refuse(b"501 5.5.4 Syntax: VRFY address")

    async def _help(self, _: bytes) -> None:
        await self._reply(b"214 2.0.0 " + " ".join(self._commands).encode())

    async def _quit(self, _: bytes) -> None:
        self._over = True
        await self._reply(b"221 2.0.0 Bye")
