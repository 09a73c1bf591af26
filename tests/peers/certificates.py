"""Certificates made on the spot: an authority that a test trusts, and every kind of certificate to refuse."""

import datetime
import functools
import ssl
from pathlib import Path

import trustme

_NAMES = ("localhost", "127.0.0.1", "127.0.0.2", "::1")


class Authority:
    """A certificate authority of the tests' own; contexts for servers, good and bad, and for clients that trust it.

    Each server context is made once. Nothing of it is written to disk, except by the `write_` methods.
    """

    def __init__(self) -> None:
        self._ca = trustme.CA(organization_name="tests of asyncnet")

    @property
    def pem(self) -> bytes:
        """The authority's own certificate, as PEM."""
        return self._ca.cert_pem.bytes()

    def write_pem(self, folder: Path) -> Path:
        """Write the authority's own certificate into `folder`; its path, for whoever wants a file."""
        path = folder / "ca.pem"
        path.write_bytes(self.pem)
        return path

    def write_server_files(self, folder: Path) -> tuple[Path, Path]:
        """Write a good server's certificate chain and key into `folder`, for a real server; their paths."""
        certificate, key = folder / "server.pem", folder / "server.key"
        certificate.write_bytes(b"".join(blob.bytes() for blob in self._good.cert_chain_pems))
        key.write_bytes(self._good.private_key_pem.bytes())
        key.chmod(0o600)
        return certificate, key

    def write_client_files(self, folder: Path, name: str = "alice@example.org") -> tuple[Path, Path]:
        """Write a client's certificate chain and key into `folder`; their paths."""
        made = self._ca.issue_cert(name)
        certificate, key = folder / "client.pem", folder / "client.key"
        certificate.write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))
        key.write_bytes(made.private_key_pem.bytes())
        key.chmod(0o600)
        return certificate, key

    @functools.cached_property
    def server(self) -> ssl.SSLContext:
        """A server for localhost, 127.0.0.1, 127.0.0.2 and ::1, as it should be."""
        return _server(self._good)

    @functools.cached_property
    def expired(self) -> ssl.SSLContext:
        """A server whose certificate ended yesterday."""
        now = datetime.datetime.now(datetime.UTC)
        day = datetime.timedelta(days=1)
        return _server(self._ca.issue_cert(*_NAMES, not_before=now - 30 * day, not_after=now - day))

    @functools.cached_property
    def wrong_host(self) -> ssl.SSLContext:
        """A server with the certificate of another host."""
        return _server(self._ca.issue_cert("elsewhere.example.org"))

    @functools.cached_property
    def untrusted(self) -> ssl.SSLContext:
        """A server whose certificate is of an authority that nobody knows."""
        return _server(trustme.CA(organization_name="nobody we know").issue_cert(*_NAMES))

    @functools.cached_property
    def demanding(self) -> ssl.SSLContext:
        """A server as it should be that demands a client's certificate of this authority."""
        context = _server(self._good)
        context.verify_mode = ssl.CERT_REQUIRED
        self._ca.configure_trust(context)
        return context

    @property
    def bad_servers(self) -> dict[str, ssl.SSLContext]:
        """The three servers that every client must refuse, by what is wrong with them."""
        return {"expired": self.expired, "wrong host": self.wrong_host, "untrusted": self.untrusted}

    def client(self) -> ssl.SSLContext:
        """A fresh client's context that verifies, and trusts this authority alone."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._ca.configure_trust(context)
        return context

    def client_with_certificate(self, name: str = "alice@example.org") -> ssl.SSLContext:
        """As `client`, with a client's certificate for `name`."""
        context = self.client()
        self._ca.issue_cert(name).configure_cert(context)
        return context

    @functools.cached_property
    def _good(self) -> trustme.LeafCert:
        return self._ca.issue_cert(*_NAMES)


@functools.cache
def shared_authority() -> Authority:
    """The one authority of this process."""
    return Authority()


def _server(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context
