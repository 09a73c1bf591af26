"""Downloads: whole or not at all, and continued only where the bytes are known to belong together."""

import asyncio
import gzip
import hashlib
import json
import random
from pathlib import Path

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
    StatusError,
    UsageError,
)
from asyncnet.retry import Retry
from tests.clock import MS
from tests.http.files import Asked, FileServer, Reply
from tests.http.site import BIG, Site, until

CONTENT = random.Random(1).randbytes(300_000)
OTHER = random.Random(2).randbytes(300_000)
DIGEST = hashlib.sha256(CONTENT).hexdigest()
AT_ONCE = Retry(attempts=50, first_delay=0)
PART, NOTE = "file.part", "file.part.etag"


def once(count: int) -> object:
    """Cut the first answer after `count` bytes, and no other."""
    return lambda number: count if number == 0 else None


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def half(server: FileServer, folder: Path, count: int = 100_000, **kwargs: object) -> None:
    """Leave the first `count` bytes in `folder` by a download that is cut."""
    now = len(server.asked)
    kept, server.cut = server.cut, lambda number: count if number == now else None
    with pytest.raises(IncompleteRead):
        await http.download(server.url, folder / "file", **kwargs)  # type: ignore[arg-type]
    server.cut = kept
    assert (folder / PART).read_bytes() == server.content[:count]


async def test_a_file_arrives_whole_and_leaves_nothing_beside_it(tmp_path: Path, site: Site) -> None:
    done = await http.download(f"{site.url}/big", tmp_path / "big")
    assert (tmp_path / "big").read_bytes() == BIG
    assert names(tmp_path) == ["big"]
    assert (done.path, done.size, done.resumed, done.sha256) == (tmp_path / "big", len(BIG), 0, None)
    assert site.heads[0]["Accept-Encoding"] == "identity"
    done = await http.download(f"{site.url}/big?chunked", str(tmp_path / "big"), sha256=hashlib.sha256(BIG).hexdigest())
    assert done.sha256 == hashlib.sha256(BIG).hexdigest()
    assert (tmp_path / "big").read_bytes() == BIG


async def test_an_empty_file_is_a_file(tmp_path: Path) -> None:
    async with FileServer(b"") as server:
        done = await http.download(server.url, tmp_path / "file", sha256=hashlib.sha256(b"").hexdigest())
    assert (done.size, (tmp_path / "file").read_bytes(), names(tmp_path)) == (0, b"", ["file"])


async def test_a_cut_keeps_the_part_with_its_etag_and_the_next_call_asks_for_the_rest(tmp_path: Path) -> None:
    async with FileServer(CONTENT) as server:
        await half(server, tmp_path)
        assert names(tmp_path) == [PART, NOTE]
        assert json.loads((tmp_path / NOTE).read_text())["etag"] == '"1"'
        done = await http.download(server.url, tmp_path / "file", sha256=DIGEST)
        assert (done.size, done.resumed, done.etag) == (300_000, 100_000, '"1"')
        assert server.asked[1].fields["range"] == "bytes=100000-"
        assert server.asked[1].fields["if-range"] == '"1"'
        assert server.asked[1].fields["accept-encoding"] == "identity"
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("etag", ['W/"1"', None, "unquoted", '"half', '""quoted""'])
async def test_without_a_strong_etag_nothing_is_kept(tmp_path: Path, etag: str | None) -> None:
    async with FileServer(CONTENT, etag, cut=once(100_000)) as server:  # type: ignore[arg-type]
        with pytest.raises(IncompleteRead):
            await http.download(server.url, tmp_path / "file")
        assert names(tmp_path) == []
        await http.download(server.url, tmp_path / "file")
        assert server.ranges == [None, None]
    assert (tmp_path / "file").read_bytes() == CONTENT


