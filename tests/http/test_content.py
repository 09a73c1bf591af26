"""Bodies of requests: what is sent, how long it is, and whether it can be sent again."""

import asyncio
import email
import email.policy
import io
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from asyncnet.errors import UsageError
from asyncnet.http.content import Content, content_of

BIG = bytes(range(256)) * 4000  # a MiB: more than goes in one piece


async def sent(content: Content | None) -> bytes:
    assert content is not None
    payload = content.payload()
    if isinstance(payload, bytes):
        return payload
    return b"".join([piece async for piece in payload])


async def pieces(*given: object) -> AsyncIterator[bytes]:
    for piece in given:
        await asyncio.sleep(0)
        yield piece  # type: ignore[misc]


class Endless(io.BytesIO):
    """A file without a place to go back to, as a pipe is."""

    def tell(self) -> int:
        raise OSError("illegal seek")


@pytest.mark.parametrize(
    ("make", "expected", "media_type", "size", "again"),
    [
        (lambda: content_of(form="a=1&b=2"), b"a=1&b=2", "application/x-www-form-urlencoded", 7, True),
        (lambda: content_of(json_value={"a": "é"}), b'{"a": "\\u00e9"}', "application/json", 15, True),
        (lambda: content_of(json_value=0), b"0", "application/json", 1, True),
        (lambda: content_of(body=b""), b"", None, 0, True),
        (lambda: content_of(body="é"), b"\xc3\xa9", "text/plain; charset=utf-8", 2, True),
        (lambda: content_of(body=bytearray(b"abc")), b"abc", None, 3, True),
        (lambda: content_of(body=memoryview(b"abcd")[1:3]), b"bc", None, 2, True),
        (lambda: content_of(body=BIG), BIG, None, len(BIG), True),
        (lambda: content_of(body=io.BytesIO(b"")), b"", None, 0, True),
        (lambda: content_of(body=io.BytesIO(BIG)), BIG, None, len(BIG), True),
        (lambda: content_of(body=Endless(BIG)), BIG, None, None, False),
        (lambda: content_of(body=pieces(b"a", b"", bytearray(b"b"), memoryview(b"c"))), b"abc", None, None, False),
        (lambda: content_of(body=pieces()), b"", None, None, False),
    ],
)
async def test_each_kind_of_body_is_sent_as_it_is(
    make: Callable[[], Content], expected: bytes, media_type: str | None, size: int | None, again: bool
) -> None:
    content = make()
    assert (content.media_type, content.size, content.can_be_sent) == (media_type, size, True)
    assert await sent(content) == expected
    assert content.can_be_sent is again
    if again:
        assert await sent(content) == expected


def test_no_argument_is_no_body() -> None:
    assert content_of() is None


def test_several_bodies_are_refused() -> None:
    with pytest.raises(UsageError, match="not several"):
        content_of(form="a=1", body=b"")


@pytest.mark.parametrize("value", [float("nan"), {"a": object()}, {1j: 2}, "x".__class__])
def test_what_is_no_json_is_refused(value: object) -> None:
    with pytest.raises(UsageError, match="JSON"):
        content_of(json_value=value)


def test_json_without_an_end_is_refused() -> None:
    deep: list[object] = []
    for _ in range(200_000):
        deep = [deep]
    circle: list[object] = []
    circle.append(circle)
    for value in (deep, circle):
        with pytest.raises(UsageError):
            content_of(json_value=value)


@pytest.mark.parametrize("body", [7, ["a"], object(), iter([b"a"]), "\ud800"])
def test_what_is_no_body_is_refused(body: object) -> None:
    with pytest.raises(UsageError):
        content_of(body=body)  # type: ignore[arg-type]


async def test_a_file_is_sent_from_where_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(BIG)
    with path.open("rb") as file:
        file.seek(100)
        content = content_of(body=file)
        assert content is not None
        assert content.size == len(BIG) - 100
        for _ in range(2):
            assert await sent(content) == BIG[100:]


async def test_a_buffer_may_change_once_it_was_handed_over() -> None:
    buffer = bytearray(b"before")
    content = content_of(body=buffer)
    buffer[:] = b"after!"
    assert await sent(content) == b"before"


