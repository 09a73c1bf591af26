"""ThreadedLab: a lab on an event loop in a thread of its own, for tests without a loop, or with one of another kind.

What is asked of it is done in that thread, one thing after another; its methods may be called from any thread.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import ssl
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from email.message import EmailMessage
from types import TracebackType
from typing import Any, TypeVar

from asyncnet.credentials import Credentials
from asyncnet.errors import DeadlineError, UsageError, printable
from asyncnet.lab.chaos import USUAL, Chaos
from asyncnet.lab.dialogue import Dialogue
from asyncnet.lab.echo import EchoService
from asyncnet.lab.faults import PROTOCOLS, Faults
from asyncnet.lab.lab import Lab
from asyncnet.lab.mailbox import Mailbox, StoredMessage
from asyncnet.lab.recorded import Recorded
from asyncnet.lab.sent import Sent
from asyncnet.lab.service import LineService
from asyncnet.lab.store import Account
from asyncnet.lab.web import WebService

T = TypeVar("T")

GRACE_SECONDS = 1.0
"""So long may a session that is ending already take to end."""

_PATIENCE = 30.0
"""Seconds for what takes milliseconds; beyond, something is stuck, and that is better said than waited for."""


class ThreadedLab:
    """A lab in a thread; `with` starts and stops it.

    Args:
        make: makes the lab, in that thread; None is a lab with one account, `me`.

    Attributes:
        lab: the lab itself; whoever touches it from another thread does so by `call`, or only reads.
        left: after the end, what the lab's clients and the lab left open, a line each.

    Raises:
        NetError: on entering, what `Lab.start` raises. Nothing is left running.
    """

    lab: Lab

    def __init__(self, make: Callable[[], Lab] | None = None) -> None:
        self._make = make if make is not None else Lab
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        self.left: list[str] = []

    # Its life.

    def start(self) -> None:
        """Start the thread, and the lab in it; returns when the servers listen.

        Raises:
            UsageError: it has been started before.
            NetError: what `Lab.start` raises.
        """
        if self._thread is not None:
            raise UsageError("this lab has been started already")
        started: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._thread = threading.Thread(target=self._live, args=(started,), name="asyncnet-lab", daemon=True)
        self._thread.start()
        try:
            started.result(_PATIENCE)
        except BaseException:  # it has failed, or Ctrl-C came meanwhile
            self.close()
            raise

    def close(self) -> None:
        """Stop the lab and its thread; sessions open still get a second, and are in `left` then. Idempotent."""
        thread, loop = self._thread, self._loop
        if thread is None:
            return
        if loop is None:  # the thread has only just begun: it finds this when it comes to wait
            self._stop.set()
        else:
            with contextlib.suppress(RuntimeError):  # the loop is closed: it has ended before
                loop.call_soon_threadsafe(self._stop.set)
        thread.join(_PATIENCE)
        if thread.is_alive():
            self.left.append("the lab's thread does not end")

    def __enter__(self) -> ThreadedLab:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _live(self, started: concurrent.futures.Future[None]) -> None:
        try:
            with asyncio.Runner() as runner:
                runner.run(self._serve(started))
        except BaseException as error:
            if not started.done():
                started.set_exception(error)
            else:
                self.left.append(f"the lab has failed: {type(error).__name__}: {printable(str(error))}")

    async def _serve(self, started: concurrent.futures.Future[None]) -> None:
        self._loop = asyncio.get_running_loop()
        self.lab = self._make()
        async with self.lab:
            started.set_result(None)
            await self._stop.wait()
            self.left += await _open_sessions(self.lab)
        mine = asyncio.current_task()
        self.left += [f"a task of the lab runs on: {task!r}" for task in asyncio.all_tasks() if task is not mine]

    # From thread to thread.

    def call(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Call a plain function in the lab's thread, and give its result, or raise what it raises."""

        async def called() -> T:
            return function(*args, **kwargs)

        return self.wait(called())

    def wait(self, work: Coroutine[Any, Any, T], timeout: float | None = _PATIENCE) -> T:
        """Run a coroutine on the lab's loop, and wait for it in this thread.

        Raises:
            UsageError: the lab does not run, or this is its own thread, which would wait for itself.
            DeadlineError: it has not ended within `timeout` seconds; it is cancelled.
        """
        loop = self._loop
        if loop is None or loop.is_closed() or threading.current_thread() is self._thread:
            work.close()
            raise UsageError("this lab does not run, or is asked from its own thread")
        doing = asyncio.run_coroutine_threadsafe(work, loop)
        try:
            return doing.result(timeout)
        except concurrent.futures.TimeoutError:
            if doing.done():  # its own: on 3.11 both are one class
                raise
            doing.cancel()
            raise DeadlineError(f"not done within {timeout:g} seconds", seconds=timeout or 0.0) from None

    # What a Lab does.

    @property
    def smtp(self) -> LineService:
        """The SMTP server: `url`, `starttls_url`, `tls_url`, `port`, `tls_port`."""
        return self.lab.smtp

    @property
    def pop3(self) -> LineService:
        """The POP3 server."""
        return self.lab.pop3

    @property
    def imap(self) -> LineService:
        """The IMAP server."""
        return self.lab.imap

    @property
    def http(self) -> WebService:
        """The web server; see asyncnet/lab/web_routes.py for its pages, and `answer` for your own."""
        return self.lab.http

    @property
    def echo(self) -> EchoService:
        """The echo server: `tcp://` and `tls://`."""
        return self.lab.echo

    @property
    def faults(self) -> Faults:
        """What goes wrong, and when: `faults.on("imap", "FETCH", cut_after=1000)`."""
        return self.lab.faults

    @property
    def sent(self) -> list[Sent]:
        """The mails that came by SMTP so far."""
        return self.call(lambda: list(self.lab.sent))

    @property
    def requests(self) -> list[Recorded]:
        """What HTTP clients asked for so far."""
        return self.call(lambda: list(self.lab.requests))

    @property
    def dialogues(self) -> list[Dialogue]:
        """The conversations so far."""
        return self.call(lambda: list(self.lab.dialogues))

    @property
    def tls(self) -> ssl.SSLContext:
        """A fresh client's context that trusts the lab, and nobody else."""
        return self.lab.tls

    @property
    def ca_pem(self) -> bytes:
        """The certificate of the lab's authority."""
        return self.lab.ca_pem

    @property
    def credentials(self) -> Credentials:
        """The first account's."""
        return self.lab.credentials

    def credentials_of(self, username: str | None = None) -> Credentials:
        """Give an account's credentials; None is the first account."""
        return self.lab.credentials_of(username)

    def account(self, username: str | None = None) -> Account:
        """As `Lab.account`; its `username` and `secret` are for clients of other libraries."""
        return self.lab.account(username)

    def add_account(self, username: str, secret: str) -> Account:
        """As `Lab.add_account`."""
        return self.call(self.lab.add_account, username, secret)

    def mailbox(self, username: str | None = None, name: str = "INBOX") -> Mailbox:
        """As `Lab.mailbox`; to read from: `mailbox.messages` is a copy."""
        return self.call(self.lab.mailbox, username, name)

    def deliver(
        self,
        message: EmailMessage | bytes | str,
        to: str | None = None,
        *,
        mailbox: str = "INBOX",
        flags: Iterable[str] = (),
        received: datetime | None = None,
    ) -> StoredMessage:
        """As `Lab.deliver`."""
        return self.call(self.lab.deliver, message, to, mailbox=mailbox, flags=flags, received=received)

    def answer(
        self,
        path: str,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        body: bytes | str = b"",
        json: Any = None,
    ) -> None:
        """As `WebService.answer`."""
        self.call(self.lab.http.answer, path, status=status, headers=headers, body=body, json=json)

    def chaos(
        self,
        seed: int = 0,
        rate: float = 0.1,
        *,
        protocols: Iterable[str] = PROTOCOLS,
        kinds: Sequence[str] = USUAL,
    ) -> Chaos:
        """As `Lab.chaos`."""
        return self.call(self.lab.chaos, seed, rate, protocols=protocols, kinds=kinds)

    def until(self, condition: Callable[[], object], timeout: float = 5.0) -> None:
        """Wait in this thread until `condition()` is true; it is asked in the lab's thread, with `lab` at hand there.

        A test with a loop of its own would stop that loop by this: there, `await until_async(...)`.

        Raises:
            DeadlineError: it has not come true within `timeout` seconds.
        """
        self.wait(self.lab.until(condition, timeout), None)

    async def until_async(self, condition: Callable[[], object], timeout: float = 5.0) -> None:
        """Wait as `until` does, on an asyncio loop.

        Raises:
            UsageError: the lab does not run.
            DeadlineError: it has not come true within `timeout` seconds.
        """
        loop = self._loop
        if loop is None or loop.is_closed():
            raise UsageError("this lab does not run")
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self.lab.until(condition, timeout), loop))

    def restart(self, protocol: str) -> None:
        """As `Lab.restart`: all clients of a server are cut off."""
        self.wait(self.lab.restart(protocol))

    @contextlib.contextmanager
    def down(self, protocol: str) -> Iterator[None]:
        """Let a server be away inside the block: whoever connects is refused by the kernel.

        Raises:
            UsageError: there is no such server.
        """
        service: object = getattr(self.lab, protocol, None)
        if not isinstance(service, LineService):
            raise UsageError(f"the lab has no server {protocol!r}")
        stack = contextlib.AsyncExitStack()
        self.wait(stack.enter_async_context(service.down()))
        try:
            yield
        finally:
            self.wait(stack.aclose())


async def _open_sessions(lab: Lab) -> list[str]:
    """The sessions that clients have left open, after a grace for those that are ending already."""
    with contextlib.suppress(DeadlineError):
        await lab.until(lambda: all(dialogue.ended for dialogue in lab.dialogues), GRACE_SECONDS)
    return [_told(dialogue) for dialogue in lab.dialogues if not dialogue.ended]


def _told(dialogue: Dialogue) -> str:
    who = f", signed in as {printable(dialogue.username)}" if dialogue.username else ""
    last = printable(str(dialogue.lines[-1]), max_characters=200) if dialogue.lines else "nothing"
    return f"{dialogue.protocol} session {dialogue.number} of {dialogue.peer}{who} is open still; said last: {last}"
