"""Who sends and who receives is what the caller says, and else what the headers say, where they say one thing."""

import email
import email.policy
from email.header import Header
from email.message import EmailMessage, Message
from email.mime.text import MIMEText

import pytest

from asyncnet import UsageError
from asyncnet.smtp.envelope import Envelope


def _mail(*fields: tuple[str, str]) -> EmailMessage:
    message = EmailMessage()
    for name, value in fields:
        message[name] = value
    message.set_content("text")
    return message


def test_what_the_caller_says_goes_before_the_headers() -> None:
    mail = _mail(("From", "a@example.org"), ("To", "b@example.org"))
    assert Envelope.of(mail, "c@example.org", ["d@example.org"]) == Envelope("c@example.org", ("d@example.org",))
    assert Envelope.of(mail, None, "d@example.org") == Envelope("a@example.org", ("d@example.org",))
    assert Envelope.of(mail, "c@example.org", None) == Envelope("c@example.org", ("b@example.org",))


def test_recipients_are_taken_from_to_cc_and_bcc_each_once() -> None:
    mail = _mail(
        ("From", "Alice <a@example.org>"),
        ("To", "Bob <b@example.org>, friends: c@example.org, d@example.org;"),
        ("Cc", '"b, twice" <b@example.org>, e@example.org'),
        ("Bcc", "f@example.org"),
    )
    expected = tuple(f"{name}@example.org" for name in "bcdef")
    assert Envelope.of(mail, None, None) == Envelope("a@example.org", expected)


def test_the_sender_is_taken_from_sender_before_from() -> None:
    mail = _mail(("From", "a@example.org, b@example.org"), ("Sender", "s@example.org"), ("To", "c@example.org"))
    assert Envelope.of(mail, None, None).sender == "s@example.org"


def test_several_authors_without_a_sender_are_no_sender() -> None:
    mail = _mail(("From", "a@example.org, b@example.org"), ("To", "c@example.org"))
    with pytest.raises(UsageError, match="2 addresses in From; name the sender"):
        Envelope.of(mail, None, None)
    assert Envelope.of(mail, "a@example.org", None).sender == "a@example.org"


def test_a_message_that_was_resent_goes_where_it_was_resent_to() -> None:
    mail = _mail(
        ("Resent-From", "r@example.org"),
        ("Resent-Date", "Mon, 1 Jan 2024 00:00:00 +0000"),
        ("Resent-To", "s@example.org"),
        ("Resent-Cc", "t@example.org"),
        ("Resent-Bcc", "u@example.org"),
        ("From", "a@example.org"),
        ("To", "b@example.org"),
    )
    assert Envelope.of(mail, None, None) == Envelope(
        "r@example.org", ("s@example.org", "t@example.org", "u@example.org")
    )
    mail["Resent-Sender"] = "q@example.org"
    assert Envelope.of(mail, None, None).sender == "q@example.org"


def test_a_message_that_was_resent_twice_does_not_say_where_it_goes() -> None:
    mail = email.message_from_bytes(
        b"Resent-From: r@example.org\r\nResent-To: s@example.org\r\n"
        b"Resent-From: t@example.org\r\nResent-To: u@example.org\r\nFrom: a@example.org\r\n\r\n",
        policy=email.policy.default,
    )
    with pytest.raises(UsageError, match="resent more than once"):
        Envelope.of(mail, None, None)
    with pytest.raises(UsageError, match="resent more than once"):
        Envelope.of(mail, "a@example.org", None)
    assert Envelope.of(mail, "a@example.org", "b@example.org").recipients == ("b@example.org",)


@pytest.mark.parametrize("message", [b"From: a@b.c\r\n\r\n", "From: a@b.c\n\n", bytearray(b"x"), memoryview(b"x")])
def test_bytes_and_text_need_a_sender_and_recipients(message: bytes | str) -> None:
    with pytest.raises(UsageError, match="name the sender"):
        Envelope.of(message, None, "b@example.org")
    with pytest.raises(UsageError, match="name the recipients"):
        Envelope.of(message, "a@example.org", None)
    assert Envelope.of(message, "a@example.org", "b@example.org") == Envelope("a@example.org", ("b@example.org",))


def test_nobody_is_no_recipient() -> None:
    for recipients in ([], (), iter([])):
        with pytest.raises(UsageError, match="no recipients"):
            Envelope.of(b"", "a@example.org", recipients)
    with pytest.raises(UsageError, match="no recipients"):
        Envelope.of(_mail(("From", "a@example.org"), ("To", "undisclosed-recipients:;")), None, None)
    with pytest.raises(UsageError, match="no From"):
        Envelope.of(_mail(("To", "a@example.org")), None, None)


