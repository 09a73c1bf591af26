"""Which way a session signs in, what is said on it, and that no secret is sent or shown where it must not be."""

import base64
import hashlib
import hmac
import itertools
import pickle
import socket
import traceback

import pytest

from asyncnet import (
    AuthenticationError,
    Credentials,
    DisconnectedError,
    ProtocolError,
    RefusedError,
    UsageError,
    pop3,
)
from asyncnet.pop3.login import choose_way
from asyncnet.pop3.wire import Limits, Wire
from tests.peers import Script, Talk
from tests.pop3.talks import ALICE, GREETED, LEFT, url

STAMP = "<1896.697170952@dbc.mtview.ca.us>"
TOKEN = Credentials("alice", lambda: "token")


def _named(mechanism: str) -> Credentials:
    return Credentials("alice", "correct horse", mechanism=mechanism)


@pytest.mark.parametrize(
    ("credentials", "capabilities", "stamp", "encrypted", "way"),
    [
        (ALICE, {}, None, True, "USER"),
        (ALICE, {"USER": ()}, None, True, "USER"),
        (ALICE, {"USER": (), "SASL": ("PLAIN",)}, None, True, "PLAIN"),
        (ALICE, {"SASL": ("PLAIN", "SCRAM-SHA-256", "LOGIN")}, None, False, "SCRAM-SHA-256"),
        (ALICE, {"SASL": ("plain",)}, None, False, "PLAIN"),
        (ALICE, {"USER": (), "SASL": ("XOAUTH2",)}, None, True, "USER"),
        (ALICE, {"USER": (), "SASL": ("PLAIN",)}, STAMP, False, "APOP"),
        (ALICE, {"USER": (), "SASL": ("PLAIN",)}, STAMP, True, "PLAIN"),
        (ALICE, {"TOP": ()}, STAMP, True, "APOP"),
        (_named("APOP"), {"SASL": ("PLAIN",)}, STAMP, True, "APOP"),
        (_named("user"), {"USER": (), "SASL": ("PLAIN",)}, STAMP, False, "USER"),
        (_named("CRAM-MD5"), {"SASL": ("PLAIN", "CRAM-MD5")}, STAMP, False, "CRAM-MD5"),
        (TOKEN, {"SASL": ("PLAIN", "XOAUTH2")}, None, True, "XOAUTH2"),
        (TOKEN, {"SASL": ("XOAUTH2", "OAUTHBEARER")}, STAMP, False, "OAUTHBEARER"),
    ],
)
def test_the_way_is_chosen_by_what_the_server_offers(
    credentials: Credentials, capabilities: dict[str, tuple[str, ...]], stamp: str | None, encrypted: bool, way: str
) -> None:
    assert choose_way(credentials, capabilities, stamp, encrypted=encrypted) == way


@pytest.mark.parametrize(
    ("credentials", "capabilities"),
    [
        (ALICE, {"TOP": ()}),
        (ALICE, {"SASL": ()}),
        (ALICE, {"SASL": ("XOAUTH2", "CRAM-MD5", "GSSAPI")}),
        (_named("APOP"), {"USER": ()}),
        (_named("USER"), {"SASL": ("PLAIN",)}),
        (_named("CRAM-MD5"), {"USER": (), "SASL": ("PLAIN",)}),
        (TOKEN, {}),
        (TOKEN, {"USER": (), "SASL": ("PLAIN",)}),
    ],
)
async def test_where_no_way_fits_the_secret_is_not_even_asked_for(
    credentials: Credentials, capabilities: dict[str, tuple[str, ...]]
) -> None:
    def never() -> str:
        raise AssertionError("the secret was asked for")

    asked = Credentials("alice", never) if credentials.is_token else credentials
    capa = "\n".join(f"S: {name} {' '.join(words)}" for name, words in capabilities.items())
    talk = f"C: CAPA\nS: +OK\n{capa}\nS: .\neof" if capabilities else "C: CAPA\nS: -ERR unknown\neof"
    async with Script(GREETED + talk) as peer:
        with pytest.raises(AuthenticationError):
            await pop3.session(url(peer), asked).open()
    assert b"horse" not in peer.received


