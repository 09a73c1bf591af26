"""Server-sent events (HTML Standard §9.2): the grammar of an event stream. Pure: lines in, events out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from asyncnet.errors import LimitError, ProtocolError, printable

MAX_EVENT_BYTES = 1024 * 1024
_MAX_ID_CHARACTERS = 1024
_MAX_RETRY_DIGITS = 9


@dataclass(frozen=True, slots=True)
class Event:
    """One event.

    Args:
        data: its text; several `data` lines are joined by line feeds.
        event: what kind of event it is; "message" where the server does not say.
        id: the last id that the server gave, with this event or before; "" if none.
    """

    data: str
    event: str = "message"
    id: str = ""

    def json(self) -> Any:
        """Parse the data as JSON.

        Raises:
            ProtocolError: it is not JSON.
        """
        try:
            return json.loads(self.data)
        except (ValueError, RecursionError) as error:
            raise ProtocolError(f"the event's data is not JSON: {printable(str(error))}") from error


class EventParser:
    """Takes lines, gives events.

    Args:
        max_event_bytes: the most data of one event.
        last_id: the id that an earlier connection ended with.

    Attributes:
        last_id: the id to reconnect with, "" if none; it holds no control character, so it may stand in a header.
        retry: the seconds to wait before reconnecting that the server asked for, or None.
    """

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES, last_id: str = "") -> None:
        self.last_id = last_id
        self.retry: float | None = None
        self._max = max_event_bytes
        self._data: list[bytes] = []
        self._size = 0
        self._type = b""
        self._id = last_id
        self._begun = False

    def feed(self, line: bytes) -> Event | None:
        """Take one line; give the event that it ends, or None.

        Raises:
            LimitError: the event has more than `max_event_bytes`.
        """
        if not self._begun:
            self._begun = True
            line = line.removeprefix(b"\xef\xbb\xbf")
        if not line:
            return self._dispatched()
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._size += len(value) + 1
            if self._size > self._max:
                raise LimitError(f"an event of more than {self._max} bytes", limit=self._max)
            self._data.append(value)
        elif name == b"event":
            self._type = value
        elif name == b"id":
            text = _text(value)
            if text.isprintable() and len(text) <= _MAX_ID_CHARACTERS:
                self._id = text
        elif name == b"retry" and value.isdigit() and len(value) <= _MAX_RETRY_DIGITS:
            self.retry = int(value) / 1000
        return None  # a comment begins with a colon, so its name is empty; other names are ignored

    def _dispatched(self) -> Event | None:
        data, kind = self._data, self._type
        self._data, self._size, self._type = [], 0, b""
        self.last_id = self._id
        if not data:
            return None
        return Event(_text(b"\n".join(data)), _text(kind) or "message", self.last_id)


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")
