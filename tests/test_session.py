"""session.py: open, one call at a time, close; held to by a protocol of a few lines that lives in memory."""

import asyncio
import contextlib
import math
import ssl
from collections.abc import Callable
from typing import ClassVar

import pytest

from asyncnet import session as module
from asyncnet.credentials import Credentials
from asyncnet.deadline import phase
from asyncnet.endpoint import Endpoint
from asyncnet.errors import (
    AuthenticationError,
    ClosedError,
    ConnectError,
    DeadlineError,
    DisconnectedError,
    InvalidEndpoint,
    NetError,
    ProtocolError,
    RefusedError,
    TLSError,
    UsageError,
)
from asyncnet.proxy import Proxy
from asyncnet.session import Session
from asyncnet.tls import client_context, default_client_context
from asyncnet.translation import TALKING, Translations
from tests.cancelling import cancelled_at_each_await
from tests.clock import MS

SOON = 20 * MS
ALICE = Credentials("alice", "hunter2")


class Library(Exception):
    """What a library underneath raises."""


class Memo(Session):
    """A protocol in memory: what it does is written into `log`, where it gets stuck or fails is said by `fault`."""

    protocol: ClassVar[str] = "imap"
    translations: ClassVar[Translations] = ((Library, ProtocolError), *TALKING)

    def __init__(self, *arguments: object, **options: object) -> None:
        super().__init__(*(arguments or ("imap://localhost",)), **options)  # type: ignore[arg-type]
        self.log: list[str] = []
        self.faults: dict[str, BaseException | str] = {}
        self.settling = 0

    async def _step(self, name: str) -> None:
        self.log.append(name)
        await asyncio.sleep(0)
        fault = self.faults.get(name)
        if fault == "stuck":
            await asyncio.Event().wait()
        if isinstance(fault, BaseException):
            raise fault

    async def _open(self) -> None:
        phase("greeting")
        await self._step("open")
        phase("login")
        await self._step("login")

    async def _goodbye(self) -> None:
        await self._step("goodbye")

    def _abort(self) -> None:
        self.log.append("abort")

    async def _settle(self) -> None:
        for _ in range(self.settling):
            await asyncio.sleep(0)
        self.log.append("settled")

    async def noop(self, *, timeout: float | None = None) -> None:
        await self.note("noop", timeout=timeout)

    async def note(self, name: str = "note", *, timeout: float | None = None) -> str:
        async with self._call(name.upper(), timeout):
            await self._step(name)
            await self._step(f"/{name}")
        return name


def closed_by(session: Memo) -> str:
    """Why the session is closed, as the next call says it."""
    with pytest.raises(ClosedError) as caught:
        session._check_open("NOOP")
    assert not session.is_open
    assert not caught.value.transient
    return str(caught.value)


async def test_a_session_opens_works_says_goodbye_and_closes() -> None:
    async with Memo() as session:
        assert session.is_open
        assert await session.note() == "note"
        assert session.log == ["open", "login", "note", "/note"]
    assert session.log == ["open", "login", "note", "/note", "goodbye", "abort", "settled"]
    assert "aclose() was called" in closed_by(session)


async def test_calls_take_turns_in_the_order_they_came() -> None:
    async with Memo() as session:
        await asyncio.gather(*(session.note(name) for name in "abc"))
        assert session.log[2:] == ["a", "/a", "b", "/b", "c", "/c"]


async def test_waiting_for_the_turn_counts_into_the_deadline_and_harms_nobody() -> None:
    async with Memo() as session:
        session.faults["slow"] = "stuck"
        slow = asyncio.create_task(session.note("slow"))
        await asyncio.sleep(0)
        with pytest.raises(DeadlineError, match=r"^QUICK imap://localhost: not done within"):
            await session.note("quick", timeout=SOON)
        assert session.is_open
        assert "quick" not in session.log
        assert not slow.done()
        slow.cancel()
        with pytest.raises(asyncio.CancelledError):
            await slow


async def test_cancelled_in_the_queue_a_call_harms_nobody() -> None:
    async with Memo() as session:
        first = asyncio.create_task(session.note("first"))
        second = asyncio.create_task(session.note("second"))
        await asyncio.sleep(0)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        assert await first == "first"
        assert await session.note("third") == "third"
        assert "second" not in session.log