def test_an_empty_sender_is_meant_and_an_empty_recipient_is_none() -> None:
    assert Envelope.of(b"", "", "a@example.org").sender == ""
    with pytest.raises(UsageError, match="the recipient"):
        Envelope.of(b"", "", [""])


@pytest.mark.parametrize("bad", ["a@example.org\r\nDATA", "a b@example.org", "a@example.org>", "a\0@example.org"])
def test_no_address_can_end_its_command(bad: str) -> None:
    with pytest.raises(UsageError, match="the sender is not a mail address"):
        Envelope.of(b"", bad, "b@example.org")
    with pytest.raises(UsageError, match="the recipient is not a mail address"):
        Envelope.of(b"", "a@example.org", ["b@example.org", bad])


def test_an_address_of_a_header_is_checked_like_any_other() -> None:
    mail = email.message_from_bytes(b"From: a@example.org\nTo: b\xff@example.org\n\n", policy=email.policy.default)
    with pytest.raises(UsageError, match="the recipient is not a mail address"):
        Envelope.of(mail, None, None)


@pytest.mark.parametrize("thing", [None, 7, ["a"], object()])
def test_other_things_are_no_message(thing: object) -> None:
    with pytest.raises(UsageError, match="a message is"):
        Envelope.of(thing, "a@example.org", "b@example.org")


@pytest.mark.parametrize(
    "value",
    [
        "x\r\nBcc: mallory@example.org",
        "x\nBcc: m",
        "x\rBcc: m",
        "x\n\nbody",
        "x\n",
        "x\0y",
        "x\x0bBcc: m",
        "x\x85Bcc: m",
    ],
)
def test_a_header_that_would_begin_another_is_refused(value: str) -> None:
    for message in (Message(), EmailMessage()):
        message["From"] = "a@example.org"
        message.set_raw("Subject", value)  # type: ignore[attr-defined]
        with pytest.raises(UsageError, match="in the header Subject"):
            Envelope.of(message, None, "b@example.org")


@pytest.mark.parametrize("name", ["X\nBcc", "X Y", "", "Bcc: m\r\nX", "X:", "Ü"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    message = EmailMessage()
    message.set_raw(name, "x")  # type: ignore[attr-defined]
    with pytest.raises(UsageError, match="not the name of a header"):
        Envelope.of(message, "a@example.org", "b@example.org")


def test_a_header_in_a_part_is_looked_at_too() -> None:
    message = _mail()
    message.add_attachment("x", filename="x.txt")
    [attachment] = message.iter_attachments()
    attachment.set_raw("X-Note", "x\r\n\r\nnot a header any more")  # type: ignore[attr-defined]
    with pytest.raises(UsageError, match="X-Note"):
        Envelope.of(message, "a@example.org", "b@example.org")


def test_a_header_that_was_folded_is_no_fault() -> None:
    raw = b"From: a@example.org\r\nTo: b@example.org,\r\n c@example.org\r\nSubject: one\n\ttwo\r\n\r\n"
    for policy in (email.policy.default, email.policy.compat32):
        mail = email.message_from_bytes(raw, policy=policy)
        assert Envelope.of(mail, None, None) == Envelope("a@example.org", ("b@example.org", "c@example.org"))


def test_a_header_that_the_email_package_cannot_read_is_a_fault_of_the_message() -> None:
    raw = b"From: a@example.org\nTo: =?utf-8?q?a=0D=0ABcc=3A_m?= <b@example.org>\n\n"
    mail = email.message_from_bytes(raw, policy=email.policy.default)
    with pytest.raises(UsageError, match="the header To cannot be read"):
        Envelope.of(mail, None, None)
    assert Envelope.of(mail, None, "b@example.org").sender == "a@example.org"


def test_a_message_of_the_old_interface_is_understood() -> None:
    mail = MIMEText("grün", "plain", "utf-8")
    mail["From"] = "Alice <a@example.org>"
    mail["To"] = Header("Jürgen <b@example.org>", "utf-8")  # type: ignore[assignment]
    assert Envelope.of(mail, None, None) == Envelope("a@example.org", ("b@example.org",))


def test_it_knows_whether_it_needs_smtputf8() -> None:
    assert not Envelope.of(b"", "", "a@exämple.org").needs_utf8
    assert Envelope.of(b"", "", ["a@example.org", "jürgen@example.org"]).needs_utf8
    assert Envelope.of(b"", "jürgen@example.org", "a@example.org").needs_utf8
