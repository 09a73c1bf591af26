"""Event streams, values by the line, lines: at every cut the same, bounded, and reconnected only where told to."""

import asyncio
import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncnet import http
from asyncnet.errors import (
    DeadlineError,
    DisconnectedError,
    IncompleteRead,
    LimitError,
    ProtocolError,
    StatusError,
    UsageError,
)
from asyncnet.http.events import Event, EventParser
from asyncnet.http.lines import Lines
from asyncnet.retry import Retry
from tests.clock import MS
from tests.http.files import Asked, FileServer, Reply

AT_ONCE = Retry(attempts=3, first_delay=0)
KIND = {"Content-Type": "text/event-stream; charset=utf-8"}

# The examples of HTML's own text, and what else its grammar allows.
STREAMS: list[tuple[bytes, list[Event]]] = [
    (b"data: YHOO\ndata: +2\ndata: 10\n\n", [Event("YHOO\n+2\n10")]),
    (
        b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
        [Event("first event", id="1"), Event("second event"), Event(" third event")],
    ),
    (b"data\n\ndata\ndata\n\ndata:", [Event(""), Event("\n")]),
    (b"data:test\n\ndata: test\n\n", [Event("test"), Event("test")]),
    (b"event: add\r\ndata: 73857293\r\n\r\nevent: x\rdata: 2\r\r", [Event("73857293", "add"), Event("2", "x")]),
    (b"\xef\xbb\xbfdata: \xef\xbb\xbfbom\n\n", [Event("\ufeffbom")]),
    (b"event: only\nid: 7\n\ndata: x\n\n", [Event("x", id="7")]),
    (b"id: a\x00b\nid: c\ndata: x\n\nid: \x01\ndata: y\n\n", [Event("x", id="c"), Event("y", id="c")]),
    (b"unknown: x\ndata : no\n data: no\ndata:\xff\n\n", [Event("\ufffd")]),
    (b"data: not finished", []),
    (b"data: not finished\n", []),
    (b"\n\n\n", []),
]


def events_of(*blocks: bytes) -> list[Event]:
    lines, parser = Lines(1000, lone_cr=True), EventParser(1000)
    return [event for block in blocks for line in lines.feed(block) if (event := parser.feed(line)) is not None]


@pytest.mark.parametrize(("stream", "events"), STREAMS)
def test_a_stream_is_the_same_at_every_cut(stream: bytes, events: list[Event]) -> None:
    for cut in range(len(stream) + 1):
        assert events_of(stream[:cut], stream[cut:]) == events
    assert events_of(*(stream[i : i + 1] for i in range(len(stream)))) == events


@given(st.binary(max_size=300), st.lists(st.integers(1, 50), max_size=20))
def test_lines_are_those_of_the_whole_however_it_was_cut(data: bytes, sizes: list[int]) -> None:
    cuts = [0]
    for size in sizes:
        cuts.append(cuts[-1] + size)
    blocks = [data[a:b] for a, b in pairwise(cuts)] + [data[cuts[-1] :]]
    whole = [line.removesuffix(b"\r") for line in data.split(b"\n")]
    lines = Lines(1000)
    found = [line for block in blocks for line in lines.feed(block)]
    assert [*found, lines.rest().removesuffix(b"\r")] == whole
    lines = Lines(1000, lone_cr=True)
    found = [line for block in blocks for line in lines.feed(block)]
    assert [*found, lines.rest()] == data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")


def test_a_line_has_a_bound_whether_it_ends_or_not() -> None:
    for feeds in ([b"x" * 11], [b"x" * 11 + b"\n"], [b"a\n" + b"x" * 11 + b"\nb"], [b"x" * 6, b"x" * 5], [b"x"] * 11):
        lines = Lines(10)
        with pytest.raises(LimitError) as caught:
            for block in feeds:
                lines.feed(block)
        assert caught.value.limit == 10
    assert Lines(10).feed(b"x" * 10 + b"\n") == [b"x" * 10]


def test_an_event_has_a_bound() -> None:
    parser = EventParser(10)
    with pytest.raises(LimitError):
        for _ in range(10):
            parser.feed(b"data: xxxx")
    parser = EventParser(10)
    for _ in range(10):
        parser.feed(b"data: xxxx")
        assert parser.feed(b"") == Event("xxxx")


def test_a_retry_is_digits_alone() -> None:
    parser = EventParser()
    for line, seconds in (
        (b"retry: 1500", 1.5),
        (b"retry: x", 1.5),
        (b"retry: 1e9", 1.5),
        (b"retry:" + b"9" * 99, 1.5),
    ):
        parser.feed(line)
        assert parser.retry == seconds
    assert Event('{"a": 1}').json() == {"a": 1}
    with pytest.raises(ProtocolError, match="not JSON"):
        Event("{").json()


def stream(body: bytes, **fields: str) -> Reply:
    return Reply("200 OK", {**KIND, **fields}, body, cut=len(body))


async def test_events_come_as_they_are_sent() -> None:
    async with FileServer(answering=lambda asked: stream(b"data: 1\nid: x\n\nevent: e\ndata: 2\n\n")) as server:
        async with http.events(server.url) as events:
            assert [event async for event in events] == [Event("1", id="x"), Event("2", "e", "x")]
            assert events.last_event_id == "x"
        assert server.asked[0].fields["accept"] == "text/event-stream"
        assert "last-event-id" not in server.asked[0].fields


async def test_without_reconnect_a_loss_is_an_error_and_the_block_may_be_left_at_any_time() -> None:
    reply = Reply("200 OK", {**KIND, "Transfer-Encoding": "chunked"}, b"10\r\ndata: 1\nid: xy\n\n\r\n", cut=22)
    async with FileServer(answering=lambda asked: reply) as server:
        async with http.events(server.url) as events:
            assert await anext(events) == Event("1", id="xy")
            with pytest.raises(IncompleteRead):
                await anext(events)
        async with http.events(server.url) as events:
            await anext(events)
        assert len(server.asked) == 2