async def test_a_deadline_closes_the_session_at_once_and_without_a_goodbye() -> None:
    async with Memo() as session:
        session.faults["/note"] = "stuck"
        with pytest.raises(DeadlineError) as caught:
            await session.note(timeout=SOON)
        assert (caught.value.operation, caught.value.seconds) == ("NOTE", SOON)
        assert session.log[-2:] == ["abort", "settled"]
        assert "NOTE was cut short" in closed_by(session)
    assert "goodbye" not in session.log


async def test_the_sessions_own_timeout_holds_for_each_call_afresh() -> None:
    async with Memo(timeout=SOON) as session:
        for _ in range(5):
            await session.note()
        session.faults["note"] = "stuck"
        with pytest.raises(DeadlineError, match=f"within {SOON:g} seconds"):
            await session.note()


@pytest.mark.parametrize("own", [None, SOON])
async def test_infinity_is_no_limit_for_one_call(own: float | None) -> None:
    async with Memo(timeout=own) as session:
        session.faults["note"] = "stuck"
        call = asyncio.create_task(session.note(timeout=math.inf))
        await asyncio.sleep(2 * SOON)
        assert not call.done()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call


async def test_a_cancelled_call_closes_the_session_without_a_goodbye() -> None:
    async with Memo() as session:
        session.faults["note"] = "stuck"
        call = asyncio.create_task(session.note())
        await asyncio.sleep(SOON)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert "NOTE was cut short" in closed_by(session)
    assert "goodbye" not in session.log


@pytest.mark.parametrize(
    "refusal",
    [RefusedError(code="NO", text="no such mailbox"), AuthenticationError(code="NO"), UsageError("a line break in it")],
    ids=lambda error: type(error).__name__,
)
async def test_a_refusal_leaves_the_session_open(refusal: NetError) -> None:
    async with Memo() as session:
        session.faults["note"] = refusal
        with pytest.raises(type(refusal)) as caught:
            await session.note()
        assert caught.value is refusal
        assert (refusal.operation, refusal.endpoint) == ("NOTE", "imap://localhost")
        assert session.is_open
        assert await session.note("again") == "again"
    assert "goodbye" in session.log


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (ProtocolError("nonsense"), ProtocolError),
        (Library("nonsense"), ProtocolError),
        (ConnectionResetError(), DisconnectedError),
        (EOFError(), DisconnectedError),
        (ZeroDivisionError(), ZeroDivisionError),
    ],
    ids=repr,
)
async def test_whatever_else_goes_wrong_closes_the_session(fault: Exception, kind: type[Exception]) -> None:
    async with Memo() as session:
        session.faults["note"] = fault
        with pytest.raises(kind):
            await session.note()
        assert f"NOTE ended by {kind.__name__}" in closed_by(session)
        with pytest.raises(ClosedError):
            await session.note()
    assert "goodbye" not in session.log


async def test_who_waited_for_the_turn_of_a_spoilt_session_is_told_so() -> None:
    async with Memo() as session:
        session.faults["first"] = ConnectionResetError()
        first, second = asyncio.create_task(session.note("first")), asyncio.create_task(session.note("second"))
        with pytest.raises(DisconnectedError):
            await first
        with pytest.raises(ClosedError, match=r"^SECOND imap://localhost: the session is closed: FIRST ended by"):
            await second
        assert "second" not in session.log


# Opening.


async def test_before_it_is_open_a_session_takes_no_call() -> None:
    session = Memo()
    with pytest.raises(ClosedError, match="use async with"):
        await session.note()
    assert session.log == []
    assert not session.is_open


async def test_a_call_made_while_it_opens_waits_for_the_opening() -> None:
    session = Memo()
    opening, call = asyncio.create_task(session.open()), asyncio.create_task(session.note())
    assert await call == "note"
    assert await opening is session
    assert session.log == ["open", "login", "note", "/note"]
    await session.aclose()


