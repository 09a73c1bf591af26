"""What a message is like: headers, addresses, parts, sections, compared with what the standard library reads."""

import base64
import email
import email.policy
import re
import time
from email.message import EmailMessage, Message

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncnet.lab.imap.addresses import MAX_ADDRESSES, Address, addresses
from asyncnet.lab.imap.arguments import Arguments
from asyncnet.lab.imap.header import Header, decoded, text, unencoded
from asyncnet.lab.imap.mime import MAX_DEPTH, MAX_PARTS, Part, parsed, valued
from asyncnet.lab.imap.refusal import Bad
from asyncnet.lab.imap.section import Section
from asyncnet.lab.imap.strings import astring, nstring, string
from asyncnet.lab.imap.structure import body, envelope
from tests.clock import MS

NESTED = b"""\
From: a@b.c
Subject: mixed
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="outer"

preamble
--outer
Content-Type: text/plain; charset=utf-8; format=flowed
Content-Transfer-Encoding: 8bit

hello
w\xc3\xb6rld
--outer
Content-Type: multipart/alternative; boundary=inner

--inner
Content-Type: text/plain

plain
--inner
Content-Type: text/html
Content-ID: <cid@x>
Content-Description: a description

<p>html</p>
--inner--
--outer
Content-Type: application/pdf; name="f (x).pdf"
Content-Disposition: attachment; filename="f (x).pdf"; size=10
Content-Transfer-Encoding: base64
Content-Language: en, de
Content-Location: http://example.org/x
Content-MD5: abc

aGVsbG8gd29ybGQ=
--outer
Content-Type: message/rfc822

Subject: inner
From: i@j.k
Content-Type: multipart/mixed; boundary=third

--third

first
--third

second
--third--
--outer--
epilogue
""".replace(b"\n", b"\r\n")


def section(text: str, raw: bytes = NESTED) -> bytes | None:
    read = Section.read(Arguments([text.encode()]))
    return read.of(parsed(raw))


def test_the_structure_of_a_message_is_told() -> None:
    assert body(parsed(NESTED), extended=False) == (
        b'(("text" "plain" ("charset" "utf-8" "format" "flowed") NIL NIL "8bit" 13 1)'
        b'(("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 5 0)'
        b'("text" "html" ("charset" "us-ascii") "<cid@x>" "a description" "7bit" 11 0) "alternative")'
        b'("application" "pdf" ("name" "f (x).pdf") NIL NIL "base64" 16)'
        b'("message" "rfc822" NIL NIL NIL "7bit" 124 '
        b'(NIL "inner" ((NIL NIL "i" "j.k")) ((NIL NIL "i" "j.k")) ((NIL NIL "i" "j.k")) NIL NIL NIL NIL NIL) '
        b'(("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 5 0)'
        b'("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 6 0) "mixed") 10) "mixed")'
    )
    told = body(parsed(NESTED), extended=True)
    assert b'("name" "f (x).pdf") NIL NIL "base64" 16 "abc" ("attachment" ("filename" "f (x).pdf" "size" "10"))' in told
    assert b'("en" "de") "http://example.org/x")' in told
    assert told.endswith(b'"mixed" ("boundary" "outer") NIL NIL NIL)')


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("[1]", "hello\r\nwörld".encode()),
        ("[1]<7.4>", "wör".encode()),
        ("[1]<100.4>", b""),
        ("[1.MIME]", b"Content-Type: text/plain; charset=utf-8; format=flowed\r\n"
                     b"Content-Transfer-Encoding: 8bit\r\n\r\n"),
        ("[2.1]", b"plain"),
        ("[2.2]", b"<p>html</p>"),
        ("[2.3]", None),
        ("[3]", b"aGVsbG8gd29ybGQ="),
        ("[4.HEADER]", b"Subject: inner\r\nFrom: i@j.k\r\nContent-Type: multipart/mixed; boundary=third\r\n\r\n"),
        ("[4.HEADER.FIELDS (SUBJECT X-None)]", b"Subject: inner\r\n\r\n"),
        ("[4.TEXT]", b"--third\r\n\r\nfirst\r\n--third\r\n\r\nsecond\r\n--third--"),
        ("[4.1]", b"first"),
        ("[4.2]", b"second"),
        ("[4.2.MIME]", b"\r\n"),
        ("[5]", None),
        ("[1.1]", None),
        ("[1.HEADER]", None),
        ("[HEADER.FIELDS (\"subject\" From)]", b"From: a@b.c\r\nSubject: mixed\r\n\r\n"),
        ("[HEADER.FIELDS.NOT (From MIME-Version Content-Type)]", b"Subject: mixed\r\n\r\n"),
        ("[]<0.6>", b"From: "),
    ],
)  # fmt: skip
def test_sections_are_cut_out(name: str, expected: bytes | None) -> None:
    assert section(name) == expected