async def test_it_reconnects_after_the_last_event_where_told_to() -> None:
    def answering(asked: Asked) -> Reply:
        begin = int(asked.fields.get("last-event-id", "0"))
        if begin >= 6:
            return Reply("204 No Content", {"Content-Length": "0"})
        body = b"".join(b"id: %d\ndata: %d\n\n" % (number, number) for number in (begin + 1, begin + 2))
        return stream(body + b"id: 99\ndata: unfinished")

    async with FileServer(answering=answering) as server:
        async with http.events(server.url, reconnect=AT_ONCE) as events:
            assert [event.data async for event in events] == list("123456")
        assert [asked.fields.get("last-event-id") for asked in server.asked] == [None, "2", "4", "6"]
        async with http.events(server.url, reconnect=AT_ONCE, last_event_id="5") as events:
            assert [event.data async for event in events] == ["6", "7"]


async def test_it_gives_up_after_its_attempts_without_an_event() -> None:
    async with FileServer(answering=lambda asked: stream(b": nothing\n\n")) as server:
        async with http.events(server.url, reconnect=AT_ONCE) as events:
            with pytest.raises(DisconnectedError, match="the event stream ended"):
                await anext(events)
            with pytest.raises(StopAsyncIteration):
                await anext(events)
        assert len(server.asked) == 3


async def test_a_refusal_is_an_error_at_once_and_one_that_passes_is_tried_again() -> None:
    status = iter(["503 Busy", "200 OK"])
    busy = Reply("503 Busy", {"Content-Length": "0"})
    async with FileServer() as server:
        server.answering = lambda asked: busy if next(status).startswith("503") else stream(b"data: 1\n\n")
        async with http.events(server.url, reconnect=AT_ONCE) as events:
            assert (await anext(events)).data == "1"
        for reply in (busy, Reply("404 Not Found", {"Content-Length": "0"})):
            server.answering = lambda asked, reply=reply: reply
            with pytest.raises(StatusError):
                async with http.events(server.url):
                    pass


@pytest.mark.parametrize("kind", ["", "text/html", "application/json", "text/event-streams"])
async def test_what_is_no_event_stream_is_refused(kind: str) -> None:
    async with FileServer(answering=lambda asked: stream(b"data: 1\n\n", **{"Content-Type": kind})) as server:
        with pytest.raises(ProtocolError, match="no event stream"):
            async with http.events(server.url, reconnect=AT_ONCE):
                pass
        assert len(server.asked) == 1


async def test_silence_counts_as_a_loss_where_told_so() -> None:
    def answering(asked: Asked) -> Reply:
        reply = stream(b"id: 1\ndata: 1\n\n")
        reply.is_silent = asked.number == 0
        return reply

    async with FileServer(answering=answering) as server:
        async with http.events(server.url, max_silence=50 * MS) as events:
            await anext(events)
            with pytest.raises(DeadlineError, match="waiting for an event"):
                await anext(events)
        server.asked.clear()
        async with http.events(server.url, max_silence=50 * MS, reconnect=AT_ONCE) as events:
            assert [(await anext(events)).data for _ in range(2)] == ["1", "1"]
        assert len(server.asked) == 2


async def test_a_cancelled_wait_for_an_event_loses_none_and_the_deadline_ends_the_block() -> None:
    reply = stream(b"data: 1\n\ndata: 2\n\n")
    reply.is_silent = True
    async with FileServer(answering=lambda asked: reply) as server:
        with pytest.raises(DeadlineError):
            async with http.events(server.url, timeout=150 * MS) as events:
                assert [(await anext(events)).data for _ in range(2)] == ["1", "2"]
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(10 * MS):
                        await anext(events)
                await anext(events)


async def test_a_control_character_in_the_last_id_is_refused() -> None:
    with pytest.raises(UsageError):
        async with http.events("http://127.0.0.1:9/", last_event_id="a\nb"):
            pass


async def test_values_come_line_by_line() -> None:
    values = [{"a": 1}, "ü\u2028", None, [1, 2], 3.5]
    body = "\n\r\n".join(json.dumps(value) for value in values).encode()
    async with FileServer(answering=lambda asked: Reply("200 OK", {}, body, cut=len(body))) as server:
        async with http.ndjson(server.url) as found:
            assert [value async for value in found] == values
        async with http.stream("GET", server.url) as response:
            assert [line async for line in response.lines()] == [line.strip() for line in body.split(b"\n")]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"a": 1}\n{"b":', ProtocolError),
        (b'{"a": 1}\nnonsense\n', ProtocolError),
        (b'{"a": 1}\n' + b"[" * 200_000, ProtocolError),
        (b'{"a": 1}\n\xff\n', ProtocolError),
        (b'{"a": 1}\n"' + b"x" * 400_000, LimitError),
    ],
    ids=["unfinished", "nonsense", "deep", "no UTF-8", "long"],
)
async def test_a_line_that_is_no_value_is_an_error(body: bytes, kind: type[ProtocolError]) -> None:
    async with FileServer(answering=lambda asked: Reply("200 OK", {}, body, cut=len(body))) as server:
        async with http.ndjson(server.url, max_line_bytes=300_000) as values:
            assert await anext(values) == {"a": 1}
            with pytest.raises(kind):
                await anext(values)


async def test_values_behind_a_status_of_400_are_not_taken_for_values() -> None:
    async with FileServer(answering=lambda asked: Reply("404 Not", {"Content-Length": "2"}, b"{}")) as server:
        with pytest.raises(StatusError):
            async with http.ndjson(server.url):
                pass
