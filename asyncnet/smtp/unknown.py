"""The outcome that nobody knows: all of a message was sent, and its answer was lost with the connection."""

from __future__ import annotations

from asyncnet.errors import NetError
from asyncnet.smtp.receipt import Receipt


def mark_unknown(error: NetError, known: Receipt | None) -> None:
    """Make an error say that the message may have been taken; without a receipt it stays as it is."""
    if known is None:
        return
    error.args = (f"{error.message}; all of the message was sent, so it may or may not have been accepted",)
    error.transient = False
    error.outcome_unknown = True
    error.__dict__["receipt"] = known


def receipt_of(error: NetError) -> Receipt | None:
    """Give the receipt that an error with `outcome_unknown` bears: who was accepted, refused, and who may have been."""
    found = error.__dict__.get("receipt")
    return found if isinstance(found, Receipt) else None
