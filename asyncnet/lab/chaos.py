"""Chaos: faults by lot, the same for the same seed.

Whether and what goes wrong with a command follows from the seed, the protocol, the number of the conversation in that
protocol and the number of the command in it, and from nothing else: conversations that run side by side do not change
each other's lot.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from asyncnet.errors import UsageError
from asyncnet.lab.faults import PROTOCOLS, PUSH, TLS, Fault

_MOST_BYTES = 300
"""A cut comes early: later, most answers have ended by themselves."""

_SECONDS = 0.05

KINDS: dict[str, Callable[[random.Random], Fault]] = {
    "delay": lambda lot: Fault(delay=lot.uniform(0.001, _SECONDS)),
    "drip": lambda lot: Fault(drip=lot.uniform(0.0001, 0.001)),
    "cut": lambda lot: Fault(cut_after=lot.randrange(_MOST_BYTES)),
    "reset": lambda lot: Fault(reset_after=lot.randrange(_MOST_BYTES)),
    "bye": lambda lot: Fault(bye=True),
    "lose_answer": lambda lot: Fault(lose_answer=True),
    "garbage": lambda lot: Fault(garbage=lot.randrange(1, _MOST_BYTES)),
    "refuse": lambda lot: Fault(refuse=True),
    "silence": lambda lot: Fault(silence=True),
    "endless_line": lambda lot: Fault(endless_line=True),
    "endless_reply": lambda lot: Fault(endless_reply=True),
}
"""What may be drawn, by name."""

USUAL = ("delay", "drip", "cut", "reset", "bye", "lose_answer", "refuse")
"""What is drawn unless the caller says: all that ends by itself, so that no client waits for its deadline."""


@dataclass(frozen=True, slots=True)
class Chaos:
    """Faults by lot.

    Args:
        seed: the same seed gives the same faults to the same conversations.
        rate: from 0 to 1, how many commands of a hundred go wrong, divided by a hundred.
        protocols: where.
        kinds: what; names of `KINDS`.

    Raises:
        UsageError: a rate that is none, an unknown protocol or kind.
    """

    seed: int
    rate: float
    protocols: frozenset[str] = PROTOCOLS
    kinds: tuple[str, ...] = USUAL

    def __post_init__(self) -> None:
        unknown = (self.protocols - PROTOCOLS) | (set(self.kinds) - KINDS.keys())
        if unknown or not self.kinds:
            raise UsageError(f"chaos knows the kinds {', '.join(KINDS)}; not {', '.join(sorted(unknown)) or 'none'}")
        if not 0 <= self.rate <= 1:
            raise UsageError(f"a rate is from 0 to 1, not {self.rate}")

    def draw(self, protocol: str, verb: str, place: tuple[int, int]) -> Fault | None:
        """Say what goes wrong with one command; None is nothing. Pure.

        Args:
            protocol: where.
            verb: the command; what is pushed unasked and TLS handshakes are left alone.
            place: the number of the conversation in its protocol, and of the command in it.
        """
        if protocol not in self.protocols or verb in (TLS, PUSH):
            return None
        lot = random.Random(f"{self.seed}/{protocol}/{place[0]}/{place[1]}")
        if lot.random() >= self.rate:
            return None
        kind = lot.choice(self.kinds)
        return KINDS[kind](lot)
