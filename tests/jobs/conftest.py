"""Fixtures of the tests of jobs."""

from tests.peers.fixtures import authority, authority_pem

__all__ = ["authority", "authority_pem"]
