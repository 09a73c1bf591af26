"""The commands that look at messages: what they are like, one part of one, one into a file (RFC 9051 §6.4.5)."""

from __future__ import annotations

import binascii
import quopri
from pathlib import Path
from typing import BinaryIO

from asyncnet.errors import ProtocolError, RefusedError
from asyncnet.imap.changes import Changes, Uids
from asyncnet.imap.command import fetch_items, partial, request, section
from asyncnet.imap.download import WriteError, download
from asyncnet.imap.incoming import Noter
from asyncnet.imap.response import Fetched
from asyncnet.imap.structure import Part
from asyncnet.imap.uid_set import checked_uids, written_sets


class Reading(Changes):
    """The part of an IMAP session that looks at messages; see `Session`."""

    async def overview(
        self,
        uids: Uids | None = None,
        *,
        envelope: bool = True,
        structure: bool = False,
        received: bool = True,
        timeout: float | None = None,
    ) -> list[Fetched]:
        """Tell what messages are like without fetching them: flags, size, date, and what the server read of them.

        Args:
            uids: which ones; None is all that are there.
            envelope: their header fields, parsed by the server.
            structure: their MIME structure.
            received: when they came.
            timeout: seconds; None takes the session's, `math.inf` is no limit.

        Returns:
            Them, ascending by UID; one that has gone is not among them.
        """
        items = "(UID FLAGS INTERNALDATE RFC822.SIZE" if received else "(UID FLAGS RFC822.SIZE"
        items += " ENVELOPE" if envelope else ""
        items += " BODYSTRUCTURE)" if structure else ")"
        told: dict[int, Fetched] = {}
        async with self._call("FETCH", timeout):
            for text in _sets(uids):
                for one in await self._ask(request("FETCH", text, items, by_uid=True), Fetched):
                    if one.uid is not None and one.size is not None:  # else it tells unasked of a change of flags
                        told[one.uid] = one
        return [told[uid] for uid in sorted(told)]

    async def flags(
        self, uids: Uids | None = None, *, changed_since: int | None = None, timeout: float | None = None
    ) -> dict[int, frozenset[str]]:
        """Give the flags of messages, by UID; one that has gone is not in it.

        Args:
            uids: which ones; None is all that are there.
            changed_since: only those that changed after this mod-sequence (RFC 7162: CONDSTORE).
            timeout: seconds; None takes the session's, `math.inf` is no limit.
        """
        condition = [] if changed_since is None else [f"(CHANGEDSINCE {changed_since:d})"]
        now: dict[int, frozenset[str]] = {}

        def note(one: Fetched) -> None:
            if one.uid is not None and one.flags is not None:
                now[one.uid] = one.flags

        async with self._call("FETCH", timeout):
            with self._wire.incoming.heard_by(Noter(Fetched, note)):
                for text in _sets(uids):
                    await self._run(request("FETCH", text, "(UID FLAGS)", *condition, by_uid=True))
        return now

    async def sizes(self, uids: Uids | None = None, *, timeout: float | None = None) -> dict[int, int]:
        """Give the sizes of messages in bytes, as the server tells them, by UID; one that has gone is not in it."""
        sizes: dict[int, int] = {}
        chosen = None if uids is None else checked_uids(uids)

        def note(one: Fetched) -> None:
            if one.uid is not None and one.size is not None:
                sizes[one.uid] = one.size

        async with self._call("FETCH", timeout):
            with self._wire.incoming.heard_by(Noter(Fetched, note)):
                for text in _sets(chosen):
                    await self._run(request("FETCH", text, "(UID RFC822.SIZE)", by_uid=True))
        return {uid: sizes[uid] for uid in (sorted(sizes) if chosen is None else chosen) if uid in sizes}

    async def fetch_part(self, uid: int, part: str | Part, *, timeout: float | None = None) -> bytes:
        """Fetch one part of a message, decoded: an attachment as it was before it was sent.

        Args:
            uid: which message.
            part: its number, or the Part that `overview(uid, structure=True)` gave.
            timeout: seconds; None takes the session's, `math.inf` is no limit.

        Raises:
            RefusedError: there is no such message, or no such part.
            ProtocolError: it cannot be decoded.
        """
        number = part.number if isinstance(part, Part) else part
        (checked,) = checked_uids([uid])
        name, mime = f"BODY[{section(number)}]", f"BODY[{section(f'{number}.MIME')}]"
        items = (
            f"(UID {fetch_items(name, mark_seen=False, alone=True)} {fetch_items(mime, mark_seen=False, alone=True)})"
        )
        async with self._call("FETCH", timeout):
            for one in await self._ask(request("FETCH", str(checked), items, by_uid=True), Fetched):
                raw = one.sections.get(name)
                if one.uid == uid and raw is not None:
                    encoding = part.encoding if isinstance(part, Part) else _encoding(one.sections.get(mime) or b"")
                    return _decoded(raw, encoding)
            raise RefusedError(f"no such message or part (UID {uid}, {number})", operation="UID FETCH")

    async def download(
        self,
        uid: int,
        target: Path | BinaryIO,
        *,
        part: str | None = None,
        resume: bool = False,
        max_bytes: int | None = None,
        mark_seen: bool = False,
        timeout: float | None = None,
    ) -> int:
        r"""Write a message, or a part of it, to a file while it comes: however big it is, it takes no memory.

        Args:
            uid: which message.
            target: the path of a file, or a binary file that is open for writing and stays open.
            part: as for `fetch`; it is not decoded.
            resume: go on behind what the file has already (a path), or behind where it stands (an open file), as an
                earlier `download` of the same message left it.
            max_bytes: take so many bytes at most; fewer come only where that is the end.
            mark_seen: set `\Seen`.
            timeout: seconds for all of it; None takes the session's, `math.inf` is no limit.

        Returns:
            How many bytes came this time.

        Raises:
            OSError: the file cannot be written; if bytes of the message were under way then, the session is closed.
            RefusedError: there is no such message; a new file is then empty.

        After a failure, or cancelled, the file holds what has come: `resume=True` in a new session goes on there.
        """
        (checked,) = checked_uids([uid])
        name = f"BODY[{section(part)}]"
        if not isinstance(target, Path):
            offset = target.tell() if resume else 0  # noqa: ASYNC240 (an open file, not a path)
            return await self._download(checked, name, offset, max_bytes, target, mark_seen, timeout)
        self._check_open("FETCH")  # before a file is touched
        # Not in a thread: there, a cancellation would lose the open file.
        with open(target, "ab" if resume else "wb") as file:  # noqa: ASYNC230
            return await self._download(checked, name, file.tell(), max_bytes, file, mark_seen, timeout)

    async def _download(
        self,
        uid: int,
        name: str,
        offset: int,
        max_bytes: int | None,
        file: BinaryIO,
        mark_seen: bool,
        timeout: float | None,
    ) -> int:
        text = fetch_items(name + partial(offset, max_bytes), mark_seen=mark_seen, alone=True)
        name += f"<{offset}>" if offset or max_bytes is not None else ""
        items = f"(UID RFC822.SIZE {text})"
        try:
            async with self._call("FETCH", timeout):
                return await download(self, uid, items, name, file, may_be_nil=offset > 0)
        except WriteError as failed:
            raise failed.error from None


def _sets(uids: Uids | None) -> list[str]:
    return ["1:*"] if uids is None else [text for text, _ in written_sets(checked_uids(uids))]


def _encoding(mime: bytes) -> str:
    from email import message_from_bytes
    from email.policy import compat32

    return str(message_from_bytes(mime, policy=compat32).get("Content-Transfer-Encoding", ""))


def _decoded(raw: bytes, encoding: str) -> bytes:
    kind = encoding.strip().lower()
    if kind == "base64":
        try:
            return binascii.a2b_base64(raw)
        except binascii.Error as error:
            raise ProtocolError("a part in base64 that is none") from error
    return quopri.decodestring(raw) if kind == "quoted-printable" else raw
