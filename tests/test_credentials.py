"""credentials.py: a secret that is never shown, prompts that do not block, and logins that would disclose it."""

import asyncio
import contextlib
import copy
import functools
import os
import pickle
import pty
import select
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncnet.credentials import Credentials, check_login
from asyncnet.endpoint import Endpoint
from asyncnet.errors import NetError, RefusedError, UsageError
from tests.clock import MS

ROOT = Path(__file__).parent.parent


def test_no_form_of_credentials_shows_the_secret() -> None:
    alice = Credentials("alice", "hunter2", mechanism="plain")
    assert repr(alice) == "Credentials('alice')"
    for shown in (repr(alice), str(alice), f"{alice}", f"{alice!r:>50}", repr([alice]), repr(vars(type(alice)))):
        assert "hunter2" not in shown
    assert not hasattr(alice, "__dict__")
    assert alice.mechanism == "PLAIN"


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_credentials_are_not_pickled(protocol: int) -> None:
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(Credentials("alice", "hunter2"), protocol)


def test_credentials_are_not_pickled_inside_something_else_or_by_a_copy() -> None:
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps({"who": [Credentials("alice", "hunter2")]})
    with pytest.raises(TypeError, match="not pickled"):
        copy.copy(Credentials("alice", "hunter2"))


def test_equal_credentials_have_the_same_name_secret_and_mechanism() -> None:
    def token() -> str:
        return "t"

    alice = Credentials("alice", "pässword")
    assert alice == Credentials("alice", "pässword")
    assert hash(alice) == hash(Credentials("alice", "another"))  # the secret is not in the hash
    assert alice != Credentials("alice", "password")
    assert alice != Credentials("bob", "pässword")
    assert alice != Credentials("alice", "pässword", mechanism="PLAIN")
    assert alice != Credentials("alice", token)
    assert Credentials("alice", token) == Credentials("alice", token)
    assert Credentials("alice", token) != Credentials("alice", lambda: "t")
    assert alice != "alice"


@pytest.mark.parametrize("character", ["\0", "\n", "\r", "\t", "\x1f", "\x7f", "\udcff"])
def test_what_could_end_a_line_or_cannot_be_sent_is_refused_and_not_repeated(character: str) -> None:
    with pytest.raises(UsageError, match="in the password") as caught:
        Credentials("alice", f"hunter{character}2")
    assert "hunter" not in str(caught.value)
    with pytest.raises(UsageError, match="in the username"):
        Credentials(f"al{character}ice", "hunter2")


def test_an_empty_name_or_a_secret_of_another_kind_is_refused() -> None:
    with pytest.raises(UsageError, match="empty"):
        Credentials("", "hunter2")
    for secret in (None, b"hunter2", 5):
        with pytest.raises(UsageError, match="str") as caught:
            Credentials("alice", secret)  # type: ignore[arg-type]
        assert "hunter2" not in str(caught.value)


@given(st.text(min_size=1), st.text())
def test_any_text_makes_credentials_that_can_be_encoded_or_a_usage_error(username: str, secret: str) -> None:
    with contextlib.suppress(UsageError):
        alice = Credentials(username, secret)
        alice.username.encode()
        assert alice == Credentials(username, secret)


async def test_a_password_is_given_as_it_is() -> None:
    alice = Credentials("alice", "hunter2")
    assert not alice.is_token
    assert await alice.secret() == "hunter2"


async def test_a_callable_that_blocks_runs_off_the_loop() -> None:
    release = threading.Event()
    threads = []

    def token() -> str:
        threads.append(threading.current_thread())
        assert release.wait(10)
        return "fresh"

    alice = Credentials("alice", token)
    assert alice.is_token
    waiting = asyncio.create_task(alice.secret())
    for _ in range(5):  # the loop goes on while the callable blocks
        await asyncio.sleep(MS)
    assert not waiting.done()
    release.set()
    assert await waiting == "fresh"
    assert threads[0] is not threading.current_thread()
    assert threads[0].daemon


async def test_an_async_callable_runs_on_the_loop_however_it_is_wrapped() -> None:
    async def token(prefix: str = "") -> str:
        assert threading.current_thread() is here
        await asyncio.sleep(0)
        return f"{prefix}fresh"

    class Source:
        async def __call__(self) -> str:
            return await token("called ")

    here = threading.current_thread()
    assert await Credentials("alice", token).secret() == "fresh"
    assert await Credentials("alice", functools.partial(token, "partly ")).secret() == "partly fresh"
    assert await Credentials("alice", lambda: token("lambda ")).secret() == "lambda fresh"
    assert await Credentials("alice", Source()).secret() == "called fresh"


