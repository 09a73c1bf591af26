"""The parser tests of IMAPClient and of imap-tools, run on our parser.

They are read from source archives in the folder that ASYNCNET_SDISTS names; without it they are skipped:

    pip download --no-deps --no-binary :all: -d sdists IMAPClient imap-tools && export ASYNCNET_SDISTS=$PWD/sdists
"""

import ast
import email.utils
import importlib.util
import os
import sys
import tarfile
import types
import unittest
from collections import namedtuple
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from asyncnet.errors import ProtocolError, UsageError
from asyncnet.imap.envelope import Envelope
from asyncnet.imap.limits import Limits
from asyncnet.imap.mailbox_name import decoded_name, encoded_name
from asyncnet.imap.reply import parsed
from asyncnet.imap.response import Fetched, Found
from asyncnet.imap.tokens import Value, tokenized

LIMITS = Limits()

BY_DESIGN = {
    "test_square_brackets": "outside of FETCH a bracket is a character like any other",
    "test_incomplete_tuple": "the wording of the error is ours",
    "test_bad_quoting": "the wording of the error is ours",
    "test_bad_literal": "literals are cut by the framing, which waits for the rest",
    "test_INTERNALDATE_normalised": "our dates keep their zone",
    "test_mixed_types": "our dates keep their zone",
    "test_Address_str": "str() of an address is the address",
    "test_Address_str_ignores_encoding_error": "str() of an address is the address",
}