def test_a_message_without_parts_is_its_own_first() -> None:
    raw = b"Subject: x\r\n\r\nbody\r\n"
    assert section("[1]", raw) == section("[TEXT]", raw) == b"body\r\n"
    assert section("[1.MIME]", raw) == section("[HEADER]", raw) == b"Subject: x\r\n\r\n"
    assert section("[2]", raw) is section("[1.1]", raw) is None


@pytest.mark.parametrize(
    "text",
    ["[0]", "[1.0]", "[MIME]", "[1.]", "[.1]", "[HEADER.FIELDS]", "[HEADER.FIELDS ()]", "[TEXT", "[FOO]", "[]<0.0>",
     "[1.HEADER.FIELDS (a]", "[" + "1." * 200 + "1]", "[HEADER.FIELDS (" + " ".join(["x"] * 1000) + ")]"],
)  # fmt: skip
def test_what_is_no_section_is_bad(text: str) -> None:
    with pytest.raises(Bad):
        Section.read(Arguments([text.encode()]))


def test_a_binary_section_is_without_its_encoding() -> None:
    root = parsed(NESTED)
    assert Section((3,)).decoded(root) == b"hello world"
    assert Section((3,), partial=(6, 3)).decoded(root) == b"wor"
    assert Section((9,)).decoded(root) is None


def test_the_envelope_is_told() -> None:
    header = Header(
        b"Date: Tue, 1 Jul 2003 10:52:37 +0200\r\n"
        b"From: Joe Q. Public <john.q.public@example.com>\r\n"
        b'To: Mary Smith <mary@x.test>, jdoe@example.org,\r\n\t"Who\\"?" <one@y.test>\r\n'
        b"Cc: A Group:Ed Jones <c@a.test>,joe@where.test;\r\n"
        b"Bcc: Undisclosed recipients:;\r\n"
        b'Subject: say "hi"\r\n  and more\r\n'
        b"Reply-To:\r\n"
        b"Message-ID: <1@x>\r\n"
    )
    joe = b'(("Joe Q. Public" NIL "john.q.public" "example.com"))'
    assert envelope(header) == b" ".join(
        [
            b'("Tue, 1 Jul 2003 10:52:37 +0200" "say \\"hi\\"  and more"',
            joe,
            joe,
            joe,
            b'(("Mary Smith" NIL "mary" "x.test")(NIL NIL "jdoe" "example.org")("Who\\"?" NIL "one" "y.test"))',
            b'((NIL NIL "A Group" NIL)("Ed Jones" NIL "c" "a.test")(NIL NIL "joe" "where.test")(NIL NIL NIL NIL))',
            b'((NIL NIL "Undisclosed recipients" NIL)(NIL NIL NIL NIL))',
            b'NIL "<1@x>")',
        ]
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"", []),
        (b",,", []),
        (b"a@b (Comment (nested \\) ) Name)", [Address(b"Comment (nested ) ) Name", None, b"a", b"b")]),
        (b"<@route,@r2:joe@where.test>", [Address(None, b"@route,@r2", b"joe", b"where.test")]),
        (b'"a b"@c.d', [Address(None, None, b"a b", b"c.d")]),
        (b"no address", [Address(None, None, b"no address", b"")]),
        (b"a@b@c", [Address(None, None, b"a@b", b"c")]),
        (b"x <unclosed@y", [Address(b"x", None, b"unclosed", b"y")]),
        (b"\xc3\xbc <\xc3\xb6@x>", [Address("ü".encode(), None, "ö".encode(), b"x")]),
        (b"a@[1.2.3.4]", [Address(None, None, b"a", b"[1.2.3.4]")]),
        (b"g:a@b", [Address(mailbox=b"g"), Address(None, None, b"a", b"b"), Address()]),
        (b"x" * 9, [Address(None, None, b"x" * 9, b"")]),
    ],
)
def test_addresses_are_read(value: bytes, expected: list[Address]) -> None:
    assert addresses(value) == expected


@given(st.binary(max_size=200))
def test_any_bytes_are_addresses_of_a_kind(value: bytes) -> None:
    addresses(value)


