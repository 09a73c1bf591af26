"""Servers that misbehave: each ends in time and with the right error, and none is taken for success."""

import gzip
import random
import zlib

import pytest

from asyncnet import http
from asyncnet.errors import (
    ConnectError,
    DeadlineError,
    DisconnectedError,
    IncompleteRead,
    LimitError,
    NetError,
    ProtocolError,
)
from asyncnet.http import brotli_zstd
from tests.clock import MS
from tests.loops import on_both_loops
from tests.peers import Script

ASK = r"until \r\n\r\n"


def answer(head: str, rest: str = "") -> str:
    """A conversation: the client's request, an answer's head, and what comes after it."""
    lines = "\n".join(f"S: {line}" for line in head.strip().splitlines())
    return f"{ASK}\n{lines}\nS:\n{rest}"


OK = "HTTP/1.1 200 OK"
HELLO = f"{OK}\nContent-Length: 5"
CHUNKED = f"{OK}\nTransfer-Encoding: chunked"

WRONG: dict[str, tuple[str, type[NetError], str]] = {
    "hangs up at once": (f"{ASK}\ncut", DisconnectedError, "hung up without an answer"),
    "resets at once": (f"{ASK}\nreset", DisconnectedError, "reset by the peer"),
    "hangs up in the status line": (f"{ASK}\nsend HTTP/1.1 2\ncut", DisconnectedError, "hung up"),
    "hangs up in the head": (f"{ASK}\nS: {OK}\nsend Content-Le\ncut", DisconnectedError, "head"),
    "garbage": (f"{ASK}\ngarbage 500\ncut", ProtocolError, "not an answer of HTTP"),
    "no status line": (f"{ASK}\nS: hello\ncut", ProtocolError, "not an answer of HTTP"),
    "speaks SMTP": ("S: 220 mail.example.org ESMTP\nsilence", ProtocolError, ""),
    "HTTP of the future": (f"{ASK}\nS: HTTP/7.9 200 OK\nS:\ncut", ProtocolError, "not an answer of HTTP"),
    "status of two digits": (f"{ASK}\nS: HTTP/1.1 99 Low\nS:\ncut", ProtocolError, "not an answer of HTTP"),
    "status of four digits": (f"{ASK}\nS: HTTP/1.1 2000 High\nS:\ncut", ProtocolError, "not an answer of HTTP"),
    "NUL in a field": (answer(f"{HELLO}\nX: a\\0b", "send hello"), ProtocolError, "not an answer of HTTP"),
    "endless status line": (f"{ASK}\nendless line", (ProtocolError), ""),
    "endless reason": (f"{ASK}\nsend HTTP/1.1 200 \nendless line", LimitError, "too long"),
    "endless field": (f"{ASK}\nS: {OK}\nsend X: \nendless line", LimitError, "too long"),
    "endless fields": (f"{ASK}\nS: {OK}\nendless reply X: y", LimitError, "too long"),
    "endless 1xx": (f"{ASK}\nendless reply HTTP/1.1 102 Processing\\r\\n", LimitError, "1xx without end"),
    "101 that nobody asked for": (
        answer("HTTP/1.1 101 Switching Protocols\nUpgrade: x\nConnection: upgrade"),
        ProtocolError,
        "not asked for",
    ),
    "two lengths": (answer(f"{HELLO}\nContent-Length: 6", "send hello!"), ProtocolError, "not an answer of HTTP"),
    "one length twice": (answer(f"{HELLO}\nContent-Length: 5", "send hello"), ProtocolError, "not an answer of HTTP"),
    "length and chunks": (answer(f"{HELLO}\nTransfer-Encoding: chunked", "send 0"), ProtocolError, "not an answer"),
    "chunks and length": (answer(f"{CHUNKED}\nContent-Length: 5", "send 0"), ProtocolError, "not an answer"),
    "length below zero": (answer(f"{OK}\nContent-Length: -5"), ProtocolError, "not an answer of HTTP"),
    "length in hex": (answer(f"{OK}\nContent-Length: 0x5"), ProtocolError, "not an answer of HTTP"),
    "length beyond all numbers": (answer(f"{OK}\nContent-Length: {'9' * 40}"), ProtocolError, "not an answer of HTTP"),
    "length beyond the limit": (
        answer(f"{OK}\nContent-Length: 9999999999"),
        LimitError,
        "9999999999 bytes is announced",
    ),
    "a coding of the transfer": (
        answer(f"{OK}\nTransfer-Encoding: gzip", "send hello\ncut"),
        ProtocolError,
        "not offered",
    ),
    "gzip in chunks": (
        answer(f"{OK}\nTransfer-Encoding: gzip, chunked", "send 0\\r\\n\\r\\n"),
        ProtocolError,
        "offered",
    ),
    "nearly chunked": (
        answer(f"{OK}\nTransfer-Encoding: xchunked", "send 0\\r\\n\\r\\n\ncut"),
        ProtocolError,
        "offered",
    ),
    "chunked twice": (answer(f"{CHUNKED}\nTransfer-Encoding: chunked", "send 0\\r\\n\\r\\n"), ProtocolError, "offered"),
    "chunks in HTTP/1.0": (
        answer("HTTP/1.0 200 OK\nTransfer-Encoding: chunked", "send 0\\r\\n\\r\\n"),
        ProtocolError,
        "offered",
    ),
    "shorter than announced": (answer(f"{OK}\nContent-Length: 50", "send hello\ncut"), IncompleteRead, "50 expected"),
    "reset in the body": (answer(f"{OK}\nContent-Length: 50", "send hello\nreset"), DisconnectedError, ""),
    "chunks without an end": (answer(CHUNKED, "send 5\\r\\nhello\\r\\n\ncut"), IncompleteRead, "more expected"),
    "chunks without the last line": (answer(CHUNKED, "send 5\\r\\nhello\\r\\n0\\r\\n\ncut"), IncompleteRead, ""),
    "a cut chunk": (answer(CHUNKED, "send ff\\r\\nhello\ncut"), IncompleteRead, ""),
    "chunk of a negative size": (answer(CHUNKED, "send -5\\r\\nhello\\r\\n0\\r\\n\\r\\n"), ProtocolError, ""),
    "chunk of no size": (answer(CHUNKED, "send hello\\r\\n"), ProtocolError, ""),
    "chunk beyond all numbers": (answer(CHUNKED, f"send {'f' * 30}\\r\\nhello\\r\\n"), ProtocolError, ""),
    "chunk longer than it says": (answer(CHUNKED, "send 5\\r\\nhello!!\\r\\n0\\r\\n\\r\\n"), ProtocolError, ""),
    "nonsense in a later chunk": (
        answer(CHUNKED, "send 5\\r\\nhello\\r\\n\npause 20\nsend nonsense\\r\\n\nsilence"),
        ProtocolError,
        "",
    ),
    "reset without a length": (answer(OK, "send hello\npause 20\nreset"), DisconnectedError, ""),
    "endless trailers": (answer(CHUNKED, "send 0\\r\\n\nendless reply X: y"), ProtocolError, ""),
    "endless trailer": (answer(CHUNKED, "send 0\\r\\nX: \nendless line"), ProtocolError, ""),
    "endless body": (answer(OK, "endless line"), LimitError, "the limit is"),
    "endless chunks": (answer(CHUNKED, "endless reply 5\\r\\nhello"), LimitError, "the limit is"),
    "a coding that was not asked for": (
        answer(f"{HELLO}\nContent-Encoding: exi", "send hello"),
        ProtocolError,
        "a coding that was not asked for: 'exi'",
    ),
    "too many codings": (
        answer(f"{HELLO}\nContent-Encoding: gzip,gzip,gzip,gzip", "send hello"),
        LimitError,
        "4 codings",
    ),
    "gzip that is none": (answer(f"{HELLO}\nContent-Encoding: gzip", "send hello"), ProtocolError, "not gzip"),
    "unfinished gzip": (
        answer(f"{OK}\nContent-Length: 25\nContent-Encoding: gzip", "dump cut"),
        IncompleteRead,
        "the gzip body is unfinished",
    ),
    "unfinished gzip in chunks": (
        answer(f"{CHUNKED}\nContent-Encoding: gzip", "send 19\\r\\n\ndump cut\nsend \\r\\n0\\r\\n\\r\\n"),
        IncompleteRead,
        "the gzip body is unfinished",
    ),
    "unfinished deflate to the end": (
        answer(f"{OK}\nContent-Encoding: deflate", "dump cut deflate\ncut"),
        IncompleteRead,
        "the deflate body is unfinished",
    ),
    "more after gzip": (
        answer(f"{OK}\nContent-Encoding: gzip", "dump gzip\nsend more\ncut"),
        ProtocolError,
        "after the end",
    ),
    "a bomb in gzip": (
        answer(f"{OK}\nContent-Length: {{#bomb}}\nContent-Encoding: gzip", "dump bomb"),
        LimitError,
        "a bomb",
    ),
    "a bomb in a bomb": (
        answer(f"{OK}\nContent-Length: {{#bombs}}\nContent-Encoding: gzip, gzip", "dump bombs"),
        LimitError,
        "a bomb",
    ),
    "a bomb in chunks": (
        answer(f"{OK}\nContent-Encoding: deflate", "dump bomb deflate\ncut"),
        LimitError,
        "a bomb",
    ),
}
_ZEROS = bytes(30_000_000)
_LIBRARIES = {"br": brotli_zstd._brotli, "zstd": brotli_zstd._zstd}
PACKERS = {name: _LIBRARIES[name].compress for name in brotli_zstd.INSTALLED}
BODIES = {
    "cut": gzip.compress(b"hello" * 100)[:25],
    "cut deflate": zlib.compress(b"hello" * 100)[:10],
    "gzip": gzip.compress(b"hello"),
    "bomb": gzip.compress(_ZEROS),
    "bomb deflate": zlib.compress(_ZEROS),
    "bombs": gzip.compress(gzip.compress(_ZEROS)),
}


