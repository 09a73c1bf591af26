"""A message on its way into a file: whole or not there, in constant memory, and no disk taken for a line."""

import asyncio
import errno
import hashlib
import os
from pathlib import Path

import pytest

from asyncnet import DeadlineError, IncompleteRead, LimitError, ProtocolError, RefusedError, UsageError
from asyncnet.pop3 import saving
from tests.memory import peak_memory
from tests.peers import MS, Script
from tests.pop3.talks import GREETED, LEFT, stuffed, unlocked

TEXT = b"Subject: x\r\n\r\n.dot\r\n..\r\n" + b"y" * 200_000 + b"\r\n"
WHOLE = GREETED + "C: RETR 1\nS: +OK\ndump mail\n"
BODIES = {"mail": stuffed(TEXT)}


async def test_a_file_appears_whole_for_its_owner_alone(tmp_path: Path) -> None:
    async with Script(WHOLE + LEFT, bodies=BODIES) as peer, unlocked(peer) as maildrop:
        assert await maildrop.retrieve_to(1, tmp_path / "mail.eml") == len(TEXT)
    assert (tmp_path / "mail.eml").read_bytes() == TEXT
    assert (tmp_path / "mail.eml").stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["mail.eml"]


async def test_it_replaces_what_was_there_only_when_it_is_whole(tmp_path: Path) -> None:
    place = tmp_path / "mail.eml"
    place.write_bytes(b"old")
    async with Script(WHOLE + "wait look\n", WHOLE + LEFT, bodies={"mail": stuffed(TEXT)[:-3]}, check=False) as peer:
        async with unlocked(peer) as maildrop:
            task = asyncio.create_task(maildrop.retrieve_to(1, place))
            await peer.until("look")
            assert place.read_bytes() == b"old"
            peer.release("look")
            with pytest.raises(IncompleteRead):
                await task
            assert not maildrop.is_open
    assert os.listdir(tmp_path) == ["mail.eml"]
    assert place.read_bytes() == b"old"


async def test_whatever_takes_bytes_will_do(tmp_path: Path) -> None:
    class Digest:
        def __init__(self) -> None:
            self.sha = hashlib.sha256()

        def write(self, data: bytes) -> None:
            self.sha.update(data)

    taker = Digest()
    with open(tmp_path / "file", "wb") as file:
        talk = WHOLE + "C: RETR 2\nS: +OK\ndump mail\n" + LEFT
        async with Script(talk, bodies=BODIES) as peer, unlocked(peer) as maildrop:
            assert await maildrop.retrieve_to(1, taker) == len(TEXT)
            assert await maildrop.retrieve_to(2, file) == len(TEXT)
    assert taker.sha.digest() == hashlib.sha256(TEXT).digest()
    assert (tmp_path / "file").read_bytes() == TEXT


@pytest.mark.parametrize("name", ["absent/mail.eml", "", "nul\0.eml"])
async def test_a_place_that_cannot_be_is_refused_before_a_byte_is_sent(name: str, tmp_path: Path) -> None:
    async with Script(GREETED + LEFT) as peer, unlocked(peer) as maildrop:
        with pytest.raises(UsageError, match="cannot write"):
            await maildrop.retrieve_to(1, f"{tmp_path}/{name}")
        assert maildrop.is_open


async def test_a_full_disk_is_an_oserror_and_no_lost_line(tmp_path: Path) -> None:
    class Full:
        def write(self, data: bytes) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    async with Script(WHOLE, bodies=BODIES, check=False) as peer, unlocked(peer) as maildrop:
        with pytest.raises(OSError, match="No space left") as caught:
            await maildrop.retrieve_to(1, Full())
        assert type(caught.value) is OSError
        assert not maildrop.is_open


@pytest.mark.parametrize("broken", ["fsync", "replace"])
async def test_a_file_that_cannot_be_brought_to_the_disk_leaves_none(
    broken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(saving.os, broken, fail)
    async with Script(WHOLE, bodies=BODIES, check=False) as peer, unlocked(peer) as maildrop:
        with pytest.raises(OSError, match="broken"):
            await maildrop.retrieve_to(1, tmp_path / "mail.eml")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("answer", "error", "is_open"),
    [
        ("S: -ERR no such message" + LEFT, RefusedError, True),
        ("S: +OK 201 octets", LimitError, False),
        ("S: +OK\nS: " + "x" * 201 + "\nS: .", LimitError, False),
        ("S: +OK 7 octets\nS: .", ProtocolError, False),
        ("S: +OK\nS: half\ncut", IncompleteRead, False),
        ("S: nonsense", ProtocolError, False),
    ],
)
async def test_every_failure_leaves_no_file(answer: str, error: type[Exception], is_open: bool, tmp_path: Path) -> None:
    async with Script(GREETED + "C: RETR 1\n" + answer, check=False) as peer, unlocked(peer) as maildrop:
        with pytest.raises(error):
            await maildrop.retrieve_to(1, tmp_path / "mail.eml", max_bytes=200)
        assert maildrop.is_open is is_open
    assert os.listdir(tmp_path) == []


async def test_a_message_that_list_says_is_too_long_is_not_asked_for(tmp_path: Path) -> None:
    talk = GREETED + "C: LIST\nS: +OK\nS: 1 300\nS: .\n" + LEFT
    async with Script(talk) as peer, unlocked(peer) as maildrop:
        await maildrop.list()
        with pytest.raises(LimitError):
            await maildrop.retrieve_to(1, tmp_path / "mail.eml", max_bytes=200)
        assert maildrop.is_open


@pytest.mark.parametrize("how", ["cancelled", "too late"])
async def test_cut_short_it_leaves_no_file_when_it_returns(how: str, tmp_path: Path) -> None:
    async with Script(GREETED + "C: RETR 1\nS: +OK\nS: half\nwait half\nsilence", check=False) as peer:
        maildrop = await unlocked(peer).open()
        timeout = 50 * MS if how == "too late" else None
        task = asyncio.create_task(maildrop.retrieve_to(1, tmp_path / "mail.eml", timeout=timeout))
        await peer.until("half")
        if how == "cancelled":
            task.cancel()
        with pytest.raises((asyncio.CancelledError, DeadlineError)):
            await task
        assert os.listdir(tmp_path) == []
        assert not maildrop.is_open


_LONG = """
import asyncio, sys
from asyncnet import pop3
from tests.peers import Script

BLOCK = (b"x" * 76 + b"\\r\\n") * 840

def talk(it):
    it.say("+OK")
    it.expect("RETR 1")
    it.say("+OK")
    for _ in range(int(sys.argv[1])):
        it.send_bytes(BLOCK)
        it.flush()
    it.say(".")
    it.expect("QUIT")
    it.say("+OK")
    it.close()

async def main():
    async with Script(talk) as peer, pop3.session(f"pop3://{peer.address}") as maildrop:
        assert await maildrop.retrieve_to(1, sys.argv[2]) == int(sys.argv[1]) * len(BLOCK)

asyncio.run(main())
"""


@pytest.mark.slow
def test_a_message_of_100_mib_takes_no_more_memory_than_a_small_one(tmp_path: Path) -> None:
    # The transcript of the peer keeps no dumps, so both sides are measured at once.
    small = peak_memory(_LONG, "20", str(tmp_path / "small"))
    large = peak_memory(_LONG, "1601", str(tmp_path / "large"))
    assert (tmp_path / "large").stat().st_size > 100 * 1024 * 1024
    assert large - small < 4 * 1024 * 1024
