"""Each mechanism signs in as its RFC has it; what cannot be is refused before a secret is sent, and once."""

import base64
import hashlib
import hmac
import pickle
import traceback

import pytest

from asyncnet import AuthenticationError, Credentials, DisconnectedError, NetError, ProtocolError, UsageError, smtp
from tests.peers import Script, Talk
from tests.smtp.talks import ALICE, AUTH_ALICE, LEFT, greeted, url


def _b64(text: str | bytes) -> str:
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


OK = "S: 235 2.7.0 welcome\n"
XOAUTH2 = _b64("user=alice\1auth=Bearer token\1\1")


async def _signed_in(talk: str, credentials: Credentials, *offer: str) -> None:
    async with Script(greeted(*offer) + talk + LEFT) as peer, smtp.session(url(peer), credentials):
        pass


async def _refused(talk: str, credentials: Credentials, *offer: str) -> AuthenticationError:
    async with Script(greeted(*offer) + talk) as peer:
        with pytest.raises(AuthenticationError) as caught:
            await smtp.session(url(peer), credentials).open()
    return caught.value


async def test_plain() -> None:
    await _signed_in(f"C: {AUTH_ALICE}\n{OK}", ALICE, "AUTH PLAIN LOGIN CRAM-MD5")


async def test_login() -> None:
    talk = f"C: AUTH LOGIN\nS: 334 {_b64('Username:')}\nC: {_b64('alice')}\nS: 334 {_b64('?')}\n"
    await _signed_in(talk + f"C: {_b64('correct horse')}\n{OK}", ALICE, "AUTH LOGIN CRAM-MD5")


async def test_the_offer_of_old_is_understood() -> None:
    await _signed_in(f"C: {AUTH_ALICE}\n{OK}", ALICE, "AUTH=PLAIN")


async def test_cram_md5_is_used_if_it_is_asked_for() -> None:
    digest = hmac.new(b"correct horse", b"<1@x>", "md5").hexdigest()
    talk = f"C: AUTH CRAM-MD5\nS: 334 {_b64('<1@x>')}\nC: {_b64('alice ' + digest)}\n{OK}"
    await _signed_in(talk, Credentials("alice", "correct horse", mechanism="cram-md5"), "AUTH PLAIN CRAM-MD5")
    error = await _refused("eof", ALICE, "AUTH CRAM-MD5")
    assert "needs SCRAM-SHA-256 or PLAIN or LOGIN" in str(error)


def _scram(talk: Talk, *, knows: bool = True, proves: bool = True) -> None:
    """A server of SCRAM-SHA-256, written after RFC 5802 §3 apart from the code under test."""
    talk.say("220 hi")
    talk.expect("EHLO *")
    talk.say("250-hi")
    talk.say("250 AUTH PLAIN SCRAM-SHA-256")
    talk.expect("AUTH SCRAM-SHA-256 {first}")
    bare = base64.b64decode(talk.names["first"])[3:]
    server = b"r=" + bare.partition(b"r=")[2] + b"abc,s=" + base64.b64encode(b"salt") + b",i=4096"
    talk.say("334 " + _b64(server))
    talk.expect("{final}")
    without, _, proof = base64.b64decode(talk.names["final"]).partition(b",p=")
    salted = hashlib.pbkdf2_hmac("sha256", b"correct horse", b"salt", 4096)
    signed = b",".join([bare, server, without])
    key = hmac.digest(salted, b"Client Key", "sha256")
    signature = hmac.digest(hashlib.sha256(key).digest(), signed, "sha256")
    assert base64.b64decode(proof) == bytes(a ^ b for a, b in zip(key, signature, strict=True))
    if proves:
        verifier = hmac.digest(hmac.digest(salted if knows else b"?", b"Server Key", "sha256"), signed, "sha256")
        talk.say("334 " + _b64(b"v=" + base64.b64encode(verifier)))
        talk.expect("")
    talk.say("235 ok")
    talk.expect("QUIT")
    talk.say("221 bye")