@pytest.mark.parametrize(
    "value",
    [
        b"(" * 100_000,
        b'"' * 100_000,
        b"<" * 100_000,
        b"a," * 100_000,
        b"a:" * 50_000,
        b"\\(" * 50_000,
        b'""a' * 100_000,
    ],
)
def test_hostile_addresses_take_no_time_and_no_stack(value: bytes) -> None:
    assert len(addresses(value)) <= 5_001


@given(st.binary(max_size=300))
def test_any_bytes_have_a_structure(raw: bytes) -> None:
    root = parsed(raw)
    body(root, extended=True)
    envelope(root.header)


_NOISE = st.lists(
    st.sampled_from(
        [b"--b", b"--b--", b"\r\n", b"\n", b"\r", b"Content-Type: multipart/mixed; boundary=b\r\n", b"x", b":", b"\0",
         b"Content-Type: message/rfc822\r\n", b"Content-Type: multipart/digest; boundary=\"b\"\r\n", b"\xff", b" ",
         b'"']
    ),
    max_size=40,
)  # fmt: skip


def without_literals(told: bytes) -> bytes:
    while (found := re.search(rb"\{(\d+)\}\r\n", told)) is not None:
        told = told[: found.start()] + told[found.end() + int(found[1]) :]
    return told


@given(_NOISE)
def test_pieces_of_structures_in_any_order_have_one(pieces: list[bytes]) -> None:
    raw = b"".join(pieces)
    root = parsed(raw)
    waiting = [root]
    while waiting:
        part = waiting.pop()
        assert 0 <= part.start <= part.body <= part.end <= len(raw)
        waiting += [*part.children, *([part.embedded] if part.embedded is not None else [])]
    told = body(root, extended=True)
    told = without_literals(told)
    outside_of_quotes = b"".join(told.split(b'"')[::2]) if b"\\" not in told else b""
    assert outside_of_quotes.count(b"(") == outside_of_quotes.count(b")")


def test_nesting_and_number_of_parts_are_bounded() -> None:
    deep = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(5_000))
    root = part = parsed(deep)
    depth = 0
    while part.children:
        part, depth = part.children[0], depth + 1
    assert depth == MAX_DEPTH
    assert part.kind == (b"application", b"octet-stream")
    body(root, extended=True)
    letters = b"Content-Type: message/rfc822\r\n\r\n" * 5_000
    body(parsed(letters), extended=True)
    wide = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\nx\r\n" * 20_000
    assert len(parsed(wide).children) <= MAX_PARTS


def _leaves(message: Message) -> list[tuple[str, bytes]]:
    return [
        (part.get_content_type(), part.get_payload(decode=True)) for part in message.walk() if not part.is_multipart()
    ]


def _leaf_parts(root: Part) -> list[Part]:
    found, waiting = [], [root]
    while waiting:
        part = waiting.pop()
        if part.embedded is None and not part.children:
            found.append(part)
        waiting += reversed([*part.children, *([part.embedded] if part.embedded is not None else [])])
    return found


@given(st.recursive(st.text(max_size=30), lambda inner: st.lists(inner, min_size=1, max_size=3), max_leaves=8))
def test_the_standard_library_sees_the_same_parts(tree: str | list[object]) -> None:
    def built(node: object) -> EmailMessage:
        message = EmailMessage(policy=email.policy.SMTP)
        if isinstance(node, str):
            message.set_content(node, cte="base64")
        elif isinstance(node, list):
            message.make_mixed()
            for child in node:
                message.attach(built(child))
        return message

    raw = built(tree).as_bytes()
    theirs = _leaves(email.message_from_bytes(raw))
    ours = [
        (b"/".join(part.kind).decode(), unencoded(raw[part.body : part.end], part.encoding))
        for part in _leaf_parts(parsed(raw))
    ]
    assert ours == theirs


def test_header_fields_are_found_and_unfolded() -> None:
    header = Header(b"A: 1\r\nb : two\r\n more\r\nA:3\r\nno field\r\n\xff: x\r\nEmpty:\r\n")
    assert header.all(b"a") == [b"1", b"3"]
    assert header.get(b"b") == b"two more"
    assert header.get(b"empty") == b""
    assert header.get(b"c") is None
    assert header.only({b"b"}) == b"b : two\r\n more\r\n"
    assert header.without({b"a", b"b", b"empty"}) == b"no field\r\n\xff: x\r\n"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"=?utf-8?B?R3LDvMOfZQ==?=", "Grüße"),
        (b"=?utf-8?q?gr=C3=BC?= =?utf-8?q?n_x?=", "grün x"),
        (b"=?iso-8859-1*de?Q?=FC?= y", "ü y"),
        (b"=?nonsense?Q?=41?=", "A"),
        (b"=?utf-8?X?abc?=", "=?utf-8?X?abc?="),
        (b"=?utf-8?B?a?=", "=?utf-8?B?a?="),
        ("schön".encode(), "schön"),
        (b"\xff", "\ufffd"),
    ],
)
def test_encoded_words_are_decoded(value: bytes, expected: str) -> None:
    assert text(value) == expected


