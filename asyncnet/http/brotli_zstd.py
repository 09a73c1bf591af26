"""The codings br (RFC 7932) and zstd (RFC 8878), where a library is installed that can give its output in pieces.

For br that is Brotli or brotlicffi, 1.2 or newer: older ones would give all that a bomb holds at once. For zstd it is
the standard library's own (Python 3.14) or backports.zstd; zstandard has no bound for what a piece of input becomes.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from asyncnet.errors import IncompleteRead, ProtocolError, printable
from asyncnet.http.decoder import PIECE_BYTES, Decoder

_WINDOW_LOG = 23
"""RFC 9659 §3: a window of at most 8 MiB; by default the libraries would take up to 128 MiB for one."""


def _first(*names: str) -> Any:
    for name in names:
        try:
            return importlib.import_module(name)
        except ImportError:
            pass
    return None


_brotli = _first("brotli", "brotlicffi")
_zstd = _first("compression.zstd", "backports.zstd")


class Brotli(Decoder):
    """RFC 7932."""

    name = "br"

    def __init__(self) -> None:
        self._stream = _brotli.Decompressor()
        self._begun = False

    def pieces(self, encoded: Iterable[bytes]) -> Iterator[bytes]:
        """Decode what came."""
        for block in encoded:
            self._begun = self._begun or bool(block)
            if self._stream.is_finished() and block:
                raise ProtocolError("bytes after the end of the br body")
            rest, piece = block, b""
            # A full piece may have more behind it though all input is taken.
            while rest or len(piece) >= PIECE_BYTES or not self._stream.can_accept_more_data():
                if self._stream.is_finished():
                    break
                try:
                    piece = self._stream.process(rest, output_buffer_limit=PIECE_BYTES)
                except _brotli.error as error:
                    raise ProtocolError(f"the body is not br: {printable(str(error))}") from error
                rest = b""
                if piece:
                    yield from _cut(piece)

    def finish(self) -> None:
        """Check that it has ended."""
        if self._begun and not self._stream.is_finished():
            raise IncompleteRead("the br body is unfinished")


class Zstd(Decoder):
    """RFC 8878: frames one after the other are one body."""

    name = "zstd"

    def __init__(self) -> None:
        self._stream = self._new()
        self._begun = False

    def _new(self) -> Any:
        return _zstd.ZstdDecompressor(options={_zstd.DecompressionParameter.window_log_max: _WINDOW_LOG})

    def pieces(self, encoded: Iterable[bytes]) -> Iterator[bytes]:
        """Decode what came."""
        for block in encoded:
            rest = block
            while rest or not (self._stream.needs_input or self._stream.eof):
                self._begun = True
                if self._stream.eof:
                    self._stream = self._new()
                try:
                    piece = self._stream.decompress(rest, PIECE_BYTES)
                except _zstd.ZstdError as error:
                    raise ProtocolError(f"the body is not zstd: {printable(str(error))}") from error
                rest = self._stream.unused_data if self._stream.eof else b""
                if piece:
                    yield from _cut(piece)

    def finish(self) -> None:
        """Check that the last frame has ended."""
        if self._begun and not self._stream.eof:
            raise IncompleteRead("the zstd body is unfinished")


def _cut(piece: bytes) -> Iterator[bytes]:
    if len(piece) <= PIECE_BYTES:
        yield piece
        return
    for start in range(0, len(piece), PIECE_BYTES):
        yield piece[start : start + PIECE_BYTES]


def _installed() -> dict[str, Callable[[], Decoder]]:
    found: dict[str, Callable[[], Decoder]] = {}
    if _brotli is not None and hasattr(_brotli.Decompressor, "can_accept_more_data"):
        found["br"] = Brotli
    if _zstd is not None:
        found["zstd"] = Zstd
    return found


INSTALLED = _installed()
"""coding -> its decoder"""
