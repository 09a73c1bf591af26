"""Where aiohttp meets our sockets. If one of these fails with a new aiohttp, read connector.py before anything else."""

import asyncio
import inspect
import re
import socket
import time

import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import BaseConnector

from asyncnet import http
from asyncnet.dial import dial
from asyncnet.endpoint import Endpoint
from asyncnet.errors import ConnectError, DisconnectedError, IncompleteRead
from tests.clock import MS
from tests.http.site import Site
from tests.loops import on_both_loops
from tests.peers import ConnectProxy, Script, SocksProxy

ASK = r"until \r\n\r\n"
HELLO = "S: HTTP/1.1 200 OK\nS: Content-Length: 5\nS:\nsend hello"
ANSWER = f"{ASK}\n{HELLO}"


# Canaries: what connector.py relies on inside aiohttp


def test_the_connector_has_the_method_that_makes_a_connection() -> None:
    names = list(inspect.signature(BaseConnector._create_connection).parameters)
    assert names == ["self", "req", "traces", "timeout"]
    assert inspect.iscoroutinefunction(BaseConnector._create_connection)
    assert list(inspect.signature(BaseConnector.connect).parameters) == names
    assert inspect.iscoroutinefunction(BaseConnector.connect)
    assert list(inspect.signature(BaseConnector.close).parameters) == ["self", "abort_ssl"]
    assert isinstance(BaseConnector.closed, property)


def test_the_protocol_has_the_methods_that_are_mended() -> None:
    expected = {
        "feed_data": ["self", "data", "size"],
        "set_exception": ["self", "exc", "exc_cause"],
        "connection_lost": ["self", "exc"],
        "connection_made": ["self", "transport"],
        "eof_received": ["self"],
        "close": ["self"],
        "force_close": ["self"],
    }
    for name, parameters in expected.items():
        assert list(inspect.signature(getattr(ResponseHandler, name)).parameters) == parameters, name
    source = inspect.getsource(ResponseHandler)
    for used in ("self._payload", "self._parser", "self.feed_data((message, payload), 0)", "_EXC_SENTINEL"):
        assert used in source, used


async def test_the_pool_keeps_its_connections_where_they_are_looked_for() -> None:
    source = inspect.getsource(BaseConnector)
    for used in (
        "self._conns[key].append((protocol, monotonic()))",
        "self._acquired.add(proto)",
        "self._acquired.discard(proto)",
        "return Connection(self, key, proto, self._loop)",
        "key = req.connection_key",
    ):
        assert used in source, used
    names = list(inspect.signature(BaseConnector._release).parameters)
    assert names == ["self", "key", "protocol", "should_close"]
    assert {name for name in re.findall(r"\breq\.(\w+)", inspect.getsource(BaseConnector.connect))} <= {
        "connection_key",
        "proxy",
    }


def test_nothing_is_pending_in_a_parser_that_was_not_paused() -> None:
    # Else Wire.resume_reading would have to ask for it.
    assert "# This will resume parsing any unprocessed data from the last pause." in inspect.getsource(BaseProtocol)
    assert inspect.signature(BaseProtocol.resume_reading).parameters["resume_parser"].default is True
    assert inspect.iscoroutinefunction(BaseProtocol._drain_helper)


async def test_every_request_has_a_parser_of_its_own(site: Site) -> None:
    async with http.session(site.url) as session:
        await session.get("/hello")
        (wire,) = session._connector._up  # type: ignore[union-attr]
        first = wire._parser
        assert wire._answered is first
        await session.get("/hello")
        assert wire._parser is not first
        assert wire.requests == 2