async def test_a_part_without_its_etag_is_begun_again(tmp_path: Path) -> None:
    for note in (None, b"", b"{}", b"[]", b"nonsense", b'{"etag": "W/\\"1\\"", "total": 1, "source": ""}', b"[" * 5000):
        async with FileServer(CONTENT) as server:
            await half(server, tmp_path)
            (tmp_path / NOTE).unlink() if note is None else (tmp_path / NOTE).write_bytes(note)
            await http.download(server.url, tmp_path / "file")
            assert server.ranges == [None, None]
        assert (tmp_path / "file").read_bytes() == CONTENT


async def test_a_part_of_another_url_is_begun_again(tmp_path: Path) -> None:
    async with FileServer(CONTENT) as server:
        await half(server, tmp_path)
        await http.download(f"{server.url}?other", tmp_path / "file")
        assert server.ranges == [None, None]
        await half(server, tmp_path)
        await http.download(server.url, tmp_path / "file", resume=False)
        assert server.ranges == [None, None, None, None]


async def test_a_file_that_changed_meanwhile_is_fetched_from_its_first_byte(tmp_path: Path) -> None:
    async with FileServer(CONTENT) as server:
        await half(server, tmp_path)
        server.content, server.etag = OTHER, '"2"'
        done = await http.download(server.url, tmp_path / "file", sha256=hashlib.sha256(OTHER).hexdigest())
        assert (done.resumed, done.etag, server.ranges) == (0, '"2"', [None, 100_000])
    assert (tmp_path / "file").read_bytes() == OTHER


async def test_a_server_without_ranges_sends_it_all_again(tmp_path: Path) -> None:
    async with FileServer(CONTENT) as server:
        await half(server, tmp_path)
        length = {"Content-Length": str(len(CONTENT)), "ETag": '"1"'}
        server.answering = lambda asked: Reply("200 OK", length, CONTENT)
        done = await http.download(server.url, tmp_path / "file", sha256=DIGEST)
        assert (done.resumed, len(server.asked)) == (0, 2)


async def test_416_at_the_very_end_is_the_end(tmp_path: Path) -> None:
    async with FileServer(CONTENT) as server:
        await half(server, tmp_path, 299_999)
        with (tmp_path / PART).open("ab") as part:  # as one leaves it who is killed between the last byte and the end
            part.write(CONTENT[299_999:])
        done = await http.download(server.url, tmp_path / "file", sha256=DIGEST)
        assert (done.size, done.resumed, server.ranges) == (300_000, 300_000, [None, 300_000])
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("where", ["bytes */299999", "bytes */300001", "bytes */*", "", "bytes 0-299999/300000", "x"])
async def test_416_elsewhere_begins_again(tmp_path: Path, where: str) -> None:
    async with FileServer(CONTENT) as server:
        await half(server, tmp_path)
        refusal = Reply("416 Range Not Satisfiable", {"Content-Range": where, "Content-Length": "0"})
        server.answering = lambda asked: server.good(asked) if asked.first is None else refusal
        await http.download(server.url, tmp_path / "file", sha256=DIGEST)
        assert server.ranges == [None, 100_000, None]


@pytest.mark.parametrize(
    "fields",
    [
        {"Content-Range": "bytes 0-299999/300000"},
        {"Content-Range": "bytes 100001-299999/300000"},
        {"Content-Range": "bytes 99999-299999/300000"},
        {"Content-Range": "bytes 100000-299999/300001"},
        {"Content-Range": "bytes 100000-300000/300000"},
        {"Content-Range": "bytes 100000-99999/300000"},
        {"Content-Range": "bytes 100000-/300000"},
        {"Content-Range": "bytes */300000"},
        {"Content-Range": "words 100000-299999/300000"},
        {"Content-Range": "bytes 100000-299999"},
        {"Content-Range": f"bytes {'1' * 30}-{'2' * 30}/{'3' * 30}"},
        {"Content-Range": ""},
        {"Content-Range": "", "Content-Type": "multipart/byteranges; boundary=x"},
        {"ETag": '"2"'},
        {"ETag": ""},
        {"ETag": 'W/"1"'},
        {"Content-Range": "bytes 100000-299998/300000"},
        {"Content-Encoding": "gzip"},
    ],
    ids=str,
)
async def test_a_206_that_lies_is_not_used(tmp_path: Path, fields: dict[str, str]) -> None:
    async with FileServer(CONTENT) as server:
        await half(server, tmp_path)

        def answering(asked: Asked) -> Reply:
            return server.good(asked) if asked.first is None else server.part(100_000, 300_000, **fields)

        server.answering = answering
        done = await http.download(server.url, tmp_path / "file", sha256=DIGEST)
        assert (done.resumed, server.ranges) == (0, [None, 100_000, None])
    assert (tmp_path / "file").read_bytes() == CONTENT


