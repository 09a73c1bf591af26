"""pytest_plugin: a lab as fixtures, for plain tests and for those of pytest-asyncio and anyio.

The lab runs on a loop in its own thread, so its fixtures are plain ones and get along with every kind of test. All of
them belong to one lab, made new for each test; `@pytest.mark.lab(...)` gives its arguments. When the test is over, its
sessions must be: what is left open fails it. Until a fixture is used nothing of the lab is imported.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import ssl
    from pathlib import Path

    from asyncnet.lab.echo import EchoService
    from asyncnet.lab.faults import Faults
    from asyncnet.lab.threaded import ThreadedLab
    from asyncnet.lab.web import WebService

_MARKER = (
    "lab(**options): the arguments of asyncnet.Lab for mail_lab and its kin (accounts, domain, require_login...); "
    "sessions_may_stay=True lets clients outlive the test"
)


class LabCA:
    """The authority that signs the lab's certificates.

    Attributes:
        pem: its certificate.
        path: a file of it, for clients that want one (`curl --cacert`, `SSL_CERT_FILE`).
    """

    def __init__(self, pem: bytes, path: Path) -> None:
        self.pem = pem
        self.path = path
        path.write_bytes(pem)

    def context(self) -> ssl.SSLContext:
        """Make a client's context that trusts the lab, and nobody else."""
        from asyncnet.lab.authority import authority

        return authority().client()


def pytest_configure(config: pytest.Config) -> None:
    """Tell pytest of the marker."""
    config.addinivalue_line("markers", _MARKER)


@pytest.fixture
def mail_lab(request: pytest.FixtureRequest) -> Iterator[ThreadedLab]:
    """Give a running lab: SMTP, POP3, IMAP, HTTP and echo on free ports, with the account `me` and its `secret`."""
    from asyncnet.lab.lab import Lab
    from asyncnet.lab.threaded import ThreadedLab

    marker = request.node.get_closest_marker("lab")
    given, options = (marker.args, dict(marker.kwargs)) if marker is not None else ((), {})
    may_stay = options.pop("sessions_may_stay", False)
    with ThreadedLab(lambda: Lab(*given, **options)) as lab:
        yield lab
    left = [line for line in lab.left if not (may_stay and " session " in line)]
    if left:
        pytest.fail("the lab was not left as it was found:\n  " + "\n  ".join(left), pytrace=False)


@pytest.fixture
def http_lab(mail_lab: ThreadedLab) -> WebService:
    """Give the lab's web server: `url`, `tls_url`, `webhook_url(name)`, `answer(path, json=...)`."""
    return mail_lab.http


@pytest.fixture
def echo_server(mail_lab: ThreadedLab) -> EchoService:
    """Give the lab's echo server: `url`, `tls_url`, `host`, `port`."""
    return mail_lab.echo


@pytest.fixture
def lab_faults(mail_lab: ThreadedLab) -> Faults:
    """Give what makes the lab go wrong: `lab_faults.on("smtp", "RCPT", greylist=True)`."""
    return mail_lab.faults


@pytest.fixture
def lab_ca(mail_lab: ThreadedLab, tmp_path_factory: pytest.TempPathFactory) -> LabCA:
    """Give the lab's certificate authority: `path`, `pem`, `context()`; it needs `trustme` (extra `lab`)."""
    return LabCA(mail_lab.ca_pem, tmp_path_factory.mktemp("lab") / "ca.pem")