async def test_a_file_that_becomes_shorter_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(BIG)
    with path.open("rb") as file:
        content = content_of(body=file)
        os.truncate(path, 1000)
        with pytest.raises(UsageError, match="shorter"):
            await sent(content)
        assert isinstance(content.failure, UsageError)  # type: ignore[union-attr]


async def test_a_file_that_becomes_longer_is_sent_as_it_was_announced(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 10)
    with path.open("rb") as file:
        content = content_of(body=file)
        with path.open("ab") as more:
            more.write(b"y" * 10)
        assert await sent(content) == b"x" * 10


async def test_a_file_of_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("text")
    with path.open() as file, pytest.raises(UsageError, match="'rb'"):
        await sent(content_of(body=file))  # type: ignore[arg-type]


@pytest.mark.parametrize("piece", ["text", None, 7])
async def test_an_iterable_of_anything_but_bytes_is_refused(piece: object) -> None:
    with pytest.raises(UsageError, match="not bytes"):
        await sent(content_of(body=pieces(b"a", piece)))


async def test_what_the_callers_iterable_raises_is_remembered() -> None:
    async def failing() -> AsyncIterator[bytes]:
        yield b"a"
        raise ZeroDivisionError

    content = content_of(body=failing())
    with pytest.raises(ZeroDivisionError):
        await sent(content)
    assert isinstance(content.failure, ZeroDivisionError)  # type: ignore[union-attr]
    await content.aclose()  # type: ignore[union-attr]


async def test_an_iterator_that_was_begun_is_ended() -> None:
    ended = []

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"a"
        finally:
            ended.append(True)

    content = content_of(body=endless())
    assert content is not None
    payload = content.payload()
    assert not isinstance(payload, bytes)
    async for _ in payload:
        break
    await content.aclose()
    assert ended == [True]


async def test_the_parts_of_a_form_come_apart_as_they_were_put_together(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(BIG)
    with path.open("rb") as file:
        content = content_of(
            parts={
                "text": "some é",
                "bytes": b"\0\1",
                "file": file,
                "named": ('a "b"\\é.txt', b"named"),
                "typed": ("x", "typed", "text/x-typed"),
                "json": (None, b"{}", "application/json"),
            }
        )
        assert content is not None
        assert content.media_type is not None
        body = await sent(content)
        assert len(body) == content.size
        assert await sent(content) == body
    message = email.message_from_bytes(
        f"Content-Type: {content.media_type}\r\n\r\n".encode() + body, policy=email.policy.HTTP.clone(utf8=True)
    )
    found = {part.get_param("name", header="Content-Disposition"): part for part in message.iter_parts()}  # type: ignore[attr-defined]
    assert {name: part.get_payload(decode=True) for name, part in found.items()} == {
        "text": "some é".encode(),
        "bytes": b"\0\1",
        "file": BIG,
        "named": b"named",
        "typed": b"typed",
        "json": b"{}",
    }
    assert [found[name].get("Content-Type") for name in found] == [
        None,
        None,
        "image/png",
        "text/plain",
        "text/x-typed",
        "application/json",
    ]
    assert b'filename="picture.png"' in body
    assert 'filename="a %22b%22\\é.txt"'.encode() in body


async def test_a_name_may_have_several_parts_and_a_part_may_be_a_stream() -> None:
    content = content_of(parts=[("a", "1"), ("a", pieces(b"2")), ("a", ("n", pieces(b"3")))])
    assert content is not None
    assert content.size is None
    body = await sent(content)
    assert body.count(b'name="a"') == 3
    await content.aclose()


@pytest.mark.parametrize(
    "parts",
    [
        {"a\r\nb": "x"},
        {"a": ("f\nname", b"x")},
        {"a": ("f", b"x", "text/plain\r\nX-Evil: yes")},
        {"a\0": "x"},
        {"\ud800": "x"},
        {"a": ("f",)},
        {"a": ("f", b"x", "t", "more")},
        {"a": 7},
        {7: "a"},
        {"a": ("f", None)},
    ],
)
def test_a_part_that_cannot_be_sent_is_refused(parts: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        content_of(parts=parts)  # type: ignore[arg-type]
