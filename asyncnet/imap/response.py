"""The values that a server's responses become (RFC 9051 §7): one frozen class for each kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from asyncnet.imap.envelope import Envelope
from asyncnet.imap.mailbox import Mailbox, MailboxStatus, Selected
from asyncnet.imap.structure import Part
from asyncnet.imap.tokens import Value
from asyncnet.imap.uid_set import NO_UIDS, UidSet


@dataclass(frozen=True, slots=True)
class Code:
    r"""The bracketed part of a status response: `[UIDVALIDITY 7]`, `[PERMANENTFLAGS (\Seen \*)]`.

    Args:
        name: upper case.
        text: what follows it, as it came.
        number: for codes that hold one (UIDVALIDITY, UIDNEXT, UNSEEN, HIGHESTMODSEQ); of APPENDUID and COPYUID the
            UIDVALIDITY.
        words: for codes that hold a list of them (CAPABILITY, PERMANENTFLAGS, BADCHARSET).
        source: COPYUID's UIDs in the old mailbox.
        target: COPYUID's and APPENDUID's UIDs in the new one.
    """

    name: str
    text: str = ""
    number: int | None = None
    words: tuple[str, ...] = ()
    source: UidSet = NO_UIDS
    target: UidSet = NO_UIDS


@dataclass(frozen=True, slots=True)
class Status:
    """OK, NO, BAD, BYE or PREAUTH; with a tag it ends the command of that tag."""

    kind: str
    text: str = ""
    code: Code | None = None
    tag: str | None = None


@dataclass(frozen=True, slots=True)
class Continuation:
    """`+`: the server waits for more of the command."""

    text: bytes = b""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the server can do, in upper case."""

    names: frozenset[str]


@dataclass(frozen=True, slots=True)
class Flags:
    """The flags that messages of the mailbox can have."""

    names: frozenset[str]


@dataclass(frozen=True, slots=True)
class Listed:
    """A mailbox, in answer to LIST or LSUB."""

    mailbox: Mailbox


@dataclass(frozen=True, slots=True)
class StatusItems:
    """Numbers about a mailbox, in answer to STATUS."""

    status: MailboxStatus


@dataclass(frozen=True, slots=True)
class Found:
    """What SEARCH found; `modseq` is the highest among them if the search was by it (RFC 7162 §3.1.5)."""

    numbers: tuple[int, ...]
    modseq: int | None = None


@dataclass(frozen=True, slots=True)
class ExtendedFound:
    """What SEARCH with RETURN found (RFC 9051 §7.3.4: ESEARCH); None is what was not asked for."""

    tag: str | None = None
    by_uid: bool = False
    minimum: int | None = None
    maximum: int | None = None
    count: int | None = None
    every: UidSet | None = None
    modseq: int | None = None


@dataclass(frozen=True, slots=True)
class Namespace:
    """One place for mailboxes: what their names begin with, and what separates their levels."""

    prefix: str
    delimiter: str | None


@dataclass(frozen=True, slots=True)
class Namespaces:
    """Where one's own, other users' and shared mailboxes are (RFC 9051 §7.3.3)."""

    personal: tuple[Namespace, ...] = ()
    others: tuple[Namespace, ...] = ()
    shared: tuple[Namespace, ...] = ()


@dataclass(frozen=True, slots=True)
class ServerId:
    """What the server says of itself (RFC 2971)."""

    fields: Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class Enabled:
    """The extensions that are on from now (RFC 9051 §7.2.1)."""

    names: frozenset[str]


@dataclass(frozen=True, slots=True)
class Exists:
    """How many messages the mailbox holds."""

    number: int


@dataclass(frozen=True, slots=True)
class Recent:
    r"""How many messages are `\Recent`."""

    number: int


@dataclass(frozen=True, slots=True)
class Expunged:
    """The message with this sequence number has gone; those after it move up."""

    number: int


@dataclass(frozen=True, slots=True)
class Vanished:
    """The messages with these UIDs have gone; `earlier` says that they went before now (RFC 7162 §3.2.10)."""

    uids: UidSet
    earlier: bool = False


@dataclass(frozen=True, slots=True)
class Fetched:
    """What FETCH gave of one message; None is what the server did not say.

    Args:
        number: the sequence number.
        sections: the text of what was fetched by `BODY[...]`, by its name in upper case: `BODY[]`, `BODY[1.2]<100>`;
            None for a part that is not there.
        structure: the MIME structure, from BODYSTRUCTURE or BODY.
        others: items that this package does not know, as values of the grammar.
        skipped: the names of items whose value broke their own grammar, so that nothing was made of them.
    """

    number: int
    uid: int | None = None
    flags: frozenset[str] | None = None
    size: int | None = None
    received: datetime | None = None
    envelope: Envelope | None = None
    structure: Part | None = None
    modseq: int | None = None
    sections: Mapping[str, bytes | None] = field(default_factory=dict)
    others: Mapping[str, Value] = field(default_factory=dict)
    skipped: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Resync:
    """A mailbox that was opened, and what has changed in it since then.

    Args:
        selected: the mailbox as it is now.
        vanished: the UIDs of messages that have gone; some may never have been known.
        changed: the messages that are new or whose flags changed, with `uid`, `flags` and `modseq`.
    """

    selected: Selected
    vanished: tuple[UidSet, ...] = ()
    changed: tuple[Fetched, ...] = ()


@dataclass(frozen=True, slots=True)
class Unknown:
    """An untagged response that this package does not know, as it came without its literals."""

    name: str
    text: bytes = b""


Reply = (
    Status
    | Continuation
    | Capabilities
    | Flags
    | Listed
    | StatusItems
    | Found
    | ExtendedFound
    | Namespaces
    | ServerId
    | Enabled
    | Exists
    | Recent
    | Expunged
    | Vanished
    | Fetched
    | Unknown
)
