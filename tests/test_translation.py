"""translation.py: foreign exceptions end here, ours and cancellation pass, bugs stay themselves."""

import asyncio
import errno
import pickle
import socket
import ssl

import pytest

from asyncnet.endpoint import Endpoint
from asyncnet.errors import (
    ConnectError,
    DisconnectedError,
    IncompleteRead,
    NetError,
    ProtocolError,
    RefusedError,
    TLSError,
)
from asyncnet.translation import CONNECTING, TALKING, Translations, described, translated

PLACE = Endpoint.parse("imaps://mail.example.org/INBOX?token=secret")


class Special(ValueError):
    pass


def _built(error: Exception, endpoint: object, operation: str | None) -> NetError:
    return RefusedError(code=550, text=str(error), endpoint=endpoint, operation=operation)


TABLE: Translations = ((Special, _built), ((ValueError, LookupError), ProtocolError))


def test_the_first_row_that_fits_decides() -> None:
    with pytest.raises(RefusedError) as caught, translated(TABLE, PLACE, "RETR"):
        raise Special("no such message")
    assert (caught.value.code, caught.value.operation, caught.value.endpoint) == (550, "RETR", PLACE.redacted)
    assert isinstance(caught.value.__cause__, Special)


def test_a_class_in_the_table_is_made_from_what_the_exception_means() -> None:
    for foreign in (ValueError("bad line"), KeyError("bad line"), IndexError("bad line")):
        with pytest.raises(ProtocolError, match=r"RETR imaps.*bad line") as caught, translated(TABLE, PLACE, "RETR"):
            raise foreign
        assert caught.value.__cause__ is foreign


def test_what_no_row_names_is_a_bug_and_stays_itself() -> None:
    bug = AttributeError("no such thing")
    with pytest.raises(AttributeError) as caught, translated(TABLE, PLACE, "RETR"):
        raise bug
    assert caught.value is bug


def test_our_own_errors_pass_and_learn_where_they_happened() -> None:
    error = ProtocolError("broken line")
    with pytest.raises(ProtocolError) as caught, translated(TABLE, PLACE, "RETR"):
        raise error
    assert caught.value is error
    assert (error.endpoint, error.operation) == (PLACE.redacted, "RETR")
    assert error.__cause__ is None


def test_what_an_error_knows_already_is_not_overwritten() -> None:
    error = ConnectError("refused", endpoint="http://proxy:3128", operation="CONNECT")
    with pytest.raises(ConnectError), translated(TALKING, PLACE, "RETR"):
        raise error
    assert (error.endpoint, error.operation) == ("http://proxy:3128", "CONNECT")


@pytest.mark.parametrize("passing", [asyncio.CancelledError, KeyboardInterrupt, SystemExit])
def test_cancellation_and_interrupts_pass(passing: type[BaseException]) -> None:
    everything: Translations = ((Exception, ProtocolError),)
    with pytest.raises(passing), translated(everything, PLACE, "RETR"):
        raise passing


def test_a_block_without_an_error_is_left_alone() -> None:
    with translated(TABLE, PLACE, "RETR"):
        pass


def certificate_error() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed (_ssl.c:1006)")
    error.verify_message = "Hostname mismatch, certificate is not valid for 'h'."
    return error


def tls_error(reason: str, kind: type[ssl.SSLError] = ssl.SSLError) -> ssl.SSLError:
    error = kind(1, f"[SSL: {reason}] {reason.lower()} (_ssl.c:1006)")
    error.reason = reason
    return error


@pytest.mark.parametrize(
    ("foreign", "kind", "transient", "text"),
    [
        (certificate_error(), TLSError, False, "certificate not trusted: Hostname mismatch"),
        (tls_error("WRONG_VERSION_NUMBER"), TLSError, False, "wrong version number; the peer does not speak TLS here"),
        (tls_error("SSLV3_ALERT_HANDSHAKE_FAILURE"), TLSError, False, "handshake failure"),
        (ssl.SSLError("bare"), TLSError, False, "bare"),
        (tls_error("UNEXPECTED_EOF_WHILE_READING", ssl.SSLEOFError), TLSError, True, "the peer left in the handshake"),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), ConnectError, False, "no address: Name or"),
        (socket.gaierror(socket.EAI_AGAIN, "Try again"), ConnectError, True, "no address: Try again"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed ('127.0.0.1', 1)"), ConnectError, True, ""),
        (OSError(errno.EHOSTUNREACH, "x"), ConnectError, True, "No route to host"),
        (OSError(errno.EMFILE, "x"), ConnectError, True, "Too many open files"),
        (OSError("Multiple exceptions: a, b"), ConnectError, True, "Multiple exceptions: a, b"),
        (ConnectionResetError(), ConnectError, True, "Connection reset by peer"),
    ],
    ids=repr,
)
def test_what_goes_wrong_while_connecting(foreign: Exception, kind: type[NetError], transient: bool, text: str) -> None:
    with pytest.raises(NetError) as caught, translated(CONNECTING, PLACE, "connect"):
        raise foreign
    assert type(caught.value) is kind
    assert caught.value.transient is transient
    assert text in str(caught.value)
    assert "('127.0.0.1', 1)" not in str(caught.value)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


@pytest.mark.parametrize(
    ("foreign", "kind", "transient", "text"),
    [
        (certificate_error(), TLSError, False, "certificate not trusted"),
        (tls_error("TLSV13_ALERT_CERTIFICATE_REQUIRED"), TLSError, False, "alert certificate required"),
        (tls_error("UNEXPECTED_EOF_WHILE_READING", ssl.SSLEOFError), DisconnectedError, True, "connection lost"),
        (tls_error("DECRYPTION_FAILED_OR_BAD_RECORD_MAC"), DisconnectedError, True, "connection lost"),
        (ConnectionResetError(errno.ECONNRESET, "x"), DisconnectedError, True, "reset by the peer"),
        (BrokenPipeError(errno.EPIPE, "x"), DisconnectedError, True, "Broken pipe"),
        (BrokenPipeError(), DisconnectedError, True, "Broken pipe"),
        (EOFError(), DisconnectedError, True, "connection lost: EOFError"),
        (asyncio.IncompleteReadError(b"ab", 5), DisconnectedError, True, "2 bytes read"),
    ],
    ids=repr,
)
def test_what_goes_wrong_once_it_stands(foreign: Exception, kind: type[NetError], transient: bool, text: str) -> None:
    with pytest.raises(NetError) as caught, translated(TALKING, PLACE, "RETR"):
        raise foreign
    assert type(caught.value) is kind
    assert caught.value.transient is transient
    assert text in str(caught.value)


def test_our_incomplete_read_is_an_eoferror_and_passes_nevertheless() -> None:
    error = IncompleteRead(partial=b"ab", expected=5)
    with pytest.raises(IncompleteRead) as caught, translated(TALKING, PLACE, "RETR"):
        raise error
    assert caught.value is error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.ECONNREFUSED, "[Errno 111] Connect call failed ('10.0.0.1', 1)"), "Connection refused"),
        (TimeoutError(), "Connection timed out"),
        (ConnectionAbortedError("SSL handshake is taking longer"), "SSL handshake is taking longer"),
        (ValueError(), "ValueError"),
        (ValueError("a\r\n\x1b[31mb"), r"a\r\n\x1b[31mb"),
        (ValueError("x" * 1000), "x" * 300 + "..."),
    ],
    ids=repr,
)
def test_a_foreign_exception_is_described_in_one_safe_line(error: Exception, expected: str) -> None:
    assert described(error) == expected