async def test_a_short_206_is_taken_and_the_rest_asked_for(tmp_path: Path) -> None:
    async with FileServer(CONTENT) as server:
        await half(server, tmp_path)
        server.answering = lambda asked: server.part(asked.first or 0, min((asked.first or 0) + 70_000, 300_000))
        done = await http.download(server.url, tmp_path / "file", sha256=DIGEST)
        assert (done.resumed, server.ranges) == (100_000, [None, 100_000, 170_000, 240_000])


async def test_a_206_of_unknown_length_ends_by_416(tmp_path: Path) -> None:
    async with FileServer(CONTENT) as server:
        await half(server, tmp_path)
        where = {"Content-Range": "bytes 100000-299999/*"}
        server.answering = lambda asked: (
            server.part(100_000, 300_000, **where) if asked.first == 100_000 else server.good(asked)
        )
        done = await http.download(server.url, tmp_path / "file", sha256=DIGEST)
        assert (done.resumed, server.ranges) == (100_000, [None, 100_000, 300_000])


@pytest.mark.parametrize("sent", [150_000, 250_000])
async def test_a_206_without_a_length_brings_what_its_range_says_or_fails(tmp_path: Path, sent: int) -> None:
    async with FileServer(CONTENT) as server:
        await half(server, tmp_path)
        reply = server.part(100_000, 300_000)
        del reply.fields["Content-Length"]
        reply.body = (CONTENT + CONTENT)[100_000 : 100_000 + sent]
        server.answering = lambda asked: reply
        with pytest.raises(IncompleteRead if sent < 200_000 else ProtocolError):
            await http.download(server.url, tmp_path / "file", sha256=DIGEST)
        # What came short goes on; of what came in excess nobody knows which bytes are right.
        assert names(tmp_path) == ([PART, NOTE] if sent < 200_000 else [])


async def test_a_206_that_nobody_asked_for_is_an_error(tmp_path: Path) -> None:
    async with FileServer(CONTENT) as server:
        server.answering = lambda asked: server.part(0, 300_000)
        with pytest.raises(ProtocolError, match="a status 206 where a whole file was asked for"):
            await http.download(server.url, tmp_path / "file")
    assert names(tmp_path) == []


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified", "202 Accepted"])
async def test_a_status_without_a_file_is_an_error(tmp_path: Path, status: str) -> None:
    async with FileServer(answering=lambda asked: Reply(status, {"Content-Length": "0"})) as server:
        with pytest.raises(ProtocolError, match=f"status {status[:3]}"):
            await http.download(server.url, tmp_path / "file")
    assert names(tmp_path) == []


async def test_a_status_of_400_or_more_keeps_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    async with FileServer(CONTENT) as server:
        await half(server, tmp_path)
        for status in ("404 Not Found", "503 Service Unavailable", "412 Precondition Failed"):
            server.answering = lambda asked, status=status: Reply(status, {"Content-Length": "2"}, b"no")
            with pytest.raises(StatusError, match=status[:3]):
                await http.download(server.url, tmp_path / "file")
    assert names(tmp_path) == ["file", PART, NOTE]
    assert (tmp_path / "file").read_bytes() == b"old"