@pytest.mark.parametrize("mechanism", ["APOP", "USER"])
async def test_a_token_is_no_password(mechanism: str) -> None:
    async with Script(GREETED + "C: CAPA\nS: +OK\nS: USER\nS: .\neof") as peer:
        with pytest.raises(UsageError, match="needs a password"):
            await pop3.session(url(peer), Credentials("alice", lambda: "token", mechanism=mechanism)).open()


async def _signs_in(talk: str, credentials: Credentials, greeting: str = GREETED) -> Script:
    async with Script(greeting + talk + LEFT) as peer, pop3.session(url(peer), credentials):
        pass
    return peer


async def test_user_and_pass() -> None:
    await _signs_in("C: CAPA\nS: -ERR\nC: USER alice\nS: +OK\nC: PASS correct horse\nS: +OK", ALICE)


async def test_user_and_pass_in_utf_8() -> None:
    talk = r"C: CAPA|S: -ERR|C: USER ren\xc3\xa9e|S: +OK|C: PASS p\xc3\xa4ss|S: +OK".replace("|", "\n")
    await _signs_in(talk, Credentials("renée", "päss"))


async def test_apop_answers_the_timestamp_of_the_greeting() -> None:
    # The example of RFC 1939 §7.
    talk = "C: CAPA\nS: -ERR\nC: APOP mrose c4c9334bac560ecc979e58001b3e22fb\nS: +OK maildrop has 1 message"
    peer = await _signs_in(talk, Credentials("mrose", "tanstaaf"), f"S: +OK POP3 server ready {STAMP}\n")
    assert b"tanstaaf" not in peer.received


@pytest.mark.parametrize(
    ("mechanism", "lines"),
    [
        ("PLAIN", ["C: AUTH PLAIN AGFsaWNlAGNvcnJlY3QgaG9yc2U=", "S: +OK"]),
        (
            "LOGIN",
            [
                "C: AUTH LOGIN",
                "S: + VXNlcm5hbWU6",
                "C: YWxpY2U=",
                "S: + UGFzc3dvcmQ6",
                "C: Y29ycmVjdCBob3JzZQ==",
                "S: +OK",
            ],
        ),
        (
            "CRAM-MD5",
            ["C: AUTH CRAM-MD5", "S: + PDFAYT4=", "C: YWxpY2UgMDhkZjlkMjhlZDAwMzhlNjI4NTk4NGIwYTkyZTNlZmE=", "S: +OK"],
        ),
    ],
)
async def test_passwords_by_sasl(mechanism: str, lines: list[str]) -> None:
    digest = hmac.new(b"correct horse", b"<1@a>", "md5").hexdigest()
    answer = base64.b64encode(f"alice {digest}".encode()).decode()
    lines = [f"C: {answer}" if line.startswith("C: YWxpY2Ug") else line for line in lines]
    talk = [f"C: CAPA\nS: +OK\nS: SASL {mechanism}\nS: .", *lines]
    await _signs_in("\n".join(talk), _named(mechanism))


def _scram_server(talk: Talk, *, password: bytes = b"correct horse", proof: bool = True) -> None:
    """A server's side of SCRAM-SHA-256 (RFC 5802, RFC 7677) that leaves when the client's proof is wrong."""
    for line in ("+OK ready", "+OK", "SASL SCRAM-SHA-256", "."):
        if line == "+OK":
            talk.expect("CAPA")
        talk.say(line)
    talk.expect(r"/AUTH SCRAM-SHA-256 (?P<first>\S+)/")
    bare = base64.b64decode(talk.names["first"]).removeprefix(b"n,,")
    challenge = b"%b-and-ours,s=%b,i=4096" % (bare.partition(b",")[2], base64.b64encode(b"salt"))
    talk.say("+ " + base64.b64encode(challenge).decode())
    talk.expect(r"/(?P<final>\S+)/")
    final, _, shown = base64.b64decode(talk.names["final"]).partition(b",p=")
    salted = hashlib.pbkdf2_hmac("sha256", password, b"salt", 4096)
    key = hmac.digest(salted, b"Client Key", "sha256")
    signed = b",".join([bare, challenge, final])
    signature = hmac.digest(hashlib.sha256(key).digest(), signed, "sha256")
    if base64.b64decode(shown) != bytes(a ^ b for a, b in zip(key, signature, strict=True)):
        talk.say("-ERR [AUTH] wrong")
        talk.eof()
        return
    if proof:
        verifier = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), signed, "sha256")
        talk.say("+ " + base64.b64encode(b"v=" + base64.b64encode(verifier)).decode())
        talk.expect("")
    talk.say("+OK")
    if proof:
        talk.expect("QUIT")
        talk.say("+OK")


