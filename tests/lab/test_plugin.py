"""The pytest plugin: each kind of test, in a pytest of its own, with only this plugin and the one that it needs."""

import concurrent.futures
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from asyncnet import UsageError
from asyncnet.lab import ThreadedLab

ROOT = Path(__file__).parent.parent.parent
PATIENCE = 60.0

BODY = """
    mail_lab.deliver("Subject: hello\\n\\nworld")
    host, port = mail_lab.pop3.host, mail_lab.pop3.port
    with contextlib.closing(poplib.POP3(host, port)) as drop:
        drop.user("me"); drop.pass_("secret")
        assert b"Subject: hello" in drop.retr(1)[1]
        drop.quit()
"""
PLAIN = f"import contextlib, poplib\ndef test_it(mail_lab):{BODY}"
SCOPE = ["-o", "asyncio_default_fixture_loop_scope=function"]
KINDS = {
    "plain": ([], PLAIN),
    "asyncio strict": (
        ["-p", "pytest_asyncio.plugin", "-o", "asyncio_mode=strict", *SCOPE],
        f"import contextlib, poplib, pytest\n@pytest.mark.asyncio\nasync def test_it(mail_lab):{BODY}",
    ),
    "asyncio auto": (
        ["-p", "pytest_asyncio.plugin", "-o", "asyncio_mode=auto", *SCOPE],
        f"import contextlib, poplib\nasync def test_it(mail_lab):{BODY}",
    ),
    "anyio": (
        ["-p", "anyio.pytest_plugin"],
        "import contextlib, poplib, pytest\n@pytest.fixture\ndef anyio_backend():\n    return 'asyncio'\n"
        f"@pytest.mark.anyio\nasync def test_it(mail_lab):{BODY}",
    ),
}
OPTIONS = ["-p", "no:cacheprovider", "-p", "asyncnet.lab.pytest_plugin", "-W", "error", "-q"]


