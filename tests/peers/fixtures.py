"""The fixtures of the peers, for any conftest to import."""

from pathlib import Path

import pytest

from tests.peers.certificates import Authority, shared_authority


@pytest.fixture(scope="session")
def authority() -> Authority:
    """The certificate authority of this test run."""
    return shared_authority()


@pytest.fixture(scope="session")
def authority_pem(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The authority's own certificate as a file."""
    return authority.write_pem(tmp_path_factory.mktemp("authority"))