async def test_a_call_made_while_the_opening_fails_is_told_so() -> None:
    session = Memo()
    session.faults["login"] = AuthenticationError(code="NO")
    opening, call = asyncio.create_task(session.open()), asyncio.create_task(session.note())
    with pytest.raises(AuthenticationError):
        await opening
    with pytest.raises(ClosedError, match="opening it ended by AuthenticationError"):
        await call


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (ConnectError("no route"), ConnectError),
        (ConnectionResetError(), DisconnectedError),
        (ssl.SSLError("x"), TLSError),
        (Library("nonsense"), ProtocolError),
        (AuthenticationError(code="NO"), AuthenticationError),
        (RefusedError(code="BYE"), RefusedError),
        (ZeroDivisionError(), ZeroDivisionError),
    ],
    ids=repr,
)
async def test_a_failed_opening_leaves_the_session_closed_for_good(fault: Exception, kind: type[Exception]) -> None:
    session = Memo()
    session.faults["login"] = fault
    with pytest.raises(kind):
        async with session:
            raise AssertionError("it did not open")
    assert session.log == ["open", "login", "abort", "settled"]
    assert "opening it ended by" in closed_by(session)
    with pytest.raises(ClosedError, match="opened once"):
        await session.open()


async def test_a_deadline_of_the_opening_names_the_phase() -> None:
    session = Memo(timeout=SOON)
    session.faults["login"] = "stuck"
    with pytest.raises(DeadlineError, match=r"^open imap://localhost: not done within .* \(in login\)$"):
        await session.open()
    assert session.log[-2:] == ["abort", "settled"]
    assert "opening it was cut short" in closed_by(session)


async def test_the_opening_takes_a_timeout_of_its_own() -> None:
    session = Memo(timeout=None)
    session.faults["open"] = "stuck"
    with pytest.raises(DeadlineError, match=f"within {SOON:g} seconds"):
        await session.open(timeout=SOON)


async def test_a_session_is_opened_once() -> None:
    async with Memo() as session:
        with pytest.raises(ClosedError, match="opened once"):
            await session.open()
        assert session.is_open


# Closing.


async def test_closing_twice_at_once_and_before_the_opening_is_harmless() -> None:
    async with Memo() as session:
        await asyncio.gather(session.aclose(), session.aclose())
        await session.aclose()
    assert session.log.count("goodbye") == 1
    unopened = Memo()
    await unopened.aclose()
    await unopened.aclose()
    assert unopened.log == []
    with pytest.raises(ClosedError):
        await unopened.open()


async def test_a_goodbye_that_hangs_is_cut_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CLOSE_SECONDS", SOON)
    async with Memo(timeout=None) as session:
        session.faults["goodbye"] = "stuck"
    assert session.log[-3:] == ["goodbye", "abort", "settled"]


@pytest.mark.parametrize("fault", [ConnectionResetError(), Library("x"), RefusedError(code="NO"), EOFError()], ids=repr)
async def test_a_goodbye_that_fails_is_no_error(fault: Exception) -> None:
    async with Memo() as session:
        session.faults["goodbye"] = fault
    assert session.log[-3:] == ["goodbye", "abort", "settled"]


async def test_a_bug_in_the_goodbye_is_seen_and_the_session_closed() -> None:
    session = await Memo().open()
    session.faults["goodbye"] = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        await session.aclose()
    assert session.log[-2:] == ["abort", "settled"]


async def test_closing_waits_for_the_running_call() -> None:
    session = await Memo().open()
    call = asyncio.create_task(session.note())
    await asyncio.sleep(0)
    await session.aclose()
    assert await call == "note"
    assert session.log[2:] == ["note", "/note", "goodbye", "abort", "settled"]


async def test_closing_does_not_wait_for_a_stuck_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CLOSE_SECONDS", SOON)
    session = await Memo().open()
    session.faults["note"] = "stuck"
    call = asyncio.create_task(session.note())
    await asyncio.sleep(0)
    await session.aclose()
    assert session.log[-2:] == ["abort", "settled"]
    assert "goodbye" not in session.log
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)