def pytest_run(folder: Path, text: str, *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "test_it.py").write_text(text)
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(ROOT)}
    environment.pop("PYTEST_ADDOPTS", None)
    return subprocess.run(
        [sys.executable, "-m", "pytest", *OPTIONS, *options, "test_it.py"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@pytest.mark.parametrize("kind", KINDS)
def test_the_fixtures_work_in_every_kind_of_test(kind: str, tmp_path: Path) -> None:
    options, text = KINDS[kind]
    if kind == "anyio":
        pytest.importorskip("anyio")
    ran = pytest_run(tmp_path, text, *options)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "1 passed" in ran.stdout


def test_all_fixtures_belong_to_one_lab_with_the_options_of_the_marker(tmp_path: Path) -> None:
    ran = pytest_run(
        tmp_path,
        """
import json, smtplib, socket, ssl, urllib.request
import pytest

@pytest.mark.lab(accounts={"ada": "s3cret"}, domain="example.net")
def test_it(mail_lab, http_lab, echo_server, lab_ca, lab_faults):
    rule = lab_faults.on("smtp", "NOOP", refuse=True, times=1)
    with smtplib.SMTP_SSL(mail_lab.smtp.host, mail_lab.smtp.tls_port, context=lab_ca.context()) as client:
        assert client.noop()[0] == 550 and rule.met == 1
        client.login("ada", "s3cret")
        client.sendmail("x@example.org", "ada@example.net", "Subject: one\\r\\n\\r\\nbody")
    mail_lab.until(lambda: mail_lab.lab.sent)
    assert [mail.username for mail in mail_lab.sent] == ["ada"]
    assert b"Subject: one" in mail_lab.mailbox("ada").messages[0].raw
    context = ssl.create_default_context(cafile=lab_ca.path)
    request = urllib.request.Request(http_lab.tls_url + "/webhook/a", data=b'{"b": 1}')
    with urllib.request.urlopen(request, context=context) as answer:
        assert json.load(answer) == {"received": 8}
    assert [(one.webhook, one.json()) for one in mail_lab.requests] == [("a", {"b": 1})]
    mail_lab.answer("/own", json=[1, 2])
    with urllib.request.urlopen(http_lab.url + "/own") as answer:
        assert json.load(answer) == [1, 2]
    with socket.create_connection((echo_server.host, echo_server.port)) as sock:
        sock.sendall(b"ping")
        assert sock.recv(4) == b"ping"
    with mail_lab.down("smtp"), pytest.raises(ConnectionRefusedError):
        socket.create_connection((mail_lab.smtp.host, mail_lab.smtp.port))
    mail_lab.restart("http")
    with urllib.request.urlopen(http_lab.url + "/own") as answer:
        assert answer.status == 200
    assert {dialogue.protocol for dialogue in mail_lab.dialogues} == {"smtp", "http", "echo"}
""",
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_a_session_left_open_fails_the_test_with_a_clear_word(tmp_path: Path) -> None:
    text = """
import poplib, pytest
kept = []
def test_it(mail_lab):
    kept.append(poplib.POP3(mail_lab.pop3.host, mail_lab.pop3.port))
    kept[0].user("me"); kept[0].pass_("secret")

@pytest.mark.lab(sessions_may_stay=True)
def test_who_may(mail_lab):
    kept.append(poplib.POP3(mail_lab.pop3.host, mail_lab.pop3.port))

def test_end():
    for one in kept:
        one.close()
"""
    ran = pytest_run(tmp_path, text)
    assert ran.returncode == 1
    assert "3 passed, 1 error" in ran.stdout
    assert "the lab was not left as it was found" in ran.stdout
    assert "pop3 session 1 of 127.0.0.1" in ran.stdout
    assert "signed in as me is open still; said last: S: +OK" in ran.stdout


def test_a_lab_that_cannot_start_fails_the_test_and_leaves_no_thread(tmp_path: Path) -> None:
    text = """
import threading, pytest
@pytest.mark.lab(ports={"gopher": 70})
def test_it(mail_lab): ...
def test_threads():
    assert not [thread for thread in threading.enumerate() if thread.name == "asyncnet-lab"]
"""
    ran = pytest_run(tmp_path, text)
    assert "UsageError: no server of the lab listens for gopher" in ran.stdout
    assert "1 passed, 1 error" in ran.stdout


def test_nothing_of_the_lab_is_imported_until_a_fixture_is_used(tmp_path: Path) -> None:
    text = """
import sys
HEAVY = ("asyncnet.lab.lab", "asyncnet.lab.smtp", "asyncnet.http", "asyncnet.imap", "aiohttp", "trustme", "nh3")
def test_it():
    assert not [name for name in HEAVY if name in sys.modules]
"""
    ran = pytest_run(tmp_path, text)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_a_test_with_its_own_loop_waits_without_stopping_it(tmp_path: Path) -> None:
    text = """
import asyncio, pytest
from asyncnet import DeadlineError, UsageError, smtp
async def test_it(mail_lab):
    async def post():
        where = {"sender": "a@b.example", "recipients": ["me@example.org"]}
        await smtp.send(b"Subject: x\\r\\n\\r\\ny\\r\\n", mail_lab.smtp.url, **where)
    async with asyncio.TaskGroup() as group:
        group.create_task(post())
        await mail_lab.until_async(lambda: mail_lab.lab.sent)
    with pytest.raises(DeadlineError):
        await mail_lab.until_async(lambda: False, timeout=0.01)
    with pytest.raises(DeadlineError):
        mail_lab.until(lambda: False, timeout=0.01)
    with pytest.raises(UsageError, match="no account"):
        mail_lab.deliver("", to="nobody")
"""
    ran = pytest_run(tmp_path, text, "-p", "pytest_asyncio.plugin", "-o", "asyncio_mode=auto", *SCOPE)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_a_marker_with_what_has_no_name_is_an_error(tmp_path: Path) -> None:
    text = """
import pytest
@pytest.mark.lab({"ada": "s3cret"})
def test_it(mail_lab): ...
"""
    ran = pytest_run(tmp_path, text)
    assert "TypeError" in ran.stdout
    assert "1 error" in ran.stdout


async def test_a_lab_in_a_thread_that_has_ended_says_so() -> None:
    with ThreadedLab() as lab:
        await lab.until_async(lambda: True)
    with pytest.raises(UsageError, match="does not run"):
        await lab.until_async(lambda: True)
    with pytest.raises(UsageError, match="does not run"):
        lab.until(lambda: True)


def test_a_start_that_is_interrupted_leaves_no_thread(monkeypatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    lab = ThreadedLab()
    with monkeypatch.context() as patch:
        patch.setattr(concurrent.futures.Future, "result", interrupted)
        with pytest.raises(KeyboardInterrupt):
            lab.start()
    assert not [thread for thread in threading.enumerate() if thread.name == "asyncnet-lab"]
