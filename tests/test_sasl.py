"""sasl.py: the examples of the RFCs, and servers that do not keep to them."""

import base64
import contextlib
import hashlib
import hmac
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncnet import sasl
from asyncnet.credentials import Credentials
from asyncnet.errors import AuthenticationError, ProtocolError, UsageError
from asyncnet.sasl import choose, decoded, encoded, exchange, saslprep

ALICE = Credentials("alice", "hunter2")
TOKEN = Credentials("alice", lambda: "t0ken")
MECHANISMS = ["PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256", "XOAUTH2", "OAUTHBEARER"]


# The examples of the RFCs.


def test_plain_is_as_in_rfc_4616() -> None:
    attempt = exchange("PLAIN", "tim", "tanstaaftanstaaf")
    assert attempt.initial == b"\0tim\0tanstaaftanstaaf"
    attempt.finish()
    with pytest.raises(ProtocolError, match="PLAIN has no such challenge"):
        attempt.respond(b"")


def test_login_gives_name_and_password_in_turn() -> None:
    attempt = exchange("LOGIN", "alice", "hünter2")
    assert attempt.initial is None
    assert attempt.respond(b"User Name\0") == b"alice"
    assert attempt.respond(b"Password\0") == "hünter2".encode()
    with pytest.raises(ProtocolError):
        attempt.respond(b"And now?")


def test_cram_md5_is_as_in_rfc_2195() -> None:
    attempt = exchange("CRAM-MD5", "tim", "tanstaaftanstaaf")
    assert attempt.initial is None
    challenge = decoded(b"PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+")
    response = attempt.respond(challenge)
    assert response == b"tim b913a602c7eda7a495b4e6e7334d3890"
    assert encoded(response) == b"dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw"


def test_cram_md5_answers_one_challenge_and_no_empty_one() -> None:
    with pytest.raises(ProtocolError):
        exchange("CRAM-MD5", "tim", "secret").respond(b"")
    attempt = exchange("CRAM-MD5", "tim", "secret")
    attempt.respond(b"<1@h>")
    with pytest.raises(ProtocolError):
        attempt.respond(b"<2@h>")


