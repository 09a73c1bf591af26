"""Digest (RFC 7616): the RFC's own examples, challenges as servers write them, and logins over the wire."""

import asyncio
import hashlib
import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncnet import http
from asyncnet.credentials import Credentials
from asyncnet.errors import AuthenticationError, UsageError
from asyncnet.http.digest import Challenge, Digest, challenges, chosen, next_nonce
from tests.http.files import Asked, FileServer, Reply

ALICE = Credentials("alice", "secret")
PROVING = Credentials("alice", "secret", mechanism="DIGEST")
NONCE = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"
OPAQUE = "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"
CNONCE = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_the_examples_of_the_rfc(algorithm: str, response: str) -> None:
    field = (
        f'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm={algorithm}, '
        f'nonce="{NONCE}", opaque="{OPAQUE}"'
    )
    challenge = chosen([field])
    assert challenge is not None
    value = Digest(challenge, lambda: CNONCE).authorization("Mufasa", "Circle of Life", "GET", "/dir/index.html")
    assert value == (
        f'Digest username="Mufasa", realm="http-auth@example.org", nonce="{NONCE}", uri="/dir/index.html", '
        f'response="{response}", algorithm={algorithm}, qop=auth, nc=00000001, cnonce="{CNONCE}", opaque="{OPAQUE}"'
    )


def test_a_name_is_hidden_where_the_server_wants_it_so() -> None:
    if "sha512_256" not in hashlib.algorithms_available:
        pytest.skip("this OpenSSL has no SHA-512/256")

    def hashed(text: str) -> str:
        return hashlib.new("sha512_256", text.encode()).hexdigest()

    challenge = chosen(['Digest realm="r", qop="auth", algorithm=SHA-512-256, nonce="n", charset=UTF-8, userhash=true'])
    assert challenge is not None
    value = Digest(challenge, lambda: "c").authorization("Jäsøn Doe", "Secret, or not?", "GET", "/doe.json")
    secret = hashed("Jäsøn Doe:r:Secret, or not?")
    assert hashed("Jäsøn Doe:r") in value
    assert hashed(f"{secret}:n:00000001:c:auth:{hashed('GET:/doe.json')}") in value
    assert value.endswith("userhash=true")
    assert "Jäsøn" not in value


def test_the_strongest_that_is_known_is_taken() -> None:
    md5, sha = 'Digest realm="r", nonce="a"', 'Digest realm="r", nonce="b", algorithm=SHA-256'
    odd = 'Digest realm="r", nonce="c", algorithm=SHA3-512'
    for fields in ([md5, sha], [sha, md5], [f"{md5}, {sha}"], [f'Basic realm="x", {odd}, {md5}', sha]):
        challenge = chosen(fields)
        assert challenge is not None
        assert (challenge.algorithm, challenge.nonce) == ("SHA-256", "b")
    assert chosen([odd]) is None
    assert chosen(["Basic realm=x", "Negotiate", "Bearer abc=="]) is None
    assert chosen(['Digest realm="r"']) is None
    assert chosen(['Digest realm="r", nonce="a", qop="auth-int"']) is None
    assert chosen(['Digest realm="r", nonce="a\\\x07"']) is None


def test_challenges_are_read_as_servers_write_them() -> None:
    fields = [
        'Newauth realm="a, \\"b\\"=c", type=1, title = "x" ,,Basic realm="simple"',
        "Negotiate YII=, Digest nonce=n",
    ]
    assert challenges(fields) == [
        ("newauth", {"realm": 'a, "b"=c', "type": "1", "title": "x"}),
        ("basic", {"realm": "simple"}),
        ("negotiate", {}),
        ("digest", {"nonce": "n"}),
    ]


@given(st.text(max_size=200))
def test_nonsense_is_never_an_error(text: str) -> None:
    chosen([text, f"Digest {text}", f'Digest nonce="{text}'])
    next_nonce([text])


def test_a_field_that_leads_nowhere_takes_no_time() -> None:
    for bad in ('Digest nonce="' + '\\"' * 50_000, "a=" * 50_000, "Digest " + " " * 100_000 + "x", "," * 100_000):
        chosen([bad])


def test_a_session_algorithm_hashes_the_first_number_in_and_counts() -> None:
    challenge = Challenge("MD5-SESS", "r", "n", None, True, False, False, False)
    numbers = iter(["one", "two"])
    digest = Digest(challenge, lambda: next(numbers))

    def md5(text: str) -> str:
        return hashlib.md5(text.encode()).hexdigest()

    secret = md5(f"{md5('u:r:p')}:n:one")
    for count in ("00000001", "00000002"):
        value = digest.authorization("u", "p", "GET", "/")
        assert md5(f"{secret}:n:{count}:one:auth:{md5('GET:/')}") in value
        assert f'nc={count}, cnonce="one"' in value
        assert "algorithm=MD5-sess" in value


def test_a_server_of_rfc_2069_is_answered_without_qop() -> None:
    challenge = chosen(['Digest realm="r", nonce="n"'])
    assert challenge is not None
    value = Digest(challenge).authorization('a"b\\', "p", "GET", "/")
    assert "qop" not in value
    assert "cnonce" not in value
    assert 'username="a\\"b\\\\"' in value


