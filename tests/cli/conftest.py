"""Fixtures of the tests of the command line."""

import pytest

from tests.peers.fixtures import authority, authority_pem

__all__ = ["authority", "authority_pem"]


@pytest.fixture(autouse=True)
def nobodys_secrets(monkeypatch, tmp_path_factory):
    """Neither environment nor home of whoever runs the tests."""
    for name in ("USERNAME", "PASSWORD", "PASSWORD_FILE", "TOKEN", "TOKEN_FILE"):
        monkeypatch.delenv(f"ASYNCNET_{name}", raising=False)
    monkeypatch.delenv("NETRC", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
