"""Every example runs and says what it promises; those for mail run against real servers too (tests/real)."""

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted(path.name for path in (ROOT / "examples").glob("*.py"))

# Where each example is run. A new one must be entered here, or the last test fails.
RUN_HERE = {
    "open_socket.py",
    "read_write.py",
    "serve_echo.py",
    "http_get.py",
    "http_post.py",
    "compose_jobs.py",
}
RUN_ELSEWHERE = {
    "pop3_fetch.py": "tests/pop3/test_example.py",
    "imap_fetch.py": "tests/real/test_examples.py",
    "smtp_send.py": "tests/real/test_examples.py",
    "mail_ingest.py": "tests/lab/test_ingest_example.py",
    "test_mail_ingest.py": "tests/lab/test_ingest_example.py",
    "service.py": "tests/real/test_service.py",
}


def run(name: str, *arguments: str, timeout: float = 60.0) -> str:
    """Run an example with warnings as errors, and give what it printed."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT) + os.pathsep + os.environ.get("PYTHONPATH", "")}
    ended = subprocess.run(
        [sys.executable, "-W", "error", f"examples/{name}", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert ended.stderr == ""
    assert ended.returncode == 0
    return ended.stdout


@contextmanager
def serving() -> Iterator[str]:
    """Run examples/serve_echo.py, and end it as a service is ended."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "examples/serve_echo.py", "tcp://127.0.0.1:0"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline().split()[-1]
        process.terminate()
        assert process.wait(timeout=10) == 0
        assert process.communicate()[1] == ""
    finally:
        process.kill()
        process.communicate()


class Site(BaseHTTPRequestHandler):
    """Answers a form by GET and by POST with what it held, and any page with its name."""

    def do_GET(self) -> None:
        where = urlsplit(self.path)
        self.answer(f"page {where.path} {parse_qs(where.query)} " + "x" * 200)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(f"posted {parse_qs(body.decode())}")

    def answer(self, text: str) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            self.wfile.write(text.encode())

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def site() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_sockets_are_opened_and_talked_over() -> None:
    with serving() as url:
        assert run("open_socket.py", url).splitlines()[-1] == "closed"
        said = run("read_write.py", url)
    assert "received b'HELLO\\n'" in said
    assert "received into the buffer b'AND INTO A BUFFER\\n'" in said
    assert "then the end: b''" in said


def test_a_page_is_read_whole_and_its_first_bytes(site: str) -> None:
    said = run("http_get.py", f"{site}/hello")
    assert "200" in said
    assert "page /hello" in said


def test_a_form_is_sent_by_get_and_by_post(site: str) -> None:
    said = run("http_post.py", f"{site}/form")
    assert f"GET {site}/form?name=alice" in said
    assert "posted {'name': ['alice']" in said
    assert said.count("200 OK") == 2


def test_jobs_are_composed(site: str) -> None:
    with serving() as url:
        assert run("compose_jobs.py", f"{site}/one", f"{site}/two", url)


def test_every_example_is_run_somewhere() -> None:
    assert set(EXAMPLES) == RUN_HERE | set(RUN_ELSEWHERE)
    for name, place in RUN_ELSEWHERE.items():
        assert name.removesuffix(".py") in (ROOT / place).read_text()


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_short_and_begins_with_what_it_shows(name: str) -> None:
    lines = (ROOT / "examples" / name).read_text().splitlines()
    assert lines[0].startswith('"""')
    assert f"examples/{name}" in lines[0]
    assert len(lines) <= 85
