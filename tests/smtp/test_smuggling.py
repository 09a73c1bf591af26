"""Whatever a message holds, a server reads one message: its end is where we end it, and no command is in it."""

import pytest

from tests.peers import Script
from tests.smtp.talks import ENVELOPE, LEFT, TAKEN, bodies, greeted, session, stuffed

SMUGGLED = b"MAIL FROM:<mallory@example.org>"

# The ends of a line that one server or another has been seen to take for one, before and after a dot.
LINE_ENDS = [
    b"\r\n",
    b"\n",
    b"\r",
    b"\r\r\n",
    b"\n\r",
    b"\r\n\0",
    b"\0\r\n",
    b"\n\0",
    b"\x0b",
    b"\x85",
    b"\xc2\x85",
    b"",
]

INPUTS = [b"one" + before + b"." + after + SMUGGLED + b"\r\n" for before in LINE_ENDS for after in LINE_ENDS] + [
    b".",
    b".\r\n",
    b".\n",
    b"\n.\n.\n.\n",
    b"\r.\r.\r",
    b"\0",
    b"\0.\0",
    b"..",
    b"one\r\n..\r\n" + SMUGGLED,
    b"\r\n" * 100 + b".",
    b"x" * 131_071 + b"\r\n.\r\n" + SMUGGLED,
    b"x" * 131_070 + b"\r\n.\r\n" + SMUGGLED,
    b"x" * 131_069 + b"\r\n.\r\n" + SMUGGLED,
    b"x" * 131_071 + b"\r.\r" + SMUGGLED,
    b"x" * 131_072 + b".\n" + SMUGGLED,
]


async def test_no_input_ends_the_message_early() -> None:
    async with Script(greeted() + TAKEN * len(INPUTS) + LEFT) as peer, session(peer) as outgoing:
        for message in INPUTS:
            await outgoing.send(message, **ENVELOPE)
    found = bodies(peer)
    assert found == [stuffed(message) for message in INPUTS]
    for body in found:
        assert body.count(b"\r") == body.count(b"\n") == body.count(b"\r\n")
        assert body.endswith(b".\r\n")
        assert b"\r\n.\r\n" not in body[:-1]


@pytest.mark.parametrize("encode", [bytes, lambda raw: raw.decode("utf-8", "surrogateescape")], ids=["bytes", "str"])
async def test_text_and_bytes_go_the_same_way(encode: object) -> None:
    async with Script(greeted() + TAKEN * len(INPUTS) + LEFT) as peer, session(peer) as outgoing:
        for message in INPUTS:
            await outgoing.send(encode(message), **ENVELOPE)  # type: ignore[operator]
    assert bodies(peer) == [stuffed(message) for message in INPUTS]


def test_the_reader_of_this_test_would_see_an_early_end() -> None:
    class Fake:
        received = b"DATA\r\n\r\nDATA\r\nHi\r\n.\r\nMAIL\r\n.\r\n"

    assert bodies(Fake()) == [b"Hi\r\n.\r\n"]  # type: ignore[arg-type]
