"""What messages are like, parts of them, and messages that go to a file as they come."""

import io
import sys
from pathlib import Path
from types import FrameType

import pytest

from asyncnet import DisconnectedError, IncompleteRead, LimitError, ProtocolError, RefusedError, UsageError, imap
from tests.imap.talks import LEFT, OPEN, known
from tests.memory import peak_memory
from tests.peers import ChunkProxy, Script

BODY = b"Subject: x\r\n\r\n" + bytes(range(1, 256)) * 40


async def test_an_overview_tells_flags_size_envelope_and_structure() -> None:
    structure = '("TEXT" "PLAIN" ("CHARSET" "us-ascii") NIL NIL "7BIT" 5 1)'
    talk = (
        OPEN
        + r"""
        C: {tag} UID FETCH 2,5 (UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE)
        S: * 1 FETCH (UID 2 FLAGS (\Seen) RFC822.SIZE 5 ENVELOPE (NIL "((((" NIL NIL NIL NIL NIL NIL NIL "<a>"))
        S: * 2 FETCH (FLAGS (\Deleted) UID 9)
        """
        + f"S: * 3 FETCH (UID 5 FLAGS () RFC822.SIZE 7 BODYSTRUCTURE {structure})\n"
        + "S: {tag} OK\nC: {tag} UID FETCH 1:\\* (UID FLAGS INTERNALDATE RFC822.SIZE)\nS: {tag} OK\n"
        + LEFT
    )
    async with Script(talk) as peer, known(peer) as session:
        await session.select()
        two, five = await session.overview([2, 5], structure=True)
        assert await session.overview(envelope=False) == []
    assert (two.uid, two.flags, two.size) == (2, {r"\Seen"}, 5)
    assert two.envelope
    assert (two.envelope.subject, two.envelope.message_id) == ("((((", "<a>")
    assert five.structure
    assert five.structure.content_type == "text/plain"


async def test_flags_alone_can_be_asked_for_since_a_moment() -> None:
    talk = r"""
        C: {tag} UID FETCH 1:\* (UID FLAGS) (CHANGEDSINCE 12)
        S: * 1 FETCH (UID 2 FLAGS (\Seen) MODSEQ (13))
        S: * 2 FETCH (FLAGS (\Deleted))
        S: {tag} OK
        C: {tag} UID FETCH 1:\* (UID RFC822.SIZE)
        S: * 1 FETCH (UID 2 RFC822.SIZE 9)
        S: {tag} OK
    """
    async with Script(OPEN + talk + LEFT) as peer, known(peer) as session:
        await session.select()
        assert await session.flags(changed_since=12) == {2: {r"\Seen"}}
        assert await session.sizes() == {2: 9}


@pytest.mark.parametrize(
    ("encoding", "raw", "decoded"),
    [
        ("base64", "aGFs\\r\\nbG8=\\r\\n", b"hallo"),
        ("BASE64 ", "", b""),
        ("quoted-printable", "gr=C3=BCn=\\r\\n!", "grün!".encode()),
        ("8bit", "as it is", b"as it is"),
    ],
)
async def test_a_part_is_decoded(encoding: str, raw: str, decoded: bytes) -> None:
    mime = f"Content-Transfer-Encoding: {encoding}\\r\\n\\r\\n"
    size = len(mime.replace("\\r", "r").replace("\\n", "n"))
    sent = len(raw.replace("\\r", "r").replace("\\n", "n"))
    talk = (
        "C: {tag} UID FETCH 7 (UID BODY.PEEK[2.1] BODY.PEEK[2.1.MIME])\n"
        + f"send * 1 FETCH (UID 7 BODY[2.1] \\{{{sent}}}\\r\\n{raw} BODY[2.1.MIME] \\{{{size}}}\\r\\n{mime})\\r\\n\n"
        + "S: {tag} OK\n"
    )
    async with Script(OPEN + talk * 2 + LEFT) as peer, known(peer) as session:
        await session.select()
        assert await session.fetch_part(7, "2.1") == decoded
        assert await session.fetch_part(7, imap.Part("2.1", "a/b", encoding=encoding.strip().lower())) == decoded


async def test_a_part_that_is_not_there_or_not_base64_is_an_error() -> None:
    asked = "C: {tag} UID FETCH 7 (UID BODY.PEEK[2] BODY.PEEK[2.MIME])\n"
    talk = asked + "S: * 1 FETCH (UID 7 BODY[2] NIL BODY[2.MIME] NIL)\nS: {tag} OK\n" + asked
    talk += 'S: * 1 FETCH (UID 7 BODY[2] "a")\nS: {tag} OK\n'
    async with Script(OPEN + talk) as peer, known(peer) as session:
        await session.select()
        with pytest.raises(RefusedError, match="no such"):
            await session.fetch_part(7, "2")
        with pytest.raises(ProtocolError, match="base64"):
            await session.fetch_part(7, imap.Part("2", "a/b", encoding="base64"))
        with pytest.raises(UsageError):
            await session.fetch_part(7, "2 3")


