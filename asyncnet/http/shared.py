"""Shared: a session for one origin over the connections, the cookies and the limits of another session."""

from __future__ import annotations

from asyncnet.credentials import Credentials
from asyncnet.endpoint import Endpoint
from asyncnet.http.request import place
from asyncnet.http.session import Session


class SharedSession(Session):
    """A session with a base and credentials of its own; closing it closes none of the connections.

    Args:
        of: whose connections it uses, as long as that one is open.
        base: the URL that relative URLs are relative to.
        credentials: for the origin of `base` alone.

    Raises:
        UsageError: as for `Session`.
        ClosedError: `of` is closed.
    """

    def __init__(self, of: Session, base: str | Endpoint, credentials: Credentials | None = None) -> None:
        self._base = place(base)
        of._opened(self._base, "open")
        self.__dict__.update({**of.__dict__, "_base": self._base})
        self.endpoint = self._base.endpoint
        self.credentials = credentials
        self._check_login(self.endpoint, credentials)

    async def aclose(self) -> None:
        """Make no further calls over it; what is under way goes on, and the connections stay."""
        self._closed = True
