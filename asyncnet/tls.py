"""SSLContexts for both sides, verifying by default. TLS 1.2 is the floor (RFC 8996).

There is no switch that turns verification off: who wants that makes an `ssl.SSLContext` himself and hands it over.
"""

from __future__ import annotations

import contextlib
import functools
import os
import ssl
from collections.abc import Sequence

from asyncnet.client_hello import ServerSSLObject
from asyncnet.errors import UsageError
from asyncnet.translation import described

Path = str | os.PathLike[str]


class Handshake:
    """A handshake that is done, as who listens (`noted`) is told of it; as text it is the version agreed on.

    Args:
        tls: the ssl module's object, which tells the rest.
    """

    __slots__ = ("tls",)

    def __init__(self, tls: ssl.SSLObject | ssl.SSLSocket) -> None:
        self.tls = tls

    def __str__(self) -> str:
        return self.tls.version() or ""


def client_context(
    *,
    ca: Path | bytes | None = None,
    certificate: Path | None = None,
    key: Path | None = None,
    key_password: str | None = None,
    alpn: Sequence[str] = (),
) -> ssl.SSLContext:
    """Make a context that verifies the server's certificate and its name.

    Args:
        ca: more authorities to trust beside the system's: a PEM file, a folder of them (every file in it that holds a
            certificate), or PEM text as bytes.
        certificate: our own certificate chain (PEM file), for servers that ask for one.
        key: its private key, if not in the same file.
        key_password: opens the key.
        alpn: application protocols to offer, best first (RFC 7301).

    Raises:
        UsageError: a file is missing or holds no certificate, or key and certificate do not match, or the key is locked
            and no password was given (nobody is asked on the terminal).
    """
    context = _modern(ssl.create_default_context())
    if ca is not None:
        _trust(context, ca)
    if certificate is not None:
        _present(context, certificate, key, key_password)
    elif key is not None:
        raise UsageError("a key without its certificate")
    _offer(context, alpn)
    return context


def server_context(
    certificate: Path,
    key: Path | None = None,
    *,
    key_password: str | None = None,
    client_ca: Path | bytes | None = None,
    alpn: Sequence[str] = (),
) -> ssl.SSLContext:
    """Make a context for a server; `Connection.tls.server_name` tells what name each client asked for.

    Args:
        certificate: its chain, leaf first (PEM file).
        key: the private key, if not in the same file.
        key_password: opens the key.
        client_ca: if given, clients must show a certificate of these authorities.
        alpn: application protocols, best first.

    Raises:
        UsageError: as in `client_context`.
    """
    context = _modern(ssl.create_default_context(ssl.Purpose.CLIENT_AUTH))
    context.sslobject_class = ServerSSLObject
    _present(context, certificate, key, key_password)
    if client_ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        _trust(context, client_ca)
    _offer(context, alpn)
    return context


@functools.cache
def default_client_context() -> ssl.SSLContext:
    """Give the context of `tls=None`: `client_context()`, made once (loading the system's authorities takes 20 ms)."""
    return client_context()


def _modern(context: ssl.SSLContext) -> ssl.SSLContext:
    # Said aloud, for OpenSSL's own floor depends on who built it; a stricter one of the system's stays.
    context.minimum_version = max(context.minimum_version, ssl.TLSVersion.TLSv1_2)
    return context


def _offer(context: ssl.SSLContext, protocols: Sequence[str]) -> None:
    try:
        if protocols:
            context.set_alpn_protocols(list(protocols))
    except (ssl.SSLError, UnicodeError) as error:
        raise UsageError("an ALPN protocol has 1 to 255 ASCII characters") from error


def _trust(context: ssl.SSLContext, ca: Path | bytes) -> None:
    try:
        if isinstance(ca, bytes):
            # Bundles name authorities between the certificates, in any script; Python takes ASCII alone.
            context.load_verify_locations(cadata=ca.decode("ascii", "ignore"))
        elif os.path.isdir(ca):
            _trust_folder(context, ca)
        else:
            context.load_verify_locations(cafile=ca)
    except (OSError, ValueError) as error:
        what = "the bytes" if isinstance(ca, bytes) else str(ca)
        raise UsageError(f"no authority to trust in {what}: {described(error)}") from error


def _trust_folder(context: ssl.SSLContext, folder: Path) -> None:
    # OpenSSL's own `capath` takes only files that are named by a hash, and says nothing when there are none.
    found = 0
    for entry in os.scandir(os.fsdecode(folder)):
        with contextlib.suppress(ssl.SSLError):  # no certificate: a README, a key
            if entry.is_file():
                context.load_verify_locations(cafile=entry.path)
                found += 1
    if not found:
        raise ValueError("no file in it holds a certificate")


def _present(context: ssl.SSLContext, certificate: Path, key: Path | None, password: str | None) -> None:
    try:
        # Without a password a locked key would make OpenSSL ask on the terminal, and the loop would stand still.
        context.load_cert_chain(certificate, key, password if password is not None else "")
    except (OSError, ValueError) as error:
        what = str(certificate) if key is None else f"{certificate} with the key {key}"
        raise UsageError(f"cannot use the certificate {what}: {described(error)}") from error