async def test_another_checksum_is_an_error_and_nothing_stays(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    async with FileServer(CONTENT) as server:
        with pytest.raises(ProtocolError, match="SHA-256 is"):
            await http.download(server.url, tmp_path / "file", sha256="0" * 64)
        await half(server, tmp_path)
        with pytest.raises(ProtocolError, match="SHA-256 is"):
            await http.download(server.url, tmp_path / "file", sha256="0" * 64)
    assert names(tmp_path) == ["file"]
    assert (tmp_path / "file").read_bytes() == b"old"


async def test_a_retry_goes_on_where_it_was_cut(tmp_path: Path) -> None:
    async with FileServer(CONTENT, cut=lambda number: 60_000 if number < 4 else None) as server:
        done = await http.download(server.url, tmp_path / "file", sha256=DIGEST, retry=AT_ONCE)
        assert server.ranges == [None, 60_000, 120_000, 180_000, 240_000]
        assert (done.size, done.resumed) == (300_000, 0)


async def test_a_retry_gives_up_after_its_attempts(tmp_path: Path) -> None:
    async with FileServer(CONTENT, cut=lambda number: 10) as server:
        with pytest.raises(IncompleteRead):
            await http.download(server.url, tmp_path / "file", retry=Retry(attempts=3, first_delay=0))
        assert server.ranges == [None, 10, 20]
        url = server.url
    with pytest.raises(ConnectError):
        await http.download(url, tmp_path / "file", retry=Retry(attempts=2, first_delay=0))


async def test_what_is_packed_all_the_same_is_unpacked_and_not_continued(tmp_path: Path) -> None:
    packed = gzip.compress(CONTENT)
    fields = {"Content-Length": str(len(packed)), "Content-Encoding": "gzip", "ETag": '"1"'}
    async with FileServer(answering=lambda asked: Reply("200 OK", fields, packed)) as server:
        assert (await http.download(server.url, tmp_path / "file", sha256=DIGEST)).size == len(CONTENT)
        (tmp_path / "file").unlink()
        server.answering = lambda asked: Reply("200 OK", fields, packed, cut=100_000)
        with pytest.raises(IncompleteRead):
            await http.download(server.url, tmp_path / "file")
        server.answering = lambda asked: Reply("200 OK", {**fields, "Content-Encoding": "own"}, packed)
        with pytest.raises(ProtocolError, match="'own'"):
            await http.download(server.url, tmp_path / "file")
    assert names(tmp_path) == []


async def test_a_file_beyond_the_limit_is_an_error_announced_or_not(tmp_path: Path) -> None:
    async with FileServer(CONTENT) as server:
        assert (await http.download(server.url, tmp_path / "file", max_bytes=300_000)).size == 300_000
        (tmp_path / "file").unlink()
        for fields in ({"Content-Length": "300000"}, {}):
            server.answering = lambda asked, fields=fields: Reply("200 OK", {**fields, "ETag": '"1"'}, CONTENT, 300_000)
            with pytest.raises(LimitError) as caught:
                await http.download(server.url, tmp_path / "file", max_bytes=299_999)
            assert caught.value.limit == 299_999
            assert names(tmp_path) == []
        server.answering = server.good
        await half(server, tmp_path)
        with pytest.raises(LimitError):
            await http.download(server.url, tmp_path / "file", max_bytes=299_999)


async def test_the_deadline_keeps_what_came(tmp_path: Path) -> None:
    async with FileServer(CONTENT) as server:
        good = server.good

        def answering(asked: Asked) -> Reply:
            reply = good(asked)
            reply.cut, reply.is_silent = (100_000, True) if asked.number == 0 else (None, False)
            return reply

        server.answering = answering
        with pytest.raises(DeadlineError, match="in reading the body"):
            await http.download(server.url, tmp_path / "file", timeout=100 * MS)
        done = await http.download(server.url, tmp_path / "file", sha256=DIGEST)
        assert done.resumed > 0


async def test_a_cancelled_download_keeps_what_came(tmp_path: Path) -> None:
    async with FileServer(CONTENT) as server:
        server.answering = lambda asked: Reply(
            "200 OK", {"Content-Length": "300000", "ETag": '"1"'}, CONTENT, 100_000, is_silent=True
        )
        task = asyncio.create_task(http.download(server.url, tmp_path / "file"))
        await until(lambda: (tmp_path / NOTE).exists())
        await asyncio.sleep(20 * MS)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: (tmp_path / PART).exists() and (tmp_path / PART).stat().st_size == 100_000)
        server.answering = server.good
        assert (await http.download(server.url, tmp_path / "file", sha256=DIGEST)).resumed == 100_000


