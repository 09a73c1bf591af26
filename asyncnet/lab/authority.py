"""Authority: a throw-away certificate authority, made once in a process and written nowhere, and what it signs.

It is made when TLS is first asked for: who does not use TLS does not pay for it, and needs no `trustme`.
"""

from __future__ import annotations

import datetime
import functools
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from asyncnet.client_hello import ServerSSLObject
from asyncnet.errors import UsageError
from asyncnet.lab.faults import Certificate

if TYPE_CHECKING:
    import trustme

NAMES = ("localhost", "127.0.0.1", "::1")
"""What a good certificate of the lab is for."""


class Authority:
    """A certificate authority that nobody trusts but who is told to.

    Raises:
        UsageError: `trustme` is not installed (the extra `lab`).
    """

    def __init__(self) -> None:
        try:
            import trustme
        except ImportError as error:
            raise UsageError("TLS in the lab needs trustme: pip install 'asyncnet[lab]'") from error
        self._make: type[trustme.CA] = trustme.CA
        self._ca = trustme.CA(organization_name="asyncnet lab", organization_unit_name="throw-away authority")
        self._contexts: dict[Certificate | None, ssl.SSLContext] = {}

    @property
    def pem(self) -> bytes:
        """The authority's own certificate, for clients that want a file of it."""
        return self._ca.cert_pem.bytes()

    def client(self) -> ssl.SSLContext:
        """Make a client's context that verifies, and trusts this authority alone."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._ca.configure_trust(context)
        return context

    def server(self, certificate: Certificate | None = None) -> ssl.SSLContext:
        """Give a server's context, made once: with a good certificate, or one that a client must refuse."""
        if certificate not in self._contexts:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            self._issue(certificate).configure_cert(context)
            self._contexts[certificate] = context
        return self._contexts[certificate]

    def _issue(self, certificate: Certificate | None) -> trustme.LeafCert:
        if certificate == "wrong-name":
            return self._ca.issue_cert("elsewhere.example.net")
        if certificate == "self-signed":  # by an authority of its own that no client has heard of
            return self._make(organization_name="nobody you know").issue_cert(*NAMES)
        if certificate == "expired":
            day = datetime.timedelta(days=1)
            now = datetime.datetime.now(datetime.UTC)
            return self._ca.issue_cert(*NAMES, not_before=now - 30 * day, not_after=now - day)
        # Some clients (mbsync) take no certificate without a common name.
        return self._ca.issue_cert(*NAMES, common_name=NAMES[0])


@functools.cache
def authority() -> Authority:
    """Give the one authority of this process.

    Raises:
        UsageError: `trustme` is not installed.
    """
    return Authority()


def choosing_context(choose: Callable[[], Certificate | None]) -> ssl.SSLContext:
    """Make a server's context that asks for each client which certificate to show; it costs nothing before the first.

    Args:
        choose: called when a client begins TLS.
    """

    class Chosen(ServerSSLObject):
        @classmethod
        def _create(cls, *args: Any, **kwargs: Any) -> ServerSSLObject:
            kwargs["context"] = authority().server(choose())
            return super()._create(*args, **kwargs)

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.sslobject_class = Chosen
    return context