for _coding, _pack in PACKERS.items():
    BODIES[f"bomb {_coding}"] = _pack(_ZEROS)
    BODIES[f"bombs {_coding}"] = gzip.compress(_pack(_ZEROS))
    BODIES[f"cut {_coding}"] = _pack(random.Random(0).randbytes(400))[:60]
    WRONG[f"a bomb in {_coding} alone"] = (
        answer(f"{OK}\nContent-Encoding: {_coding}", f"dump bomb {_coding}\ncut"),
        LimitError,
        "a bomb",
    )
    WRONG[f"a bomb in {_coding} in gzip"] = (
        answer(f"{OK}\nContent-Encoding: {_coding}, gzip", f"dump bombs {_coding}\ncut"),
        LimitError,
        "a bomb",
    )
    WRONG[f"{_coding} that is none"] = (
        answer(f"{OK}\nContent-Encoding: {_coding}\nContent-Length: 40", "send " + "hello" * 8),
        ProtocolError,
        f"not {_coding}",
    )
    WRONG[f"{_coding} without its end"] = (
        answer(f"{OK}\nContent-Encoding: {_coding}\nContent-Length: 60", f"dump cut {_coding}"),
        IncompleteRead,
        f"the {_coding} body is unfinished",
    )


@pytest.mark.parametrize("what", WRONG)
@on_both_loops
async def test_a_server_that_misbehaves_is_found_out(what: str) -> None:
    conversation, kind, text = WRONG[what]
    async with Script(conversation, bodies=BODIES) as peer, http.session(timeout=5000 * MS) as session:
        with pytest.raises(kind) as caught:
            most = 1_000_000 if what == "endless chunks" else 40_000_000
            await session.get(f"http://{peer.address}/x?token=secret", max_bytes=most)
        assert text in str(caught.value)
        assert not isinstance(caught.value, DeadlineError)
        assert str(caught.value).isprintable()
        assert "secret" not in str(caught.value)
        assert caught.value.endpoint is not None
        assert peer.address in caught.value.endpoint