def test_a_name_beyond_ascii_is_written_as_rfc_8187_has_it() -> None:
    challenge = chosen(['Digest realm="r", nonce="n", charset=utf-8'])
    assert challenge is not None
    assert "username*=UTF-8''J%C3%BCrgen" in Digest(challenge).authorization("Jürgen", "p", "GET", "/")


def guarded(
    algorithm: str = "SHA-256", *, nonce: Callable[[int], str] = lambda number: "n1", extra: str = "", info: str = ""
) -> Callable[[Asked], Reply]:
    """A place that alice may enter who proves her password for the nonce of the moment."""
    hashing = {"SHA-256": hashlib.sha256, "MD5": hashlib.md5}[algorithm]
    seen: set[tuple[str, str]] = set()

    def hashed(text: str) -> str:
        return hashing(text.encode()).hexdigest()

    def answering(asked: Asked) -> Reply:
        given = dict(re.findall(r'(\w+)="?([^",]*)"?', asked.fields.get("authorization", "")))
        now = nonce(asked.number)
        secret, wanted = hashed("alice:here:secret"), hashed(f"GET:{given.get('uri')}")
        middle = f"{given.get('nonce')}:{given.get('nc')}:{given.get('cnonce')}:auth"
        is_right = given.get("response") == hashed(f"{secret}:{middle}:{wanted}") and given.get("uri") == "/file?a=%20b"
        is_stale = is_right and (given["nonce"] != now or (given["nonce"], given["nc"]) in seen)
        if is_right and not is_stale:
            seen.add((given["nonce"], given["nc"]))
            fields = {"Authentication-Info": info} if info else {}
            return Reply("200 OK", {"Content-Length": "2", **fields}, b"in")
        field = f'Digest realm="here", nonce="{now}", qop="auth", algorithm={algorithm}{extra}'
        field += ", stale=true" if is_stale else ""
        return Reply("401 Unauthorized", {"Content-Length": "2", "WWW-Authenticate": field}, b"no")

    return answering


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
async def test_a_password_is_proved_once_the_server_asks(algorithm: str) -> None:
    async with FileServer(answering=guarded(algorithm)) as server, http.session(server.url, PROVING) as session:
        for _ in range(3):
            assert (await session.get("file?a=%20b")).text() == "in"
        assert len(server.asked) == 4  # the second and third are signed at once
        assert "authorization" not in server.asked[0].fields
        counts = [re.findall("nc=(\\d+)", asked.fields["authorization"]) for asked in server.asked[1:]]
        assert counts == [["00000001"], ["00000002"], ["00000003"]]
        assert not any("secret" in str(asked.fields) for asked in server.asked)


async def test_a_password_that_was_sent_as_basic_is_proved_where_digest_is_asked_for() -> None:
    async with FileServer(answering=guarded()) as server:
        assert (await http.get(f"{server.url}?a=%20b", ALICE)).text() == "in"
        kinds = [asked.fields["authorization"].split()[0] for asked in server.asked]
        assert kinds == ["Basic", "Digest"]


async def test_a_wrong_password_is_proved_once() -> None:
    async with FileServer(answering=guarded()) as server:
        with pytest.raises(AuthenticationError) as caught:
            await http.get(f"{server.url}?a=%20b", Credentials("alice", "hunter2", mechanism="DIGEST"))
        assert (caught.value.code, len(server.asked)) == (401, 2)


async def test_a_nonce_that_is_too_old_is_taken_anew() -> None:
    async with FileServer(answering=guarded(nonce=lambda number: f"n{number // 3}")) as server:
        async with http.session(server.url, PROVING) as session:
            for _ in range(4):
                assert (await session.get("file?a=%20b")).text() == "in"


async def test_a_server_that_calls_each_nonce_old_is_given_up() -> None:
    async with FileServer(answering=guarded(nonce=lambda number: f"n{number}")) as server:
        with pytest.raises(AuthenticationError):
            await http.get(f"{server.url}?a=%20b", PROVING)
        assert len(server.asked) == 4


async def test_the_next_nonce_is_used() -> None:
    nonces = ["n1", "n1", "n2"]
    answering = guarded(nonce=lambda number: nonces[number], info='nextnonce="n2", qop=auth')
    async with FileServer(answering=answering) as server, http.session(server.url, PROVING) as session:
        for _ in range(2):
            assert (await session.get("file?a=%20b")).text() == "in"
        assert "nc=00000001" in server.asked[2].fields["authorization"]


async def test_calls_at_once_count_apart() -> None:
    async with FileServer(answering=guarded()) as server, http.session(server.url, PROVING) as session:
        await session.get("file?a=%20b")
        answers = await asyncio.gather(*(session.get("file?a=%20b") for _ in range(20)))
        assert {answer.text() for answer in answers} == {"in"}
        assert len(server.asked) == 22


async def test_a_mechanism_that_means_nothing_here_is_refused() -> None:
    for credentials in (
        Credentials("alice", "secret", mechanism="CRAM-MD5"),
        Credentials("alice", "secret", mechanism="BEARER"),
        Credentials("alice", lambda: "token", mechanism="DIGEST"),
    ):
        with pytest.raises(UsageError, match="has no meaning here"):
            await http.get("http://127.0.0.1:9/", credentials)


async def test_basic_alone_is_not_turned_into_digest() -> None:
    async with FileServer(answering=guarded()) as server:
        with pytest.raises(AuthenticationError):
            await http.get(f"{server.url}?a=%20b", Credentials("alice", "secret", mechanism="BASIC"))
        assert len(server.asked) == 1