async def test_a_callable_is_asked_for_every_login() -> None:
    tokens = iter(["first", "second"])
    alice = Credentials("alice", lambda: next(tokens))
    assert [await alice.secret(), await alice.secret()] == ["first", "second"]


@pytest.mark.parametrize("answer", [None, "", b"token", 5, "tok\r\nen", "tok\udcffen"])
async def test_a_callable_that_returns_no_usable_token_is_a_usage_error_that_does_not_show_it(answer: object) -> None:
    with pytest.raises(UsageError) as caught:
        await Credentials("alice", lambda: answer).secret()  # type: ignore[arg-type, return-value]
    assert "tok" not in str(caught.value).replace("token", "")


@pytest.mark.parametrize("error", [FileNotFoundError("no token file"), ValueError("x"), StopIteration(), EOFError()])
async def test_a_callable_that_fails_does_not_pass_for_a_failed_connection(error: Exception) -> None:
    def token() -> str:
        raise error

    with pytest.raises(UsageError, match="the callable of the credentials raised") as caught:
        await Credentials("alice", token).secret()
    assert not isinstance(caught.value, OSError)
    assert not caught.value.transient
    assert caught.value.__cause__ is not None


async def test_an_error_of_asyncnet_passes_through_the_callable() -> None:
    refusal = RefusedError(code=503, transient=True)

    async def token() -> str:
        raise refusal

    with pytest.raises(NetError) as caught:
        await Credentials("alice", token).secret()
    assert caught.value is refusal


async def test_a_stuck_callable_can_be_cancelled() -> None:
    release = threading.Event()
    waiting = asyncio.create_task(Credentials("alice", lambda: str(release.wait(10))).secret())
    await asyncio.sleep(5 * MS)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    release.set()


# The prompt, on a real terminal.

_CHILD = """
import asyncio, os, signal, sys
os.open(sys.argv[1], os.O_RDWR)  # the leader of a session gets the first terminal that it opens
from asyncnet.credentials import Credentials
from asyncnet.errors import UsageError

async def tick():
    while True:
        await asyncio.sleep(0.005)
        print("tick", flush=True)

async def main():
    ticking = asyncio.create_task(tick())
    try:
        found = await Credentials.prompt(*sys.argv[2:])
        print("got", found.username, ascii(await found.secret()), flush=True)
    except UsageError as error:
        print("refused", error, flush=True)
    finally:
        ticking.cancel()

try:
    asyncio.run(main())
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


class Terminal:
    """A terminal of our own with a program on it."""

    def __init__(self, *arguments: str) -> None:
        self.keyboard, self.tty = pty.openpty()
        self.shown = b""
        self.program = subprocess.Popen(
            [sys.executable, "-c", _CHILD, os.ttyname(self.tty), *arguments],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            start_new_session=True,
            text=True,
        )
        assert self.program.stdout is not None
        self.output = self.program.stdout

    def see(self, text: bytes) -> None:
        """Wait until the terminal shows `text`."""
        while text not in self.shown:
            ready, _, _ = select.select([self.keyboard], [], [], 10)
            assert ready, f"only saw {self.shown!r}"
            self.shown += os.read(self.keyboard, 1000)

    def type(self, text: bytes) -> None:
        os.write(self.keyboard, text)

    @property
    def echoes(self) -> bool:
        return bool(termios.tcgetattr(self.tty)[3] & termios.ECHO)

    def read_line(self) -> str:
        """The program's next line that is no tick."""
        return next(line for line in self.output if line != "tick\n").strip()

    def close(self) -> None:
        self.program.kill()
        self.program.communicate()
        os.close(self.keyboard)
        os.close(self.tty)


@pytest.fixture
def terminal() -> Iterator[Callable[..., Terminal]]:
    opened = []

    def make(*arguments: str) -> Terminal:
        opened.append(Terminal(*arguments))
        return opened[-1]

    yield make
    for one in opened:
        one.close()


def test_the_prompt_asks_on_the_terminal_without_echo_while_the_loop_goes_on(
    terminal: Callable[..., Terminal],
) -> None:
    screen = terminal("alice")
    screen.see(b"Password for alice: ")
    assert screen.output.readline() == "tick\n"
    assert screen.output.readline() == "tick\n"
    assert not screen.echoes
    screen.type(b"hunter2\n")
    assert screen.read_line() == "got alice 'hunter2'"
    assert screen.program.wait(10) == 0
    assert b"hunter2" not in screen.shown
    assert screen.echoes