async def test_scram_sha_256_is_preferred_and_both_sides_prove_themselves() -> None:
    async with Script(_scram) as peer, smtp.session(url(peer), ALICE):
        pass


@pytest.mark.parametrize("fault", [{"knows": False}, {"proves": False}])
async def test_a_server_that_does_not_know_the_password_is_no_server_of_ours(fault: dict[str, bool]) -> None:
    async with Script(lambda talk: _scram(talk, **fault), check=False) as peer:
        with pytest.raises(ProtocolError, match="SCRAM: the server"):
            await smtp.session(url(peer), ALICE).open()


@pytest.mark.parametrize(
    ("mechanism", "initial"),
    [("XOAUTH2", "user=alice\1auth=Bearer token\1\1"), ("OAUTHBEARER", "n,a=alice,\1auth=Bearer token\1\1")],
)
async def test_a_token_signs_in(mechanism: str, initial: str) -> None:
    offer = f"AUTH PLAIN {mechanism}"
    await _signed_in(f"C: AUTH {mechanism} {_b64(initial)}\n{OK}", Credentials("alice", lambda: "token"), offer)


async def test_a_long_token_waits_for_the_challenge() -> None:
    token = "t" * 3000
    initial = _b64(f"user=alice\1auth=Bearer {token}\1\1")
    talk = f"C: AUTH XOAUTH2\nS: 334 \nC: {initial}\n{OK}"
    await _signed_in(talk, Credentials("alice", lambda: token), "AUTH XOAUTH2")


async def test_a_token_is_asked_for_once_more_after_a_refusal() -> None:
    tokens = iter(["stale", "token"])
    refusal = _b64('{"status":"401"}')
    talk = f"C: AUTH XOAUTH2 *\nS: 334 {refusal}\nC: \nS: 535 5.7.8 no\nC: AUTH XOAUTH2 {XOAUTH2}\n{OK}"
    await _signed_in(talk, Credentials("alice", lambda: next(tokens)), "AUTH XOAUTH2")


async def test_a_second_refusal_is_final_and_says_what_the_server_said() -> None:
    tokens = iter(["stale", "token", "never"])
    reason = _b64('{"status":"401"}')
    once = f"C: AUTH XOAUTH2 *\nS: 334 {reason}\nC: \nS: 535 5.7.8 no\n"
    error = await _refused(once * 2 + "eof", Credentials("alice", lambda: next(tokens)), "AUTH XOAUTH2")
    assert (error.code, error.text, error.transient) == (535, "5.7.8 no (401)", False)
    assert next(tokens) == "never"


async def test_the_same_token_again_is_not_tried_again() -> None:
    await _refused("C: AUTH XOAUTH2 *\nS: 535 no\neof", Credentials("alice", lambda: "token"), "AUTH XOAUTH2")


async def test_a_server_that_leaves_after_its_no_is_remembered_for_its_no() -> None:
    tokens = iter(["stale", "token"])
    talk = "C: AUTH XOAUTH2 *\nS: 535 5.7.8 no\nC: AUTH XOAUTH2 *\ncut"
    error = await _refused(talk, Credentials("alice", lambda: next(tokens)), "AUTH XOAUTH2")
    assert error.code == 535


async def test_a_wrong_password_is_one_refusal() -> None:
    error = await _refused(f"C: {AUTH_ALICE}\nS: 535 5.7.8 wrong\neof", ALICE, "AUTH PLAIN LOGIN")
    assert (error.code, error.text, error.transient) == (535, "5.7.8 wrong", False)
    assert error.operation == "AUTH"


async def test_a_trouble_of_the_server_is_transient_and_asks_for_no_other_token() -> None:
    asked = []
    credentials = Credentials("alice", lambda: asked.append(1) or "token")  # type: ignore[func-returns-value]
    error = await _refused("C: AUTH XOAUTH2 *\nS: 454 4.7.0 not now\neof", credentials, "AUTH XOAUTH2")
    assert (error.code, error.transient, asked) == (454, True, [1])


