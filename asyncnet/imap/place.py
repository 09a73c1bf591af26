"""Place: what an IMAP URL names (RFC 5092). Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

from asyncnet.endpoint import Endpoint
from asyncnet.errors import InvalidEndpoint
from asyncnet.imap.uid_set import MAX_UID

# RFC 5092 §11: enc-mailbox [uidvalidity] ["/" iuid]; what is encoded in the name is no syntax
_PATH = re.compile(
    r"/?(?P<name>[^;]*?)(?:;UIDVALIDITY=(?P<validity>[1-9]\d{0,9}))?(?:/;UID=(?P<uid>[1-9]\d{0,9}))?/?", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Place:
    """What an IMAP URL names: a mailbox, its UIDVALIDITY or None, one message or None, a search or None."""

    name: str
    uidvalidity: int | None = None
    uid: int | None = None
    search: str | None = None

    @classmethod
    def of(cls, endpoint: Endpoint) -> Place:
        """Read path and query of a URL (RFC 5092).

        Raises:
            InvalidEndpoint: another form, or a number beyond 32 bits.
        """
        match = _PATH.fullmatch(endpoint.path)
        validity, uid = (int(match[key]) if match and match[key] else None for key in ("validity", "uid"))
        if match is None or max(validity or 0, uid or 0) > MAX_UID:
            raise InvalidEndpoint(
                "the path of an IMAP URL is /mailbox, with ;UIDVALIDITY=number and /;UID=number after it if need be",
                endpoint=endpoint,
            )
        search = unquote(endpoint.query) if endpoint.query else None
        return cls(unquote(match["name"]) or "INBOX", validity, uid, search)
