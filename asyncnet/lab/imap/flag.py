r"""Flags that a client names: system flags in their one spelling, keywords as they are (RFC 9051 §2.3.2). Pure."""

from __future__ import annotations

from collections.abc import Iterable

from asyncnet.lab.imap.refusal import Bad
from asyncnet.lab.imap.view import SYSTEM_FLAGS

_SPELLINGS = {flag.lower(): flag for flag in SYSTEM_FLAGS}


def spelled(flags: Iterable[str]) -> list[str]:
    r"""Give them as they are kept; case does not matter in system flags.

    Raises:
        Bad: a backslash before what is no system flag, or `\Recent`, which no client can set.
    """
    return [_spelled(flag) for flag in flags]


def _spelled(flag: str) -> str:
    if not flag.startswith("\\"):
        return flag
    spelled = _SPELLINGS.get(flag.lower())
    if spelled is None:
        raise Bad("no flag that a client can set")
    return spelled
