"""Signing in: by what the server offers, once, and without a trace of the secret."""

import base64
import hashlib
import hmac
import logging
import pickle
import traceback

import pytest

from asyncnet import AuthenticationError, Credentials, NetError, ProtocolError, RefusedError, imap
from tests.imap.talks import ALICE, LEFT, PLAIN, url
from tests.peers import Script, Talk

OFFER = "S: * OK [CAPABILITY IMAP4rev1 {offer}] ready\n"
IN = "S: {tag} OK [CAPABILITY IMAP4rev1] in\n"


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def offering(*names: str) -> str:
    return OFFER.replace("{offer}", " ".join(names))


async def signed_in(talk: str, credentials: Credentials = ALICE) -> None:
    async with Script(talk + LEFT) as peer, imap.session(url(peer), credentials):
        pass


async def refused(talk: str, credentials: Credentials = ALICE) -> NetError:
    async with Script(talk) as peer:
        with pytest.raises(NetError) as raised:
            await imap.session(url(peer), credentials).open()
    return raised.value


async def test_plain_goes_with_the_command_where_the_server_takes_it() -> None:
    await signed_in(offering("SASL-IR", "AUTH=PLAIN") + f"C: {{tag}} AUTHENTICATE PLAIN {PLAIN}\n" + IN)


async def test_plain_waits_for_the_server_where_it_does_not() -> None:
    await signed_in(offering("AUTH=PLAIN") + f"C: {{tag}} AUTHENTICATE PLAIN\nS: +\nC: {PLAIN}\n" + IN)


async def test_login_is_a_command_where_no_mechanism_is_offered() -> None:
    odd = Credentials('a "b" \\c', 'p"w\\d {3}')
    await signed_in(offering() + r'C: {tag} LOGIN "a \\"b\\" \\\\c" "p\\"w\\\\d \{3}"' + "\n" + IN, odd)


async def test_a_login_beyond_ascii_goes_as_literals() -> None:
    talk = r"""
        C: {tag} LOGIN \{5}
        S: + more
        expect j\xc3\xbcrg \{9}\r\n
        S: +
        expect gr\xc3\xbcn\x20caf\xc3\xa9\r\n
    """
    talk = talk.replace("{9}", "{11}").replace("\\x20caf", " caf")
    await signed_in(offering() + talk + IN, Credentials("jürg", "grün café"))


async def test_login_disabled_is_obeyed_although_nothing_else_is_offered() -> None:
    async with Script(offering("LOGINDISABLED")) as peer:
        with pytest.raises(AuthenticationError, match="no mechanism"):
            await imap.session(url(peer), ALICE).open()
    assert peer.received == b""


async def test_login_disabled_leaves_the_mechanisms_that_are_offered() -> None:
    answers = f"S: + {b64('User Name')}\nC: {b64('alice')}\nS: + {b64('x')}\nC: {b64('correct horse')}\n"
    await signed_in(offering("LOGINDISABLED", "AUTH=LOGIN") + "C: {tag} AUTHENTICATE LOGIN\n" + answers + IN)


async def test_cram_md5_is_used_only_if_it_is_asked_for() -> None:
    async with Script(offering("LOGINDISABLED", "AUTH=CRAM-MD5")) as peer:
        with pytest.raises(AuthenticationError):
            await imap.session(url(peer), ALICE).open()
    digest = hmac.new(b"correct horse", b"<1@x>", "md5").hexdigest()
    talk = f"C: {{tag}} AUTHENTICATE CRAM-MD5\nS: + {b64('<1@x>')}\nC: {b64(f'alice {digest}')}\n"
    await signed_in(offering("AUTH=CRAM-MD5") + talk + IN, Credentials("alice", "correct horse", mechanism="cram-md5"))


def scram(password: bytes = b"correct horse", *, prove: bool = True, early: bool = False) -> "object":
    """A server that knows SCRAM-SHA-256, written from RFC 5802; without `prove` it does not know the password."""

    def talk(it: Talk) -> None:
        it.say("* OK [CAPABILITY IMAP4rev1 AUTH=SCRAM-SHA-256 AUTH=PLAIN] ready")
        it.expect("{tag} AUTHENTICATE SCRAM-SHA-256")
        if early:
            it.say("{tag} OK why not")
            return
        it.say("+ ")
        it.expect("{first}")
        bare = base64.b64decode(it.names["first"])[3:]
        nonce = bare.split(b"r=")[1] + b"server"
        salted = hashlib.pbkdf2_hmac("sha256", password, b"salt", 4096)
        challenge = b"r=" + nonce + b",s=" + base64.b64encode(b"salt") + b",i=4096"
        it.say("+ " + base64.b64encode(challenge).decode())
        it.expect("{final}")
        without = base64.b64decode(it.names["final"]).rsplit(b",p=", 1)[0]
        signed = b",".join([bare, challenge, without])
        key = hmac.digest(salted, b"Server Key", "sha256")
        signature = hmac.digest(key, signed, "sha256") if prove else b"x" * 32
        it.say("+ " + base64.b64encode(b"v=" + base64.b64encode(signature)).decode())
        if prove:
            it.expect("")
            it.say("{tag} OK [CAPABILITY IMAP4rev1] in")
            it.expect("{tag} LOGOUT")
            it.say("* BYE")
            it.say("{tag} OK")

    return talk


