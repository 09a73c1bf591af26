"""trace: what happens inside of calls, step by step, told to whoever wants to hear.

Every call of asyncnet runs under a `deadline()` that names its place and its operation, and says `phase()` where it
waits for something else; both are heard here. Without a sink that costs a look at one attribute.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Literal

from asyncnet.deadline import Deadline, Listener, listener
from asyncnet.endpoint import Endpoint
from asyncnet.errors import printable

_logger = logging.getLogger(__name__)

Kind = Literal["resolve", "connect", "tls", "auth", "request", "first_byte", "done", "error"]

_STEPS: dict[str, Kind] = {
    "resolve": "resolve",
    "connect": "connect",
    "TLS handshake": "tls",
    "login": "auth",
    "AUTH": "auth",
}
"""phase -> the step that it is; what else is waited for is no event of its own"""

_MAX_DETAIL = 100
_numbers = count(1)


@dataclass(frozen=True, slots=True)
class TraceEvent:
    """One step of one call, told when it is over.

    Args:
        kind: `resolve`, `connect`, `tls`, `auth`: that was done, and took `seconds`. `request`: a request is sent from
            now on. `first_byte`: its answer begins, `seconds` after that. `done` or `error`: the call is over, after
            `seconds` in all. Each call ends by exactly one of these two; steps that were not needed, as on a
            connection that was kept, are not told, and there may be several requests.
        at: when, on the clock `time.monotonic`.
        call: a number that tells the calls of this process apart.
        endpoint: where the call goes, as a URL without its query.
        operation: what was being done: of a request the request's (`GET`, `SELECT`), else the call's (`fetch`).
        detail: what came of it, in a few words without secrets: an address, the TLS version, the login's mechanism, a
            status, a number of bytes; of an error its class, and what was being waited for.
        seconds: how long it took.
    """

    kind: Kind
    at: float
    call: int
    endpoint: str
    operation: str
    detail: str = ""
    seconds: float = 0.0


Trace = Callable[[TraceEvent], None]
"""A sink: takes each event at once, in the task that makes the call. It should be quick, and cannot wait."""


@contextlib.contextmanager
def tracing(sink: Trace | None) -> Iterator[None]:
    """Tell `sink` of every call that begins inside of the block, also in tasks that are started there.

    Args:
        sink: who hears; None is nobody.

    A call that goes on after the block is told to its end. Blocks may be nested: each sink hears, and one that is there
    already hears once. What a sink raises is logged, once for each block, and harms no call.
    """
    around = listener()
    if sink is None or (isinstance(around, _Hearing) and around.reaches(sink)):
        yield
        return
    with heard_by(_Sink(sink)):
        yield


@contextlib.contextmanager
def heard_by(ear: Listener) -> Iterator[None]:
    """Let `ear` hear every call inside of the block, beside whoever hears already."""
    around = listener()
    scope = Deadline(None, None, None)
    scope.listener = ear if around is None else _Both(around, ear)
    with scope:
        yield


@contextlib.contextmanager
def untraced() -> Iterator[None]:
    """Tell nobody of what is done inside of the block: what we do on our own account, between the calls of others."""
    if listener() is None:
        yield
        return
    scope = Deadline(None, None, None)
    scope.listener = _Hearing()
    with scope:
        yield


def log_to(logger: logging.Logger, level: int = logging.DEBUG) -> Trace:
    """Give a sink that writes one line for each event: `7 imaps://mail.example.org tls 31.2 ms: TLSv1.3`."""

    def sink(event: TraceEvent) -> None:
        logger.log(
            level,
            "%d %s %s %s %.1f ms%s",
            event.call,
            event.endpoint,
            event.operation,
            event.kind,
            event.seconds * 1000,
            f": {event.detail}" if event.detail else "",
        )

    return sink


def asked(operation: str) -> None:
    """Tell that a request goes out now."""
    here = listener()
    if here is not None:
        here.asked(operation)


def answered(detail: object = "") -> None:
    """Tell that the answer to it begins; a second time is not told."""
    here = listener()
    if here is not None:
        here.answered(detail)


def noted(detail: object) -> None:
    """Tell what came of the step that is going on, or else of the call."""
    here = listener()
    if here is not None:
        here.noted(detail)


class _Hearing:
    """Hears nothing."""

    def enter(self, limit: Deadline) -> Listener:
        return self

    def leave(self, limit: Deadline, error: BaseException | None) -> None:
        pass

    def phase(self, name: str) -> None:
        pass

    def asked(self, operation: str) -> None:
        pass

    def answered(self, detail: object) -> None:
        pass

    def noted(self, detail: object) -> None:
        pass

    def reaches(self, sink: Trace) -> bool:
        """Whether `sink` hears what is heard here."""
        return False


class _Sink(_Hearing):
    """A sink, where no call is under way."""

    def __init__(self, sink: Trace) -> None:
        self._sink = sink
        self._has_failed = False

    def enter(self, limit: Deadline) -> Listener:
        """Begin a call: it has a place and an operation, where a limit of time alone has not. A goodbye is none."""
        is_call = limit.endpoint is not None and limit.operation not in (None, "close")
        return _Call(self, limit) if is_call else self

    def reaches(self, sink: Trace) -> bool:
        return self._sink is sink

    def tell(self, event: TraceEvent) -> None:
        """Hand the event over."""
        try:
            self._sink(event)
        except Exception:
            if not self._has_failed:
                self._has_failed = True
                _logger.exception("the sink of a trace failed; it is not said again")


class _Call(_Hearing):
    """One call, from the deadline that it began with to the end of that one."""

    def __init__(self, sink: _Sink, limit: Deadline) -> None:
        self._sink = sink
        self._owner: Deadline | None = limit
        self._number = next(_numbers)
        self._origin = _origin(limit)
        self._endpoint = printable(getattr(limit.endpoint, "redacted", None) or str(limit.endpoint))
        self._operation = limit.operation or ""
        self._step: Kind | None = None
        self._request: str | None = None
        self._waits = ""
        self._detail: object = ""
        self._began = self._since = self._sent = time.monotonic()

    def enter(self, limit: Deadline) -> Listener:
        """Take it for a part of this call, unless it goes to another place."""
        return self if _origin(limit) in (None, self._origin) else _Call(self._sink, limit)

    def leave(self, limit: Deadline, error: BaseException | None) -> None:
        """End the step that was going on, and the call if it was this one's deadline."""
        is_good = error is None or isinstance(error, GeneratorExit)
        if is_good:
            self._end_step()
        if limit is not self._owner:
            return
        if is_good:
            self._tell("done", self._operation, self._detail, self._began)
        else:
            what = f"{type(error).__name__} in {self._waits}" if self._waits else type(error).__name__
            self._tell("error", self._operation, what, self._began)
        self._owner = None

    def phase(self, name: str) -> None:
        self._end_step()
        self._detail = ""  # of a step that is no event
        self._step, self._waits, self._since = _STEPS.get(name), name, time.monotonic()

    def asked(self, operation: str) -> None:
        self._end_step()
        self._request, self._waits, self._sent = operation, operation, time.monotonic()
        self._tell("request", operation, "", self._sent)

    def answered(self, detail: object) -> None:
        request, self._request = self._request, None
        if request is not None:
            self._tell("first_byte", request, detail, self._sent)

    def noted(self, detail: object) -> None:
        self._detail = detail

    def reaches(self, sink: Trace) -> bool:
        return self._sink.reaches(sink)

    def _end_step(self) -> None:
        step, self._step = self._step, None
        if step is not None:
            detail, self._detail = self._detail, ""
            self._tell(step, self._operation, detail, self._since)

    def _tell(self, kind: Kind, operation: str, detail: object, since: float) -> None:
        if self._owner is None:
            return  # a task outlived its call
        now = time.monotonic()
        shown = printable(str(detail), max_characters=_MAX_DETAIL)
        self._sink.tell(TraceEvent(kind, now, self._number, self._endpoint, operation, shown, now - since))


class _Both(_Hearing):
    """Two of them."""

    def __init__(self, one: Listener, other: Listener) -> None:
        self._two = (one, other)

    def enter(self, limit: Deadline) -> Listener:
        one, other = (each.enter(limit) for each in self._two)
        return _Both(one, other)

    def leave(self, limit: Deadline, error: BaseException | None) -> None:
        for each in self._two:
            each.leave(limit, error)

    def phase(self, name: str) -> None:
        for each in self._two:
            each.phase(name)

    def asked(self, operation: str) -> None:
        for each in self._two:
            each.asked(operation)

    def answered(self, detail: object) -> None:
        for each in self._two:
            each.answered(detail)

    def noted(self, detail: object) -> None:
        for each in self._two:
            each.noted(detail)

    def reaches(self, sink: Trace) -> bool:
        return any(isinstance(each, _Hearing) and each.reaches(sink) for each in self._two)


def _origin(limit: Deadline) -> str | None:
    return limit.endpoint.origin if isinstance(limit.endpoint, Endpoint) else None
