"""Throw-away servers to test against: SMTP, POP3, IMAP, HTTP and echo over one memory, with faults on demand."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncnet.lab.chaos import Chaos
    from asyncnet.lab.dialogue import Dialogue, Line
    from asyncnet.lab.faults import Fault, Faults, Rule
    from asyncnet.lab.lab import Lab
    from asyncnet.lab.mailbox import Change, Mailbox, OverQuota, StoredMessage
    from asyncnet.lab.recorded import Recorded
    from asyncnet.lab.sent import Sent
    from asyncnet.lab.service import LineService, Service
    from asyncnet.lab.store import Account, MailboxExists, NoMailbox, Store
    from asyncnet.lab.threaded import ThreadedLab
    from asyncnet.lab.web import WebService

__all__ = [
    "Account",
    "Change",
    "Chaos",
    "Dialogue",
    "Fault",
    "Faults",
    "Lab",
    "Line",
    "LineService",
    "Mailbox",
    "MailboxExists",
    "NoMailbox",
    "OverQuota",
    "Recorded",
    "Rule",
    "Sent",
    "Service",
    "Store",
    "StoredMessage",
    "ThreadedLab",
    "WebService",
]

# pytest loads its plugin, and this with it, in every run: the lab itself loads when a name of it is first used.
_HOMES = {
    "chaos": ("Chaos",),
    "dialogue": ("Dialogue", "Line"),
    "faults": ("Fault", "Faults", "Rule"),
    "lab": ("Lab",),
    "mailbox": ("Change", "Mailbox", "OverQuota", "StoredMessage"),
    "recorded": ("Recorded",),
    "sent": ("Sent",),
    "service": ("LineService", "Service"),
    "store": ("Account", "MailboxExists", "NoMailbox", "Store"),
    "threaded": ("ThreadedLab",),
    "web": ("WebService",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    import importlib

    if name not in _HOME_OF:
        raise AttributeError(f"module 'asyncnet.lab' has no attribute {name!r}")
    return getattr(importlib.import_module(f"asyncnet.lab.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