async def test_scram_proves_both_sides() -> None:
    async with Script(_scram_server) as peer, pop3.session(url(peer), ALICE):
        pass
    assert b"horse" not in peer.received
    assert base64.b64encode(b"correct horse") not in peer.received


async def test_scram_with_a_wrong_password_is_refused() -> None:
    async with Script(lambda talk: _scram_server(talk, password=b"another")) as peer:
        with pytest.raises(AuthenticationError, match="wrong"):
            await pop3.session(url(peer), ALICE).open()


async def test_a_scram_server_that_does_not_prove_itself_is_an_impostor() -> None:
    async with Script(lambda talk: _scram_server(talk, proof=False)) as peer:
        with pytest.raises(ProtocolError, match="without proving"):
            await pop3.session(url(peer), ALICE).open()


XOAUTH2 = "dXNlcj1hbGljZQFhdXRoPUJlYXJlciB0b2tlbgEB"
OFFERS_TOKEN = "C: CAPA\nS: +OK\nS: SASL PLAIN XOAUTH2\nS: .\n"


async def test_a_token_by_xoauth2() -> None:
    await _signs_in(f"{OFFERS_TOKEN}C: AUTH XOAUTH2 {XOAUTH2}\nS: +OK", TOKEN)


async def test_a_token_by_oauthbearer() -> None:
    response = base64.b64encode(b"n,a=alice,\1auth=Bearer token\1\1").decode()
    talk = f"C: CAPA\nS: +OK\nS: SASL OAUTHBEARER\nS: .\nC: AUTH OAUTHBEARER {response}\nS: +OK"
    await _signs_in(talk, TOKEN)


@pytest.mark.parametrize("prompt", ["+ ", "+", "+ Z28gYWhlYWQ="])
@pytest.mark.parametrize(("length", "at_once"), [(155, True), (156, False), (4000, False)])
async def test_an_initial_response_too_long_for_a_command_waits_for_the_prompt(
    length: int, at_once: bool, prompt: str
) -> None:
    response = base64.b64encode(b"user=alice\1auth=Bearer " + b"t" * length + b"\1\1").decode()
    assert (len(f"AUTH XOAUTH2 {response}\r\n") <= 255) is at_once
    first = f"C: AUTH XOAUTH2 {response}" if at_once else f"C: AUTH XOAUTH2\nS: {prompt}\nC: {response}"
    await _signs_in(f"{OFFERS_TOKEN}{first}\nS: +OK", Credentials("alice", lambda: "t" * length))


CHALLENGE = base64.b64encode(b'{"status":"401","schemes":"bearer"}').decode()


def _tokens(*tokens: str) -> Credentials:
    supply = itertools.chain(tokens)
    return Credentials("alice", lambda: next(supply))


def _xoauth2(token: str) -> str:
    return "C: AUTH XOAUTH2 " + base64.b64encode(f"user=alice\1auth=Bearer {token}\1\1".encode()).decode()


async def test_a_refused_token_is_asked_for_once_more() -> None:
    talk = f"{OFFERS_TOKEN}{_xoauth2('old')}\nS: + {CHALLENGE}\nC: \nS: -ERR [AUTH] no\n{_xoauth2('new')}\nS: +OK"
    await _signs_in(talk, _tokens("old", "new"))


async def test_a_token_that_is_refused_twice_is_one_authentication_error() -> None:
    one = "S: + {challenge}\nC: \nS: -ERR [AUTH] no".replace("{challenge}", CHALLENGE)
    async with Script(GREETED + f"{OFFERS_TOKEN}{_xoauth2('old')}\n{one}\n{_xoauth2('new')}\n{one}\neof") as peer:
        with pytest.raises(AuthenticationError, match="401") as caught:
            await pop3.session(url(peer), _tokens("old", "new")).open()
    assert caught.value.code == "-ERR"


