"""A message is written out as the server can take it, in small pieces, and the caller's own stays as it was."""

import asyncio
import email
import email.policy
import pickle
from email.headerregistry import Address
from email.message import EmailMessage, Message
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText

import pytest

from asyncnet import UsageError
from asyncnet.smtp import content
from asyncnet.smtp.content import CHUNK, Content, content_of, headers_need_utf8
from asyncnet.smtp.stuffing import Stuffing


async def _wire(message: object, *, utf8: bool = False, eight_bit: bool = True) -> bytes:
    return b"".join((await content_of(message, utf8=utf8, eight_bit=eight_bit)).chunks())


def _mail(text: str = "Grüße\n.\nFrom here\n", **fields: str) -> EmailMessage:
    message = EmailMessage()
    message["From"] = "Alice <alice@example.org>"
    message["To"] = "Bob <bob@example.net>"
    for name, value in fields.items():
        message[name.replace("_", "-")] = value
    message.set_content(text)
    return message


def _parsed(wire: bytes) -> EmailMessage:
    found = email.message_from_bytes(wire, policy=email.policy.default)
    assert isinstance(found, EmailMessage)
    assert not found.defects
    return found


def _with_everything() -> EmailMessage:
    """Every kind of part: text and HTML, an image inside, big and small attachments, a message in the message."""
    mail = _mail(Subject="Grüße aus Köln", Bcc="secret@example.org")
    mail.add_alternative("<p>Grüße</p>" + "<br>" * 5000, subtype="html")
    mail.add_attachment(bytes(range(256)) * 1000, maintype="application", subtype="octet-stream", filename="bild.bin")
    mail.add_attachment("long " * 5000 + "\n", filename="lang.txt", cte="8bit")
    inner = _mail(Subject="inner", Bcc="kept@example.org")
    inner.add_attachment("x" * 20_000, filename="inner.txt")
    mail.add_attachment(inner)
    return mail


async def test_it_writes_what_the_email_package_writes() -> None:
    mail = _with_everything()
    mail.set_boundary("outer")
    for part in mail.walk():
        if part.is_multipart() and part.get_content_maintype() == "multipart" and not part.get_boundary():
            part.set_boundary(f"b{id(part)}")
    wire = await _wire(mail)
    del mail["Bcc"]
    assert wire.replace(b"\r\n", b"\n") == mail.as_bytes(policy=email.policy.SMTP).replace(b"\r\n", b"\n")


async def test_the_message_of_the_caller_stays_as_it_was() -> None:
    foreign = EmailMessage()
    foreign["From"] = "alice@exämple.org"
    for mail in (_with_everything(), _mail(), foreign):
        before = pickle.dumps(mail)
        for utf8, eight_bit in [(False, False), (True, True)]:
            await _wire(mail, utf8=utf8, eight_bit=eight_bit)
        assert pickle.dumps(mail) == before


async def test_bcc_is_not_sent_but_that_of_a_message_in_the_message_is() -> None:
    mail = _with_everything()
    mail["Resent-Bcc"] = "secret@example.org"
    wire = await _wire(mail)
    assert b"secret@example.org" not in wire
    assert b"kept@example.org" in wire
    assert mail["Bcc"] == mail["Resent-Bcc"] == "secret@example.org"


async def test_every_part_arrives_whole() -> None:
    for eight_bit in (True, False):
        wire = await _wire(_with_everything(), eight_bit=eight_bit)
        assert wire.isascii() is not eight_bit
        found = _parsed(wire)
        assert found["Subject"] == "Grüße aus Köln"
        body = found.get_body(("plain",))
        assert body is not None
        assert body.get_content().splitlines() == ["Grüße", ".", "From here"]
        big, long, inner = found.iter_attachments()
        assert big.get_content() == bytes(range(256)) * 1000
        assert long.get_content().splitlines() == ["long " * 5000]
        assert inner.get_content()["Subject"] == "inner"


async def test_a_body_that_is_not_ascii_is_encoded_only_for_a_server_without_8bitmime() -> None:
    assert "Grüße".encode() in await _wire(_mail(), eight_bit=True)
    wire = await _wire(_mail(), eight_bit=False)
    assert wire.isascii()
    assert _parsed(wire).get_content().splitlines() == ["Grüße", ".", "From here"]