async def test_scram_is_preferred_and_proves_both_sides() -> None:
    async with Script(scram()) as peer, imap.session(url(peer), ALICE):  # type: ignore[arg-type]
        pass
    assert b"correct horse" not in peer.received


@pytest.mark.parametrize("how", [{"prove": False}, {"early": True}])
async def test_a_server_that_does_not_prove_itself_is_not_believed(how: dict[str, bool]) -> None:
    async with Script(scram(**how)) as peer:  # type: ignore[arg-type]
        with pytest.raises(ProtocolError):
            await imap.session(url(peer), ALICE).open()


@pytest.mark.parametrize("command", [f"AUTHENTICATE PLAIN {PLAIN}", 'LOGIN "alice" "correct horse"'])
async def test_a_wrong_password_is_one_authentication_error(command: str) -> None:
    offer = offering("SASL-IR", "AUTH=PLAIN") if "PLAIN" in command else offering()
    error = await refused(offer + f"C: {{tag}} {command}\nS: {{tag}} NO [AUTHENTICATIONFAILED] no \\x07 such user")
    assert isinstance(error, AuthenticationError)
    assert (error.code, error.text, error.transient) == ("NO", "[AUTHENTICATIONFAILED] no \\x07 such user", False)
    assert error.operation == "login"
    assert error.endpoint
    assert "correct horse" not in repr(vars(error))


async def test_a_server_that_cannot_tell_now_is_no_wrong_password() -> None:
    error = await refused(
        offering("SASL-IR", "AUTH=PLAIN")
        + f"C: {{tag}} AUTHENTICATE PLAIN {PLAIN}\nS: {{tag}} NO [UNAVAILABLE] database is down"
    )
    assert type(error) is RefusedError
    assert error.transient


@pytest.mark.parametrize(
    "talk",
    [
        "C: {tag} AUTHENTICATE PLAIN\nS: {tag} OK why not",
        "C: {tag} AUTHENTICATE PLAIN\nS: + !!!\nS: + more",
        f"C: {{tag}} AUTHENTICATE PLAIN\nS: +\nC: {PLAIN}\nS: + bm8=",
        f"C: {{tag}} AUTHENTICATE PLAIN\nS: +\nC: {PLAIN}\nS: +\nS: {{tag}} OK both at once",
        "C: {tag} AUTHENTICATE PLAIN\nS: +\nS: {tag} NO both at once",
        "C: {tag} AUTHENTICATE PLAIN\nS: A1 OK for another",
    ],
)
async def test_an_exchange_that_goes_astray_is_a_protocol_error(talk: str) -> None:
    async with Script(offering("AUTH=PLAIN") + talk + "\nsilence", check=False) as peer:
        with pytest.raises(ProtocolError):
            await imap.session(url(peer), ALICE).open()


# Tokens


class Tokens:
    def __init__(self, *tokens: str) -> None:
        self.given: list[str] = []
        self._left = list(tokens)

    async def __call__(self) -> str:
        self.given.append(self._left.pop(0))
        return self.given[-1]


def xoauth2(token: str) -> str:
    return b64(f"user=alice\1auth=Bearer {token}\1\1")


EXPIRED = '{"status":"401"}'
INVALID = '{"status":"invalid_token"}'
REFUSED_TOKEN = (
    f"C: {{tag}} AUTHENTICATE XOAUTH2 {xoauth2('old')}\n"
    f"S: + {b64(EXPIRED)}\nC: \nS: {{tag}} NO [AUTHENTICATIONFAILED] expired\n"
)


async def test_a_token_that_is_refused_is_asked_for_once_more() -> None:
    tokens = Tokens("old", "new")
    again = f"C: {{tag}} AUTHENTICATE XOAUTH2 {xoauth2('new')}\n"
    await signed_in(offering("SASL-IR", "AUTH=XOAUTH2") + REFUSED_TOKEN + again + IN, Credentials("alice", tokens))
    assert tokens.given == ["old", "new"]