async def test_closing_while_it_opens_ends_the_opening(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CLOSE_SECONDS", SOON)
    session = Memo()
    release = asyncio.Event()
    monkeypatch.setattr(session, "_open", release.wait)
    opening = asyncio.create_task(session.open())
    await asyncio.sleep(0)
    await session.aclose()
    assert not session.is_open
    release.set()  # whatever the protocol makes of its aborted connection: here, a success
    with pytest.raises(ClosedError):
        await opening
    assert not session.is_open


async def test_a_block_that_ends_by_an_error_closes_without_a_goodbye() -> None:
    with pytest.raises(KeyError):
        async with Memo() as session:
            raise KeyError("the user's own")
    assert "goodbye" not in session.log
    assert "its block ended by KeyError" in closed_by(session)


async def test_cancelled_at_each_await_it_leaves_nothing_and_says_no_goodbye() -> None:
    made: list[Memo] = []

    async def operation() -> None:
        made.append(Memo())
        made[-1].settling = 3
        async with made[-1] as session:
            await session.note("a")
            await asyncio.gather(session.note("b"), session.note("c"))

    assert await cancelled_at_each_await(operation) >= 8
    *cancelled, last = made
    assert last.log[-3:] == ["goodbye", "abort", "settled"]
    for session in cancelled:
        assert not session.is_open
        assert "abort" in session.log
        assert session.log.index("abort") > max(
            i for i, step in enumerate(session.log) if step not in ("abort", "settled")
        )


async def test_a_cancelled_close_drops_the_connection_at_once() -> None:
    session = await Memo().open()
    session.faults["goodbye"] = "stuck"
    closing = asyncio.create_task(session.aclose())
    await asyncio.sleep(SOON)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert session.log[-2:] == ["abort", "settled"]
    assert not session.is_open


# What it is made of.


@pytest.mark.parametrize(
    ("make", "kind", "text"),
    [
        (lambda: Memo("pop3://localhost"), UsageError, "not an endpoint of imap"),
        (lambda: Memo("imap://"), InvalidEndpoint, "host"),
        (lambda: Memo("imap://mail.example.org", ALICE), UsageError, "plaintext"),
        (lambda: Memo("imaps://bob@localhost", ALICE), UsageError, "'bob'"),
        (lambda: Memo("imaps://bob@localhost"), UsageError, "no credentials"),
        (lambda: Memo("imap://localhost", ALICE, proxy="http://127.0.0.1"), UsageError, "plaintext"),
        (lambda: Memo("imap://localhost", proxy="ftp://127.0.0.1"), InvalidEndpoint, "a proxy is"),
    ],
)
def test_what_cannot_work_is_refused_when_the_session_is_made(
    make: Callable[[], Memo], kind: type[UsageError], text: str
) -> None:
    with pytest.raises(kind, match=text) as caught:
        make()
    assert "hunter2" not in str(caught.value)


def test_a_secret_goes_where_the_caller_allows_it() -> None:
    Memo("imap://mail.example.org", ALICE, allow_plaintext_login=True)
    Memo("imap://localhost", ALICE, proxy=Proxy("http", "127.0.0.1", 1), allow_plaintext_login=True)
    Memo("imaps://mail.example.org", ALICE)
    Memo("imap+starttls://alice@mail.example.org", ALICE)


def test_the_context_is_the_callers_or_the_verifying_default() -> None:
    own = client_context()
    assert Memo("imaps://h", tls=own).context is own
    assert Memo("imap+starttls://h", tls=own).context is own
    assert Memo("imaps://h").context is default_client_context()
    assert Memo("imap://h", tls=own).context is None


async def test_a_session_shows_where_and_how_it_is_and_no_secret() -> None:
    session = Memo(Endpoint.parse("imap://alice@localhost/INBOX?x=secret"), ALICE)
    assert repr(session).endswith(".Memo imap://alice@localhost/INBOX?... new>")
    async with session:
        assert repr(session).endswith("open>")
    assert repr(session).endswith("closed>")
    assert "hunter2" not in repr(session)


async def test_a_timeout_that_is_no_length_of_time_sends_nothing() -> None:
    session = Memo(timeout=-1)
    with pytest.raises(UsageError, match="at least 0"):
        await session.open()
    assert "open" not in session.log
    async with Memo() as session:
        with pytest.raises(UsageError, match="at least 0"):
            await session.note(timeout=math.nan)
        assert session.is_open
    with contextlib.suppress(ClosedError):
        await session.note()