@given(st.binary(max_size=100))
def test_any_bytes_are_text(value: bytes) -> None:
    text(value)


@given(st.binary(max_size=60), st.text(max_size=12))
def test_any_charset_decodes_anything(data: bytes, charset: str) -> None:
    assert isinstance(decoded(data, charset), str)


@pytest.mark.parametrize(
    "charset", ["base64", "hex", "rot13", "idna", "punycode", "undefined", "unicode_escape", "zlib", "a\0"]
)
def test_codecs_that_are_no_charsets_do_no_harm(charset: str) -> None:
    assert isinstance(decoded(b"abc\xff", charset), str)


@given(st.binary(max_size=100))
def test_encodings_are_undone(data: bytes) -> None:
    assert unencoded(base64.encodebytes(data), b" BASE64 ") == data
    assert unencoded(base64.b64encode(data).rstrip(b"="), b"base64") == data
    assert unencoded(data, b"x-unknown") is None
    unencoded(data, b"base64")
    unencoded(data, b"quoted-printable")


def test_parameters_are_cut() -> None:
    value = b'text/plain ; charset="a;b\\"c" ;name=x y; flag ;; z=1'
    kind, subkind, parameters = valued(value)
    assert (kind, subkind) == (b"text", b"plain")
    assert parameters == [(b"charset", b'a;b"c'), (b"name", b"x y"), (b"z", b"1")] or parameters[:2] == [
        (b"charset", b'a;b"c'),
        (b"name", b"x y"),
    ]
    assert valued(b"nonsense")[:2] == (b"nonsense", b"")
    assert valued(b"\xff") == (b"", b"", [])


def test_strings_are_quoted_or_literals() -> None:
    assert string(b'a "b" \\') == b'"a \\"b\\" \\\\"'
    assert string(b"\xff") == b"{1}\r\n\xff"
    assert string(b"a\r\nb") == b"{4}\r\na\r\nb"
    assert string(b"a\0b") == b"{3}\r\na\x80b"
    assert string(b"x" * 2000) == b"{2000}\r\n" + b"x" * 2000
    assert nstring(None) == b"NIL"
    assert astring(b"atom") == b"atom"
    assert astring(b"a b") == b'"a b"'


def test_a_codec_that_takes_quadratic_time_or_warns_is_no_charset() -> None:
    assert decoded(b"a-" + b"b9" * 1_000_000, "punycode") == "a-" + "b9" * 1_000_000
    assert decoded(rb"\d", "unicode_escape") == r"\d"


def test_all_fields_of_a_name_together_have_so_many_addresses_as_one() -> None:
    header = Header((b"To: " + b"a," * MAX_ADDRESSES + b"\r\n") * 3)
    assert envelope(header).count(b'(NIL NIL "a" "")') == MAX_ADDRESSES


@pytest.mark.parametrize("line", [b"a:\r\n", b"a\n", b"\n", b"b: =?a?q?x?=\n"])
def test_a_header_of_very_many_fields_is_looked_at_in_bounded_time(line: bytes) -> None:
    header = Header(b"first: 1\r\n" + line * 100_000)
    began = time.process_time()
    assert header.get(b"first") == b"1"
    assert len(header.all(b"a")) in (0, 9_999)
    assert header.without([b"first"]) == line * 100_000, "what is not looked at is kept"
    assert header.only([b"first"]) == b"first: 1\r\n"
    assert header.get(b"absent") is None
    assert time.process_time() - began < 1000 * MS
    assert len(header.without([b"a", b"b"])) > 90_000 * len(line) or line in (b"a\n", b"\n")


def test_a_text_of_very_many_encoded_words_is_decoded_as_far_as_is_reasonable() -> None:
    began = time.process_time()
    shown = text(b"=?utf-8?q?x?= " * 100_000)
    assert shown.startswith("x" * 9_000)
    assert shown.rstrip().endswith("=?utf-8?q?x?=")
    assert time.process_time() - began < 2000 * MS