async def test_the_same_token_again_is_not_sent_again() -> None:
    async with Script(GREETED + f"{OFFERS_TOKEN}{_xoauth2('token')}\nS: -ERR no\neof") as peer:
        with pytest.raises(AuthenticationError):
            await pop3.session(url(peer), TOKEN).open()


async def test_a_server_that_leaves_after_a_refused_token_refused_it() -> None:
    async with Script(GREETED + f"{OFFERS_TOKEN}{_xoauth2('old')}\nS: -ERR no\ncut") as peer:
        with pytest.raises(AuthenticationError):
            await pop3.session(url(peer), _tokens("old", "new")).open()


async def test_a_token_that_is_not_to_be_had_ends_the_opening() -> None:
    def fails() -> str:
        raise LookupError("no token today")

    async with Script(GREETED + OFFERS_TOKEN + "eof") as peer:
        with pytest.raises(UsageError, match="the callable of the credentials raised LookupError") as caught:
            await pop3.session(url(peer), Credentials("alice", fails)).open()
        assert isinstance(caught.value.__cause__, LookupError)


@pytest.mark.parametrize(
    "lines",
    [
        "C: CAPA\nS: -ERR\nC: USER alice\nS: -ERR nobody here of that name",
        "C: CAPA\nS: -ERR\nC: USER alice\nS: +OK\nC: PASS correct horse\nS: -ERR wrong",
        "C: CAPA\nS: +OK\nS: SASL PLAIN\nS: .\nC: AUTH PLAIN *\nS: -ERR [AUTH] wrong",
    ],
)
async def test_a_wrong_password_is_one_authentication_error(lines: str) -> None:
    async with Script(GREETED + lines + "\neof") as peer:
        maildrop = pop3.session(url(peer), ALICE)
        with pytest.raises(AuthenticationError) as caught:
            await maildrop.open()
        assert (caught.value.code, caught.value.transient, caught.value.endpoint) == ("-ERR", False, url(peer))
        assert not maildrop.is_open


@pytest.mark.parametrize("code", ["IN-USE", "SYS/TEMP", "LOGIN-DELAY"])
async def test_a_login_refused_for_the_moment_is_transient_and_not_about_the_secret(code: str) -> None:
    lines = f"C: CAPA\nS: -ERR\nC: USER alice\nS: +OK\nC: PASS correct horse\nS: -ERR [{code}] later\neof"
    async with Script(GREETED + lines) as peer:
        with pytest.raises(RefusedError, match="later") as caught:
            await pop3.session(url(peer), ALICE).open()
    assert type(caught.value) is RefusedError
    assert caught.value.transient


@pytest.mark.parametrize(
    "lines",
    [
        "C: CAPA\nS: -ERR\nC: USER alice\nS: +OK\nC: PASS correct horse\nS: -ERR not correct horse!\neof",
        "C: CAPA\nS: +OK\nS: SASL PLAIN\nS: .\nC: AUTH PLAIN {PLAIN}\nS: -ERR not {PLAIN}!\neof",
        "C: CAPA\nS: +OK\nS: SASL LOGIN\nS: .\nC: AUTH LOGIN\nS: +\nC: *\nS: +\nC: *\nS: -ERR not {SECRET}!\neof",
    ],
    ids=["PASS", "PLAIN", "LOGIN"],
)
async def test_no_error_shows_the_secret_even_if_the_server_does(lines: str) -> None:
    forms = {
        "{PLAIN}": base64.b64encode(b"\0alice\0correct horse").decode(),
        "{SECRET}": base64.b64encode(b"correct horse").decode(),
    }
    for name, form in forms.items():
        lines = lines.replace(name, form)
    async with Script(GREETED + lines) as peer:
        with pytest.raises(AuthenticationError) as caught:
            await pop3.session(url(peer), ALICE).open()
    shown = "".join(traceback.format_exception(caught.value)) + repr(pickle.dumps(caught.value))
    assert not [form for form in ("correct horse", *forms.values()) if form in shown]
    assert "not ***!" in shown
    assert caught.value.__context__ is None  # some picklers (tblib's, which Dask installs) take it along


