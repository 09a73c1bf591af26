"""An address is one, and nothing else fits into MAIL and RCPT."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncnet import UsageError
from asyncnet.smtp import address

GOOD = [
    "alice@example.org",
    "a.b+c=d@sub.example.org",
    "alice@localhost",
    "postmaster",
    "'quoted'@example.org",
    '"a b"@example.org',
    '"a@b"@example.org',
    r'"a\"b"@example.org',
    '""@example.org',
    "alice@[192.0.2.1]",
    "alice@[IPv6:2001:db8::1]",
    "a..b@example.org",
    "jürgen@example.org",
    "jürgen@exämple.org",
    "alice@exämple.org",
    "用户@例子.广告",
    "!#$%&'*+-/=?^_`{|}~@example.org",
    "x" * 300 + "@example.org",
]

BAD = [
    "",
    " ",
    "@",
    "@example.org",
    "alice@",
    "alice@@example.org",
    "alice@example.org ",
    " alice@example.org",
    "a b@example.org",
    "alice@exa mple.org",
    "<alice@example.org>",
    "Alice <alice@example.org>",
    "alice@example.org, bob@example.org",
    "alice@example.org> SIZE=1",
    "alice@example.org>\r\nRCPT TO:<mallory@example.org",
    "alice@example.org\r",
    "alice@example.org\n",
    "alice\0@example.org",
    '"a\r\nb"@example.org',
    '"a\tb"@example.org',
    '"a"b"@example.org',
    '"a@example.org',
    "alice@-example.org",
    "alice@example-.org",
    "alice@example..org",
    "alice@.example.org",
    "alice@example.org.",
    "alice@" + "x" * 64 + ".org",
    "alice@[192.0.2.1",
    "alice@[192.0.2.1]x",
    "alice@ex\u2028ample.org",
    "al\u202eice@example.org",
    "al\x7fice@example.org",
    "al\udcffice@example.org",
    "alice@\u00ad.org",
    "alice@exa\u0338mple\u3002",
    "alice@ü..org",
    "alice@" + "ü" * 64 + ".org",
    "ü" * 200 + "@example.org",
    "x" * 400 + "@example.org",
]


@pytest.mark.parametrize("good", GOOD)
def test_an_address_is_taken(good: str) -> None:
    address.check(good)


@pytest.mark.parametrize("bad", BAD)
def test_what_is_no_address_is_refused_in_printable_words(bad: str) -> None:
    with pytest.raises(UsageError, match=r"the recipient|not a domain") as caught:
        address.check(bad, role="recipient")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("other", [None, b"alice@example.org", 7])
def test_an_address_is_a_str(other: object) -> None:
    with pytest.raises(UsageError, match="is a str"):
        address.check(other)  # type: ignore[arg-type]


@given(st.text())
def test_no_text_that_is_taken_can_leave_its_angle_brackets(text: str) -> None:
    try:
        address.check(text)
    except UsageError:
        return
    wire = address.on_the_wire(text, utf8=True)
    outside = wire if not text.startswith('"') else wire.rpartition(b'"')[2]
    assert not set(outside) & set(b" <>\r\n\0\t,")
    assert not any(byte < 32 or byte == 127 for byte in wire)


@pytest.mark.parametrize(
    ("text", "plain", "utf8"),
    [
        ("alice@example.org", b"alice@example.org", b"alice@example.org"),
        ("alice@exämple.org", b"alice@xn--exmple-cua.org", "alice@exämple.org".encode()),
        ("alice@EXÄMPLE.org", b"alice@xn--exmple-cua.org", "alice@EXÄMPLE.org".encode()),
        ('"a@b"@exämple.org', b'"a@b"@xn--exmple-cua.org', '"a@b"@exämple.org'.encode()),
    ],
)
def test_a_domain_is_sent_in_ascii_where_the_server_knows_no_other(text: str, plain: bytes, utf8: bytes) -> None:
    assert not address.needs_utf8(text)
    assert address.on_the_wire(text, utf8=False) == plain
    assert address.on_the_wire(text, utf8=True) == utf8


@pytest.mark.parametrize(
    ("text", "needed"),
    [("jürgen@example.org", True), ('"jü rgen"@example.org', True), ("ü", True), ("a@ü.org", False), ("a", False)],
)
def test_a_local_part_that_is_not_ascii_needs_smtputf8(text: str, needed: bool) -> None:
    assert address.needs_utf8(text) is needed
