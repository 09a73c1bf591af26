"""The certificates: each is refused for the reason that its name gives, by a real handshake in memory."""

import ssl
from pathlib import Path

import pytest

from tests.peers import Authority


def handshake(server: ssl.SSLContext, client: ssl.SSLContext, name: str = "localhost") -> ssl.SSLObject:
    """Shake hands without a socket; the server's side of it."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [
        client.wrap_bio(to_client, to_server, server_hostname=name),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    for side in sides * 3:
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    assert sides[0].version() == "TLSv1.3"
    return sides[1]


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1"])
def test_the_good_server_is_trusted_by_each_of_its_names(authority: Authority, name: str) -> None:
    handshake(authority.server, authority.client(), name)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("expired", "certificate has expired"),
        ("wrong host", "Hostname mismatch"),
        ("untrusted", "unable to get local issuer"),
    ],
)
def test_a_bad_server_is_refused_for_its_own_reason(authority: Authority, kind: str, reason: str) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match=reason):
        handshake(authority.bad_servers[kind], authority.client())


def test_a_demanding_server_sees_the_clients_name(authority: Authority) -> None:
    found = handshake(authority.demanding, authority.client_with_certificate("bob@example.org")).getpeercert()
    assert found
    assert found["subjectAltName"] == (("email", "bob@example.org"),)


def test_a_demanding_server_refuses_a_client_without_a_certificate(authority: Authority) -> None:
    with pytest.raises(ssl.SSLError, match="PEER_DID_NOT_RETURN_A_CERTIFICATE"):
        handshake(authority.demanding, authority.client())


def test_the_files_serve_as_well(authority: Authority, tmp_path: Path) -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(*authority.write_server_files(tmp_path))
    server.verify_mode = ssl.CERT_REQUIRED
    server.load_verify_locations(authority.write_pem(tmp_path))
    client = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    client.load_cert_chain(*authority.write_client_files(tmp_path))
    assert handshake(server, client).getpeercert()
