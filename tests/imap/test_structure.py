"""MIME structures and envelopes, as servers write them and as they should not."""

import pytest

from asyncnet.errors import ProtocolError
from asyncnet.imap.envelope import Address, Envelope, envelope
from asyncnet.imap.limits import Limits
from asyncnet.imap.structure import structure
from asyncnet.imap.tokens import Value, tokenized


def value(text: bytes) -> Value:
    (one,) = tokenized([text], 0, Limits())
    return one


def test_a_part_has_a_filename_by_its_disposition_or_its_type() -> None:
    by_type = b'("image" "png" ("NAME" "a.png") NIL NIL "base64" 9)'
    by_both = b'("image" "png" ("name" "a.png") NIL NIL "base64" 9 NIL ("attachment" ("FileName" "b.png")))'
    assert structure(value(by_type)).filename == "a.png"
    assert structure(value(by_both)).filename == "b.png"
    assert structure(value(b'("text" "plain" NIL NIL NIL "7bit" 1 1)')).filename is None


def test_walking_gives_outer_parts_first() -> None:
    part = b'("text" "plain" NIL NIL NIL "7bit" 1 1)'
    tree = structure(value(b'((%b%b "alternative")%b "mixed")' % (part, part, part)))
    assert [one.number for one in tree.walk()] == ["", "1", "1.1", "1.2", "2"]


def test_what_servers_leave_out_is_forgiven() -> None:
    bare = structure(value(b'((NIL NIL NIL NIL NIL NIL NIL) "mixed" NIL "attachment")'))
    assert (bare.content_type, bare.disposition, bare.parts[0].content_type) == ("multipart/mixed", "attachment", "/")
    assert structure(value(b'(("a" "b" NIL NIL NIL "7bit" -1))')).content_type == "multipart/mixed"
    plain = structure(value(b'("message" "rfc822" NIL NIL NIL "7bit" 9)'))
    assert (plain.content_type, plain.size, plain.parts) == ("message/rfc822", 9, ())


@pytest.mark.parametrize(
    "text",
    [b"NIL", b"()", b'("a" "b")', b'(("a") "mixed")', b'("a" "b" NIL ("id") NIL "7bit" 1)',
     b'("message" "rfc822" NIL NIL NIL "7bit" 9 (NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL) NIL 1)',
     b'("message" "rfc822" NIL NIL NIL "7bit" 9 (NIL) ("a" "b" NIL NIL NIL "7bit" 1) 1)'],
)  # fmt: skip
def test_what_has_not_the_form_of_a_structure_is_a_protocol_error(text: bytes) -> None:
    with pytest.raises(ProtocolError):
        structure(value(text))


def test_an_address_reads_as_it_is_written() -> None:
    assert str(Address("Terry Gray", "gray", "cac.washington.edu")) == "gray@cac.washington.edu"
    assert str(Address(None, "undisclosed-recipients", None)) == "undisclosed-recipients"
    assert envelope([None] * 10) == Envelope()


@pytest.mark.parametrize(
    "text",
    [b'(NIL NIL "x" NIL NIL NIL NIL NIL NIL NIL)', b"(NIL NIL (x) NIL NIL NIL NIL NIL NIL NIL)", b"(NIL NIL)",
     b"(NIL NIL ((NIL)) NIL NIL NIL NIL NIL NIL NIL)", b"((x) NIL NIL NIL NIL NIL NIL NIL NIL NIL)"],
)  # fmt: skip
def test_what_has_not_the_form_of_an_envelope_is_a_protocol_error(text: bytes) -> None:
    with pytest.raises(ProtocolError):
        envelope(value(text))