async def test_two_downloads_never_write_to_one_file(tmp_path: Path) -> None:
    async with FileServer(CONTENT) as server:
        good = server.good
        server.answering = lambda asked: Reply(
            "200 OK", {"Content-Length": "300000", "ETag": '"1"'}, CONTENT, 100_000, is_silent=True
        )
        first = asyncio.create_task(http.download(server.url, tmp_path / "file"))
        await until(lambda: (tmp_path / NOTE).exists())
        with pytest.raises(UsageError, match="another download"):
            await http.download(server.url, tmp_path / "file")
        assert names(tmp_path) == [PART, NOTE]
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        server.answering = good
        await http.download(server.url, tmp_path / "file", sha256=DIGEST)


async def test_what_cannot_be_written_is_said_before_anything_is_sent(tmp_path: Path) -> None:
    async with FileServer(CONTENT) as server:
        (tmp_path / "folder").mkdir()
        with pytest.raises(UsageError, match="is a folder"):
            await http.download(server.url, tmp_path / "folder")
        with pytest.raises(FileNotFoundError):
            await http.download(server.url, tmp_path / "nowhere" / "file")
        (tmp_path / "x.part").symlink_to(tmp_path / "victim")
        with pytest.raises(OSError):  # noqa: PT011 (ELOOP)
            await http.download(server.url, tmp_path / "x")
        assert not (tmp_path / "victim").exists()
        for wrong in ("abc", "0" * 63, "g" * 64):
            with pytest.raises(UsageError, match="64 hex"):
                await http.download(server.url, tmp_path / "file", sha256=wrong)
        for name in ("Range", "if-range", "Accept-Encoding"):
            with pytest.raises(UsageError, match="for the download itself"):
                await http.download(server.url, tmp_path / "file", headers={name: "x"})
        assert server.asked == []


async def test_redirects_are_followed_and_the_end_is_named(tmp_path: Path, site: Site) -> None:
    async with FileServer(CONTENT) as server:
        done = await http.download(f"{site.url}/to/302?url={server.url}", tmp_path / "file", sha256=DIGEST)
        assert (done.url, [hop.status for hop in done.history]) == (server.url, [302])


async def test_errors_name_the_place_and_no_secret(tmp_path: Path) -> None:
    async with FileServer(answering=lambda asked: Reply("204 No", {"Content-Length": "0"})) as server:
        with pytest.raises(NetError) as caught:
            await http.download(f"{server.url}?key=secret", tmp_path / "file")
        assert "127.0.0.1" in str(caught.value)
        assert "secret" not in str(caught.value)
    async with FileServer(CONTENT, cut=once(10)) as server:  # type: ignore[arg-type]
        with pytest.raises(DisconnectedError):
            await http.download(f"{server.url}?key=secret", tmp_path / "file")
        assert "secret" not in (tmp_path / NOTE).read_text()


@pytest.mark.slow
async def test_200_mib_cut_20_times_end_byte_exact(tmp_path: Path) -> None:
    block = random.Random(3).randbytes(1 << 20)
    content = b"".join(bytes([number]) + block[1:] for number in range(200))
    cuts = random.Random(4)
    async with FileServer(content, cut=lambda number: cuts.randrange(5, 10_000_000) if number < 20 else None) as server:
        digest = hashlib.sha256(content).hexdigest()
        done = await http.download(server.url, tmp_path / "file", sha256=digest, retry=AT_ONCE, timeout=120.0)
        assert len(server.asked) == 21
        assert None not in server.ranges[1:]
        assert done.size == len(content)
    with (tmp_path / "file").open("rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == digest
