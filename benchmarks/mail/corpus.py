"""Corpus: the mail that is moved about. The same bytes on each machine and in each run; nothing is kept in memory.

`small(number)`: 1 to 60 KiB, 5.4 KiB in the mean; a fifth 8-bit UTF-8, a tenth with an attachment, some lines that
begin with dots. `big(number)`: 5.1 MiB of base64, as an attachment has it. Line ends are CRLF.
"""

from __future__ import annotations

import base64
import functools
import random
from collections.abc import Callable, Iterator
from typing import NamedTuple

_WORDS = ("the", "of", "mail", "a line", "that goes", "to wire", "has no end", "mind it:", "signed,", "delivered")
_UMLAUTS = ("grün", "schön", "größe", "façade", "naïve", "Ελλάδα", "привет", "日本語", "übung", "ärger", "straße")
_MEAN_LINES = 75
_BIG_BYTES = 3_920_000


class Kind(NamedTuple):
    """A number of messages that are made alike."""

    name: str
    make: Callable[[int], bytes]
    count: int

    def __iter__(self) -> Iterator[bytes]:  # type: ignore[override]  # its messages are what one loops over
        return (self.make(number) for number in range(self.count))

    @property
    def total(self) -> int:
        """The bytes of all."""
        return _total(self.make, self.count)


@functools.cache
def _total(make: Callable[[int], bytes], count: int) -> int:
    return sum(len(make(number)) for number in range(count))


def small_ones(quick: bool = False) -> Kind:
    """10,000 small messages; `quick`: 1000."""
    return Kind("small", small, 1000 if quick else 10_000)


def big_ones(quick: bool = False) -> Kind:
    """50 messages of 5 MiB; `quick`: 10."""
    return Kind("big", big, 10 if quick else 50)


def small(number: int) -> bytes:
    """A small message."""
    draw = random.Random(number)
    vocabulary = _UMLAUTS if number % 5 == 0 else _WORDS
    count = min(900, 5 + int(draw.expovariate(1 / _MEAN_LINES)))
    lines = [" ".join(draw.choices(vocabulary, k=10)) for _ in range(min(count, 40))]
    body = "\r\n".join(draw.choices(lines, k=count))
    if number % 7 == 0:
        body += "\r\n.\r\n..\r\n.signature"
    kind = "text/plain; charset=utf-8"
    if number % 10 == 0:
        attached = _lines(draw.randbytes(draw.randrange(1000, 9000)))
        body = f"--cut\r\nContent-Type: {kind}\r\nContent-Transfer-Encoding: 8bit\r\n\r\n{body}\r\n" + _part(attached)
        kind = 'multipart/mixed; boundary="cut"'
    return _message(number, "small", kind, body)


@functools.lru_cache(maxsize=1)
def _attachment() -> str:
    return _part(_lines(random.Random("big").randbytes(_BIG_BYTES)))


def big(number: int) -> bytes:
    """A message of 5.1 MiB; two differ in their headers alone."""
    body = f"--cut\r\nContent-Type: text/plain\r\n\r\nAttached: number {number}.\r\n" + _attachment()
    return _message(number, "big", 'multipart/mixed; boundary="cut"', body)


def _message(number: int, kind: str, content_type: str, body: str) -> bytes:
    head = (
        f"Return-Path: <sender@example.org>\r\nFrom: Sender <sender@example.org>\r\nTo: <alice@example.org>\r\n"
        f"Subject: {kind} message {number}\r\nDate: Thu, 01 Jan 2026 12:00:00 +0000\r\n"
        f"Message-ID: <{kind}.{number}@example.org>\r\nMIME-Version: 1.0\r\nContent-Type: {content_type}\r\n"
        "Content-Transfer-Encoding: 8bit\r\n\r\n"
    )
    return f"{head}{body}\r\n".encode()


def _lines(data: bytes) -> str:
    return base64.encodebytes(data).decode().replace("\n", "\r\n")


def _part(attached: str) -> str:
    return (
        "--cut\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n"
        f'Content-Disposition: attachment; filename="data.bin"\r\n\r\n{attached}--cut--'
    )