async def test_every_socket_is_dialled_by_dial(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise ConnectError("not today")

    monkeypatch.setattr("asyncnet.http.connector.dial", refuse)
    with pytest.raises(ConnectError, match="not today"):
        await http.get(f"{site.url}/hello")
    assert site.requests == []


# The pool, and what may happen to a connection that is kept


@on_both_loops
async def test_an_idle_connection_that_ends_is_not_used_again() -> None:
    async with Script(ANSWER, ANSWER) as peer, http.session(f"http://{peer.address}/") as session:
        assert (await session.get("/")).body == b"hello"
        await asyncio.sleep(20 * MS)  # the server's end arrives
        assert (await session.post("/", body=b"")).body == b"hello"


@pytest.mark.parametrize("end", ["cut", "reset"])
@on_both_loops
async def test_an_idempotent_request_outlives_a_stale_connection(end: str) -> None:
    async with (
        Script(f"{ANSWER}\n{ASK}\n{end}", ANSWER) as peer,
        http.session(f"http://{peer.address}/") as session,
    ):
        await session.get("/")
        assert (await session.get("/")).body == b"hello"
        assert peer.connections == 2


@pytest.mark.parametrize("end", ["cut", "reset"])
@on_both_loops
async def test_a_post_is_never_sent_twice(end: str) -> None:
    async with Script(f"{ANSWER}\n{ASK}\n{end}") as peer, http.session(f"http://{peer.address}/") as session:
        await session.get("/")
        with pytest.raises(DisconnectedError):
            await session.post("/", body=b"")
    assert peer.received.count(b"POST") == 1


@pytest.mark.parametrize("method", ["GET", "POST"])
@on_both_loops
async def test_nothing_is_sent_twice_over_a_fresh_connection(method: str) -> None:
    async with Script(f"{ASK}\ncut") as peer:
        with pytest.raises(DisconnectedError):
            await http.request(method, f"http://{peer.address}/")


@on_both_loops
async def test_a_request_whose_answer_had_begun_is_not_repeated() -> None:
    half = f"{ANSWER}\n{ASK}\nS: HTTP/1.1 200 OK\nS: Content-Length: 50\nS:\nsend hello\ncut"
    async with Script(half) as peer, http.session(f"http://{peer.address}/") as session:
        await session.get("/")
        with pytest.raises(IncompleteRead):
            await session.get("/")


@on_both_loops
async def test_an_answer_that_nobody_asked_for_ends_the_connection() -> None:
    # If it were kept, "evil!" would answer the next request.
    unasked = f"{ANSWER}\nwait more\nS: HTTP/1.1 200 OK\nS: Content-Length: 5\nS:\nsend evil!\nsilence"
    async with Script(unasked, ANSWER) as peer, http.session(f"http://{peer.address}/") as session:
        assert (await session.get("/")).body == b"hello"
        peer.release("more")
        await asyncio.sleep(20 * MS)
        assert (await session.get("/")).body == b"hello"


@on_both_loops
async def test_bytes_that_nobody_asked_for_are_found_before_a_post() -> None:
    # They are in the socket's buffer, but the loop has not had the time to read them.
    unasked = f"{ANSWER}\nwait more\nS: HTTP/1.1 200 OK\nS: Content-Length: 5\nS:\nsend evil!\nsilence"
    async with Script(unasked, ANSWER) as peer, http.session(f"http://{peer.address}/") as session:
        assert (await session.get("/")).body == b"hello"
        peer.release("more")
        for _ in range(5000):  # the loop does not turn meanwhile
            if peer.sent == 2 * len(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"):
                break
            time.sleep(MS)  # noqa: ASYNC251
        assert (await session.post("/", body=b"")).body == b"hello"


@on_both_loops
async def test_two_answers_in_one_go_are_not_taken_for_two_requests() -> None:
    twice = f"{ASK}\n{HELLO}\n" + HELLO.replace("hello", "evil!")
    async with Script(twice, ANSWER, check=False) as peer, http.session(f"http://{peer.address}/") as session:
        assert (await session.get("/")).body == b"hello"
        await asyncio.sleep(10 * MS)
        assert (await session.get("/")).body == b"hello"


async def test_idle_connections_are_closed_after_their_time(site: Site) -> None:
    async with http.session(site.url, keep_alive=20 * MS) as session:
        await session.get("/hello")
        assert len(session._connector._up) == 1  # type: ignore[union-attr]
        await asyncio.sleep(80 * MS)
        await session.get("/hello")
        assert len(site.connections) == 2


@pytest.mark.parametrize("kind", ["socks", "connect"])
async def test_the_way_may_lead_through_a_proxy(site: Site, kind: str) -> None:
    proxy = SocksProxy() if kind == "socks" else ConnectProxy()
    async with (
        proxy,
        http.session(
            f"http://localhost:{site.port}/", proxy=f"{'socks5' if kind == 'socks' else 'http'}://{proxy.address}"
        ) as session,
    ):
        assert (await session.get("/hello")).text() == "GET /hello"
        assert (await session.get("/hops/2")).text() == "there"
    assert len(proxy.requests) == 1


@on_both_loops
async def test_an_ipv6_address_is_dialled_and_named_in_brackets() -> None:
    async with Script(ANSWER, host="::1") as peer:
        assert (await http.get(f"http://[::1]:{peer.port}/x")).body == b"hello"
    assert peer.lines[:2] == [b"GET /x HTTP/1.1", f"Host: [::1]:{peer.port}".encode()]


async def test_the_zone_of_an_address_is_dialled_and_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Script(ANSWER) as peer:

        async def instead(endpoint: Endpoint, *, proxy: object, allow: object) -> socket.socket:
            assert endpoint.host == "fe80::1%lo"  # loopback has no such address to listen on
            return await dial(Endpoint.parse(f"tcp://{peer.address}"))

        monkeypatch.setattr("asyncnet.http.connector.dial", instead)
        assert (await http.get(f"http://[fe80::1%25lo]:{peer.port}/x")).body == b"hello"
    assert f"Host: [fe80::1]:{peer.port}".encode() in peer.lines