TheirAddress = namedtuple("TheirAddress", "name route mailbox host")
TheirEnvelope = namedtuple("TheirEnvelope", "date subject from_ sender reply_to to cc bcc in_reply_to message_id")


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the archives are unpacked."""
    folder = os.environ.get("ASYNCNET_SDISTS")
    if not folder:
        pytest.skip("ASYNCNET_SDISTS names no folder with the source archives")
    unpacked = tmp_path_factory.mktemp("archives")
    for path in Path(folder).glob("*.tar.gz"):
        with tarfile.open(path) as archive:
            archive.extractall(unpacked, filter="data")
    return unpacked


def found(archives: Path, pattern: str) -> Path:
    (path,) = archives.glob(pattern)
    return path


# What their tests call, on our parser


class AnyOrder(tuple[object, ...]):
    def __eq__(self, other: object) -> bool:
        return isinstance(other, tuple) and set(self) == set(other)

    __hash__ = tuple.__hash__


class Parts(tuple[object, ...]):
    @property
    def is_multipart(self) -> bool:
        return isinstance(self[0], list)


class Numbers(list[int]):
    modseq: int | None = None


def theirs(value: Value) -> object:
    if isinstance(value, list):
        return tuple(theirs(one) for one in value)
    if value is not None and value.isdigit() and (value == b"0" or not value.startswith(b"0")):
        return int(value)
    return value


def their_parts(value: Value) -> object:
    assert isinstance(value, list)
    inner = [one for one in value if isinstance(one, list)] if isinstance(value[0], list) else []
    inner = inner[: next((place for place, one in enumerate(value) if not isinstance(one, list)), len(value))]
    rest = [theirs(one) for one in value[len(inner) :]]
    return Parts([[their_parts(one) for one in inner], *rest]) if inner else Parts(rest)


def parse_response(lines: Iterable[bytes | tuple[bytes, bytes]]) -> tuple[object, ...]:
    return tuple(theirs(one) for one in tokenized(pieces_of(lines), 0, LIMITS))


def pieces_of(lines: Iterable[bytes | tuple[bytes, bytes]]) -> list[bytes]:
    pieces = [b""]
    for line in lines:
        head, literal = line if isinstance(line, tuple) else (line, None)
        pieces[-1] += head
        if literal is not None:
            pieces[-1] = pieces[-1][: pieces[-1].rindex(b"{")]
            pieces += [literal, b""]
    return pieces


def parse_message_list(lines: list[bytes]) -> Numbers:
    reply = parsed([b"* SEARCH " + lines[0]], LIMITS)
    assert isinstance(reply, Found)
    numbers = Numbers(reply.numbers)
    numbers.modseq = reply.modseq
    return numbers


def parse_fetch_response(
    lines: list[bytes | tuple[bytes, bytes] | None], normalise_times: bool = True, uid_is_key: bool = True
) -> dict[int, dict[bytes, object]]:
    responses: list[list[bytes | tuple[bytes, bytes]]] = []
    is_open = False
    for line in lines:
        if line is None:
            continue
        if is_open:
            responses[-1].append(line)
        else:
            responses.append([line])
        is_open = isinstance(line, tuple)
    told: dict[int, dict[bytes, object]] = {}
    for response in responses:
        one = fetched(pieces_of(response))
        key = one.uid if one.uid is not None and uid_is_key else one.number
        told.setdefault(key, {}).update(dict_of(one, pieces_of(response), uid_is_key))
    return told


def fetched(pieces: list[bytes]) -> Fetched:
    reply = parsed([b"* " + pieces[0].replace(b" ", b" FETCH ", 1), *pieces[1:]], LIMITS)
    if not isinstance(reply, Fetched):
        raise ProtocolError("no FETCH")
    return reply


def dict_of(one: Fetched, pieces: list[bytes], uid_is_key: bool) -> dict[bytes, object]:
    (values,) = tokenized([pieces[0].partition(b" ")[2], *pieces[1:]], 0, LIMITS, of_fetch=True)
    assert isinstance(values, list)
    told: dict[bytes, object] = {b"SEQ": one.number}
    for key, value in zip(values[::2], values[1::2], strict=True):
        assert isinstance(key, bytes)
        name = key.upper()
        if name == b"UID":
            if not uid_is_key:
                told[name] = one.uid
        elif name == b"FLAGS":
            told[name] = AnyOrder(flag.encode() for flag in one.flags or ())
        elif name == b"ENVELOPE":
            assert one.envelope
            told[name] = their_envelope(one.envelope)
        elif name in (b"BODY", b"BODYSTRUCTURE"):
            assert one.structure
            told[name] = their_parts(value)
        elif name == b"INTERNALDATE":
            told[name] = one.received
        elif name == b"MODSEQ":
            told[name] = one.modseq
        elif name.decode() in one.others:
            told[name] = theirs(one.others[name.decode()])
        else:
            ours = {"RFC822": "BODY[]", "RFC822.TEXT": "BODY[TEXT]"}.get(name.decode(), name.decode())
            told[name] = one.sections[ours]
    return told


def their_envelope(ours: Envelope) -> TheirEnvelope:
    date = None
    if ours.date is not None:
        try:
            date = email.utils.parsedate_to_datetime(ours.date)
        except ValueError:
            date = None

    def raw(text: str | None) -> bytes | None:
        return None if text is None else text.encode()

    people = [
        tuple(TheirAddress(raw(one.name), None, raw(one.mailbox), raw(one.host)) for one in group) or None
        for group in (ours.sent_from, ours.sender, ours.reply_to, ours.to, ours.cc, ours.bcc)
    ]
    return TheirEnvelope(date, raw(ours.subject), *people, raw(ours.in_reply_to), raw(ours.message_id))


def shims() -> dict[str, types.ModuleType]:
    content: dict[str, dict[str, object]] = {
        "imapclient": {},
        "imapclient.datetime_util": {"datetime_to_native": lambda moment: moment},
        "imapclient.exceptions": {"ProtocolError": ProtocolError},
        "imapclient.fixed_offset": {"FixedOffset": lambda minutes: timezone(timedelta(minutes=minutes))},
        "imapclient.response_parser": {
            "parse_fetch_response": parse_fetch_response,
            "parse_message_list": parse_message_list,
            "parse_response": parse_response,
        },
        "imapclient.response_types": {"Address": TheirAddress, "Envelope": TheirEnvelope},
        "imapclient.util": {"logger": None},
    }
    modules = {}
    for name, names in content.items():
        modules[name] = types.ModuleType(name)
        modules[name].__dict__.update(names)
    return modules


def test_the_parser_tests_of_imapclient_pass(archives: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = found(archives, "imapclient-*/tests/test_response_parser.py")
    for name, module in shims().items():
        monkeypatch.setitem(sys.modules, name, module)
    spec = importlib.util.spec_from_file_location("their_parser_tests", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    result = unittest.TestResult()
    for case in (case for suite in unittest.TestLoader().loadTestsFromModule(module) for case in suite):  # type: ignore[union-attr]
        if case.id().rpartition(".")[2] not in BY_DESIGN:
            case.run(result)
    assert [(case.id(), why) for case, why in result.failures + result.errors] == []
    assert result.testsRun > 35


@pytest.mark.parametrize(
    ("pattern", "name"),
    [("imapclient-*/tests/test_imap_utf7.py", "tests"), ("imap_tools-*/tests/test_imap_utf7.py", "data")],
)
def test_their_names_of_mailboxes_are_read_and_written_alike(archives: Path, pattern: str, name: str) -> None:
    tree = ast.parse(found(archives, pattern).read_text(encoding="utf-8"))
    (pairs,) = [
        ast.literal_eval(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == name
    ]
    for text, coded in pairs:
        assert decoded_name(coded) == text
        if any(character < " " for character in text):
            with pytest.raises(UsageError):
                encoded_name(text)
        else:
            assert encoded_name(text).encode() == coded


def test_the_date_of_an_envelope_is_theirs() -> None:
    assert their_envelope(Envelope(date="Sun, 24 Mar 2013 22:06:10 +0200")).date == datetime(
        2013, 3, 24, 22, 6, 10, tzinfo=timezone(timedelta(hours=2))
    )
