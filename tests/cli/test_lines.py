"""The URLs of a file or of standard input, as they come."""

import asyncio
import contextlib
import os

import pytest

from asyncnet import UsageError, jobs
from asyncnet.cli.lines import portions
from asyncnet.cli.making import key_of


async def read(path) -> list[str]:
    return [line for _, line in await numbered(path)]


async def numbered(path) -> list[tuple[int, str]]:
    return [line async for portion in portions(str(path)) for line in portion]


async def test_lines_have_the_numbers_that_an_editor_shows(tmp_path, monkeypatch):
    file = tmp_path / "urls"
    file.write_bytes(b"\n# no\nhttp://a/\r\n\n\nhttp://b/\n  http://c/")
    for piece in (1, 2, 3, 5, 7, 100):
        monkeypatch.setattr("asyncnet.cli.lines._PIECE_BYTES", piece)
        assert await numbered(file) == [(3, "http://a/"), (6, "http://b/"), (7, "http://c/")], piece


async def test_lines_come_without_blanks_and_comments(tmp_path):
    file = tmp_path / "urls"
    file.write_bytes(b"http://a/\r\n\n  http://b/  \n# no\n\xef\xbb\x00\nhttp://c/")
    assert await read(file) == ["http://a/", "http://b/", "\ufffd\x00", "http://c/"]


async def test_a_file_of_any_length_is_cut_into_lines_at_any_place(tmp_path):
    file = tmp_path / "urls"
    expected = [f"http://a/{number}" for number in range(20_000)]
    file.write_text("\n".join(expected))
    assert await read(file) == expected


async def test_an_empty_file_has_no_lines(tmp_path):
    (tmp_path / "urls").write_bytes(b"")
    assert await read(tmp_path / "urls") == []


@pytest.mark.parametrize("name", ["missing", ""])
async def test_a_file_that_cannot_be_read_is_a_usage_error(tmp_path, name):
    with pytest.raises(UsageError, match="cannot read"):
        await read(tmp_path / name)


async def test_a_file_without_line_ends_is_no_list(tmp_path):
    (tmp_path / "urls").write_bytes(b"x" * 3_000_000)
    with pytest.raises(UsageError, match="is it a list"):
        await read(tmp_path / "urls")


async def test_a_line_comes_as_soon_as_it_is_there(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reading = portions(str(pipe))
    first = asyncio.ensure_future(anext(reading))
    writer = await asyncio.get_running_loop().run_in_executor(None, lambda: os.open(pipe, os.O_WRONLY))
    os.write(writer, b"http://a/\nhttp://")
    assert await first == [(1, "http://a/")]
    os.write(writer, b"b/\n")
    assert await anext(reading) == [(2, "http://b/")]
    os.close(writer)
    with pytest.raises(StopAsyncIteration):
        await anext(reading)


async def test_a_reader_that_is_stuck_can_be_given_up(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    descriptor = os.open(pipe, os.O_RDWR)  # so that opening it for reading does not wait
    async with contextlib.aclosing(portions(str(pipe))) as reading:
        first = asyncio.ensure_future(anext(reading))
        await asyncio.sleep(0.01)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
    os.write(descriptor, b"\n")  # lets the thread end
    os.close(descriptor)


@pytest.mark.parametrize(
    "url", ["http://a", "https://a.example.org:8443/b/c.html", "http://[::1]:8080/%7Ea", "http://a//"]
)
def test_the_key_of_a_plain_page_is_told_without_making_its_job(url):
    assert key_of(url) == jobs.fetch(url).key


@pytest.mark.parametrize("url", ["HTTP://A:80/", "http://a:80/", "http://b\u00fccher.example/"])
def test_a_page_written_in_another_way_is_not_taken_for_another(url):
    assert key_of(url) != jobs.fetch(url).key  # so its job is made, which then is found
    assert key_of(url) in (None, f"GET {url}")


@pytest.mark.parametrize(
    "line", ["http://a/?q", "http://a/#f", "http://u@a/", "tcp://a:1", '{"url": "http://a/"}', "x", ""]
)
def test_the_key_of_anything_else_is_left_to_its_job(line):
    assert key_of(line) is None
