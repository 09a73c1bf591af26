"""Targets: each parser, what it reads when all is well, and the words of its grammar.

A target reads bytes in the pieces in which they come and gives values; the one thing that it may raise is a
ProtocolError (a LimitError is one). What it gives may not depend on where the bytes are cut.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from asyncnet.client_hello import client_hello, server_name_in
from asyncnet.errors import IncompleteRead, ProtocolError
from asyncnet.http.coding import decoders
from asyncnet.http.events import EventParser
from asyncnet.http.lines import Lines
from asyncnet.imap.framing import Framer
from asyncnet.imap.limits import Limits
from asyncnet.imap.mailbox_name import decoded_name
from asyncnet.imap.reply import parsed
from asyncnet.imap.response import Fetched
from asyncnet.pop3 import reply as pop3_reply
from asyncnet.pop3.dots import Dotted
from asyncnet.smtp.reply import ReplyReader
from asyncnet.streams import proxy_header
from tests.imap.replies import EXAMPLES
from tests.test_client_hello import HELLO


@dataclass(frozen=True, slots=True)
class Target:
    """One parser.

    Args:
        read: gives the values in bytes that come in pieces.
        seeds: what it reads when all is well.
        words: what its grammar is made of; put into the seeds anywhere.
    """

    read: Callable[[Iterable[bytes]], Iterator[object]]
    seeds: Sequence[bytes]
    words: Sequence[bytes]


_LIMITS = Limits()
_NARROW = Limits(
    max_line_bytes=200, max_literal_bytes=100, max_response_bytes=300, max_nesting=4, max_items=30, max_responses=9
)


def _imap_within(limits: Limits) -> Callable[[Iterable[bytes]], Iterator[object]]:
    def read(pieces: Iterable[bytes]) -> Iterator[object]:
        framer = Framer(limits)
        for piece in pieces:
            for response in framer.feed(piece):
                for utf8 in (False, True):
                    value = parsed(response, limits, utf8=utf8)
                    yield repr(value)
                if isinstance(value, Fetched) and value.structure:
                    yield len(list(value.structure.walk()))

    return read


def _mailbox_names(pieces: Iterable[bytes]) -> Iterator[object]:
    yield decoded_name(b"".join(pieces))


def _smtp(pieces: Iterable[bytes]) -> Iterator[object]:
    reader = ReplyReader()
    for piece in pieces:
        for reply in reader.feed(piece):
            yield reply, reply.enhanced, str(reply)


_POP3_LINES: tuple[Callable[[bytes], object], ...] = (
    pop3_reply.is_positive,
    pop3_reply.is_negative,
    lambda line: str(pop3_reply.refusal(line)),
    lambda line: str(pop3_reply.login_refusal(line, "secret")),
    pop3_reply.octets,
    pop3_reply.stamp,
    lambda line: pop3_reply.capabilities([line, line]),
    pop3_reply.stat,
    pop3_reply.listing,
    pop3_reply.unique_id,
    lambda line: pop3_reply.one_listing(line, 1),
    lambda line: pop3_reply.one_unique_id(line, 1),
)


def _pop3(pieces: Iterable[bytes]) -> Iterator[object]:
    lines = b"".join(pieces).split(b"\r\n")
    for line in lines[:100]:
        for read in _POP3_LINES:
            try:
                yield read(line)
            except ProtocolError as error:
                yield str(error)
    yield pop3_reply.listings(lines[:-1])
    yield pop3_reply.unique_ids(lines[:-1])


def _dots(pieces: Iterable[bytes]) -> Iterator[object]:
    dotted, text, behind = Dotted(), b"", b""
    for piece in pieces:
        if dotted.rest is None:
            text += dotted.feed(piece)
        else:
            behind += piece
    yield None if dotted.rest is None else (text, dotted.rest + behind)


def _proxy_header(pieces: Iterable[bytes]) -> Iterator[object]:
    seen = b""
    for piece in pieces:
        seen += piece
        if (header := proxy_header.parse(seen)) is not None:
            yield header
            return


def _client_hello(pieces: Iterable[bytes]) -> Iterator[object]:
    seen = b""
    for piece in pieces:
        seen += piece
        if (hello := client_hello(seen)) is not None:
            yield hello and server_name_in(hello)
            return


def _events(pieces: Iterable[bytes]) -> Iterator[object]:
    lines, parser = Lines(10_000, lone_cr=True), EventParser(20_000)
    for piece in pieces:
        for line in lines.feed(piece):
            if (event := parser.feed(line)) is not None:
                yield event


def _coded(name: str) -> Callable[[Iterable[bytes]], Iterator[object]]:
    def read(pieces: Iterable[bytes]) -> Iterator[object]:
        (decoder,) = decoders(name) or ()
        body = b"".join(decoder.pieces(pieces))  # where its pieces end is no matter
        try:
            decoder.finish()
        except IncompleteRead:
            yield "unfinished"
        yield body

    return read


_ODD = [bytes([byte]) for byte in b'*+A1 ()[]{}<>"\\~.-:,/=&%#\0\x7f\xff\r\n\t'] + [b"\r\n", b"99999999999 ", b"\xc3"]

_IMAP_WORDS = [
    *_ODD,
    *(
        b"* ",
        b"{3}\r\nabc",
        b"{0}\r\n",
        b"~{1}\r\n\0",
        b" FETCH (",
        b"UID ",
        b"BODY[",
        b"BODY[]<0> ",
        b"BODYSTRUCTURE ",
    ),
    *(b"ENVELOPE ", b"NIL", b"OK ", b"[COPYUID ", b'"a" ', b"* LIST () NIL ", b"* SEARCH ", b"* ESEARCH ", b"1:*"),
    *(b"* STATUS ", b"INTERNALDATE ", b"FLAGS (", b"* NAMESPACE ", b"* VANISHED ", b"(EARLIER) ", b"* ID ", b"&AOQ-"),
    *(b"message ", b"text ", b'"rfc822" ', b"(MODSEQ 9)", b'("a" "b" NIL NIL NIL "7bit" 1)', b'((NIL NIL "a" "b"))'),
]
_EVENT = {"a": [1, 2, {"b": None}]}

TARGETS: dict[str, Target] = {
    "imap": Target(_imap_within(_LIMITS), list(EXAMPLES), _IMAP_WORDS),
    "imap-limits": Target(_imap_within(_NARROW), list(EXAMPLES), _IMAP_WORDS),
    "imap-names": Target(
        _mailbox_names,
        [b"~peter/mail/&U,BTFw-/&ZeVnLIqe-", b"Entw&APw-rfe", b"a&-b"],
        [*_ODD, b"&AOQ-", b"&2AA-", b"&-"],
    ),
    "smtp": Target(
        _smtp,
        [b"220 mail.example.org ESMTP\r\n", b"250-PIPELINING\r\n250-SIZE 10\r\n250 DSN\r\n", b"550 5.1.1 no\r\n"],
        [*_ODD, b"250-", b"250 ", b"4.7.0 ", b"999 ", b"354 go\r\n"],
    ),
    "pop3": Target(
        _pop3,
        [
            b"+OK ready <1.2@example.org>\r\n",
            b"+OK 2 320\r\n",
            b"1 200\r\n2 120\r\n",
            b"1 a-uid\r\n",
            b"+OK 9 octets\r\n",
        ],
        [*_ODD, b"+OK ", b"-ERR ", b"[SYS/TEMP] ", b"[AUTH] ", b"1 1\r\n", b"0 1\r\n", b"UIDL\r\n", b"SASL PLAIN\r\n"],
    ),
    "pop3-dots": Target(
        _dots, [b"one\r\n..two\r\n...\r\n", b"\r\n..\r\n"], [b".", b"..", b"\r\n", b"\r", b"\n", b"\r\n.."]
    ),
    "proxy-header": Target(
        _proxy_header,
        [
            b"PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n",
            b"PROXY TCP6 2001:db8::1 ::1 1 65535\r\n",
            b"PROXY UNKNOWN\r\n",
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\2\1\xc6\x33\x64\7\xdc\4\1\xbb",
            b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0",
            b"\r\n\r\n\0\r\nQUIT\n\x21\x31\0\xd8" + b"/a".ljust(108, b"\0") + b"\0b".ljust(108, b"\0"),
        ],
        [*_ODD, b"PROXY ", b"TCP4 ", b"TCP6 ", b"::", b"65536", b"0", b"\x21", b"\x11", b"\x21\x21\0\x24"],
    ),
    "client-hello": Target(_client_hello, [HELLO], [*_ODD, b"\x16\x03\x01\0\1", b"\0\0", b"\xff\xff", b"\1\0\0\5"]),
    "http-events": Target(
        _events,
        [b"event: a\ndata: " + json.dumps(_EVENT).encode() + b"\nid: 1\nretry: 10\n\n", b": hi\r\rdata\n\n"],
        [*_ODD, b"data:", b"id:", b"event: ", b"retry: ", b"\n\n", b"\r\r", b"\xef\xbb\xbf"],
    ),
    "http-gzip": Target(
        _coded("gzip"),
        [gzip.compress(b"a body " * 9, mtime=0), gzip.compress(b"", mtime=0)],
        [*_ODD, b"\x1f\x8b\x08", b"\0\0"],
    ),
    "http-deflate": Target(
        _coded("deflate"), [zlib.compress(b"a body " * 9), b"\x03\0"], [*_ODD, b"\x78\x9c", b"\x03\0"]
    ),
}