@pytest.mark.parametrize("eight_bit", [True, False])
@pytest.mark.parametrize("size", [10, 10_000, 400_000])
async def test_bytes_of_no_known_encoding_survive(size: int, eight_bit: bool) -> None:
    body = b"\xfc\xe4\xff\r\n" * (size // 5)
    head = (
        b"From: a@example.org\r\nContent-Type: text/plain; charset=latin-1\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    )
    mail = email.message_from_bytes(head + body, policy=email.policy.default)
    wire = await _wire(mail, eight_bit=eight_bit)
    if eight_bit:
        assert wire == head + body
    else:
        assert wire.isascii()
    found = _parsed(wire).get_payload(decode=True)
    assert isinstance(found, bytes)
    assert found.splitlines() == body.splitlines()


async def test_a_big_body_is_neither_copied_nor_handled_in_one_go() -> None:
    body = "x" * 76 + "\n"
    mail = _mail()
    mail.add_attachment(body * 20_000, filename="big.txt", cte="7bit")
    [attachment] = mail.iter_attachments()
    made = await content_of(mail, utf8=False, eight_bit=False)
    assert any(piece is attachment.get_payload() for piece in made.pieces)
    sizes = [len(chunk) for chunk in made.chunks()]
    assert max(sizes) == CHUNK
    assert sum(sizes) > 1_500_000


async def test_what_the_email_package_has_to_do_itself_it_does_in_a_thread_if_it_is_much(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sizes = []

    async def noted(function: object) -> bytes:
        sizes.append(1)
        return function()  # type: ignore[no-any-return,operator]

    monkeypatch.setattr(content, "in_daemon", noted)
    await _wire(_mail("ü" * 1000), eight_bit=False)
    assert sizes == []
    head = b"Content-Type: text/plain; charset=latin-1\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    await _wire(email.message_from_bytes(head + b"\xfc\r\n" * 200_000, policy=email.policy.default), eight_bit=False)
    assert sizes == [1]


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
async def test_bytes_are_sent_as_they_are(kind: type) -> None:
    raw = b"Subject: \xff\n\n.\r\0\n" * 10_000
    made = await content_of(kind(raw), utf8=False, eight_bit=False)
    assert b"".join(made.chunks()) == raw
    assert max(map(len, made.chunks())) <= CHUNK


@pytest.mark.parametrize(
    "text", ["plain", "Grüße", "Grüße " * 50_000, "raw \udcff\udc80", "😀" * 40_000, "x" * 300_000]
)
async def test_text_is_sent_as_utf8_and_undecoded_bytes_as_themselves(text: str) -> None:
    made = await content_of(text, utf8=False, eight_bit=False)
    assert b"".join(made.chunks()) == text.encode("utf-8", "surrogateescape")
    assert max(map(len, made.chunks())) <= CHUNK


async def test_text_that_has_no_encoding_is_refused() -> None:
    with pytest.raises(UsageError, match="cannot be written out"):
        await content_of("x" * 200_000 + "\ud800", utf8=False, eight_bit=True)


@pytest.mark.parametrize("message", [b"", b"a\nb", "a\r\n.\r\n", "ü\n" * 100_000, b"x" * 300_000, b"\r" * 200_000])
async def test_the_measure_is_that_of_what_is_sent(message: bytes | str) -> None:
    made = await content_of(message, utf8=False, eight_bit=True)
    raw = message.encode() if isinstance(message, str) else message
    stuffing = Stuffing()
    stuffing.feed(raw)
    stuffing.finish()
    assert await made.measure() == (stuffing.octets, raw.isascii())


async def test_taking_the_measure_leaves_the_loop_free() -> None:
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    counting = asyncio.create_task(count_turns())
    await Content(("x\n" * CHUNK, *[b"y\n" * (CHUNK // 8)] * 40)).measure()
    counting.cancel()
    assert turns >= 10


@pytest.mark.parametrize(
    ("head", "found"),
    [
        (b"Message-ID: <a@b>\r\n\r\n", "<a@b>"),
        (b"Subject: x\nMESSAGE-Id:\n <a@b>\n\nMessage-ID: <c@d>", "<a@b>"),
        (b"Subject: x\n\nMessage-ID: <c@d>", None),
        (b"Message-ID: none\n\n", None),
        (b"Message-ID: <a\x00b>\n\n", None),
        (b"", None),
        (b"X: " + b"x" * 200_000 + b"\nMessage-ID: <late@b>\n\n", None),
    ],
)
def test_the_message_id_is_that_of_the_header(head: bytes, found: str | None) -> None:
    assert Content((head,)).message_id == found
    assert Content((head[:5], head[5:])).message_id == found


async def test_a_domain_in_a_header_is_written_in_ascii_for_a_server_that_knows_no_other() -> None:
    mail = EmailMessage()
    mail["From"] = Address("Älice", "alice", "exämple.org")
    mail["To"] = "Gruppe: Bob <bob@bücher.example>, carol@example.org;, dave@bücher.example"
    mail["Subject"] = "Grüße"
    mail.set_content("x")
    assert not headers_need_utf8(mail)
    wire = await _wire(mail)
    found = _parsed(wire)
    assert found["From"].addresses == (Address("Älice", "alice", "xn--exmple-cua.org"),)
    assert [one.addr_spec for one in found["To"].addresses] == [
        "bob@xn--bcher-kva.example",
        "carol@example.org",
        "dave@xn--bcher-kva.example",
    ]
    assert found["To"].groups[0].display_name == "Gruppe"
    assert found.keys()[:3] == ["From", "To", "Subject"]
    assert "alice@exämple.org".encode() in await _wire(mail, utf8=True)


async def test_a_local_part_that_is_not_ascii_needs_smtputf8_and_a_name_does_not() -> None:
    assert not headers_need_utf8(_mail(Reply_To="Jürgen <j@example.org>"))
    assert not headers_need_utf8(b"To: j\xfc@example.org\n\n")
    mail = _mail(Reply_To="jürgen@example.org")
    assert headers_need_utf8(mail)
    assert "Reply-To: jürgen@example.org\r\n".encode() in await _wire(mail, utf8=True)


async def test_long_header_lines_are_folded() -> None:
    wire = await _wire(_mail(Subject="word " * 500 + "end"))
    assert max(map(len, wire.split(b"\r\n"))) <= 78
    assert _parsed(wire)["Subject"] == "word " * 500 + "end"


async def test_a_message_of_the_old_interface_is_written_like_a_new_one() -> None:
    mail = MIMEMultipart()
    mail["From"], mail["To"], mail["Bcc"] = "alice@exämple.org", "bob@example.net", "secret@example.org"
    mail.attach(MIMEText("From here\n" * 2000, "plain", "us-ascii"))
    mail.attach(MIMEText("Grüße", "plain", "utf-8"))
    before = mail.items()
    wire = await _wire(mail, eight_bit=False)
    assert b"secret" not in wire
    assert b">From" not in wire
    found = _parsed(wire)
    assert [part.get_content().splitlines() for part in found.iter_parts()] == [["From here"] * 2000, ["Grüße"]]
    assert found["From"].addresses[0].domain == "xn--exmple-cua.org"
    assert mail.items() == before


def _too_deep() -> Message:
    mail = Message()
    mail.set_payload("x")
    for _ in range(2000):
        outer = Message()
        outer["Content-Type"] = "multipart/mixed"
        outer.attach(mail)
        mail = outer
    return mail


def _unknown_charset() -> Message:
    raw = b"Content-Type: text/plain; charset=klingon\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\xff"
    return email.message_from_bytes(raw, policy=email.policy.default)


def _not_bytes() -> Message:
    mail = EmailMessage()
    mail.set_payload("ü")
    return mail


def _no_payload() -> Message:
    mail = EmailMessage()
    mail.set_payload(7)  # type: ignore[arg-type]
    return mail


def _big_and_not_bytes() -> Message:
    mail = EmailMessage()
    mail.set_payload("ü" * 10_000)
    return mail


@pytest.mark.parametrize("make", [_too_deep, _big_and_not_bytes, _unknown_charset, _not_bytes, _no_payload])
async def test_a_message_that_cannot_be_written_is_a_fault_of_the_call(make: object) -> None:
    with pytest.raises(UsageError, match="cannot be written out"):
        await content_of(make(), utf8=False, eight_bit=make is _big_and_not_bytes)  # type: ignore[operator]