def test_the_prompt_takes_the_name_of_whoever_runs_the_program(terminal: Callable[..., Terminal]) -> None:
    import getpass

    screen = terminal()
    screen.see(f"Password for {getpass.getuser()}: ".encode())
    screen.type("pässword\n".encode())
    assert screen.read_line() == f"got {getpass.getuser()} 'p\\xe4ssword'"


def test_the_end_of_input_at_the_prompt_is_a_usage_error(terminal: Callable[..., Terminal]) -> None:
    screen = terminal("alice")
    screen.see(b"Password")
    screen.type(b"\x04")
    assert screen.read_line() == "refused no password: the input ended at the prompt"


def test_a_control_character_typed_at_the_prompt_is_refused(terminal: Callable[..., Terminal]) -> None:
    screen = terminal("alice")
    screen.see(b"Password")
    screen.type(b"hunter\x012\n")
    line = screen.read_line()
    assert line.startswith("refused a control character")
    assert "hunter" not in line


def test_an_interrupted_prompt_gives_the_terminal_its_echo_back(terminal: Callable[..., Terminal]) -> None:
    screen = terminal("alice")
    screen.see(b"Password")
    while screen.echoes:
        time.sleep(MS)
    screen.type(b"\x03")  # Ctrl-C
    assert screen.read_line() == "interrupted"
    assert screen.program.wait(10) == 0  # though the thread still waits for the line
    assert screen.echoes


def test_without_a_terminal_the_password_comes_from_the_standard_input() -> None:
    source = """
import asyncio
from asyncnet.credentials import Credentials
found = asyncio.run(Credentials.prompt("alice"))
print(asyncio.run(found.secret()))
"""
    for typed, expected in ((b"hunter2\n", 0), (b"", 1)):
        done = subprocess.run(
            [sys.executable, "-c", source],
            cwd=ROOT,
            input=typed,
            capture_output=True,
            timeout=30,
            start_new_session=True,
            check=False,
        )
        assert done.returncode == expected
        assert (b"hunter2" in done.stdout) is not bool(expected)
    assert b"UsageError: no password: the input ended" in done.stderr


async def test_a_user_without_a_name_is_told_to_give_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError("uid not found")

    monkeypatch.setattr("getpass.getuser", nobody)
    with pytest.raises(UsageError, match="give a username"):
        await Credentials.prompt()


# Where a secret may go.

ALICE = Credentials("alice", "hunter2")


@pytest.mark.parametrize(
    "url",
    [
        "imaps://mail.example.org",
        "imap+starttls://mail.example.org",
        "imap://localhost",
        "imap://127.0.0.1",
        "imap://[::1]",
        "http://127.9.9.9",
        "imaps://alice@mail.example.org",
    ],
)
def test_a_secret_goes_over_tls_and_over_loopback(url: str) -> None:
    check_login(Endpoint.parse(url), ALICE)


@pytest.mark.parametrize(
    ("url", "remedies"),
    [
        ("imap://mail.example.org", ["imaps://", "imap+starttls://", "allow_plaintext_login"]),
        ("pop3://10.0.0.1", ["pop3s://", "pop3+starttls://", "allow_plaintext_login"]),
        ("smtp://127.0.0.1.example.org", ["smtps://", "smtp+starttls://", "allow_plaintext_login"]),
        ("http://example.org", ["https://", "allow_plaintext_login"]),
    ],
)
def test_a_secret_in_plaintext_is_refused_with_the_remedies(url: str, remedies: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        check_login(Endpoint.parse(url), ALICE)
    assert all(remedy in str(caught.value) for remedy in remedies)
    assert "hunter2" not in str(caught.value)
    assert "http+starttls" not in str(caught.value)
    check_login(Endpoint.parse(url), ALICE, allow_plaintext_login=True)


def test_behind_a_proxy_loopback_is_another_machine() -> None:
    with pytest.raises(UsageError, match="plaintext"):
        check_login(Endpoint.parse("imap://localhost"), ALICE, proxied=True)
    check_login(Endpoint.parse("imaps://localhost"), ALICE, proxied=True)
    check_login(Endpoint.parse("imap://localhost"), ALICE, proxied=True, allow_plaintext_login=True)


def test_a_url_that_names_another_user_contradicts_the_credentials() -> None:
    with pytest.raises(UsageError, match="'bob', the credentials 'alice'"):
        check_login(Endpoint.parse("imaps://bob@h"), ALICE)
    with pytest.raises(UsageError, match="no credentials"):
        check_login(Endpoint.parse("imaps://bob@h"), None)
    check_login(Endpoint.parse("imap://h"), None)
