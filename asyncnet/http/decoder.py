"""Decoder: what each content coding does: encoded pieces in, decoded pieces out, in bounded memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator

PIECE_BYTES = 65_536
"""No decoded piece is larger, whatever it was packed in."""


class Decoder(ABC):
    """One coding of one body."""

    name = ""

    @abstractmethod
    def pieces(self, encoded: Iterable[bytes]) -> Iterator[bytes]:
        """Decode what came; what is not wanted yet is not decoded yet.

        Raises:
            ProtocolError: it is not of this coding.
        """

    @abstractmethod
    def finish(self) -> None:
        """Check at the end of the body that the coding has ended too.

        Raises:
            IncompleteRead: it has not.
        """