@pytest.mark.parametrize(
    ("lines", "kind", "words"),
    [
        ("S: + !!!", ProtocolError, "not base64"),
        ("S: * BYE", ProtocolError, "neither"),
        ("S: +NO", ProtocolError, "neither"),
        ("S: + eA==\nC: \nS: + eA==\neof", ProtocolError, "no such challenge"),
        ("cut", DisconnectedError, "closed the connection"),
    ],
)
async def test_a_dialogue_that_is_none_ends_the_session(lines: str, kind: type[Exception], words: str) -> None:
    async with Script(GREETED + f"{OFFERS_TOKEN}C: AUTH XOAUTH2 {XOAUTH2}\n{lines}") as peer:
        with pytest.raises(kind, match=words):
            await pop3.session(url(peer), TOKEN).open()


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "CRAM-MD5"])
async def test_challenges_without_end_are_too_many(mechanism: str) -> None:
    def talk(talk: Talk) -> None:
        talk.say("+OK ready")
        talk.expect("CAPA")
        for line in ("+OK", f"SASL {mechanism}", "."):
            talk.say(line)
        talk.expect(f"/AUTH {mechanism}.*/")
        for _ in range({"PLAIN": 0, "LOGIN": 2, "CRAM-MD5": 1}[mechanism]):
            talk.say("+ PDFAYT4=")
            talk.expect("*")
        talk.say("+ PDFAYT4=")
        talk.eof()

    async with Script(talk) as peer:
        with pytest.raises(ProtocolError, match="no such challenge"):
            await pop3.session(url(peer), _named(mechanism)).open()


@pytest.mark.parametrize("argument", ["a\r\nDELE 1", "a\0", "a\x7f", "a\n", "\x1b[2J"])
def test_no_command_takes_a_control_character(argument: str) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"+OK ready\r\n")
        wire = Wire(ours, "localhost", 110, Limits(1000, 1000, 1000))
        for command in (wire.user, wire.pass_, wire.rpop, wire.dele, wire.dialogue):
            with pytest.raises(UsageError, match="control character"):
                command(argument)
        theirs.setblocking(False)
        with pytest.raises(BlockingIOError):
            theirs.recv(1)


@pytest.mark.parametrize("step", ["USER", "PASS", "APOP"])
async def test_a_challenge_where_none_belongs_is_no_yes(step: str) -> None:
    greeting, lines = ("S: +OK\n", "C: USER alice\nS: +OK\nC: PASS *\nS: +OK")
    if step == "APOP":
        greeting, lines = (f"S: +OK {STAMP}\n", "C: APOP *\nS: +OK")
    before, _, after = lines.partition(f"C: {step}")
    talk = f"{greeting}C: CAPA\nS: -ERR\n{before}C: {step}{after.partition('+OK')[0]}+ \neof"
    async with Script(talk) as peer:
        with pytest.raises(ProtocolError, match="neither"):
            await pop3.session(url(peer), ALICE).open()


async def test_a_username_with_a_space_cannot_go_by_apop() -> None:
    async with Script(f"S: +OK {STAMP}\nC: CAPA\nS: -ERR\neof") as peer:
        with pytest.raises(UsageError, match="space"):
            await pop3.session(url(peer), Credentials("alice b", "secret")).open()


@pytest.mark.parametrize(
    ("place", "options", "refused"),
    [
        ("pop3://mail.example.org", {}, True),
        ("pop3://mail.example.org", {"allow_plaintext_login": True}, False),
        ("pop3://127.0.0.1", {}, False),
        ("pop3s://mail.example.org", {}, False),
        ("pop3+starttls://mail.example.org", {}, False),
        ("pop3s://bob@mail.example.org", {}, True),
    ],
)
def test_a_secret_over_plaintext_to_another_machine_is_a_usage_error(
    place: str, options: dict[str, bool], refused: bool
) -> None:
    if refused:
        with pytest.raises(UsageError):
            pop3.session(place, ALICE, **options)
    else:
        pop3.session(place, ALICE, **options)
