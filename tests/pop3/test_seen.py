"""The memory of unique-ids: what it said it has, it has, whatever breaks."""

import asyncio
import errno
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from asyncnet import ClosedError, UsageError
from asyncnet.pop3 import SeenFile, seen
from tests.clock import MS


async def test_what_was_added_is_there_the_next_time(tmp_path: Path) -> None:
    async with SeenFile(tmp_path / "seen") as memory:
        assert len(memory) == 0
        await memory.add("a", "b", "c")
        await memory.add("a")
        await memory.discard("b", "never there")
        assert ("a" in memory, "b" in memory, None in memory) == (True, False, False)
    async with SeenFile(str(tmp_path / "seen")) as memory:
        assert list(memory) == ["a", "c"]
        assert len(memory) == 2
    assert (tmp_path / "seen").read_bytes() == b"+a\n+b\n+c\n-b\n"
    assert (tmp_path / "seen").stat().st_mode & 0o777 == 0o600


async def test_cut_anywhere_the_file_has_every_whole_line(tmp_path: Path) -> None:
    data = b"+one\n+two\n-one\n+three\n"
    for length in range(len(data) + 1):
        path = tmp_path / f"seen-{length}"
        path.write_bytes(data[:length])
        whole = data[:length].split(b"\n")[:-1]
        expected = {line[1:].decode() for line in whole if line[:1] == b"+"} - {
            line[1:].decode() for line in whole if line[:1] == b"-"
        }
        async with SeenFile(path) as memory:
            assert set(memory) == expected
            await memory.add("next")
        async with SeenFile(path) as memory:
            assert set(memory) == expected | {"next"}


async def test_history_is_written_away_in_one_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seen, "_SPARE_LINES", 10)
    path = tmp_path / "seen"
    async with SeenFile(path) as memory:
        await memory.add("stays")
        for number in range(30):
            await memory.add(f"uid-{number}")
            await memory.discard(f"uid-{number}")
        assert path.stat().st_size < 200
        await memory.add("last")
        with pytest.raises(UsageError, match="cannot open"):  # the new file is held too
            await SeenFile(path).__aenter__()
    async with SeenFile(path) as memory:
        assert list(memory) == ["stays", "last"]
    assert os.listdir(tmp_path) == ["seen"]


async def test_history_that_cannot_be_written_away_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(seen, "_SPARE_LINES", 0)
    monkeypatch.setattr(seen.os, "replace", full)
    async with SeenFile(tmp_path / "seen") as memory:
        for _ in range(3):
            await memory.add("a")
            await memory.discard("a")
        await memory.add("b")
    assert os.listdir(tmp_path) == ["seen"]
    assert (tmp_path / "seen").read_bytes() == b"+a\n-a\n" * 3 + b"+b\n"


async def test_a_file_that_was_written_anew_between_opening_and_holding_it_is_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "seen"
    path.write_bytes(b"+old\n")
    hold = seen.fcntl.flock
    fresh = [b"+new\n", None]

    def replaced_first(descriptor: int, how: int) -> None:
        hold(descriptor, how)
        if fresh and (data := fresh.pop(0)):
            (tmp_path / "beside").write_bytes(data)
            (tmp_path / "beside").rename(path)
        elif fresh == [] and len(seen_calls) == 1:
            path.unlink()  # and once more, without another in its place
        seen_calls.append(descriptor)

    seen_calls: list[int] = []
    monkeypatch.setattr(seen.fcntl, "flock", replaced_first)
    async with SeenFile(path) as memory:
        assert list(memory) == []
    assert len(seen_calls) == 3


async def test_one_process_has_it_at_a_time(tmp_path: Path) -> None:
    async with SeenFile(tmp_path / "seen"):
        with pytest.raises(UsageError, match="cannot open"):
            await SeenFile(tmp_path / "seen").__aenter__()
    async with SeenFile(tmp_path / "seen") as memory:
        with pytest.raises(UsageError, match="open already"):
            await memory.__aenter__()


@pytest.mark.parametrize("data", [b"From: somebody\n", b"+\n", b"+a b\n", b"\n", b"+gr\xc3\xbcn\n", b"*a\n"])
async def test_another_file_is_not_taken_for_one(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "seen").write_bytes(data)
    with pytest.raises(UsageError, match="not a file of unique-ids"):
        await SeenFile(tmp_path / "seen").__aenter__()
    assert (tmp_path / "seen").read_bytes() == data


@pytest.mark.parametrize("place", ["absent/seen", "."])
async def test_a_place_where_none_can_be_is_a_usage_error(place: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot open"):
        await SeenFile(tmp_path / place).__aenter__()


@pytest.mark.parametrize("uid", ["", "two words", "line\nend", "gr\xfcn", "x" * 1001])
async def test_what_is_no_unique_id_is_refused(uid: str, tmp_path: Path) -> None:
    async with SeenFile(tmp_path / "seen") as memory:
        with pytest.raises(UsageError, match="not a unique-id"):
            await memory.add("good", uid)
        assert len(memory) == 0


async def test_closed_it_takes_nothing_more(tmp_path: Path) -> None:
    memory = SeenFile(tmp_path / "seen")
    with pytest.raises(ClosedError):
        await memory.add("a")
    async with memory:
        await memory.add("a")
    memory.close()
    assert "a" in memory
    with pytest.raises(ClosedError):
        await memory.add("b")


async def test_what_could_not_be_written_is_not_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "full")

    async with SeenFile(tmp_path / "seen") as memory:
        await memory.add("a")
        with monkeypatch.context() as patched:
            patched.setattr(seen.os, "fsync", full)
            with pytest.raises(OSError, match="full"):
                await memory.add("b")
        assert list(memory) == ["a"]
        await memory.add("c")
    assert (tmp_path / "seen").read_bytes() == b"+a\n+c\n"


async def test_many_at_once_from_many_tasks(tmp_path: Path) -> None:
    async with SeenFile(tmp_path / "seen") as memory:
        await asyncio.gather(*(memory.add(f"uid-{number}", f"uid-{number + 1}") for number in range(50)))
    async with SeenFile(tmp_path / "seen") as memory:
        assert set(memory) == {f"uid-{number}" for number in range(51)}


_ADDING = """
import asyncio, sys
from asyncnet.pop3 import SeenFile, seen

seen._SPARE_LINES = 20

async def main():
    async with SeenFile(sys.argv[1]) as memory:
        for number in range(10**6):
            await memory.add(f"keep-{number}", f"drop-{number}")
            print(f"keep-{number}", flush=True)
            await memory.discard(f"drop-{number}")

asyncio.run(main())
"""


@pytest.mark.slow
async def test_killed_at_any_moment_it_has_all_that_it_said(tmp_path: Path) -> None:
    draw = random.Random(5)
    for number in range(10):
        path = tmp_path / f"seen-{number}"
        with subprocess.Popen([sys.executable, "-c", _ADDING, str(path)], stdout=subprocess.PIPE) as child:
            assert child.stdout
            said = [child.stdout.readline().decode().strip()]
            await asyncio.sleep(draw.random() * 100 * MS)
            child.send_signal(signal.SIGKILL)
            said += child.stdout.read().decode().split("\n")[:-1]
        async with SeenFile(path) as memory:
            assert {uid.strip() for uid in said} <= set(memory)
            assert len([uid for uid in memory if uid.startswith("drop")]) <= 1
