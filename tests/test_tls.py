"""tls.py: contexts that verify, from files good and bad, and that are never asked for a password on the terminal."""

import asyncio
import contextlib
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from asyncnet.errors import UsageError
from asyncnet.tls import client_context, default_client_context, server_context
from tests.peers.certificates import Authority

ROOT = Path(__file__).parent.parent


def shake_hands(
    client: ssl.SSLContext, server: ssl.SSLContext, name: str = "localhost"
) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """One handshake in memory, with a byte in either direction behind it, for a client's certificate is judged late."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    left = client.wrap_bio(back, there, server_hostname=name)
    right = server.wrap_bio(there, back, server_side=True)
    for step in (left.do_handshake, right.do_handshake, left.do_handshake, right.do_handshake):
        with contextlib.suppress(ssl.SSLWantReadError):
            step()
    left.write(b"x")
    assert right.read(1) == b"x"
    right.write(b"y")
    assert left.read(1) == b"y"
    return left, right


@pytest.fixture
def server_files(authority: Authority, tmp_path: Path) -> tuple[Path, Path]:
    return authority.write_server_files(tmp_path)


@pytest.fixture
def client_files(authority: Authority, tmp_path: Path) -> tuple[Path, Path]:
    return authority.write_client_files(tmp_path)


@pytest.fixture
def locked_key(server_files: tuple[Path, Path], tmp_path: Path) -> Path:
    key = serialization.load_pem_private_key(server_files[1].read_bytes(), password=None)
    path = tmp_path / "locked.key"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"open sesame"),
        )
    )
    return path


def test_a_clients_context_verifies_certificate_and_name() -> None:
    context = client_context()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert default_client_context() is default_client_context()


def test_both_sides_speak_tls_1_2_at_least(server_files: tuple[Path, Path]) -> None:
    for context in (client_context(), server_context(*server_files)):
        assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


def test_an_older_tls_is_refused(authority: Authority, server_files: tuple[Path, Path]) -> None:
    old = server_context(*server_files)
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        old.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError):
        shake_hands(client_context(ca=authority.pem), old)


def test_an_unknown_authority_is_refused(server_files: tuple[Path, Path]) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(client_context(), server_context(*server_files))


def test_an_authority_is_taken_as_bytes_as_a_file_and_from_a_folder(
    authority: Authority, server_files: tuple[Path, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "authorities"
    folder.mkdir()
    (folder / "README").write_text("not a certificate")
    (folder / "sub").mkdir()
    (folder / "other.pem").write_bytes(trustme.CA().cert_pem.bytes())
    file = authority.write_pem(folder)  # by no name that OpenSSL would look for
    server = server_context(*server_files)
    commented = "# Türktrust\n".encode() + authority.pem
    for ca in (authority.pem, commented, file, str(file), folder, str(folder)):
        shake_hands(client_context(ca=ca), server)


def test_the_certificate_of_another_host_is_refused(authority: Authority, server_files: tuple[Path, Path]) -> None:
    context = client_context(ca=authority.pem)
    with pytest.raises(ssl.SSLCertVerificationError, match="elsewhere"):
        shake_hands(context, server_context(*server_files), "elsewhere.example.org")


def test_a_server_can_demand_a_clients_certificate(
    authority: Authority, server_files: tuple[Path, Path], client_files: tuple[Path, Path]
) -> None:
    server = server_context(*server_files, client_ca=authority.pem)
    known = client_context(ca=authority.pem, certificate=client_files[0], key=client_files[1])
    _, right = shake_hands(known, server)
    shown = right.getpeercert()
    assert shown is not None
    assert ("email", "alice@example.org") in shown["subjectAltName"]
    with pytest.raises(ssl.SSLError, match=r"(?i)peer.did.not.return.a.certificate"):
        shake_hands(client_context(ca=authority.pem), server)


def test_a_clients_certificate_of_another_authority_is_refused(
    authority: Authority, server_files: tuple[Path, Path], client_files: tuple[Path, Path]
) -> None:
    server = server_context(*server_files, client_ca=trustme.CA().cert_pem.bytes())
    with pytest.raises(ssl.SSLError, match=r"(?i)certificate.verify.failed"):
        shake_hands(client_context(ca=authority.pem, certificate=client_files[0], key=client_files[1]), server)


def test_certificate_and_key_may_stand_in_one_file(
    authority: Authority, server_files: tuple[Path, Path], tmp_path: Path
) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(server_files[1].read_bytes() + server_files[0].read_bytes())
    shake_hands(client_context(ca=authority.pem), server_context(both))


def test_the_application_protocol_is_agreed_upon(authority: Authority, server_files: tuple[Path, Path]) -> None:
    client = client_context(ca=authority.pem, alpn=["acme/2", "acme/1"])
    left, right = shake_hands(client, server_context(*server_files, alpn=["acme/1"]))
    assert left.selected_alpn_protocol() == right.selected_alpn_protocol() == "acme/1"


@pytest.mark.parametrize("protocol", ["", "x" * 256, "ä"])
def test_an_application_protocol_that_cannot_be_offered_is_a_usage_error(protocol: str) -> None:
    with pytest.raises(UsageError, match="ALPN"):
        client_context(alpn=[protocol])


def test_a_locked_key_is_opened_by_its_password(
    authority: Authority, server_files: tuple[Path, Path], locked_key: Path
) -> None:
    server = server_context(server_files[0], locked_key, key_password="open sesame")
    shake_hands(client_context(ca=authority.pem), server)


def test_a_wrong_password_is_a_usage_error_that_does_not_show_it(
    server_files: tuple[Path, Path], locked_key: Path
) -> None:
    for password in ("hunter2", "hunter2" * 1000):
        with pytest.raises(UsageError, match=r"locked\.key") as caught:
            server_context(server_files[0], locked_key, key_password=password)
        assert "hunter2" not in str(caught.value) + str(caught.value.__cause__)


def test_a_locked_key_without_a_password_asks_nobody(server_files: tuple[Path, Path], locked_key: Path) -> None:
    source = """