RFC_7677 = {
    "nonce": "rOprNGfwEbeRWgbNEkqO",
    "client_first": b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
    "server_first": (b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"),
    "client_final": (
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    ),
    "server_final": b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
}


def scram(monkeypatch: pytest.MonkeyPatch, username: str = "user", password: str = "pencil") -> sasl.Exchange:
    monkeypatch.setattr("asyncnet.sasl.secrets.token_urlsafe", lambda _: RFC_7677["nonce"])
    return exchange("SCRAM-SHA-256", username, password)


def test_scram_sha_256_is_as_in_rfc_7677(monkeypatch: pytest.MonkeyPatch) -> None:
    attempt = scram(monkeypatch)
    assert attempt.initial == RFC_7677["client_first"]
    assert attempt.respond(RFC_7677["server_first"]) == RFC_7677["client_final"]
    assert attempt.respond(RFC_7677["server_final"]) == b""
    attempt.finish()
    with pytest.raises(ProtocolError):
        attempt.respond(b"")


def test_scram_escapes_the_name_and_prepares_both(monkeypatch: pytest.MonkeyPatch) -> None:
    assert scram(monkeypatch, "a=b,c").initial == b"n,,n=a=3Db=2Cc,r=rOprNGfwEbeRWgbNEkqO"  # RFC 5802 §5.1
    assert scram(monkeypatch, "\u2168").initial == b"n,,n=IX,r=rOprNGfwEbeRWgbNEkqO"
    plain, fancy = scram(monkeypatch, password="IX"), scram(monkeypatch, password="I\u00adX")
    assert plain.respond(RFC_7677["server_first"]) == fancy.respond(RFC_7677["server_first"])
    with pytest.raises(UsageError):
        scram(monkeypatch, password="\u0627\u0031")
    with pytest.raises(UsageError):
        scram(monkeypatch, "\u0627\u0031")


def test_every_scram_attempt_has_a_nonce_of_its_own() -> None:
    initials = {exchange("SCRAM-SHA-256", "user", "pencil").initial for _ in range(20)}
    assert len(initials) == 20
    assert all(initial is not None and b"," not in initial.partition(b"r=")[2] for initial in initials)


def test_xoauth2_is_as_google_describes_it() -> None:
    token = "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg"
    attempt = exchange("XOAUTH2", "someuser@example.com", token)
    assert attempt.initial is not None
    assert encoded(attempt.initial) == (
        b"dXNlcj1zb21ldXNlckBleGFtcGxlLmNvbQFhdXRoPUJlYXJlciB5YTI5LnZGOWRmdDRxbVRjMk52YjNSbGNrQmhkSFJoZG1semRHRXVZMjl0"
        b"Q2cBAQ=="
    )
    assert attempt.respond(b'{"status":"401","schemes":"bearer","scope":"https://mail.google.com/"}') == b""
    assert attempt.refusal == "401"
    with pytest.raises(ProtocolError):
        attempt.respond(b"{}")


def test_oauthbearer_is_as_in_rfc_7628() -> None:
    attempt = exchange("OAUTHBEARER", "user@example.com", "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==")
    assert attempt.initial == (
        b"n,a=user@example.com,\x01auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01"
    )
    assert attempt.respond(b'{"status":"invalid_token","scope":"example_scope"}') == b"\x01"  # §3.2.3
    assert attempt.refusal == "invalid_token"
    with pytest.raises(ProtocolError):
        attempt.respond(b"{}")


def test_oauthbearer_escapes_the_name() -> None:
    assert exchange("OAUTHBEARER", "a,b=c", "t").initial == b"n,a=a=2Cb=3Dc,\x01auth=Bearer t\x01\x01"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I\u00adX", "IX"),
        ("user", "user"),
        ("USER", "USER"),
        ("\u00aa", "a"),
        ("\u2168", "IX"),
        ("", ""),
        ("a\u00a0b", "a b"),  # C.1.2: another space is a space
        ("a\u3000b", "a b"),
        ("pa\u0308sswort", "pässwort"),
        ("\u0627\u0628", "\u0627\u0628"),
        ("\U0001f600", "\U0001f600"),  # unassigned in Unicode 3.2, so allowed in what is asked with
    ],
)
def test_saslprep_is_as_in_rfc_4013(text: str, expected: str) -> None:
    assert saslprep(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "\u0007",
        "\x7f",
        "\u0627\u0031",
        "a\u0627",
        "\u0627a\u0627",
        "\u0080",
        "\ue000",
        "\ud800",
        "\u202e",
        "\u00ad",
    ],
)
def test_saslprep_refuses_what_rfc_4013_forbids_and_does_not_repeat_it(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        saslprep(f"{text}")
    assert text not in str(caught.value)


@given(st.text())
def test_saslprep_gives_text_that_stays_as_it_is_or_a_usage_error(text: str) -> None:
    with contextlib.suppress(UsageError):
        assert saslprep(saslprep(text)) == saslprep(text)


# Servers that do not keep to them.


NONCE = RFC_7677["nonce"]


@pytest.mark.parametrize(
    "first",
    [
        b"",
        b"\xff\xfe",
        b"r=",
        f"r={NONCE},s=QQ==,i=4096".encode(),  # adds nothing of its own
        b"r=another,s=QQ==,i=4096",
        f"r=x{NONCE}x,s=QQ==,i=4096".encode(),
        f"r={NONCE}x,i=4096".encode(),
        f"r={NONCE}x,s=,i=4096".encode(),
        f"r={NONCE}x,s=Q,i=4096".encode(),
        f"r={NONCE}x,s=!!!!,i=4096".encode(),
        f"r={NONCE}x,s=QQ==".encode(),
        f"r={NONCE}x,s=QQ==,i=".encode(),
        f"r={NONCE}x,s=QQ==,i=0".encode(),
        f"r={NONCE}x,s=QQ==,i=-4096".encode(),
        f"r={NONCE}x,s=QQ==,i=+4096".encode(),
        f"r={NONCE}x,s=QQ==,i=4_096".encode(),
        f"r={NONCE}x,s=QQ==,i=\u0664\u0660\u0669\u0666".encode(),
        f"r={NONCE}x,s=QQ==,i=1".encode(),
        f"r={NONCE}x,s=QQ==,i=4095".encode(),
        f"r={NONCE}x,s=QQ==,i=250001".encode(),
        f"r={NONCE}x,s=QQ==,i=99999999999999999999".encode(),
        f"s=QQ==,r={NONCE}x,i=4096".encode(),
        f"m=unknown,r={NONCE}x,s=QQ==,i=4096".encode(),
        f"r={NONCE}x,r={NONCE}y,s=QQ==,i=4096".encode(),
        f"r={NONCE}\r\nx,s=QQ==,i=4096".encode(),
        f"r={NONCE}é,s=QQ==,i=4096".encode(),
        b"e=other-error",
    ],
)
def test_a_first_message_that_is_none_breaks_scram_and_proves_nothing(
    first: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt = scram(monkeypatch)
    with pytest.raises(ProtocolError, match=r"SCRAM|base64"):
        attempt.respond(first)
    with pytest.raises(ProtocolError, match="without proving"):
        attempt.finish()


def test_extensions_behind_the_known_fields_are_signed_and_otherwise_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    attempt = scram(monkeypatch)
    first = RFC_7677["server_first"] + b",x=new"
    final = attempt.respond(first)
    assert final != RFC_7677["client_final"]
    attempt.respond(b"v=" + base64.b64encode(server_signature(attempt, first, final)) + b",x=new")
    attempt.finish()


def server_signature(attempt: sasl.Exchange, first: bytes, final: bytes) -> bytes:
    """What the server that knows the password says, computed on its own."""
    fields = dict(part.split("=", 1) for part in first.decode().split(","))
    salted = hashlib.pbkdf2_hmac("sha256", b"pencil", base64.b64decode(fields["s"]), int(fields["i"]))
    key = hmac.digest(salted, b"Server Key", "sha256")
    assert attempt.initial is not None
    return hmac.digest(key, b",".join([attempt.initial[3:], first, final.rpartition(b",p=")[0]]), "sha256")


@pytest.mark.parametrize(
    "last",
    [
        b"",
        b"v=",
        b"v=AAAA",
        b"v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
        b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4",
        b"x=1,v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
        b"m=1,v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
        b"\xff",
    ],
)
def test_a_server_that_cannot_prove_itself_is_not_believed(last: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    attempt = scram(monkeypatch)
    attempt.respond(RFC_7677["server_first"])
    with pytest.raises(ProtocolError):
        attempt.respond(last)
    with pytest.raises(ProtocolError, match="without proving"):
        attempt.finish()


def test_a_server_that_says_yes_too_early_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    attempt = scram(monkeypatch)
    with pytest.raises(ProtocolError, match="without proving"):
        attempt.finish()
    attempt.respond(RFC_7677["server_first"])
    with pytest.raises(ProtocolError, match="without proving"):
        attempt.finish()


def test_a_reason_of_the_server_is_kept_and_is_no_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    attempt = scram(monkeypatch)
    attempt.respond(RFC_7677["server_first"])
    assert attempt.respond(b"e=invalid-proof\x1b[2J") == b""
    assert attempt.refusal == r"invalid-proof\x1b[2J"
    with pytest.raises(ProtocolError, match="without proving"):
        attempt.finish()


@pytest.mark.parametrize("mechanism", ["XOAUTH2", "OAUTHBEARER"])
@pytest.mark.parametrize(
    ("challenge", "refusal"),
    [
        (b"", "refused"),
        (b"no json", "refused"),
        (b"[]", "refused"),
        (b"null", "refused"),
        (b"{}", "refused"),
        (b'{"status": 401}', "401"),
        (b'{"error": "invalid_request"}', "invalid_request"),
        (b'{"status": "\\u001b[2J\\r\\n"}', r"\x1b[2J"),
        (b"\xff\xfe", "refused"),
        (b"[" * 16_000, "refused"),
        (b"9" * 16_000, "refused"),
        (b'{"status":' + b"[" * 900 + b"]" * 900 + b"}", None),
        (json.dumps({"status": "x" * 9000}).encode(), "x" * 300 + "..."),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_whatever_the_reason_of_a_refused_token_looks_like_it_is_one_short_line(
    mechanism: str, challenge: bytes, refusal: str | None
) -> None:
    attempt = exchange(mechanism, "alice", "t0ken")
    attempt.respond(challenge)
    assert attempt.refusal
    assert attempt.refusal.isprintable()
    assert len(attempt.refusal) <= 303
    assert refusal is None or attempt.refusal == refusal


_SCRAMMISH = st.lists(
    st.one_of(
        st.sampled_from([f"r={NONCE}", f"r={NONCE}x", "s=QQ==", "s=", "i=4096", "i=1", "i=99", "m=x", "e=x", "v=QQ=="]),
        st.text(max_size=5),
    ),
    max_size=5,
).map(lambda parts: ",".join(parts).encode("utf-8", "surrogatepass"))


@given(st.sampled_from(MECHANISMS), st.lists(st.one_of(st.binary(), _SCRAMMISH), max_size=4))
def test_no_challenge_makes_anything_but_an_answer_or_a_protocol_error(mechanism: str, challenges: list[bytes]) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr("asyncnet.sasl.secrets.token_urlsafe", lambda _: NONCE)
        attempt = exchange(mechanism, "alice", "hunter2")
    for challenge in challenges:
        with contextlib.suppress(ProtocolError):
            assert isinstance(attempt.respond(challenge), bytes)
    with contextlib.suppress(ProtocolError):
        attempt.finish()
        assert mechanism != "SCRAM-SHA-256"  # nothing of this is a proof


@given(st.one_of(st.binary(), st.binary().map(base64.b64encode)))
def test_what_the_server_encodes_is_decoded_or_a_protocol_error(challenge: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        assert isinstance(decoded(challenge), bytes)


@given(st.binary())
def test_what_is_encoded_decodes_to_itself(response: bytes) -> None:
    assert decoded(encoded(response)) == response


@pytest.mark.parametrize("challenge", [b"=", b"QQ", b"QQ=", b"Q Q=", b"QQ==\r\n", b"\xff\xff", b"A" * 16_388])
def test_what_is_not_base64_or_endless_is_a_protocol_error(challenge: bytes) -> None:
    with pytest.raises(ProtocolError):
        decoded(challenge)


# The choice.


@pytest.mark.parametrize(
    ("credentials", "offered", "expected"),
    [
        (ALICE, ["PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256", "XOAUTH2"], "SCRAM-SHA-256"),
        (ALICE, ["login", "plain"], "PLAIN"),
        (ALICE, ["LOGIN"], "LOGIN"),
        (TOKEN, ["PLAIN", "XOAUTH2", "OAUTHBEARER"], "OAUTHBEARER"),
        (TOKEN, ["PLAIN", "XOAUTH2"], "XOAUTH2"),
        (Credentials("alice", "hunter2", mechanism="cram-md5"), ["PLAIN", "CRAM-MD5"], "CRAM-MD5"),
        (Credentials("alice", lambda: "t", mechanism="PLAIN"), ["PLAIN", "XOAUTH2"], "PLAIN"),
    ],
)
def test_the_best_that_both_can_do_is_chosen(credentials: Credentials, offered: list[str], expected: str) -> None:
    assert choose(offered, credentials) == expected


@pytest.mark.parametrize(
    ("credentials", "offered", "text"),
    [
        (ALICE, ["XOAUTH2", "CRAM-MD5"], "the server offers CRAM-MD5, XOAUTH2; a password needs SCRAM-SHA-256 or"),
        (ALICE, [], "the server offers no mechanism"),
        (TOKEN, ["PLAIN", "LOGIN"], "a token needs OAUTHBEARER or XOAUTH2"),
        (Credentials("alice", "hunter2", mechanism="SCRAM-SHA-256"), ["PLAIN"], "a password needs SCRAM-SHA-256"),
        (ALICE, ["EVIL\x1b[2J" * 1000], r"the server offers EVIL\\x1b"),
    ],
)
def test_where_nothing_fits_the_login_is_not_tried(credentials: Credentials, offered: list[str], text: str) -> None:
    with pytest.raises(AuthenticationError, match=text) as caught:
        choose(offered, credentials)
    assert "hunter2" not in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_mechanism_that_nobody_knows_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="unknown mechanism GSSAPI"):
        choose(["GSSAPI"], Credentials("alice", "hunter2", mechanism="GSSAPI"))
    with pytest.raises(UsageError, match="unknown mechanism"):
        exchange("GSSAPI", "alice", "hunter2")


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_no_attempt_shows_the_secret(mechanism: str) -> None:
    assert "hunter2" not in repr(exchange(mechanism, "alice", "hunter2"))
