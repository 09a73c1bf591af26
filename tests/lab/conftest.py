"""A lab for each test that asks for one."""

from collections.abc import AsyncIterator

import pytest

from asyncnet.lab import Lab


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    """A lab with the account `me`, and `you` beside it."""
    async with Lab(accounts={"me": "secret", "you": "secret of you"}) as lab:
        yield lab
