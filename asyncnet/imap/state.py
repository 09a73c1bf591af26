"""State: what a session knows of its server and its mailbox, from all that it hears."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace

from asyncnet.errors import ProtocolError, printable
from asyncnet.imap.mailbox import Selected
from asyncnet.imap.response import (
    Capabilities,
    Code,
    Enabled,
    Exists,
    Expunged,
    Fetched,
    Flags,
    Reply,
    Status,
    Vanished,
)

_MAX_ALERTS = 16
_UNTOLD = -1


class State:
    """A listener that keeps itself up to date.

    Args:
        on_capabilities: is told what the server can do, whenever it says so.

    Attributes:
        generation: changes with every mailbox that is opened or left.
        enabled: the extensions that are on (RFC 5161).
    """

    def __init__(self, on_capabilities: Callable[[frozenset[str]], None]) -> None:
        self._on_capabilities = on_capabilities
        self.capabilities: frozenset[str] | None = None
        self.selected: Selected | None = None
        self.alerts: deque[str] = deque(maxlen=_MAX_ALERTS)
        self.generation = 0
        self.enabled: frozenset[str] = frozenset()

    def begin(self, name: str) -> None:
        """Take what is heard from now on for the mailbox `name`."""
        self.selected = Selected(name, exists=_UNTOLD)
        self.generation += 1

    def leave(self) -> None:
        """No mailbox is open any more."""
        self.selected = None
        self.generation += 1

    def opened(self, *, read_only: bool) -> Selected:
        """Give what was heard of the mailbox, now that it is open.

        Raises:
            ProtocolError: not even how many messages it holds.
        """
        if self.selected is None or self.selected.exists == _UNTOLD:
            raise ProtocolError("a mailbox opened, and not a word of how many messages it holds")
        if read_only:
            self.selected = replace(self.selected, read_only=True)
        return self.selected

    def hear(self, reply: Reply) -> None:
        """Take note of what changes."""
        if isinstance(reply, Fetched):  # most of all that is said, and nothing for us
            return
        if isinstance(reply, Capabilities):
            self._note_capabilities(reply.names)
        elif isinstance(reply, Status):
            if reply.code is not None:
                self._note_code(reply.code, reply)
        elif isinstance(reply, Enabled):
            self.enabled |= reply.names
        elif self.selected is not None:
            self.selected = _changed(self.selected, reply)

    def lose(self) -> None:
        """Nothing to do: what is known stays known."""

    def _note_capabilities(self, names: frozenset[str]) -> None:
        self.capabilities = names
        self._on_capabilities(names)

    def _note_code(self, code: Code, status: Status) -> None:
        if code.name == "CAPABILITY":
            self._note_capabilities(frozenset(code.words))
        elif code.name == "ALERT":
            self.alerts.append(printable(status.text))
        elif self.selected is not None:
            if (
                code.name == "CLOSED" and status.tag is None
            ):  # RFC 7162 §3.2.11: what came before was of the old mailbox
                self.begin(self.selected.name)
            else:
                self.selected = _told(self.selected, code)


def _changed(selected: Selected, reply: Reply) -> Selected:
    if isinstance(reply, Exists):
        return replace(selected, exists=reply.number)
    if isinstance(reply, Flags):
        return replace(selected, flags=reply.names)
    if isinstance(reply, Expunged):
        return replace(selected, exists=max(selected.exists - 1, 0))
    if isinstance(reply, Vanished) and not reply.earlier:
        return replace(selected, exists=max(selected.exists - reply.uids.count, 0))
    return selected


def _told(selected: Selected, code: Code) -> Selected:
    if code.name == "UIDVALIDITY":
        return replace(selected, uidvalidity=code.number)
    if code.name == "UIDNEXT":
        return replace(selected, uidnext=code.number)
    if code.name == "HIGHESTMODSEQ":
        return replace(selected, highestmodseq=code.number)
    if code.name == "PERMANENTFLAGS":
        return replace(selected, permanent_flags=frozenset(code.words))
    if code.name in ("READ-ONLY", "READ-WRITE"):
        return replace(selected, read_only=code.name == "READ-ONLY")
    return selected
