"""What the tests of HTTP share: certificates, and pages served by a good server."""

from collections.abc import AsyncIterator

import pytest

from tests.http.site import Site
from tests.peers.fixtures import authority, authority_pem

__all__ = ["authority", "authority_pem"]


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    """A good server over plain HTTP."""
    async with Site() as running:
        yield running
