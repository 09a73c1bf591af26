"""Errors as lines for people: what, where, why, and what now."""

import pytest

from asyncnet.cli.faults import fault, remedy
from asyncnet.errors import (
    AuthenticationError,
    ConnectError,
    DeadlineError,
    LimitError,
    NetError,
    RefusedError,
    StatusError,
    TLSError,
    UsageError,
)


@pytest.mark.parametrize(
    ("error", "where", "line"),
    [
        (ConnectError("no", endpoint="tcp://a:1", operation="connect"), "", "error: tcp://a:1: connect: no"),
        (ConnectError("no"), "tcp://a:1", "error: tcp://a:1: no"),
        (NetError(), "", "error: NetError"),
        (KeyError("x"), "tcp://a:1", "error: tcp://a:1: KeyError: 'x'"),
        (ValueError(), "", "error: ValueError"),
        (RuntimeError("a\nb\x1b[0m"), "", "error: RuntimeError: a\\nb\\x1b[0m"),
    ],
)
def test_a_fault_is_one_line_that_says_where_and_what(error, where, line):
    assert fault(error, where) == line


@pytest.mark.parametrize(
    ("error", "help_"),
    [
        (TLSError("certificate not trusted: self-signed certificate", endpoint="https://a/"), "--ca FILE"),
        (TLSError("certificate not trusted: Hostname mismatch", endpoint="https://a/"), "name in the URL"),
        (
            TLSError("TLS failed: x; the peer does not speak TLS here", endpoint="imaps://a:143/"),
            "imap+starttls://a:143",
        ),
        (TLSError("TLS failed: x; the peer does not speak TLS here", endpoint="https://a:80/"), None),
        (TLSError("certificate not trusted: certificate has expired", endpoint="https://a/"), None),
        (
            DeadlineError("x", seconds=1, endpoint="smtp://a:465"),
            "port 465 expects TLS from the first byte: try smtps://a",
        ),
        (DeadlineError("x", seconds=1, endpoint="smtp://a"), "--timeout"),
        (ConnectError("Connection refused", endpoint="tcp://a:1"), "is the server up"),
        (ConnectError("Address already in use", endpoint="tcp://a:1"), "another port"),
        (ConnectError("no address: x", endpoint="tcp://a:1"), "name of the host"),
        (ConnectError("no route", endpoint="tcp://a:1"), None),
        (StatusError(code=401, endpoint="https://a/"), "https://user@a/..."),
        (StatusError(code=503, transient=True, retry_after=7.0, endpoint="https://a/"), "7 seconds"),
        (StatusError(code=503, transient=True, endpoint="https://a/"), "--retries"),
        (StatusError(code=404, endpoint="https://a/"), None),
        (AuthenticationError("no"), "ASYNCNET_TOKEN"),
        (RefusedError(code=450, transient=True), "later"),
        (RefusedError(code=550), None),
        (LimitError("more than 5 bytes"), "--max-bytes"),
        (LimitError("7 messages; at most 5"), "--max-messages"),
        (UsageError("the secret would travel in plaintext"), "--allow-plaintext-login"),
        (UsageError("something else"), None),
        (KeyError("x"), "fault of asyncnet itself"),
        (OSError("disk"), None),
        (DeadlineError("x", seconds=1, endpoint="not a url"), "--timeout"),
    ],
    ids=lambda value: str(value)[:50],
)
def test_a_remedy_says_what_to_do_now(error, help_):
    found = remedy(error)
    assert (found is None) if help_ is None else (help_ in (found or ""))
