"""Content codings (RFC 9110 §8.4): encoded pieces in, decoded pieces out. No piece is larger than `PIECE_BYTES`.

A body whose coding ends too early is an error here, though its framing was complete. Pure: no sockets, no loop.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator

from asyncnet.errors import IncompleteRead, LimitError, ProtocolError, printable
from asyncnet.http.brotli_zstd import INSTALLED
from asyncnet.http.decoder import PIECE_BYTES, Decoder

MAX_LAYERS = 3
"""Codings upon codings: nobody honest sends more than two, and each may multiply what the last one multiplied."""

_IDENTITY = ("", "identity")


class _Zlib(Decoder):
    """What gzip and deflate share: one zlib stream, output in bounded pieces."""

    def __init__(self, wbits: int) -> None:
        self._wbits = wbits
        self._stream = zlib.decompressobj(wbits)
        self._begun = False

    def pieces(self, encoded: Iterable[bytes]) -> Iterator[bytes]:
        for block in encoded:
            rest: bytes = block
            while rest:
                if self._stream.eof:
                    rest = self._after_end(rest)
                    continue
                yield from self._inflated(rest)
                rest = self._stream.unused_data

    def _inflated(self, rest: bytes) -> Iterator[bytes]:
        self._begun = True
        full = True
        # A full piece may have more behind it though all input is taken: zlib keeps what did not fit.
        while (rest or full) and not self._stream.eof:
            try:
                piece = self._stream.decompress(rest, PIECE_BYTES)
            except zlib.error as error:
                raise ProtocolError(f"the body is not {self.name}: {printable(str(error))}") from error
            rest, full = self._stream.unconsumed_tail, len(piece) == PIECE_BYTES
            if piece:
                yield piece

    def _after_end(self, rest: bytes) -> bytes:
        raise ProtocolError(f"bytes after the end of the {self.name} body")

    def finish(self) -> None:
        if self._begun and not self._stream.eof:
            raise IncompleteRead(f"the {self.name} body is unfinished")


class _Gzip(_Zlib):
    """RFC 1952: members one after the other are one body; zero bytes may pad it."""

    name = "gzip"

    def __init__(self) -> None:
        super().__init__(16 + zlib.MAX_WBITS)

    def _after_end(self, rest: bytes) -> bytes:
        rest = rest.lstrip(b"\0")
        if rest:
            if rest[:1] != b"\x1f":
                return super()._after_end(rest)
            self._stream = zlib.decompressobj(self._wbits)
        return rest


class _Deflate(_Zlib):
    """Zlib's format (RFC 1950), or the bare RFC 1951 that some servers send in its place."""

    name = "deflate"

    def __init__(self) -> None:
        super().__init__(zlib.MAX_WBITS)

    def _inflated(self, rest: bytes) -> Iterator[bytes]:
        # RFC 1950 §2.2: the low four bits of the first byte are 8; in bare deflate hardly ever.
        if not self._begun and rest[0] & 0x0F != 8:
            self._stream = zlib.decompressobj(-zlib.MAX_WBITS)
        return super()._inflated(rest)


DECODERS: dict[str, Callable[[], Decoder]] = {"gzip": _Gzip, "x-gzip": _Gzip, "deflate": _Deflate, **INSTALLED}
"""coding -> its decoder; `x-gzip` is gzip (RFC 9110 §8.4.1.3); `br` and `zstd` where their libraries are installed"""

ACCEPTED = ", ".join(("gzip", "deflate", *INSTALLED))
"""What is announced: no more than what can be decoded."""


def decoders(field: str) -> list[Decoder] | None:
    """Make the decoders for a Content-Encoding, in the order in which they are to be undone; None if one is unknown.

    Raises:
        LimitError: more than `MAX_LAYERS` codings.
    """
    names = [name for part in field.split(",") if (name := part.strip().lower()) not in _IDENTITY]
    if len(names) > MAX_LAYERS:
        raise LimitError(f"{len(names)} codings upon each other", limit=MAX_LAYERS)
    if any(name not in DECODERS for name in names):
        return None
    return [DECODERS[name]() for name in reversed(names)]


def decoded(chain: list[Decoder], block: bytes) -> Iterator[bytes]:
    """Decode one block through all layers."""
    pieces: Iterator[bytes] = iter((block,))
    for decoder in chain:
        pieces = decoder.pieces(pieces)
    return pieces
