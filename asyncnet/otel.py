"""OpenTelemetry: a sink of `trace` that makes one span of each call, and one below it of each step (extra `otel`)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from asyncnet.endpoint import Endpoint
from asyncnet.errors import NetError, UsageError
from asyncnet.trace import Trace, TraceEvent

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer, TracerProvider

_MAX_EVENTS = 1000
"""Of one call; what comes after, but for its end, is left out."""

_ENDS = ("done", "error")
_INSTANTS = ("request", "first_byte")


def otel_trace(provider: TracerProvider | None = None) -> Trace:
    """Give a sink that reports each call as a span: `Client(trace=otel_trace())`, or `with tracing(otel_trace()):`.

    A span is the child of the one that is current where the call is made. Its name is the operation, its kind CLIENT,
    its attributes those of the semantic conventions: `server.address`, `server.port`, `network.protocol.name`,
    `url.full` (without the query), `network.peer.address`, `tls.protocol.version`, `error.type`, and for HTTP
    `http.request.method` and `http.response.status_code`. Below it `resolve`, `connect`, `tls` and `auth` are spans of
    their own; `request` and `first_byte` are its events. No secret is in any of it.

    Args:
        provider: whose tracer makes the spans; None takes the global one.

    Raises:
        UsageError: the OpenTelemetry API is not installed.
    """
    try:
        from opentelemetry.trace import get_tracer
    except ImportError as error:
        raise UsageError("OpenTelemetry is not installed: pip install 'asyncnet[otel]'") from error
    return _Spans(get_tracer("asyncnet", tracer_provider=provider))


class _Spans:
    """Collects the events of each call, and makes the spans at its end, when all is known."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._calls: dict[int, list[TraceEvent]] = {}

    def __call__(self, event: TraceEvent) -> None:
        if event.kind in _ENDS:
            self._report([*self._calls.pop(event.call, []), event])
            return
        events = self._calls.setdefault(event.call, [])
        if len(events) < _MAX_EVENTS:
            events.append(event)

    def _report(self, events: list[TraceEvent]) -> None:
        from opentelemetry.trace import SpanKind, StatusCode, set_span_in_context

        end = events[-1]
        clock = time.time_ns() - time.monotonic_ns()

        def at(seconds: float) -> int:
            return clock + int(seconds * 1e9)

        span = self._tracer.start_span(
            end.operation, kind=SpanKind.CLIENT, attributes=_attributes(events), start_time=at(end.at - end.seconds)
        )
        within = set_span_in_context(span)
        for event in events[:-1]:
            if event.kind in _INSTANTS:
                span.add_event(event.kind, _told(event), at(event.at))
            else:
                step = self._tracer.start_span(
                    event.kind, within, attributes=_told(event), start_time=at(event.at - event.seconds)
                )
                step.end(at(event.at))
        if end.kind == "error":
            span.set_status(StatusCode.ERROR, end.detail)
        span.end(at(end.at))


def _told(event: TraceEvent) -> dict[str, str]:
    told = {"asyncnet.operation": event.operation}
    return told | {"asyncnet.detail": event.detail} if event.detail else told


def _attributes(events: list[TraceEvent]) -> Mapping[str, str | int]:
    """Give what the semantic conventions have names for."""
    end = events[-1]
    found: dict[str, str | int] = {"url.full": end.endpoint}
    try:
        place = Endpoint.parse(end.endpoint.removesuffix("?..."))
    except NetError:  # it was too long to be told in full
        place = None
    if place is not None:
        found["network.protocol.name"] = place.protocol
        found["server.address"] = place.path if place.is_unix else place.host
        if not place.is_unix:
            found["server.port"] = place.port
    if end.kind == "error":
        found["error.type"] = end.detail.partition(" ")[0]
    for event in events[:-1]:
        if event.kind == "connect" and event.detail:
            found["network.peer.address"] = event.detail
        elif event.kind == "tls":
            found["tls.protocol.version"] = event.detail.removeprefix("TLSv")
        elif place is not None and place.protocol == "http" and event.kind == "request":
            found["http.request.method"] = event.operation
        elif place is not None and place.protocol == "http" and event.kind == "first_byte" and event.detail.isdigit():
            found["http.response.status_code"] = int(event.detail)
    return found
