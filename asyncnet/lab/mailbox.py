"""Mailbox: messages in the order of their UIDs, and who hears what happens to them. Pure.

A message is a value: a change of its flags puts another in its place, so whoever holds one holds what it was. Every
change gets the next mod-sequence of its mailbox (RFC 7162 §3.1) and is told to every listener at once, in order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from asyncnet.errors import LimitError

if TYPE_CHECKING:
    from asyncnet.lab.store import Account

DELETED = "\\Deleted"
SEEN = "\\Seen"

MAX_KEYWORDS = 1000
"""Keywords (flags that are not the system's) that a mailbox ever had; of those that no message has any more, too."""
MAX_KEYWORDS_OF_ONE = 100

_MAX_EXPUNGED = 100_000
"""How many expunged UIDs a mailbox remembers for QRESYNC, with when they went; of those before, that they went."""


class OverQuota(LimitError):
    """The store would hold more than it may: bytes, messages, names, keywords. Nothing has changed.

    Transient: mail may be removed.
    """

    _transient = True


@dataclass(frozen=True, slots=True)
class StoredMessage:
    r"""One message of a mailbox; replaced, never changed.

    Args:
        raw: the bytes as they were delivered, line ends CRLF.
        uid: what names it for good in its mailbox.
        flags: `\Seen` and its like, and keywords; `\Recent` is not among them (see `Mailbox.claim_recent`).
        received: when it came in (IMAP's INTERNALDATE), with a time zone.
        modseq: the mod-sequence of its last change.
        memo: for what a server works out about the bytes (a structure, an envelope) and keeps; shared by copies.
    """

    raw: bytes = field(repr=False)
    uid: int
    flags: frozenset[str]
    received: datetime
    modseq: int
    memo: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def size(self) -> int:
        """Its size in bytes."""
        return len(self.raw)


@dataclass(frozen=True, slots=True)
class Change:
    """What happened to one message: it came, its flags changed, or it went.

    Args:
        kind: which of the three.
        mailbox: where.
        message: as it is now; for "expunge" as it last was.
        modseq: the mailbox's mod-sequence of this change.
        source: whoever made it, as handed to the call that did; a session skips the news of its own making by it.
    """

    kind: Literal["append", "flags", "expunge"]
    mailbox: Mailbox
    message: StoredMessage
    modseq: int
    source: object = None


Listener = Callable[[Change], None]
"""a plain function that is told of a change at once; it must not block and must not change a mailbox"""


class Mailbox:
    r"""One mailbox of an account.

    Attributes:
        name: its full name in Unicode, "/" between the levels; "INBOX" is always spelled so.
        account: whose it is.
        special_use: its use (RFC 6154), `\Sent` for instance, or None.
        uid_validity: never the same for two mailboxes of a store, and new when one is made again.
        uid_next: the UID that the next message will get.
        highest_modseq: the mod-sequence of the last change; 1 where nothing has changed yet.
    """

    def __init__(self, account: Account, name: str, uid_validity: int, special_use: str | None = None) -> None:
        self.account = account
        self.name = name
        self.special_use = special_use
        self.uid_validity = uid_validity
        self.uid_next = 1
        self.highest_modseq = 1
        self._messages: dict[int, StoredMessage] = {}  # a dict keeps the order, and UIDs only grow
        self._recent: set[int] = set()
        self._keywords: set[str] = set()
        self._expunged: deque[tuple[int, int]] = deque()
        self._forgotten = 0  # the mod-sequence of the last expunge that is not remembered
        self._listeners: list[Listener] = []

    # What is in it.

    def __len__(self) -> int:
        return len(self._messages)

    def __iter__(self) -> Iterator[StoredMessage]:
        """Iterate over the messages as they are now, in the order of their UIDs."""
        return iter(list(self._messages.values()))

    def __contains__(self, uid: object) -> bool:
        return uid in self._messages

    def get(self, uid: int) -> StoredMessage | None:
        """Give the message of that UID, or None."""
        return self._messages.get(uid)

    @property
    def uids(self) -> list[int]:
        """The UIDs of all messages, ascending."""
        return list(self._messages)

    @property
    def messages(self) -> list[StoredMessage]:
        """All messages, in the order of their UIDs."""
        return list(self._messages.values())

    @property
    def size_bytes(self) -> int:
        """The bytes of all messages together."""
        return sum(len(message.raw) for message in self._messages.values())

    @property
    def recent(self) -> frozenset[int]:
        r"""The UIDs of messages that no session has been told of as `\Recent` yet."""
        return frozenset(self._recent)

    def claim_recent(self) -> frozenset[int]:
        r"""Take the UIDs that are `\Recent`: they are so for the session that calls this, and for no other."""
        claimed, self._recent = frozenset(self._recent), set()
        return claimed

    def expunged_since(self, modseq: int) -> list[int]:
        """Give the UIDs that went after that mod-sequence, ascending; all that went where that is not known any more.

        RFC 7162 §3.2.5.1: rather too many than one too few.
        """
        if modseq < self._forgotten:
            return [uid for uid in range(1, self.uid_next) if uid not in self._messages]
        return sorted(uid for uid, at in self._expunged if at > modseq)

    # What changes it.

    def append(
        self,
        raw: bytes,
        flags: Iterable[str] = (),
        received: datetime | None = None,
        *,
        source: object = None,
        memo: dict[str, Any] | None = None,
    ) -> StoredMessage:
        """Put a message at the end.

        Args:
            raw: its bytes; bare LF and bare CR become CRLF only where the caller has seen to it.
            flags: what it is marked with from the start.
            received: when it came in; None is now.
            source: see `Change`.
            memo: that of the message it is a copy of.

        Raises:
            OverQuota: the store would hold more than it may, or the mailbox more keywords; nothing has changed.
        """
        marks = frozenset(flags)
        self._note_keywords([marks])
        self.account.store.take(len(raw))
        self.highest_modseq += 1
        when = received or datetime.now(UTC)
        kept = {} if memo is None else memo
        message = StoredMessage(raw, self.uid_next, marks, when, self.highest_modseq, kept)
        self.uid_next += 1
        self._messages[message.uid] = message
        self._recent.add(message.uid)
        self._tell("append", message, source)
        return message

    def set_flags(
        self,
        uids: Iterable[int],
        flags: Collection[str],
        how: Literal["replace", "add", "remove"] = "replace",
        *,
        source: object = None,
    ) -> list[StoredMessage]:
        """Change flags; give the messages that are different now. UIDs that are not there are passed over.

        Raises:
            OverQuota: a message, or the mailbox, would have too many keywords; nothing has changed.
        """
        given = frozenset(flags)
        found = [message for uid in dict.fromkeys(uids) if (message := self._messages.get(uid)) is not None]
        made = [
            given if how == "replace" else one.flags | given if how == "add" else one.flags - given for one in found
        ]
        if how != "remove" and not all(flag.startswith("\\") for flag in given):
            self._note_keywords(made)
        changed = []
        for before, after in zip(found, made, strict=True):
            if after != before.flags:
                self.highest_modseq += 1
                message = replace(before, flags=after, modseq=self.highest_modseq)
                self._messages[before.uid] = message
                changed.append(message)
                self._tell("flags", message, source)
        return changed

    def _note_keywords(self, marks: Iterable[frozenset[str]]) -> None:
        """Take note of the keywords among the flags of some messages.

        Raises:
            OverQuota: there are too many; none is noted.
        """
        known = set(self._keywords)
        for flags in marks:
            keywords = {flag for flag in flags if not flag.startswith("\\")}
            known |= keywords
            if len(keywords) > MAX_KEYWORDS_OF_ONE or len(known) > MAX_KEYWORDS:
                what = f"a message has {MAX_KEYWORDS_OF_ONE} keywords at most, and a mailbox {MAX_KEYWORDS}"
                raise OverQuota(what, limit=MAX_KEYWORDS_OF_ONE)
        self._keywords = known

    def expunge(self, uids: Iterable[int] | None = None, *, source: object = None) -> list[int]:
        r"""Remove these messages for good, whatever their flags; None: all that are `\Deleted`. Give their UIDs."""
        wanted = [uid for uid, one in self._messages.items() if DELETED in one.flags] if uids is None else list(uids)
        gone = []
        for uid in wanted:
            message = self._messages.pop(uid, None)
            if message is not None:
                self.account.store.give_back(len(message.raw))
                self._recent.discard(uid)
                self.highest_modseq += 1
                self._expunged.append((uid, self.highest_modseq))
                if len(self._expunged) > _MAX_EXPUNGED:
                    _, self._forgotten = self._expunged.popleft()
                gone.append(uid)
                self._tell("expunge", message, source)
        return gone

    def copy(self, uids: Iterable[int], target: Mailbox, *, source: object = None) -> dict[int, int]:
        """Copy messages with flags and dates; give old UID → new UID, in order.

        Raises:
            OverQuota: not all of them fit, or their keywords; none has been copied (RFC 3501 §6.4.7).
        """
        found = [message for uid in uids if (message := self._messages.get(uid)) is not None]
        self.account.store.check(sum(message.size for message in found), len(found))
        target._note_keywords(message.flags for message in found)
        return {
            one.uid: target.append(one.raw, one.flags, one.received, source=source, memo=one.memo).uid for one in found
        }

    def move(self, uids: Iterable[int], target: Mailbox, *, source: object = None) -> dict[int, int]:
        """Move messages with flags and dates (RFC 6851); give old UID → new UID, in order.

        Raises:
            OverQuota: the target would have too many keywords; none has been moved.
        """
        moved: dict[int, int] = {}
        found = [message for uid in dict.fromkeys(uids) if (message := self._messages.get(uid)) is not None]
        target._note_keywords(message.flags for message in found)
        for message in found:
            self.expunge([message.uid], source=source)  # first, so that a full store can still be sorted
            copy = target.append(message.raw, message.flags, message.received, source=source, memo=message.memo)
            moved[message.uid] = copy.uid
        return moved

    def clear(self, *, source: object = None) -> None:
        """Remove all messages; UIDs go on from where they are."""
        self.expunge(self.uids, source=source)

    # Who hears of it.

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Tell `listener` of every change from now on; calling what is given back ends that. Idempotent."""
        self._listeners.append(listener)

        def stop() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return stop

    def _tell(self, kind: Literal["append", "flags", "expunge"], message: StoredMessage, source: object) -> None:
        change = Change(kind, self, message, self.highest_modseq, source)
        for listener in tuple(self._listeners):
            listener(change)
        self.account.store.tell(change)

    def __repr__(self) -> str:
        return f"<Mailbox {self.account.username}/{self.name}: {len(self._messages)} messages>"
