"""Mailbox, MailboxStatus, Selected: what a server says of its mailboxes."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Mailbox:
    r"""One mailbox as LIST gives it (RFC 9051 §7.3.1).

    Args:
        name: as text.
        delimiter: what separates the levels of a name, or None where there are no levels.
        attributes: `\Noselect`, `\HasChildren`... and the special uses of RFC 6154: `\Sent`, `\Trash`...
    """

    name: str
    delimiter: str | None = None
    attributes: frozenset[str] = frozenset()

    @property
    def is_selectable(self) -> bool:
        r"""Whether it holds messages: neither `\Noselect` nor `\NonExistent`."""
        return not {attribute.lower() for attribute in self.attributes} & {r"\noselect", r"\nonexistent"}


@dataclass(frozen=True, slots=True)
class MailboxStatus:
    """What STATUS says of a mailbox (RFC 9051 §7.3.4); None where the server did not say it.

    Args:
        name: as text.
        messages: how many there are.
        unseen: how many of them nobody has seen.
        uidnext: the UID that the next message will have, at least.
        uidvalidity: while this stays the same, a UID names the same message.
        highestmodseq: grows with every change (RFC 7162).
        size: all messages together, in bytes.
    """

    name: str
    messages: int | None = None
    unseen: int | None = None
    uidnext: int | None = None
    uidvalidity: int | None = None
    highestmodseq: int | None = None
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Selected:
    r"""A mailbox that was opened (RFC 9051 §6.3.2).

    Args:
        name: as text.
        exists: how many messages there are.
        uidvalidity: while this stays the same, a UID names the same message; None where UIDs do not last.
        uidnext: the UID that the next message will have, at least; None where the server did not say it.
        flags: the flags that messages here can have.
        permanent_flags: those that a client can change for good; `\*` means that it can make new ones.
        read_only: whether nothing can be changed, because it was asked for or because the server says so.
        highestmodseq: grows with every change (RFC 7162); None where the server keeps none.
    """

    name: str
    exists: int = 0
    uidvalidity: int | None = None
    uidnext: int | None = None
    flags: frozenset[str] = frozenset()
    permanent_flags: frozenset[str] = field(default_factory=frozenset)
    read_only: bool = False
    highestmodseq: int | None = None