@pytest.mark.parametrize("offer", [[], ["AUTH"], ["AUTH GSSAPI NTLM"], ["SIZE 1"]])
async def test_without_a_usable_mechanism_not_even_the_callable_is_asked(offer: list[str]) -> None:
    def never() -> str:
        raise AssertionError("asked for a token")

    for credentials in (ALICE, Credentials("alice", never), Credentials("alice", "x", mechanism="LOGIN")):
        error = await _refused("eof", credentials, *offer)
        assert "the server offers" in str(error)


async def test_an_unknown_mechanism_is_a_fault_of_the_call() -> None:
    async with Script(greeted("AUTH PLAIN X-MAGIC") + "eof") as peer:
        with pytest.raises(UsageError, match="unknown mechanism X-MAGIC"):
            await smtp.session(url(peer), Credentials("alice", "x", mechanism="X-MAGIC")).open()


@pytest.mark.parametrize(
    "answer",
    ["S: 334 not base64!", "S: 334-a\nS: 334 b", f"S: 334 {_b64('one too many')}", "S: 250 ok", "S: 354 go on"],
)
async def test_a_challenge_that_is_none_breaks_the_protocol(answer: str) -> None:
    async with Script(greeted("AUTH PLAIN") + f"C: {AUTH_ALICE}\n{answer}\n") as peer:
        with pytest.raises(ProtocolError):
            await smtp.session(url(peer), ALICE).open()


async def test_challenges_without_end_break_the_protocol(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asyncnet.sasl._Login.respond", lambda self, challenge: b"again")
    talk = greeted("AUTH LOGIN") + "C: AUTH LOGIN\n" + f"S: 334 \nC: {_b64('again')}\n" * 8 + "S: 334 \n"
    async with Script(talk) as peer:
        with pytest.raises(ProtocolError, match="more than 8 challenges"):
            await smtp.session(url(peer), ALICE).open()


async def test_a_goodbye_in_mid_login_is_a_goodbye() -> None:
    async with Script(greeted("AUTH PLAIN") + f"C: {AUTH_ALICE}\nS: 421 4.7.0 too many errors\n") as peer:
        with pytest.raises(DisconnectedError, match="too many errors"):
            await smtp.session(url(peer), ALICE).open()


async def test_a_link_lost_in_mid_login_names_no_line_of_it() -> None:
    talk = (
        greeted("AUTH LOGIN") + f"C: AUTH LOGIN\nS: 334 \nC: {_b64('alice')}\nS: 334 \nC: {_b64('secretsecret')}\ncut"
    )
    async with Script(talk) as peer:
        with pytest.raises(DisconnectedError) as caught:
            await smtp.session(url(peer), Credentials("alice", "secretsecret")).open()
    assert caught.value.operation == "AUTH"
    assert _b64("secretsecret") not in repr(vars(caught.value)) + str(caught.value)


@pytest.mark.parametrize("code", [535, 454, 421, 250])
@pytest.mark.parametrize("form", ["correct horse", AUTH_ALICE.split()[-1], _b64("correct horse")])
async def test_no_error_shows_the_secret_even_if_the_server_does(code: int, form: str) -> None:
    async with Script(greeted("AUTH PLAIN") + f"C: {AUTH_ALICE}\nS: {code}-no,\nS: {code} not {form}!\n") as peer:
        with pytest.raises(NetError) as caught:
            await smtp.session(url(peer), ALICE).open()
    assert form not in "".join(traceback.format_exception(caught.value)) + repr(pickle.dumps(caught.value))
    assert "not ***!" in str(caught.value)
    assert caught.value.__context__ is None  # some picklers take it along


@pytest.mark.parametrize("secret", ["x", "t0ken" * 70])
async def test_a_secret_is_hidden_however_short_or_long_it_is(secret: str) -> None:
    talk = f"C: AUTH PLAIN *\nS: 535 AUTH PLAIN {_b64(f'{chr(0)}alice{chr(0)}{secret}')}\n"
    assert (await _refused(talk, Credentials("alice", secret), "AUTH PLAIN")).text == "AUTH PLAIN ***"