TOO_LONG_TO_DRIP = ("endless", "bomb", "resets", "later chunk", "reset without")


@pytest.mark.parametrize("what", [name for name in WRONG if not any(word in name for word in TOO_LONG_TO_DRIP)])
async def test_it_is_found_out_drop_by_drop_too(what: str) -> None:
    conversation, kind, _ = WRONG[what]
    # Nonsense may be found out before all of it was said: that is no mismatch.
    async with Script(f"drip 3 0\n{conversation}", bodies=BODIES, check=False) as peer:
        with pytest.raises(kind):
            await http.get(f"http://{peer.address}/", timeout=5000 * MS)


async def test_nobody_there_is_a_connect_error() -> None:
    async with Script() as peer:
        address = peer.address
    with pytest.raises(ConnectError) as caught:
        await http.get(f"http://{address}/")
    assert caught.value.transient
    with pytest.raises(ConnectError):
        await http.get("http://no-such-host.invalid/")


@pytest.mark.parametrize(
    "conversation",
    [
        f"{ASK}\nsilence",
        f"{ASK}\ndrip 1 5\nS: {OK}\nsend X: " + "x" * 2000,
        answer(HELLO, "send hel\nsilence"),
        answer(f"{OK}\nContent-Length: 100000", "drip 1 5\nsend " + "x" * 20_000),
        answer(CHUNKED, "drip 1 5\nsend " + "1\\r\\nx\\r\\n" * 3000),
        f"{ASK}\ndrip 1 5\n" + "S: HTTP/1.1 102 Processing\nS:\n" * 500,
    ],
    ids=["silent", "drips the head", "stops in the body", "drips the body", "drips chunks", "drips 1xx"],
)
async def test_a_slow_server_is_given_up_at_the_deadline(conversation: str) -> None:
    async with Script(conversation, check=False) as peer, http.session(timeout=60 * MS) as session:
        with pytest.raises(DeadlineError) as caught:
            await session.get(f"http://{peer.address}/")
        assert caught.value.operation == "GET"
        assert "in waiting for the answer" in str(caught.value) or "in reading the body" in str(caught.value)
        assert session.is_open