async def test_so_many_bytes_from_an_offset_on() -> None:
    items = "UID FLAGS INTERNALDATE RFC822.SIZE"
    talk = f"""
        C: {{tag}} UID FETCH 7 ({items} BODY.PEEK[]<10.5>)
        S: * 1 FETCH (UID 7 RFC822.SIZE 99 BODY[]<10> "abcde")
        S: {{tag}} OK
        C: {{tag}} UID FETCH 7 ({items} BODY.PEEK[TEXT]<0.3>)
        S: * 1 FETCH (UID 7 RFC822.SIZE 99 BODY[TEXT]<0> "abc")
        S: {{tag}} OK
        C: {{tag}} UID FETCH 7 ({items} BODY.PEEK[]<90.4294967295>)
        S: * 1 FETCH (UID 7 RFC822.SIZE 99 BODY[]<90> "")
        S: {{tag}} OK
    """
    async with Script(OPEN + talk + LEFT) as peer, known(peer) as session:
        await session.select()
        assert (await session.fetch(7, offset=10, max_bytes=5)).raw == b"abcde"
        assert (await session.fetch(7, part="TEXT", max_bytes=3)).raw == b"abc"
        assert (await session.fetch(7, offset=90)).raw == b""
        for offset, count in ((-1, None), (0, 0), (2**32, None)):
            with pytest.raises(UsageError):
                await session.fetch(7, offset=offset, max_bytes=count)


# To a file

