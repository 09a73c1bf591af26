"""The service of examples/ through a thousand calls on the lab's servers, while these are restarted.

Real servers and more calls are in tests/real/test_service.py.
"""

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from asyncnet.lab import Lab
from tests.http.site import Site
from tests.service_child import judge

ROOT = Path(__file__).parent.parent
CALLS = 1000


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="what a process holds is read from /proc")
async def test_a_service_keeps_one_client_while_the_lab_restarts() -> None:
    async with Site() as site, Lab(accounts={"alice": "secret"}) as lab:
        lab.deliver("Subject: hello\n\nworld")
        mail = [str(one.url).replace("://", "://alice@") for one in (lab.imap, lab.pop3)]
        urls = [f"{site.url}/echo"] * 4 + [str(lab.echo.url)] * 3 + mail + [str(lab.smtp.url)]
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "error", "-m", "tests.service_child", str(CALLS), "bob@example.net", *urls),
            cwd=ROOT,
            env={**os.environ, "ASYNCNET_PASSWORD": "secret"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert child.stdout is not None
        told = []
        restarts = {20: "imap", 30: "smtp", 40: "pop3", 60: "imap", 70: "smtp", 80: "pop3"}
        async for line in child.stdout:
            told.append(json.loads(line))
            if name := restarts.pop(len(told), None):
                await lab.restart(name)
        _, errors = await child.communicate()
    assert (child.returncode, errors) == (0, b"")
    assert restarts == {}
    judge(told, CALLS)