@pytest.mark.parametrize("size", [0, 1, 5, 65_536, 65_537, 300_000])
@pytest.mark.parametrize("framing", ["length", "chunks", "end"])
async def test_a_body_at_the_limit_is_taken_and_one_beyond_is_not(size: int, framing: str) -> None:
    head = {"length": f"{OK}\nContent-Length: {size}", "chunks": CHUNKED, "end": OK}[framing]
    whole = b"x" * size
    body = whole if framing != "chunks" else (b"%x\r\n%b\r\n" % (size, whole) if size else b"") + b"0\r\n\r\n"
    conversation = answer(head, "dump body\ncut" if framing == "end" else "dump body")
    async with Script(conversation, conversation, bodies={"body": body}, check=False) as peer:
        assert (await http.get(f"http://{peer.address}/", max_bytes=size)).body == whole
        if size:
            with pytest.raises(LimitError) as caught:
                await http.get(f"http://{peer.address}/", max_bytes=size - 1)
            assert caught.value.limit == size - 1


async def test_what_came_before_the_cut_is_in_the_error() -> None:
    async with Script(answer(f"{OK}\nContent-Length: 100000", "send hello\ncut"), repeat=True) as peer:
        with pytest.raises(IncompleteRead) as caught:
            await http.get(f"http://{peer.address}/")
        assert (caught.value.partial, caught.value.expected) == (b"hello", 100_000)
        async with http.stream("GET", f"http://{peer.address}/") as response:
            assert await anext(response) == b"hello"  # it reaches the caller before the error does
            with pytest.raises(IncompleteRead):
                await anext(response)


async def test_a_short_body_that_is_cut_says_what_came() -> None:
    async with Script(answer(f"{OK}\nContent-Length: 50", "send hello\ncut")) as peer:
        with pytest.raises(IncompleteRead) as caught:
            await http.get(f"http://{peer.address}/")
        assert (caught.value.partial, caught.value.expected) == (b"hello", 50)


async def test_bytes_beyond_utf8_in_the_head_are_read_as_latin1() -> None:
    async with Script(answer("HTTP/1.1 200 \\xe9t\\xe9\nX-A: \\xff\nX-B: caf\\xc3\\xa9\nContent-Length: 0")) as peer:
        response = await http.get(f"http://{peer.address}/")
    assert (response.reason, response.headers["x-a"], response.headers["x-b"]) == ("été", "ÿ", "café")
    response.headers["x-a"].encode()


async def test_1xx_ahead_of_the_answer_are_passed_over() -> None:
    early = "S: HTTP/1.1 103 Early Hints\nS: Link: </x>\nS:\n" * 20
    async with Script(f"{ASK}\n{early}S: {OK}\nS: Content-Length: 5\nS:\nsend hello") as peer:
        assert (await http.get(f"http://{peer.address}/")).body == b"hello"


@pytest.mark.parametrize("head", ["HTTP/1.1 204 No Content", "HTTP/1.1 304 Not Modified\nContent-Length: 99999999999"])
async def test_what_has_no_body_is_not_waited_for(head: str) -> None:
    async with Script(answer(f"{head}\nContent-Encoding: gzip", "silence")) as peer:
        assert (await http.get(f"http://{peer.address}/")).body == b""


async def test_head_has_no_body_however_long_it_says() -> None:
    async with Script(answer(f"{OK}\nContent-Length: 99999999999\nContent-Encoding: gzip", "silence")) as peer:
        response = await http.head(f"http://{peer.address}/")
        assert (response.body, response.headers["Content-Length"]) == (b"", "99999999999")


async def test_gzip_that_announces_an_empty_body_is_empty() -> None:
    async with Script(answer(f"{OK}\nContent-Length: 0\nContent-Encoding: gzip")) as peer:
        assert (await http.get(f"http://{peer.address}/")).body == b""


async def test_a_coding_that_the_caller_asked_for_himself_is_left_as_it_is() -> None:
    async with Script(answer(f"{HELLO}\nContent-Encoding: exi", "send hello")) as peer:
        response = await http.get(f"http://{peer.address}/", headers={"Accept-Encoding": "exi"})
        assert (response.body, response.headers["Content-Encoding"]) == (b"hello", "exi")


async def test_a_flood_is_not_taken_beyond_the_limit() -> None:
    async with Script(answer(OK, "endless line")) as peer:
        with pytest.raises(LimitError):
            await http.get(f"http://{peer.address}/", max_bytes=1000)
    assert peer.sent < 20_000_000  # what the buffers on the way hold, and no more
