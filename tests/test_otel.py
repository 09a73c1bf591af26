"""otel.py: one span for each call, with its steps below, in the place where the call was made, and no secret."""

import sys

import pytest

from asyncnet import Credentials, http, imap
from asyncnet.deadline import deadline, phase
from asyncnet.endpoint import Endpoint
from asyncnet.errors import ConnectError, UsageError
from asyncnet.otel import otel_trace
from asyncnet.trace import asked, noted, tracing
from tests.mailroom import Mailroom
from tests.peers import Authority, Script

sdk = pytest.importorskip("opentelemetry.sdk.trace", reason="the SDK of OpenTelemetry is not installed")
export = pytest.importorskip("opentelemetry.sdk.trace.export")
in_memory = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter")

ALICE = Credentials("alice", "correct horse")


class Exported:
    """What was exported, the first that ended first."""

    def __init__(self) -> None:
        self.exporter = in_memory.InMemorySpanExporter()
        self.provider = sdk.TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(export.SimpleSpanProcessor(self.exporter))
        self.sink = otel_trace(self.provider)

    def named(self, name: str):
        (span,) = [span for span in self.exporter.get_finished_spans() if span.name == name]
        return span

    @property
    def names(self) -> list[str]:
        return [span.name for span in self.exporter.get_finished_spans()]


@pytest.fixture
def exported() -> Exported:
    return Exported()


async def test_a_request_is_a_span_and_its_steps_are_below(exported: Exported, authority: Authority) -> None:
    answer = "S: HTTP/1.1 404 No\nS: Content-Length: 0\nS:\n"
    async with Script(f"until \\r\\n\\r\\n\n{answer}", tls=authority.server) as peer:
        url = f"https://{peer.address}/page?token=hidden"
        with exported.provider.get_tracer("mine").start_as_current_span("mine") as mine, tracing(exported.sink):
            await http.get(url, ALICE, tls=authority.client())
    span = exported.named("GET")
    assert span.parent.span_id == mine.get_span_context().span_id
    assert dict(span.attributes) == {
        "url.full": f"https://{peer.address}/page?...",
        "network.protocol.name": "http",
        "server.address": peer.host,
        "server.port": peer.port,
        "network.peer.address": peer.host,
        "tls.protocol.version": "1.3",
        "http.request.method": "GET",
        "http.response.status_code": 404,
    }
    assert span.kind.name == "CLIENT"
    assert span.status.status_code.name == "UNSET"
    assert [event.name for event in span.events] == ["request", "first_byte"]
    steps = [exported.named(name) for name in ("resolve", "connect", "tls")]
    assert all(step.parent.span_id == span.context.span_id for step in steps)
    times = [time for step in steps for time in (step.start_time, step.end_time)]
    assert times == sorted(times)
    assert span.start_time <= times[0]
    assert times[-1] <= span.end_time
    text = "".join(span.to_json() for span in exported.exporter.get_finished_spans())
    assert not any(secret in text for secret in ("horse", "hidden", "Basic"))


async def test_mail_is_told_alike(exported: Exported) -> None:
    async with Script(Mailroom(messages=1), check=False) as peer:
        with tracing(exported.sink):
            await imap.fetch(f"imap://{peer.address}/INBOX", ALICE)
    assert exported.names == ["resolve", "connect", "auth", "fetch"]
    assert exported.named("auth").attributes["asyncnet.detail"] == "LOGIN"
    assert "http.request.method" not in exported.named("fetch").attributes
    assert exported.named("fetch").attributes["network.protocol.name"] == "imap"


async def test_a_failure_has_its_type_and_no_step_that_did_not_end_well(exported: Exported) -> None:
    with tracing(exported.sink), pytest.raises(ConnectError):
        await http.get("http://127.0.0.1:1/")
    span = exported.named("GET")
    assert span.status.status_code.name == "ERROR"
    assert span.status.description == "ConnectError in connect"
    assert span.attributes["error.type"] == "ConnectError"
    assert exported.names == ["resolve", "GET"]


async def test_odd_places_are_told_as_far_as_they_go(exported: Exported) -> None:
    with tracing(exported.sink):
        for place in (Endpoint.parse("unix:///run/x.sock"), "an event stream", Endpoint.parse(f"http://h/{'x' * 999}")):
            async with deadline(None, place, "fetch"):
                phase("connect")
                noted("")
    unix, odd, long = [span.attributes for span in exported.exporter.get_finished_spans() if span.name == "fetch"]
    assert unix["server.address"] == "/run/x.sock"
    assert "server.port" not in unix
    assert dict(odd) == {"url.full": "an event stream"}
    assert long["url.full"].endswith("...")


async def test_a_call_of_very_many_requests_is_bounded(exported: Exported, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asyncnet.otel._MAX_EVENTS", 3)
    with tracing(exported.sink):
        async with deadline(None, Endpoint.parse("imap://h"), "fetch"):
            for _ in range(10):
                asked("FETCH")
    assert len(exported.named("fetch").events) == 3
    assert exported.sink._calls == {}  # type: ignore[attr-defined]


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", None)
    with pytest.raises(UsageError, match=r"asyncnet\[otel\]"):
        otel_trace()
