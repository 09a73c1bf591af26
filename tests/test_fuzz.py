"""The fuzzing itself: a little of it for each parser, and that it finds what it looks for."""

from collections.abc import Iterable, Iterator

import pytest

from asyncnet.errors import ProtocolError
from tests.fuzz import __main__ as fuzz
from tests.fuzz.targets import TARGETS, Target


@pytest.mark.parametrize("name", TARGETS)
def test_a_parser_gives_values_or_a_protocol_error(name: str) -> None:
    assert fuzz.run(name, 20_000, seed=1) > 10


def crashing(pieces: Iterable[bytes]) -> Iterator[object]:
    yield b"".join(pieces).decode("ascii")


def cutting(pieces: Iterable[bytes]) -> Iterator[object]:
    yield from pieces


def refusing(pieces: Iterable[bytes]) -> Iterator[object]:
    yield 1
    raise ProtocolError("no")


def quadratic(pieces: Iterable[bytes]) -> Iterator[object]:
    data = b"".join(pieces)
    for place in range(len(data)):
        data[place:].count(b"x")
    yield None


@pytest.mark.parametrize("read", [crashing, cutting, quadratic])
def test_a_fault_is_found(read: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TARGETS, "faulty", Target(read, [b"x y z"], [b"\xff"]))  # type: ignore[arg-type]
    with pytest.raises(fuzz.Failure, match=r"python -m tests.fuzz faulty --seed 2 --only \d+"):
        fuzz.run("faulty", 100_000, seed=2)


def test_a_refusal_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TARGETS, "strict", Target(refusing, [b"x"], [b"y"]))
    assert fuzz.run("strict", 1000, seed=3)


def test_a_case_is_the_same_again() -> None:
    assert fuzz.case("imap", 1, 7)[1] == fuzz.case("imap", 1, 7)[1] != fuzz.case("imap", 1, 8)[1]


def test_the_command_tells_what_it_did(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert fuzz.main(["smtp", "imap-names", "--bytes", "2000", "--seed", "5"]) == 0
    said = capsys.readouterr().out
    assert "seed 5" in said
    assert "imap-names" in said
    monkeypatch.setitem(TARGETS, "smtp", Target(crashing, [b"\xff"], [b"\xff"]))
    assert fuzz.main(["smtp", "--only", "3", "--seed", "5"]) == 1
    assert "again: python -m tests.fuzz smtp --seed 5 --only 3" in capsys.readouterr().out
