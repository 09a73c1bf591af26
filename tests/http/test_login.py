"""Credentials over HTTP: Basic and Bearer, to whom they were meant for, and one error for a wrong one."""

import pytest

from asyncnet import http
from asyncnet.credentials import Credentials
from asyncnet.errors import AuthenticationError, ProtocolError, UsageError
from tests.http.site import Site
from tests.peers import Script

ALICE = Credentials("alice", "secret")


async def test_a_password_and_a_token_are_let_in(site: Site) -> None:
    async def token() -> str:
        return "good"

    for credentials in (ALICE, Credentials("alice", lambda: "good"), Credentials("alice", token)):
        assert (await http.get(f"{site.url}/private", credentials)).text() == "welcome"
        async with http.session(site.url, credentials) as session:
            assert (await session.get("/private")).text() == "welcome"
            assert (await session.post("/private", body=b"x")).text() == "welcome"


async def test_a_wrong_password_is_one_authentication_error(site: Site) -> None:
    with pytest.raises(AuthenticationError) as caught:
        await http.get(f"{site.url}/private?token=x", Credentials("alice", "hunter2"))
    assert (caught.value.code, caught.value.operation, caught.value.transient) == (401, "GET", False)
    assert "hunter2" not in str(caught.value)
    assert len(site.requests) == 1  # and is shown once
    with pytest.raises(AuthenticationError):
        async with http.stream("GET", f"{site.url}/private", Credentials("alice", "hunter2")):
            pass


@pytest.mark.parametrize(
    ("credentials", "said"),
    [
        (Credentials("alice", "hunter2"), "no hunter2, no YWxpY2U6aHVudGVyMg==, no aHVudGVyMg=="),
        (Credentials("alice", lambda: "tok.en"), "no tok.en"),
    ],
)
async def test_a_server_that_repeats_what_it_was_sent_is_not_quoted(credentials: Credentials, said: str) -> None:
    conversation = f"until \\r\\n\\r\\n\nS: HTTP/1.1 401 {said}\nS: Content-Length: 0\nS:\n"
    with Script(conversation, check=False, repeat=True) as peer:
        with pytest.raises(AuthenticationError) as caught:
            await http.get(f"http://{peer.address}/", credentials)
    assert caught.value.text == ", ".join(["no ***"] * len(said.split(", ")))


async def test_no_cause_of_an_error_bears_the_header_or_the_query() -> None:
    with Script("until \\r\\n\\r\\n\nS: junk\nS:\n", check=False) as peer:
        with pytest.raises(ProtocolError) as caught:
            await http.get(f"http://{peer.address}/?key=hunter2", ALICE)
    below: list[BaseException | None] = [caught.value]
    for error in below:
        if error is not None:
            assert "hunter2" not in str(error)
            assert not hasattr(error, "request_info")
            below += [error.__cause__, error.__context__]
    assert len(below) > 3


async def test_a_401_without_credentials_is_an_answer(site: Site) -> None:
    response = await http.get(f"{site.url}/private")
    assert (response.status, response.headers["WWW-Authenticate"]) == (401, 'Basic realm="x"')


async def test_an_outdated_token_is_asked_for_once_more(site: Site) -> None:
    tokens = iter(["old", "good"])
    response = await http.post(f"{site.url}/private", Credentials("alice", lambda: next(tokens)), body=b"x")
    assert response.text() == "welcome"
    assert [head["Authorization"] for head in site.heads] == ["Bearer old", "Bearer good"]


@pytest.mark.parametrize("tokens", [["bad", "bad"], ["bad", "worse", "good"]])
async def test_a_token_that_stays_wrong_is_an_authentication_error(site: Site, tokens: list[str]) -> None:
    given = iter(tokens)
    with pytest.raises(AuthenticationError):
        await http.get(f"{site.url}/private", Credentials("alice", lambda: next(given)))
    assert len(site.requests) == len(set(tokens[:2]))


async def test_a_callable_that_raises_is_told_apart_from_a_connection_that_breaks(site: Site) -> None:
    def broken() -> str:
        raise OSError

    with pytest.raises(UsageError) as caught:
        await http.get(f"{site.url}/private", Credentials("alice", broken))
    assert isinstance(caught.value.__cause__, OSError)
    assert site.requests == []


async def test_a_session_gives_its_credentials_to_its_base_alone(site: Site) -> None:
    async with Site() as other, http.session(site.url, ALICE) as session:
        assert (await session.get(f"{other.url}/private")).status == 401
        assert "Authorization" not in other.heads[0]
        assert (await session.get(f"{other.url}/private", ALICE)).text() == "welcome"
        bob = Credentials("bob", "secret")
        with pytest.raises(AuthenticationError):
            await session.get("/private", bob)  # a call's own come first


@pytest.mark.parametrize("user", ["alice", "al%69ce"])
async def test_a_user_in_the_url_must_agree(site: Site, user: str) -> None:
    url = site.url.replace("http://", f"http://{user}@") + "/private"
    assert (await http.get(url, ALICE)).text() == "welcome"
    with pytest.raises(UsageError, match="names 'alice'"):
        await http.get(url, Credentials("bob", "secret"))
    with pytest.raises(UsageError, match="no credentials"):
        await http.get(url)
    assert len(site.requests) == 1


async def test_a_secret_does_not_travel_in_plaintext() -> None:
    for call in (
        lambda: http.get("http://example.org/", ALICE),
        lambda: http.session().get("http://example.org/", ALICE),
    ):
        with pytest.raises(UsageError, match="plaintext"):
            await call()
    with pytest.raises(UsageError, match="plaintext"):
        http.session("http://example.org/", ALICE)
    http.session("http://example.org/", ALICE, allow_plaintext_login=True)
    http.session("http://docker/", ALICE, unix_socket="/run/docker.sock")


def test_credentials_of_a_session_want_a_base() -> None:
    with pytest.raises(UsageError, match="base"):
        http.session(None, ALICE)


@pytest.mark.parametrize("credentials", [Credentials("a:b", "x"), Credentials("a", lambda: "x y")])
async def test_what_cannot_be_sent_is_refused_before_a_byte(credentials: Credentials) -> None:
    async with Script() as peer:
        with pytest.raises(UsageError):
            await http.get(f"http://{peer.address}/", credentials)


async def test_credentials_and_a_field_of_ones_own_are_a_contradiction(site: Site) -> None:
    with pytest.raises(UsageError):
        await http.get(f"{site.url}/private", ALICE, headers={"authorization": "Basic x"})
    assert site.requests == []
