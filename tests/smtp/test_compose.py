"""A composed message is one that every mail program shows as meant, and no argument can put a header into it."""

import email
import email.policy
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path

import pytest

from asyncnet import UsageError, smtp
from tests.peers import Script
from tests.smtp.office import Office
from tests.smtp.talks import url

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
BASIC = {"sender": "Alice Müller <alice@example.org>", "to": "Bob <bob@example.net>"}


def _parsed(message: EmailMessage) -> EmailMessage:
    found = email.message_from_bytes(message.as_bytes(policy=email.policy.SMTP), policy=email.policy.default)
    assert isinstance(found, EmailMessage)
    assert not any(part.defects for part in found.walk())
    return found


def _shape(part: EmailMessage) -> object:
    kind = part.get_content_type()
    return (kind, [_shape(one) for one in part.iter_parts()]) if part.is_multipart() else kind  # type: ignore[arg-type]


def test_text_alone_has_the_headers_that_a_message_needs() -> None:
    mail = _parsed(smtp.compose(**BASIC, subject="Grüße 👋", text="Schöne Grüße\n"))
    assert mail["From"].addresses[0].display_name == "Alice Müller"
    assert mail["To"].addresses[0].addr_spec == "bob@example.net"
    assert mail["Subject"] == "Grüße 👋"
    assert mail["Message-ID"].endswith("@example.org>")
    assert mail["Date"].datetime.tzinfo is not None
    assert mail.get_content().splitlines() == ["Schöne Grüße"]
    assert _shape(mail) == "text/plain"


def test_everything_at_once_has_the_shape_that_programs_expect(tmp_path: Path) -> None:
    (tmp_path / "bericht ü.pdf").write_bytes(b"%PDF" + bytes(1000))
    (tmp_path / "logo.png").write_bytes(PNG)
    mail = _parsed(
        smtp.compose(
            **BASIC,
            text="Grüße",
            html='<p>Grüße <img src="cid:logo"><img src="cid:second"></p>',
            images={"logo": tmp_path / "logo.png", "second": b"GIF89a" + bytes(10)},
            attachments=[
                tmp_path / "bericht ü.pdf",
                ("notes.txt", b"plain\n"),
                ("x.unknown-kind", b"\0\1"),
                ("m.eml", b"a"),
            ],
        )
    )
    inside = ("multipart/related", ["text/html", "image/png", "image/gif"])
    rest = ["application/pdf", "text/plain", "application/octet-stream", "application/octet-stream"]
    assert _shape(mail) == ("multipart/mixed", [("multipart/alternative", ["text/plain", inside]), *rest])
    attached = list(mail.iter_attachments())
    assert [one.get_filename() for one in attached] == ["bericht ü.pdf", "notes.txt", "x.unknown-kind", "m.eml"]
    assert attached[0].get_payload(decode=True) == b"%PDF" + bytes(1000)
    [picture, second] = [part for part in mail.walk() if part.get_content_maintype() == "image"]
    assert (picture["Content-ID"], picture.get_content_disposition()) == ("<logo>", "inline")
    assert picture.get_payload(decode=True) == PNG
    assert second["Content-ID"] == "<second>"
    assert all(len(line) <= 998 for line in mail.as_bytes().splitlines())


def test_html_alone_is_html_alone() -> None:
    mail = _parsed(smtp.compose(**BASIC, html='<img src="cid:a">', images={"a": PNG}, attachments=[("a", b"")]))
    assert _shape(mail) == (
        "multipart/mixed",
        [("multipart/related", ["text/html", "image/png"]), "application/octet-stream"],
    )


def test_what_is_given_is_taken() -> None:
    mail = smtp.compose(
        "alice@exämple.org",
        ["b@x.org", "C <c@x.org>"],
        cc="d@x.org",
        bcc=["e@x.org"],
        reply_to="f@x.org",
        headers={"List-Unsubscribe": "<https://example.org/>", "X-Ü".replace("Ü", "U"): "grün"},
        date=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        message_id="<mine@example.org>",
    )
    assert [one.addr_spec for one in mail["To"].addresses] == ["b@x.org", "c@x.org"]
    assert (mail["Cc"], mail["Bcc"], mail["Reply-To"]) == ("d@x.org", "e@x.org", "f@x.org")
    assert mail["Date"] == "Fri, 02 Jan 2026 03:04:05 +0000"
    assert mail["Message-ID"] == "<mine@example.org>"
    assert mail["X-U"] == "grün"
    assert smtp.compose("a@exämple.org", "b@x.org")["Message-ID"].endswith("@xn--exmple-cua.org>")


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r", "\0", "\x0b", "\x85", "\u2028", "\udc80"])
@pytest.mark.parametrize(
    "where", ["sender", "to", "subject", "cc", "bcc", "reply_to", "message_id", "header", "name", "file", "cid"]
)
def test_no_argument_begins_another_header(where: str, end: str) -> None:
    evil = f"x{end}Bcc: mallory@example.org"
    arguments: dict[str, object] = dict(BASIC)
    if where in ("header", "name"):
        arguments["headers"] = {evil: "x"} if where == "name" else {"X-Header": evil}
    elif where == "file":
        arguments["attachments"] = [(evil, b"")]
    elif where == "cid":
        arguments |= {"html": f"cid:{evil}", "images": {evil: PNG}}
    else:
        arguments[where] = f"{evil}@x.org" if where not in ("subject", "message_id") else evil
    with pytest.raises(UsageError) as caught:
        smtp.compose(**arguments)  # type: ignore[arg-type]
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "wrong",
    [
        {"to": ()},
        {"to": "no address"},
        {"to": "a@x.org>, <b@x.org"},
        {"sender": "a@x.org, b@x.org"},
        {"sender": ""},
        {"sender": "Alice"},
        {"text": "\0"},
        {"text": b"bytes"},
        {"text": "\ud800"},
        {"attachments": ["/no/such/file"]},
        {"attachments": [("a", "text")]},
        {"images": {"a": PNG}},
        {"html": "no image", "images": {"a": PNG}},
        {"headers": {"From": "b@x.org"}},
        {"headers": {"X Y": "b"}},
        {"subject": None},
    ],
    ids=repr,
)
def test_what_makes_no_message_is_a_fault_of_the_call(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        smtp.compose(**{**BASIC, **wrong})  # type: ignore[arg-type]


async def test_it_is_sent_as_it_was_composed_without_the_bcc() -> None:
    office = Office()
    mail = smtp.compose(**BASIC, bcc="hidden@x.org", text="Grüße\n", attachments=[("a.bin", bytes(100_000))])
    async with Script(office, repeat=True, check=False) as peer:
        receipt = await smtp.send(mail, url(peer))
    assert receipt.accepted == ("bob@example.net", "hidden@x.org")
    found = email.message_from_bytes(office.taken[0].data, policy=email.policy.default)
    assert b"hidden" not in office.taken[0].data
    assert [one.get_content() for one in found.iter_attachments()] == [bytes(100_000)]  # type: ignore[attr-defined]