ASKED = "C: {tag} UID FETCH 7 (UID RFC822.SIZE BODY.PEEK[])\n"
ANSWERS = {
    "as a literal": "S: * 1 FETCH (FLAGS (\\Seen) UID 7 BODY[] {{#body}}\ndump body\nS: )\n",
    "among others": "S: * 1 FETCH (FLAGS ())\nS: * 4 EXISTS\nS: * 2 FETCH (UID 9 BODY[] {3}\nsend abc)\\r\\n\n"
    "S: * 1 FETCH (UID 7 BODY[] {{#body}}\ndump body\nS:  FLAGS (\\Seen))\nS: * 1 FETCH (UID 7 FLAGS ())\n",
    "behind what it was not asked for": r"""
        S: * 1 FETCH (INTERNALDATE "a \"b (" UID 7 X-Y "[" BODY[] {{#body}}
        dump body
        S: )
    """,
    "with the UID behind it": "S: * 1 FETCH (BODY[] {{#body}}\ndump body\nS:  UID 7)\n",
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
@pytest.mark.parametrize("size", [0, 1, 700])
async def test_a_message_goes_to_a_file_however_it_comes(answer: str, size: int, tmp_path: Path) -> None:
    talk = OPEN + ASKED + answer.replace("{{#", "\\{{#").replace("{3}", "\\{3}") + "S: {tag} OK\n" + LEFT
    async with Script(talk, bodies={"body": BODY}) as peer:
        async with ChunkProxy((peer.host, peer.port), size=size, rest=0) as proxy:
            async with imap.session(f"imap://{proxy.address}") as session:
                await session.select()
                assert await session.download(7, tmp_path / "mail") == len(BODY)
    assert (tmp_path / "mail").read_bytes() == BODY


async def test_a_download_goes_on_where_it_was_cut(tmp_path: Path) -> None:
    half = len(BODY) // 2
    first = OPEN + ASKED + f"S: * 1 FETCH (UID 7 BODY[] \\{{{len(BODY)}}}\ndump half\ncut"
    second = OPEN + ASKED.replace("[]", f"[]<{half}.4294967295>")
    second += f"S: * 1 FETCH (UID 7 BODY[]<{half}> \\{{{len(BODY) - half}}}\ndump rest\nS: )\nS: {{tag}} OK\n" + LEFT
    async with Script(first, second, second, bodies={"half": BODY[:half], "rest": BODY[half:]}) as peer:
        async with known(peer) as session:
            await session.select()
            with pytest.raises(IncompleteRead):
                await session.download(7, tmp_path / "mail")
            assert (tmp_path / "mail").read_bytes() == BODY[:half]
        async with known(peer) as session:
            await session.select()
            assert await session.download(7, tmp_path / "mail", resume=True) == len(BODY) - half
        async with known(peer) as session:
            await session.select()
            with io.BytesIO(BODY[:half]) as file:
                file.seek(half)
                await session.download(7, file, resume=True)
                assert file.getvalue() == BODY
    assert (tmp_path / "mail").read_bytes() == BODY


async def test_a_message_that_is_not_there_cannot_be_downloaded(tmp_path: Path) -> None:
    talk = OPEN + ASKED + "S: {tag} OK\n" + ASKED + "S: {tag} NO [SERVERBUG] disk\n" + ASKED
    talk += "S: * 1 FETCH (UID 7 RFC822.SIZE 5 BODY[] NIL)\nS: {tag} OK\n"
    async with Script(talk) as peer, known(peer) as session:
        await session.select()
        with pytest.raises(RefusedError, match="no such message"):
            await session.download(7, tmp_path / "mail")
        with pytest.raises(RefusedError, match="SERVERBUG"):
            await session.download(7, tmp_path / "mail")
        with pytest.raises(ProtocolError, match="nothing of it"):
            await session.download(7, tmp_path / "mail")
        assert not session.is_open


class Full(io.BytesIO):
    def write(self, data: object) -> int:
        raise OSError(28, "No space left on device")


async def test_a_file_that_takes_no_more_is_its_own_error(tmp_path: Path) -> None:
    talk = OPEN + ASKED + "S: * 1 FETCH (UID 7 BODY[] \\{{#body}}\ndump body\nS: )\nS: {tag} OK"
    async with Script(talk, bodies={"body": BODY}) as peer, known(peer) as session:
        await session.select()
        with pytest.raises(OSError, match="No space") as failed:
            await session.download(7, Full())
        assert not isinstance(failed.value, DisconnectedError)
        assert not session.is_open
    async with Script(OPEN + LEFT) as peer, known(peer) as session:
        await session.select()
        with pytest.raises(FileNotFoundError):
            await session.download(7, tmp_path / "no" / "folder")
        assert session.is_open


async def test_a_literal_beyond_the_limit_goes_to_a_file_and_not_into_memory(tmp_path: Path) -> None:
    limits = imap.Limits(max_literal_bytes=1000, max_response_bytes=2000)
    answer = 'S: * 1 FETCH (INTERNALDATE "a" UID 7 BODY[] \\{{#body}}\ndump body\nS: )\nS: {tag} OK\n'
    talk = OPEN + (ASKED + answer) * 2 + "C: {tag} UID FETCH 7 *\n" + answer
    async with Script(talk, bodies={"body": BODY}, check=False) as peer, known(peer, limits=limits) as session:
        await session.select()
        for _ in range(2):
            assert await session.download(7, tmp_path / "mail") == len(BODY)
        with pytest.raises(LimitError):
            await session.fetch(7)


FLAGS = """
import asyncio, sys
from tests.imap.talks import known
from tests.peers import Script

def server(talk):
    talk.say("* PREAUTH [CAPABILITY IMAP4rev1] hi")
    talk.expect("{tag} SELECT *"); talk.say("* 100000 EXISTS"); talk.say("{tag} OK")
    talk.expect("{tag} UID FETCH 1:\\\\* (UID FLAGS)")
    for start in range(1, int(sys.argv[1]), 1000):
        numbers = range(start, start + 1000)
        talk.send_bytes(b"".join(b"* %d FETCH (UID %d FLAGS (\\\\Seen))\\r\\n" % (n, n) for n in numbers))
        talk.flush()
    talk.say("{tag} OK")
    talk.expect("{tag} LOGOUT"); talk.say("{tag} OK")

async def main():
    async with Script(server) as peer, known(peer) as session:
        await session.select()
        assert len(await session.flags(timeout=60)) == int(sys.argv[1])

asyncio.run(main())
"""


def test_the_flags_of_100_000_messages_take_little_memory() -> None:
    assert peak_memory(FLAGS, "100000") < 60 * 1024 * 1024


async def steps_of_flags(count: int) -> int:
    """Count the lines of Python that the flags of so many messages take."""
    told = b"".join(b"* %d FETCH (UID %d FLAGS (\\Seen))\r\n" % (n, n) for n in range(1, count + 1))
    steps = 0

    def trace(frame: FrameType, event: str, argument: object) -> object:
        nonlocal steps
        steps += 1
        return trace

    talk = OPEN + "C: {tag} UID FETCH *\ndump told\nS: {tag} OK\n" + LEFT
    async with Script(talk, bodies={"told": told}) as peer, known(peer) as session:
        await session.select()
        before = sys.gettrace()
        sys.settrace(trace)
        try:
            assert len(await session.flags()) == count
        finally:
            sys.settrace(before)
    return steps


async def test_twice_the_flags_take_twice_the_steps() -> None:
    small, large = await steps_of_flags(2000), await steps_of_flags(4000)
    assert 1.5 * small < large < 2.2 * small


LOAD = """
import asyncio, sys
from pathlib import Path
from asyncnet import imap
from tests.imap.talks import OPEN, LEFT, known
from tests.peers import Script

def server(talk):
    for line in ("S: * PREAUTH [CAPABILITY IMAP4rev1] hi",): talk.say(line[3:])
    talk.expect("{tag} SELECT *"); talk.say("* 1 EXISTS"); talk.say("{tag} OK")
    size = int(sys.argv[1]); block = b"x" * 65536
    talk.expect("{tag} UID FETCH *"); talk.say("* 1 FETCH (UID 7 BODY[] \\\\{%d}" % (size * len(block)))
    for _ in range(size):
        talk.send_bytes(block); talk.flush()
    talk.say(")"); talk.say("{tag} OK")
    talk.expect("{tag} LOGOUT"); talk.say("{tag} OK")

async def main():
    async with Script(server) as peer, known(peer) as session:
        await session.select()
        with open("/dev/null", "wb") as file:
            assert await session.download(7, file, timeout=60) == int(sys.argv[1]) * 65536

asyncio.run(main())
"""


def test_a_message_of_100_mib_takes_no_memory() -> None:
    assert peak_memory(LOAD, "1600") - peak_memory(LOAD, "1") < 12 * 1024 * 1024
