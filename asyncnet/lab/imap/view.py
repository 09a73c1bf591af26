"""View: an open mailbox as one client has been told of it (RFC 9051 §5.2, §7.5.1). Pure.

Sequence numbers are places in what was told, so a message that another session has expunged keeps its number, and can
still be read, until this client may hear of it; one that came in has no number until it was announced.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable

from asyncnet.lab.imap.fetching import flags_item
from asyncnet.lab.imap.refusal import Bad
from asyncnet.lab.imap.sequence_set import SequenceSet, written
from asyncnet.lab.mailbox import Change, Mailbox, StoredMessage

SYSTEM_FLAGS = ("\\Answered", "\\Flagged", "\\Deleted", "\\Seen", "\\Draft")


class View:
    r"""What a session knows of the mailbox that it has open.

    Args:
        mailbox: which one.
        read_only: whether it was opened by EXAMINE.
        owner: the session; it is not told of flags that it changed itself, for the command that did tells them.

    Attributes:
        uids: of the messages that were announced, ascending; a message's place is its sequence number - 1.
        recent: the UIDs of those that are `\Recent` in this session.
        saved: the UIDs that the last search kept (RFC 5182).
        on_change: called when there is something to tell.
    """

    def __init__(self, mailbox: Mailbox, owner: object, *, read_only: bool) -> None:
        self.mailbox = mailbox
        self.read_only = read_only
        self.uids: list[int] = mailbox.uids
        self.recent: set[int] = set()
        self.saved: set[int] = set()
        self.on_change: Callable[[], None] | None = None
        self._owner = owner
        self._arrived: dict[int, None] = {}
        self._ghosts: dict[int, StoredMessage] = {}
        self._changed: dict[int, None] = {}
        self._keywords: set[str] = set()
        self._claim(mailbox.uids)
        self._note_keywords(flag for message in mailbox for flag in message.flags)
        self._stop = mailbox.listen(self._hear)

    def close(self) -> None:
        """Hear of nothing any more."""
        self._stop()
        self.on_change = None

    # What is in it

    @property
    def keywords(self) -> list[str]:
        """The flags that messages here have and that are no system flags."""
        return sorted(self._keywords)

    def message(self, uid: int) -> StoredMessage:
        """Give an announced message, as it is now, or as it last was if it has gone."""
        return self.mailbox.get(uid) or self._ghosts[uid]

    @property
    def has_news(self) -> bool:
        """Whether there is something to tell."""
        return bool(self._arrived or self._ghosts or self._changed)

    def is_gone(self, uid: int) -> bool:
        """Whether an announced message has been expunged."""
        return uid in self._ghosts

    def number(self, uid: int) -> int:
        """Give the sequence number of an announced message."""
        return bisect_left(self.uids, uid) + 1

    def chosen(self, text: str, *, by_uid: bool) -> list[int]:
        """Give the UIDs of the announced messages that a set names, ascending.

        Raises:
            Bad: it is no set, or names a sequence number that no message has.
        """
        wanted = SequenceSet.parse(text)
        uids = self.uids
        if wanted.is_saved:
            return [uid for uid in uids if uid in self.saved]
        return [uids[place] for place in (wanted.places(uids) if by_uid else wanted.numbers(len(uids)))]

    def check_writable(self) -> None:
        """Raise Bad where nothing may be changed."""
        if self.read_only:
            raise Bad("the mailbox is open read-only")

    # What happens to it

    def _hear(self, change: Change) -> None:
        uid = change.message.uid
        if change.kind == "append":
            self._arrived[uid] = None
        elif change.kind == "flags":
            if change.source is self._owner or not self._is_announced(uid):
                return
            self._changed[uid] = None
        elif self._is_announced(uid):
            self._ghosts[uid] = change.message
            self._changed.pop(uid, None)
            self.saved.discard(uid)  # RFC 5182 §2.1
        else:
            del self._arrived[uid]
            return
        if self.on_change is not None:
            self.on_change()

    def _is_announced(self, uid: int) -> bool:
        return bool(self.uids) and uid <= self.uids[-1]

    def _claim(self, uids: Iterable[int]) -> None:
        came = self.mailbox.recent if self.read_only else self.mailbox.claim_recent()
        self.recent |= came.intersection(uids)

    def _note_keywords(self, flags: Iterable[str]) -> bool:
        known = len(self._keywords)
        self._keywords.update(flag for flag in flags if not flag.startswith("\\"))
        return len(self._keywords) > known

    # What the client is told

    def flags(self) -> bytes:
        """Write the flags that messages here have or can have."""
        return f"* FLAGS ({' '.join([*SYSTEM_FLAGS, *self.keywords])})\r\n".encode()

    def counts(self, *, with_recent: bool = True) -> bytes:
        """Write how many messages there are."""
        exists = b"* %d EXISTS\r\n" % len(self.uids)
        return exists + b"* %d RECENT\r\n" % len(self.recent) if with_recent else exists

    def told_flags(self, uid: int, *, with_modseq: bool) -> bytes:
        """Write the flags of a message, as an untagged FETCH; nothing where it has gone."""
        message = self.mailbox.get(uid)
        if message is None:
            return b""
        flags = message.flags | {"\\Recent"} if uid in self.recent else message.flags
        modseq = b" MODSEQ (%d)" % message.modseq if with_modseq else b""
        line = b"* %d FETCH (UID %d %b%b)\r\n" % (self.number(uid), uid, flags_item(flags), modseq)
        return self.flags() + line if self._note_keywords(message.flags) else line

    def news(self, *, may_expunge: bool, with_recent: bool, with_modseq: bool, vanished: bool) -> list[bytes]:
        """Give what the client has to be told now, and take it for told.

        Args:
            may_expunge: whether messages may lose their numbers now.
            with_recent: whether RECENT is told, which is no more in IMAP4rev2.
            with_modseq: whether CONDSTORE is on.
            vanished: whether QRESYNC is on, so that UIDs are told of what has gone.
        """
        out: list[bytes] = []
        if may_expunge and self._ghosts:
            out += self._expunges(vanished=vanished)
        if self._arrived:
            # While one that has gone still counts, so does what came behind it.
            self.uids.extend(self._arrived)
            self._claim(self._arrived)
            self._arrived = {}
            out.append(self.counts(with_recent=with_recent))
        if self._changed:
            out += [self.told_flags(uid, with_modseq=with_modseq) for uid in self._changed]
            self._changed.clear()
        return out

    def _expunges(self, *, vanished: bool) -> list[bytes]:
        gone = sorted(self._ghosts)
        self._ghosts.clear()
        self.recent.difference_update(gone)
        # From the end, so that no number is changed by those before.
        numbers = [self.number(uid) for uid in reversed(gone)]
        left = set(gone)
        self.uids = [uid for uid in self.uids if uid not in left]
        if vanished:
            return [b"* VANISHED %b\r\n" % written(gone).encode()]
        return [b"* %d EXPUNGE\r\n" % number for number in numbers]
