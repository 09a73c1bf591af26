"""sync(): a mailbox as files, brought up to date by what has changed, killed at any moment and gone on with."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from asyncnet.credentials import Credentials
from asyncnet.daemon import in_daemon
from asyncnet.endpoint import Endpoint
from asyncnet.errors import ProtocolError, RefusedError, UsageError
from asyncnet.imap.delivery import Delivery
from asyncnet.imap.mailbox import Selected
from asyncnet.imap.place import Place
from asyncnet.imap.session import Session
from asyncnet.imap.sync_folder import Layout, SyncFolder, SyncState
from asyncnet.imap.uid_set import UidSet
from asyncnet.proxy import Proxy

R = TypeVar("R")

_BIG_BYTES = 2 * 1024 * 1024
"""Messages from this size on go to disk as they come, and are gone on with where they were cut."""

_SLICE_BYTES = 8 * 1024 * 1024
"""So much of them is asked for in one call, so that the timeout of a call is not one of a whole message."""

_BATCH_BYTES = 1024 * 1024
_BATCH_COUNT = 100
"""Smaller ones are written so many at once, in a thread."""


@dataclass(frozen=True, slots=True)
class Synced:
    """What a synchronisation did.

    Args:
        messages: how many messages of the mailbox are in the folder now.
        added: how many of them are new.
        removed: how many files were removed, because their messages have gone.
        flagged: how many files got other flags.
        fetched_bytes: how many bytes of messages were fetched.
    """

    messages: int
    added: int = 0
    removed: int = 0
    flagged: int = 0
    fetched_bytes: int = 0


@dataclass(slots=True)
class _Remote:
    """What the mailbox holds: all UIDs, and the flags of those whose flags may have changed."""

    selected: Selected
    uids: set[int]
    flags: dict[int, frozenset[str]]


async def sync(
    endpoint: str | Endpoint,
    folder: Path | str,
    credentials: Credentials | None = None,
    *,
    layout: Layout = "maildir",
    connections: int = 2,
    keep_gone: bool = False,
    tls: ssl.SSLContext | None = None,
    timeout: float | None = 30.0,
    proxy: str | Proxy | None = None,
    allow_plaintext_login: bool = False,
) -> Synced:
    r"""Make a folder equal to a mailbox: `await imap.sync("imaps://mail.example.org/INBOX", "mail", alice)`.

    One way only, byte for byte; the mailbox is opened read-only. What is in the folder is not fetched again. If nothing
    has changed, that takes two commands on a server with QRESYNC or CONDSTORE (RFC 7162).

    Args:
        endpoint: where, and which mailbox, as for `fetch`.
        folder: it is made if it is not there; a folder is for one mailbox.
        credentials: who signs in.
        layout: `maildir` (flags are in the names), or `eml` (files that end so, without flags).
        connections: how many to fetch over at once.
        keep_gone: keep the files of messages that have gone from the mailbox.
        tls: the context to use where the scheme asks for TLS; None verifies against the system's authorities.
        timeout: seconds for connecting and signing in, and then for each message, or 8 MiB of it; None is no limit.
            Bound the whole by `asyncio.timeout()`: what has come stays.
        proxy: the way there; None goes directly.
        allow_plaintext_login: send the secret even where a listener could read it.

    Raises:
        UsageError: the folder is of another mailbox or layout, or another process synchronises into it now.
        OSError: the folder cannot be written to.
        RefusedError: there is no such mailbox, or its UIDVALIDITY is not the one of the URL.
        ProtocolError: the server withholds a message that it has, or lists fewer than it has.
        AuthenticationError, ConnectError, DisconnectedError, DeadlineError: as for `Session`.

    After a failure, a cancellation, or a kill, the folder holds whole messages only; called again, it goes on, in the
    midst of a message of 2 MiB or more. Of smaller ones, some MiB for each connection may be fetched again. Messages
    that have gone are removed only when all new ones are there.
    """
    where = Endpoint.parse(endpoint)
    place = Place.of(where)
    if place.uid is not None or place.search is not None or connections < 1 or layout not in ("maildir", "eml"):
        raise UsageError(
            "sync() is for a whole mailbox, as maildir or eml, over one connection at least", endpoint=where
        )

    def new_session() -> Session:
        return Session(
            where,
            credentials,
            tls=tls,
            timeout=timeout,
            proxy=proxy,
            allow_plaintext_login=allow_plaintext_login,
        )

    session = new_session()
    files = SyncFolder(Path(folder), layout)
    with files.locked():
        async with session:
            return await _Sync(session, new_session, place, files, connections, keep_gone).run()


class _Sync:
    """One synchronisation."""

    def __init__(
        self,
        session: Session,
        new_session: Callable[[], Session],
        place: Place,
        files: SyncFolder,
        connections: int,
        keep_gone: bool,
    ) -> None:
        self._session = session
        self._new_session = new_session
        self._place = place
        self._files = files
        self._connections = connections
        self._keep_gone = keep_gone
        self._validity = 0
        self._fetched_bytes = 0
        self._added = 0
        self._flags: dict[int, frozenset[str]] = {}

    async def run(self) -> Synced:
        where = self._session.endpoint
        mailbox = f"{where.scheme}://{where.host}/{self._place.name}"
        before = await in_daemon(lambda: self._files.load(mailbox))
        remote = await self._look(before)
        self._validity = remote.selected.uidvalidity or 0
        held = {uid for validity, uid in self._files.files if validity == self._validity}
        missing = sorted(remote.uids - held)
        flagged = await _done(lambda: self._files.flag(self._validity, remote.flags))
        if missing:
            self._flags = remote.flags
            await self._fetch(missing)
        gone = [key for key in self._files.files if key[0] != self._validity or key[1] not in remote.uids]
        if not self._keep_gone and gone:
            await _done(lambda: self._files.remove(gone))
        kept = tuple(sorted(uid for validity, uid in gone if validity == self._validity)) if self._keep_gone else ()
        selected = remote.selected
        after = SyncState(mailbox, self._validity, selected.uidnext, selected.highestmodseq, selected.exists, kept)
        if after != before:
            await _done(lambda: self._files.save(after))
        return Synced(
            len(self._files.files) - (len(gone) if self._keep_gone else 0),
            self._added,
            0 if self._keep_gone else len(gone),
            flagged,
            self._fetched_bytes,
        )

    # What is there

    async def _look(self, before: SyncState | None) -> _Remote:
        """Open the mailbox and learn what it holds, by what has changed since if that is told."""
        modseq = before.highestmodseq if before is not None else None
        if before is not None and modseq and self._session._can("QRESYNC"):
            told = await self._session.resync(self._place.name, before.uidvalidity, modseq, read_only=True)
            selected = self._checked(told.selected)
            if selected.uidvalidity == before.uidvalidity:
                uids = self._held(before)
                flags = {one.uid: one.flags for one in told.changed if one.uid is not None and one.flags is not None}
                uids.update(flags)
                for gone in told.vanished:
                    uids = _without(uids, gone)
                if len(uids) == selected.exists:
                    return _Remote(selected, uids, flags)
            return await self._listed(selected)
        condstore = self._session._can("CONDSTORE", "QRESYNC", "IMAP4REV2")
        selected = self._checked(await self._session.select(self._place.name, read_only=True, condstore=condstore))
        if before is None or selected.uidvalidity != before.uidvalidity or not modseq or not selected.highestmodseq:
            return await self._listed(selected)
        held = self._held(before)
        if len(held) == selected.exists and before == replace(
            before, uidnext=selected.uidnext, highestmodseq=selected.highestmodseq, exists=selected.exists
        ):
            return _Remote(selected, held, {})
        uids = set(await self._session.search())
        self._check_count(uids)
        return _Remote(selected, uids, await self._session.flags(changed_since=modseq))

    def _held(self, before: SyncState) -> set[int]:
        held = {uid for validity, uid in self._files.files if validity == before.uidvalidity}
        return held.difference(before.kept)

    async def _listed(self, selected: Selected) -> _Remote:
        flags = await self._session.flags() if selected.exists else {}
        self._check_count(flags)
        return _Remote(selected, set(flags), flags)

    def _check_count(self, uids: set[int] | dict[int, frozenset[str]]) -> None:
        # What is not listed is taken for gone: so the list must be whole.
        there = self._session.selected
        if there is not None and len(uids) < there.exists:
            raise ProtocolError(
                f"the server lists {len(uids)} of its {there.exists} messages",
                endpoint=self._session.endpoint,
                operation="sync",
            )

    def _checked(self, selected: Selected) -> Selected:
        if not selected.uidvalidity or self._place.uidvalidity not in (None, selected.uidvalidity):
            raise RefusedError(
                f"the mailbox is not the one of the URL: its UIDVALIDITY is {selected.uidvalidity}",
                endpoint=self._session.endpoint,
                operation="sync",
            )
        return selected

    # What is fetched

    async def _fetch(self, missing: list[int]) -> None:
        sizes = await self._session.sizes(missing)
        big = deque(uid for uid, size in sizes.items() if size >= _BIG_BYTES)
        await _done(lambda: self._files.clean([self._files.under_way(self._validity, uid) for uid in big]))
        small = [uid for uid in missing if sizes.get(uid, 0) < _BIG_BYTES]
        shares = _shares(small, sizes, self._connections)
        others = min(self._connections, len(shares) + len(big)) - 1
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._take(self._session, shares.pop(0) if shares else [], sizes, big))
                for _ in range(others):
                    group.create_task(self._take_alone(shares.pop(0) if shares else [], sizes, big))
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from failed.exceptions[0].__cause__

    async def _take_alone(self, uids: list[int], sizes: dict[int, int], big: deque[int]) -> None:
        async with self._new_session() as session:
            opened = await session.select(self._place.name, read_only=True)
            if opened.uidvalidity != self._validity:
                raise RefusedError("the mailbox was made anew meanwhile", endpoint=session.endpoint, operation="sync")
            await self._take(session, uids, sizes, big)

    async def _take(self, session: Session, uids: list[int], sizes: dict[int, int], big: deque[int]) -> None:
        if uids:
            await self._take_small(Delivery(session, uids, "BODY[]", sizes={uid: sizes.get(uid, 0) for uid in uids}))
        while big:
            await self._take_big(session, big.popleft(), sizes)

    async def _take_small(self, delivery: Delivery) -> None:
        batch: list[tuple[int, bytes, frozenset[str]]] = []
        waiting = 0
        try:
            async for message in delivery:
                assert isinstance(message.uid, int)
                batch.append((message.uid, message.raw, message.flags))
                waiting += len(message.raw)
                if waiting > _BATCH_BYTES or len(batch) >= _BATCH_COUNT:
                    written, batch, waiting = batch, [], 0
                    await self._write(written)
        finally:  # what came before a failure has come
            if batch:
                await self._write(batch)

    async def _write(self, batch: list[tuple[int, bytes, frozenset[str]]]) -> None:
        await _done(lambda: self._files.add(self._validity, batch))
        self._added += len(batch)
        self._fetched_bytes += sum(len(raw) for _, raw, _ in batch)

    async def _take_big(self, session: Session, uid: int, sizes: dict[int, int]) -> None:
        path = self._files.under_way(self._validity, uid)
        resumed = path.exists()
        try:
            size = await self._grow(session, uid, path, sizes[uid])
            if resumed and size != sizes[uid]:
                path.unlink()
                size = await self._grow(session, uid, path, sizes[uid])
        except RefusedError as error:
            if error.operation == "UID FETCH" and not await session.search(f"UID {uid}"):
                return  # others have expunged it
            raise
        flags = (await session.flags(uid)).get(uid, self._flags.get(uid, frozenset()))
        await _done(lambda: self._files.settle(self._validity, uid, path, size, flags))
        self._added += 1

    async def _grow(self, session: Session, uid: int, path: Path, announced: int) -> int:
        """Fetch what is missing of a message, some MiB in each call, and give its size."""
        size = path.stat().st_size if path.exists() else 0  # noqa: ASYNC240 (one look)
        came = _SLICE_BYTES
        while came == _SLICE_BYTES:
            if size > 2 * announced:
                text = f"the message with UID {uid} was said to have {announced} bytes, and has no end"
                raise ProtocolError(text, endpoint=session.endpoint, operation="sync")
            came = await session.download(uid, path, resume=True, max_bytes=_SLICE_BYTES)
            size += came
            self._fetched_bytes += came
        return size


def _without(uids: set[int], gone: UidSet) -> set[int]:
    for low, high in gone.ranges:
        if high - low < len(uids):
            uids.difference_update(range(low, high + 1))
        else:  # a range may be of any length
            uids = {uid for uid in uids if not low <= uid <= high}
    return uids


async def _done(work: Callable[[], R]) -> R:
    """Run `work`, which writes, in a thread; cancelled, first let it come to its end."""
    task = asyncio.ensure_future(in_daemon(work))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait((task,))
        raise


def _shares(uids: list[int], sizes: dict[int, int], count: int) -> list[list[int]]:
    """Divide UIDs into at most `count` runs of about as many bytes each."""
    if not uids:
        return []
    whole = sum(sizes.get(uid, 0) + 1000 for uid in uids)
    shares: list[list[int]] = [[]]
    weight = 0
    for uid in uids:
        if weight >= whole / count and len(shares) < count:
            shares.append([])
            weight = 0
        shares[-1].append(uid)
        weight += sizes.get(uid, 0) + 1000
    return shares
