"""The commands about mailboxes: which there are, and which one is open (RFC 9051 §6.3)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from asyncnet.errors import ProtocolError, RefusedError, UsageError
from asyncnet.imap.command import Request, Segment, quoted, request
from asyncnet.imap.conversation import Conversation
from asyncnet.imap.incoming import Collector
from asyncnet.imap.mailbox import Mailbox, MailboxStatus, Selected
from asyncnet.imap.response import Fetched, Listed, Namespaces, Resync, ServerId, StatusItems, Vanished

_EXTENSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9=+._-]*")

MailboxList = list[Mailbox]  # spelled out here: in the class, `list` is a command


class MailboxCommands(Conversation):
    """The part of an IMAP session that needs no mailbox to be open; see `Session`."""

    async def list(self, pattern: str = "*", reference: str = "", *, timeout: float | None = None) -> MailboxList:
        """Give the mailboxes whose names fit (RFC 9051 §6.3.9).

        Args:
            pattern: a name in which `*` is anything and `%` anything on one level; with neither, just that name.
            reference: where to look, as a prefix of names.
            timeout: seconds; None takes the session's, `math.inf` is no limit.
        """
        asked = request("LIST", *(self._named(name) if name else '""' for name in (reference, pattern)))
        async with self._call("LIST", timeout):
            return [reply.mailbox for reply in await self._ask(asked, Listed)]

    async def create_mailbox(self, name: str, *, timeout: float | None = None) -> None:
        """Make a mailbox (CREATE)."""
        await self._command("CREATE", self._named(name), timeout=timeout)

    async def delete_mailbox(self, name: str, *, timeout: float | None = None) -> None:
        """Remove a mailbox and all its messages (DELETE); those within it in the hierarchy stay."""
        await self._command("DELETE", self._named(name), timeout=timeout)

    async def rename_mailbox(self, name: str, new_name: str, *, timeout: float | None = None) -> None:
        """Give a mailbox, and those within it in the hierarchy, another name (RENAME).

        Renaming INBOX moves its messages and leaves it empty (RFC 9051 §6.3.6).
        """
        await self._command("RENAME", self._named(name), self._named(new_name), timeout=timeout)

    async def subscribe(self, mailbox: str, *, timeout: float | None = None) -> None:
        """Add a mailbox to those that the user follows."""
        await self._command("SUBSCRIBE", self._named(mailbox), timeout=timeout)

    async def unsubscribe(self, mailbox: str, *, timeout: float | None = None) -> None:
        """Take a mailbox off those that the user follows."""
        await self._command("UNSUBSCRIBE", self._named(mailbox), timeout=timeout)

    async def status(self, mailbox: str, *, timeout: float | None = None) -> MailboxStatus:
        """Give the numbers of a mailbox without opening it; not for the one that is open (RFC 9051 §6.3.11)."""
        items = "MESSAGES UNSEEN UIDNEXT UIDVALIDITY"
        items += " HIGHESTMODSEQ" if self._can("CONDSTORE", "QRESYNC") else ""
        items += " SIZE" if self._can("STATUS=SIZE", "IMAP4REV2") else ""
        asked = request("STATUS", self._named(mailbox), f"({items})")
        async with self._call("STATUS", timeout):
            replies = await self._ask(asked, StatusItems)
            # Whatever the server calls it, the last one heard is ours: INBOX has many spellings.
            if not replies:
                raise ProtocolError("no answer to STATUS")
            return replies[-1].status

    async def namespace(self, *, timeout: float | None = None) -> Namespaces:
        """Tell where one's own, other users' and shared mailboxes are (RFC 9051 §6.3.10).

        Raises:
            RefusedError: the server has no NAMESPACE.
        """
        async with self._call("NAMESPACE", timeout):
            replies = await self._ask(request("NAMESPACE"), Namespaces)
            if not replies:
                raise ProtocolError("no answer to NAMESPACE")
            return replies[-1]

    async def id(
        self, fields: Mapping[str, str] | None = None, *, timeout: float | None = None
    ) -> dict[str, str | None]:
        """Exchange names with the server (RFC 2971).

        Args:
            fields: what we say of ourselves: `{"name": ..., "version": ...}`; None says nothing.
            timeout: seconds; None takes the session's, `math.inf` is no limit.

        Returns:
            What the server says of itself; empty if it says nothing.

        Raises:
            UsageError: a field that is not printable ASCII.
        """
        said = " ".join(_ascii(text) for pair in (fields or {}).items() for text in pair)
        asked = request("ID", f"({said})" if said else "NIL")
        async with self._call("ID", timeout):
            replies = await self._ask(asked, ServerId)
            return dict(replies[-1].fields) if replies else {}

    async def noop(self, *, timeout: float | None = None) -> None:
        """Do nothing, and so hear what has changed: `selected.exists` is up to date afterwards."""
        await self._command("NOOP", timeout=timeout)

    async def enable(self, *names: str, timeout: float | None = None) -> frozenset[str]:
        """Switch extensions on (RFC 5161); while no mailbox is open.

        Args:
            names: `CONDSTORE`, `QRESYNC`, `UTF8=ACCEPT`...
            timeout: seconds; None takes the session's, `math.inf` is no limit.

        Returns:
            All that are on now; what the server does not know is not among them.

        Raises:
            UsageError: a mailbox is open, or no name of an extension.
            RefusedError: the server has no ENABLE.
        """
        if not names or not all(_EXTENSION.fullmatch(name) for name in names):
            raise UsageError(f"not the names of extensions: {names!r}")
        await self._command("ENABLE", *names, timeout=timeout)
        self._wire.incoming.is_utf8 = self._is_utf8
        return self._state.enabled

    async def select(
        self,
        mailbox: str = "INBOX",
        *,
        read_only: bool = False,
        condstore: bool = False,
        timeout: float | None = None,
    ) -> Selected:
        """Open a mailbox; the one that was open before is left as it is, nothing in it is expunged.

        Args:
            mailbox: its name, as text.
            read_only: change nothing in it, not even what is recent (EXAMINE).
            condstore: have the server keep, from now on, what changed when (RFC 7162 §3.1.8): `highestmodseq` is told.
            timeout: seconds; None takes the session's, `math.inf` is no limit.

        Raises:
            RefusedError: there is none of this name, or it cannot be opened; then none is open.
        """
        operation = "EXAMINE" if read_only else "SELECT"
        words = ["(CONDSTORE)"] if condstore else []
        async with self._call(operation, timeout):
            await self._select(request(operation, self._named(mailbox), *words), mailbox)
            return self._state.opened(read_only=read_only)

    async def resync(
        self, mailbox: str, uidvalidity: int, modseq: int, *, read_only: bool = False, timeout: float | None = None
    ) -> Resync:
        """Open a mailbox, and hear what has changed since `modseq` (RFC 7162 §3.2.5: QRESYNC).

        Args:
            mailbox: its name, as text.
            uidvalidity: what it had then; if it has another now, nothing is told.
            modseq: `highestmodseq` of then.
            read_only: change nothing in it (EXAMINE).
            timeout: seconds; None takes the session's, `math.inf` is no limit.

        Raises:
            RefusedError: the server has no QRESYNC; or there is no such mailbox, and none is open then.
            UsageError: QRESYNC has to be switched on first, and a mailbox is open.
        """
        operation = "EXAMINE" if read_only else "SELECT"
        if not self._can("QRESYNC"):
            raise RefusedError("the server has no QRESYNC", endpoint=self.endpoint, operation=operation)
        if "QRESYNC" not in self._state.enabled:
            await self.enable("QRESYNC", timeout=timeout)
        asked = request(operation, self._named(mailbox), f"(QRESYNC ({uidvalidity:d} {modseq:d}))")
        told: Collector[Vanished | Fetched] = Collector((Vanished, Fetched), self.limits.max_responses)
        async with self._call(operation, timeout):
            with self._wire.incoming.heard_by(told):
                await self._select(asked, mailbox)
            opened = self._state.opened(read_only=read_only)
        return Resync(
            opened,
            tuple(reply.uids for reply in told.replies if isinstance(reply, Vanished)),
            tuple(reply for reply in told.replies if isinstance(reply, Fetched) and reply.uid is not None),
        )

    async def _select(self, asked: Request, mailbox: str) -> None:
        await self._wire.idle()
        self._state.begin(mailbox)
        try:
            await self._run(asked)
        except RefusedError:
            self._state.leave()
            raise

    async def close(self, *, timeout: float | None = None) -> None:
        r"""Leave the open mailbox, and expunge what is flagged `\Deleted` in it (CLOSE); the session stays open."""
        await self._leave("CLOSE", timeout)

    async def unselect(self, *, timeout: float | None = None) -> None:
        """Leave the open mailbox and expunge nothing (RFC 3691).

        Where the server has no UNSELECT, the mailbox is opened read-only and closed, which does the same.
        """
        if self._can("UNSELECT", "IMAP4REV2") or self.selected is None:
            await self._leave("UNSELECT", timeout)
        else:
            await self.select(self.selected.name, read_only=True, timeout=timeout)
            await self._leave("CLOSE", timeout)

    async def _tidy(self) -> bool:
        if self.selected is not None:
            await self.unselect()
        return not self.enabled  # there is no way to switch an extension off

    async def _leave(self, operation: str, timeout: float | None) -> None:
        async with self._call(operation, timeout):
            await self._wire.idle()
            await self._run(request(operation))
            self._state.leave()

    async def _command(self, name: str, *arguments: Segment, timeout: float | None) -> None:
        asked = request(name, *arguments)
        async with self._call(name, timeout):
            await self._run(asked)


def _ascii(text: str) -> str:
    if not (text.isascii() and text.isprintable()):
        raise UsageError("what we say of ourselves is printable ASCII")
    return quoted(text)
