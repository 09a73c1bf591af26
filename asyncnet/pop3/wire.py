"""Wire: poplib's client over our own reading. Everything here blocks, and runs in the session's thread.

What poplib lacks: lines beyond 2,048 bytes, bounded replies, arguments checked, replies that answer commands, SASL.
"""

from __future__ import annotations

import poplib
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, NoReturn, Protocol

from asyncnet.errors import LimitError, ProtocolError, UsageError, printable
from asyncnet.pop3 import reply
from asyncnet.pop3.channel import Channel


class Limits(NamedTuple):
    """What a server may send at most.

    Args:
        line_bytes: in one line outside of a message.
        reply_bytes: in a multi-line reply that is no message.
        lines: in such a reply.
    """

    line_bytes: int
    reply_bytes: int
    lines: int


class Ahead(Protocol):
    """Whoever sent commands whose answers have not been read yet."""

    def finish(self) -> None:
        """Read them now."""


class Wire(poplib.POP3):
    """A POP3 connection on a socket that stands already; made when the greeting has been read.

    Attributes:
        ahead: who has answers on their way, which are read before the next command is sent; mostly nobody.

    Raises:
        poplib.error_proto: holding bytes: the server said -ERR. Every command raises it so.
        ProtocolError: what came was no reply (LimitError: too much of it).
        DisconnectedError, OSError: the connection ended.
    """

    def __init__(self, sock: socket.socket, host: str, port: int, limits: Limits) -> None:
        self._channel = Channel(sock, max_line_bytes=limits.line_bytes)
        self._limits = limits
        self.ahead: Ahead | None = None
        super().__init__(host, port)

    # poplib's seams.

    def _create_socket(self, timeout: object) -> Channel:
        return self._channel

    def _putcmd(self, line: str) -> None:
        if any(ord(character) < 32 or ord(character) == 127 for character in line):
            raise UsageError("a control character in an argument")
        self.settle()
        # Not by poplib's _putline, which shows every line, the password's too, to audit hooks.
        self._channel.sendall(line.encode() + b"\r\n")

    def _getresp(self) -> bytes:
        line = self._channel.line()
        if not reply.is_positive(line):
            self._refuse(line)
        return line

    def _getlongresp(self) -> tuple[bytes, list[bytes], int]:
        status = self._getresp()
        text = self._channel.text(self._limits.reply_bytes)
        if text.count(b"\r\n") > self._limits.lines:
            raise LimitError(f"a reply of more than {self._limits.lines} lines", limit=self._limits.lines)
        return status, text.split(b"\r\n")[:-1], len(text)

    if TYPE_CHECKING:  # what the stubs of poplib do not tell
        _tls_established: bool

        def _shortcmd(self, line: str) -> bytes: ...

        def _longcmd(self, line: str) -> tuple[bytes, list[bytes], int]: ...

    # Commands whose answer is more than yes. Those that poplib does right are used as they are.

    def statistics(self) -> reply.Stat:
        """STAT."""
        return reply.stat(self._shortcmd("STAT"))

    def listings(self, number: int | None) -> list[reply.Listing]:
        """LIST, of all messages or of one."""
        if number is not None:
            return [reply.one_listing(self._shortcmd(f"LIST {number}"), number)]
        return reply.listings(self._longcmd("LIST")[1])

    def unique_ids(self, number: int | None) -> dict[int, str]:
        """UIDL, of all messages or of one."""
        if number is not None:
            return reply.one_unique_id(self._shortcmd(f"UIDL {number}"), number)
        return reply.unique_ids(self._longcmd("UIDL")[1])

    def message(self, command: str, max_bytes: int) -> tuple[int | None, bytes]:
        """RETR or TOP: the size that the server announced, if it did, and the text."""
        self._putcmd(command)
        return self.read_message(max_bytes, is_whole=command.startswith("RETR"))

    def read_message(self, max_bytes: int, *, is_whole: bool = True) -> tuple[int | None, bytes]:
        """Read the answer to a RETR or TOP that was sent."""
        announced = self._announced(max_bytes, is_whole=is_whole)
        return announced, self._channel.text(max_bytes)

    def pour_message(self, take: Callable[[bytes], object], max_bytes: int) -> tuple[int | None, int]:
        """Read the answer to a RETR that was sent, handing the text on piece by piece: the size announced, and its."""
        announced = self._announced(max_bytes, is_whole=True)
        return announced, self._channel.pour(take, max_bytes)

    def retrieve_to(self, number: int, take: Callable[[bytes], object], max_bytes: int) -> tuple[int | None, int]:
        """RETR, piece by piece: the size announced, and that of the text."""
        self._putcmd(f"RETR {number}")
        return self.pour_message(take, max_bytes)

    def _announced(self, max_bytes: int, *, is_whole: bool) -> int | None:
        announced = reply.octets(self._getresp())
        if is_whole and announced is not None and announced > max_bytes:
            raise LimitError(f"a message of {announced} bytes; at most {max_bytes} are taken", limit=max_bytes)
        return announced

    # Many commands at once.

    def contents(self, *, needs_uids: bool, is_pipelining: bool) -> tuple[list[reply.Listing], dict[int, str]]:
        """LIST and UIDL, in one packet where the server takes it; no uids where it has none (RFC 1939 §7).

        Raises:
            ProtocolError: the two name different messages.
        """
        self.settle()
        self.ask("LIST\r\nUIDL\r\n" if is_pipelining else "LIST\r\n", behind_others=False)
        try:
            listed = reply.listings(self._getlongresp()[1])
        except poplib.error_proto:
            if is_pipelining:
                self._uids_or_none(needs_uids=False)
            raise
        if not is_pipelining:
            self.ask("UIDL\r\n", behind_others=False)
        uids = self._uids_or_none(needs_uids=needs_uids)
        if uids is not None and uids.keys() != {number for number, _ in listed}:
            raise ProtocolError(f"LIST names {len(listed)} messages, and UIDL not the same ones")
        return listed, uids or {}

    def _uids_or_none(self, *, needs_uids: bool) -> dict[int, str] | None:
        try:
            return reply.unique_ids(self._getlongresp()[1])
        except poplib.error_proto:
            if needs_uids:
                raise
            return None

    def settle(self) -> None:
        """Have the answers that are on their way read, so that the next one is the next command's."""
        if self.ahead is not None:
            self.ahead.finish()

    def ask(self, commands: str, *, behind_others: bool) -> None:
        """Send commands whose answers are read later; `behind_others` of whose answers some are on their way."""
        send = self._channel.send_more if behind_others else self._channel.sendall
        send(commands.encode("ascii"))

    def read_status(self) -> bytes:
        """Read the answer to a command that was sent, of one line."""
        return self._getresp()

    def capabilities(self) -> dict[str, tuple[str, ...]]:
        """CAPA."""
        return reply.capabilities(self._longcmd("CAPA")[1])

    def known_capabilities(self) -> dict[str, tuple[str, ...]]:
        """CAPA, where a server that knows no CAPA has none."""
        try:
            return self.capabilities()
        except poplib.error_proto:
            return {}

    def digest(self, username: str, digest: str) -> None:
        """APOP, with a digest that was made elsewhere: poplib's takes laxer timestamps, and no other MD5."""
        self._shortcmd(f"APOP {username} {digest}")

    def dialogue(self, line: str) -> bytes:
        """Say a line of AUTH; the answer is a challenge (`+ ...`) or positive."""
        self._putcmd(line)
        said = self._channel.line()
        if said != b"+" and not said.startswith(b"+ ") and not reply.is_positive(said):
            self._refuse(said)
        return said

    def start_tls(self) -> None:
        """STLS, up to the go-ahead.

        Raises:
            ProtocolError: something came behind the go-ahead: whoever put it there hopes that it will be taken for
                the encrypted server's (RFC 2595 §2.2, CVE-2011-0411).
        """
        self._shortcmd("STLS")
        if not self._channel.is_empty:
            raise ProtocolError("bytes behind the reply to STLS, which would pass for encrypted ones")

    def move(self, sock: socket.socket) -> None:
        """Go on over the socket that TLS is on now."""
        self._channel.move(sock)
        self._tls_established = True

    def leave(self) -> None:
        """QUIT; the socket is its owner's to close."""
        self._shortcmd("QUIT")
        self._channel.farewell()

    @staticmethod
    def _refuse(line: bytes) -> NoReturn:
        if reply.is_negative(line):
            raise poplib.error_proto(line)
        raise ProtocolError(f"neither +OK nor -ERR: {printable(line)!r}")