import sys
from asyncnet.errors import UsageError
from asyncnet.tls import client_context, server_context
for make in (server_context, lambda certificate, key: client_context(certificate=certificate, key=key)):
    try:
        make(*sys.argv[1:])
    except UsageError as error:
        print("refused")
"""
    done = subprocess.run(
        [sys.executable, "-c", source, str(server_files[0]), str(locked_key)],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        start_new_session=True,  # no terminal, so that whoever asks is heard on stderr and fails
        check=True,
    )
    assert (done.stdout, done.stderr) == ("refused\nrefused\n", "")


def test_wrong_authorities_are_usage_errors(tmp_path: Path) -> None:
    empty, text = tmp_path / "empty.pem", tmp_path / "text.pem"
    empty.write_bytes(b"")
    text.write_bytes(b"-----BEGIN CERTIFICATE-----\nbm8gY2VydGlmaWNhdGU=\n-----END CERTIFICATE-----\n")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "README").write_text("nothing here")
    for ca in (empty, text, folder, tmp_path / "absent.pem", b"", b"nonsense", b"\xff\x00", text.read_bytes(), "a\0b"):
        with pytest.raises(UsageError, match="no authority to trust in"):
            client_context(ca=ca)


def test_wrong_certificates_and_keys_are_usage_errors(
    server_files: tuple[Path, Path], client_files: tuple[Path, Path], tmp_path: Path
) -> None:
    certificate, key = server_files
    with pytest.raises(UsageError, match="No such file"):
        server_context(tmp_path / "absent.pem", key)
    with pytest.raises(UsageError, match=r"absent\.key: No such file"):
        server_context(certificate, tmp_path / "absent.key")
    with pytest.raises(UsageError, match="cannot use the certificate"):
        server_context(certificate, client_files[1])  # another certificate's key
    with pytest.raises(UsageError, match="cannot use the certificate"):
        server_context(key, key)
    with pytest.raises(UsageError, match="cannot use the certificate"):
        client_context(certificate=certificate)  # and no key anywhere
    with pytest.raises(UsageError, match="without its certificate"):
        client_context(key=key)
    with pytest.raises(UsageError, match="no authority"):
        server_context(certificate, key, client_ca=tmp_path / "absent.pem")


async def test_a_usage_error_of_a_wrong_file_is_no_connection_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        client_context(ca=tmp_path / "absent.pem")
    assert not isinstance(caught.value, OSError)
    assert isinstance(caught.value.__cause__, FileNotFoundError)
    await asyncio.sleep(0)