async def test_a_token_that_is_refused_twice_is_one_error() -> None:
    tokens = Tokens("old", "old", "never asked for")
    error = await refused(
        offering("SASL-IR", "AUTH=XOAUTH2") + REFUSED_TOKEN + REFUSED_TOKEN, Credentials("alice", tokens)
    )
    assert isinstance(error, AuthenticationError)
    assert "401" in str(error)
    assert len(tokens.given) == 2


async def test_a_server_that_leaves_after_a_refusal_has_refused() -> None:
    talk = offering("SASL-IR", "AUTH=XOAUTH2") + REFUSED_TOKEN + "S: * BYE too many failures\nclose"
    async with Script(talk, check=False) as peer:
        with pytest.raises(AuthenticationError):
            await imap.session(url(peer), Credentials("alice", Tokens("old", "new"))).open()


async def test_oauthbearer_is_preferred_and_its_refusal_is_answered() -> None:
    token = b64("n,a=alice,\1auth=Bearer t0ken\1\1")
    talk = (
        f"C: {{tag}} AUTHENTICATE OAUTHBEARER\nS: +\nC: {token}\nS: + {b64(INVALID)}\n"
        f"C: {b64(chr(1))}\nS: {{tag}} NO no\n"
    )
    error = await refused(
        offering("AUTH=XOAUTH2", "AUTH=OAUTHBEARER") + talk + talk, Credentials("alice", lambda: "t0ken")
    )
    assert isinstance(error, AuthenticationError)
    assert "invalid_token" in error.text


async def test_a_token_is_not_sent_as_a_password() -> None:
    error = await refused(offering("AUTH=PLAIN"), Credentials("alice", lambda: "t"))
    assert isinstance(error, AuthenticationError)


# Traces


@pytest.mark.parametrize(
    "talk",
    [
        offering("SASL-IR", "AUTH=PLAIN") + "C: {tag} AUTHENTICATE PLAIN *\n" + IN,
        offering("AUTH=PLAIN") + "C: {tag} AUTHENTICATE PLAIN\nS: +\nC: *\n" + IN,
        offering() + "C: {tag} LOGIN *\n" + IN,
    ],
)
async def test_no_log_holds_the_secret(talk: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with Script(talk + LEFT) as peer, imap.session(url(peer), Credentials("alice", 'se"cret\\x')) as session:
        assert "cret" not in repr(session)
    assert b"alice" in peer.received or b"AUTHENTICATE" in peer.received
    logged = "\n".join(record.getMessage() for record in caplog.records)
    assert "LOGOUT" in logged  # aioimaplib does write down what it sends
    for trace in ('se"cret', r"se\"cret", r"se\\\"cret", b64('\0alice\0se"cret\\x')):
        assert trace not in logged


REPEATED = {
    "in words": (offering(), "C: {tag} LOGIN *", "NO not >>!"),
    "the command": (offering(), "C: {tag} LOGIN *", 'BAD LOGIN "alice" "correct \\\\"horse"'),
    "in a code": (offering(), "C: {tag} LOGIN *", "NO [X >>] no"),
    "for a moment": (offering(), "C: {tag} LOGIN *", "NO [UNAVAILABLE] not >>!"),
    "the response": (offering("SASL-IR", "AUTH=PLAIN"), "C: {tag} AUTHENTICATE PLAIN *", "BAD PLAIN <PLAIN>"),
    "an answer": (
        offering("LOGINDISABLED", "AUTH=LOGIN"),
        "C: {tag} AUTHENTICATE LOGIN\nS: +\nC: *\nS: +\nC: *",
        "NO <SECRET>",
    ),
}


@pytest.mark.parametrize(("greeting", "asked", "answer"), REPEATED.values(), ids=REPEATED)
async def test_no_error_shows_the_secret_even_if_the_server_does(greeting: str, asked: str, answer: str) -> None:
    secret = 'correct "horse'
    forms = {">>": secret, "<PLAIN>": b64(f"\0alice\0{secret}"), "<SECRET>": b64(secret)}
    for name, form in forms.items():
        answer = answer.replace(name, form)
    error = await refused(f"{greeting}{asked}\nS: {{tag}} {answer}\n", Credentials("alice", secret))
    shown = "".join(traceback.format_exception(error)) + repr(pickle.dumps(error))
    assert not [form for form in (*forms.values(), r"correct \"horse") if form in shown]
    assert "***" in str(error)
    assert isinstance(error, AuthenticationError) is not error.transient
    assert error.__context__ is None  # some picklers take it along
