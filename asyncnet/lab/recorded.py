"""Recorded: a request that an HTTP client made of the lab, as it came; `lab.requests` holds them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, parse_qsl


@dataclass(frozen=True, slots=True)
class Recorded:
    """One request.

    Args:
        method: as it was sent.
        path: without the query, percent-decoded.
        query: what stood behind the "?", as it was sent.
        headers: by lower-case name; of a name that came twice, both values with ", " between them.
        body: all of it, without its transfer coding.
        is_tls: whether it came over TLS.
        status: what the lab answered with; 0 where the client left before the answer had ended.
        received: when.
    """

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    is_tls: bool = False
    status: int = 0
    received: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def webhook(self) -> str | None:
        """The NAME of `/webhook/NAME`, or None."""
        return self.path.removeprefix("/webhook/") if self.path.startswith("/webhook/") else None

    @property
    def params(self) -> dict[str, list[str]]:
        """The fields of the query."""
        return parse_qs(self.query, keep_blank_values=True)

    def text(self) -> str:
        """Give the body as UTF-8 text; what is none is replaced."""
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """Give the body as JSON.

        Raises:
            ValueError: it is none.
        """
        return json.loads(self.body)

    def form(self) -> list[tuple[str, str]]:
        """Give the fields of an urlencoded form, in order."""
        return parse_qsl(self.text(), keep_blank_values=True)
