"""Proxies that the environment names, with their exceptions and their passwords; and credentials from netrc."""

from pathlib import Path

import pytest

from asyncnet import http
from asyncnet.credentials import Credentials
from asyncnet.endpoint import Endpoint
from asyncnet.errors import InvalidEndpoint, UsageError
from asyncnet.http.environment import environment_proxy
from asyncnet.netrc import netrc_credentials
from asyncnet.proxy import Proxy
from tests.http.site import Site
from tests.peers import ConnectProxy

PLAIN, SECURE = Endpoint.parse("http://example.org/"), Endpoint.parse("https://example.org/")


def url(endpoint: Endpoint, **environ: str) -> str | None:
    found = environment_proxy(endpoint, environ)
    return None if found is None else str(found)


def test_each_scheme_has_its_variable_and_all_proxy_is_for_the_rest() -> None:
    environ = {"http_proxy": "http://a:1", "https_proxy": "http://b:2", "all_proxy": "http://c:3"}
    assert (url(PLAIN, **environ), url(SECURE, **environ)) == ("http://a:1", "http://b:2")
    assert url(SECURE, HTTP_PROXY="http://a:1") is None
    assert url(PLAIN, HTTP_PROXY="http://a:1", http_proxy="http://b:2") == "http://b:2"
    assert url(SECURE, HTTPS_PROXY="a", ALL_PROXY="b:1") == "http://a:3128"
    assert url(SECURE, ALL_PROXY="b:1") == "http://b:1"
    assert url(SECURE, ALL_PROXY="", all_proxy="  ") is None
    assert url(PLAIN) is None
    assert url(PLAIN, http_proxy="socks5://[::1]:9/") == "socks5://[::1]:9"


def test_a_cgi_program_does_not_take_its_proxy_from_a_request() -> None:
    assert url(PLAIN, HTTP_PROXY="http://evil:1", REQUEST_METHOD="GET") is None
    assert url(PLAIN, http_proxy="http://good:1", REQUEST_METHOD="GET") == "http://good:1"


@pytest.mark.parametrize(
    ("no_proxy", "host", "is_direct"),
    [
        ("*", "example.org", True),
        ("example.org", "example.org", True),
        ("EXAMPLE.org", "example.org", True),
        (".example.org", "example.org", True),
        ("example.org", "www.example.org", True),
        ("*.example.org", "www.example.org", True),
        ("example.org", "notexample.org", False),
        ("ample.org", "example.org", False),
        ("example.org.", "example.org", True),
        ("example.org:80", "example.org", True),
        ("example.org:81", "example.org", False),
        ("a, b,example.org  c", "example.org", True),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.0.0.0/8", "2001:db8::1", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3", "10.1.2.30", False),
        ("2001:db8::/32", "2001:db8::5", True),
        ("[2001:db8::5]", "2001:db8::5", True),
        ("2001:db8:0::5", "2001:db8::5", True),
        (",,", "example.org", False),
        (".", "example.org", False),
    ],
)
def test_no_proxy_excepts(no_proxy: str, host: str, is_direct: bool) -> None:
    endpoint = Endpoint("http", host, 80)
    for name in ("no_proxy", "NO_PROXY"):
        assert (url(endpoint, ALL_PROXY="p:1", **{name: no_proxy}) is None) is is_direct


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.9.1", "::1"])
def test_this_machine_is_reached_directly(host: str) -> None:
    assert url(Endpoint("http", host, 80), ALL_PROXY="p:1") is None


def test_a_password_in_the_variable_is_taken_and_never_shown() -> None:
    proxy = environment_proxy(SECURE, {"https_proxy": "http://al%40ice:s%3Acret@proxy.example.org:8080"})
    assert proxy is not None
    assert proxy.credentials == Credentials("al@ice", "s:cret")
    assert "cret" not in f"{proxy} {proxy!r}"
    for wrong in (
        "ftp://alice:hunter2@x:1",
        "http://alice:hunter2@:x",
        "http://a:hunter2@x:99999",
        "a:hunter2@",
        "alice:hunter2",
        "http://hunter2 horse",
        "\x00",
    ):
        with pytest.raises(UsageError, match="the variable https_proxy holds no proxy") as caught:
            environment_proxy(SECURE, {"https_proxy": wrong})
        assert "hunter2" not in repr(caught.value)
        assert caught.value.__context__ is None  # which travels in some pickles


async def test_the_environment_is_read_unless_told_not_to(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    # A name that only the proxy knows, so that whoever goes directly gets nowhere.
    async with ConnectProxy() as proxy:
        monkeypatch.setenv("http_proxy", f"http://{proxy.address}")
        assert (await http.get("http://no-such-name.invalid/")).status == 502
        assert proxy.requests == [("no-such-name.invalid", 80)]
        with pytest.raises(Exception, match="no address"):
            await http.get("http://no-such-name.invalid/", proxy_from_environment=False)
        assert (await http.get(f"{site.url}/hello")).status == 200


def test_netrc_gives_the_credentials_of_a_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "netrc"
    path.write_text("machine example.org login alice password secret\nmachine bare.example.org login bob\n")
    assert netrc_credentials("https://example.org/", path) == Credentials("alice", "secret")
    assert netrc_credentials("imaps://alice@example.org", path) == Credentials("alice", "secret")
    assert netrc_credentials("https://bob@example.org/", path) is None
    assert netrc_credentials("https://other.example.org/", path) is None
    assert netrc_credentials("https://bare.example.org/", path) is None
    path.write_text("default login carol password p\n")
    monkeypatch.setenv("NETRC", str(path))
    assert netrc_credentials("https://example.org/") == Credentials("carol", "p")
    monkeypatch.setenv("NETRC", str(tmp_path / "absent"))
    assert netrc_credentials("https://example.org/") is None


def test_a_netrc_that_cannot_be_read_is_an_error_without_its_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "netrc"
    path.write_text("machine example.org login alice password secret hunter2\n")
    with pytest.raises(UsageError, match="netrc") as caught:
        netrc_credentials("https://example.org/", path)
    assert "hunter2" not in repr(caught.value) + repr(caught.value.__cause__) + str(caught.value.__suppress_context__)
    path.write_bytes(b"machine \xff\xfe")
    with pytest.raises(UsageError):
        netrc_credentials("https://example.org/", path)
    with pytest.raises(UsageError):
        netrc_credentials("https://example.org/", tmp_path)
    with pytest.raises(InvalidEndpoint):
        netrc_credentials("nonsense", path)
    monkeypatch.delenv("NETRC", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".netrc").write_text("machine example.org login alice password secret\n")
    (tmp_path / ".netrc").chmod(0o644)
    with pytest.raises(UsageError, match="others may read it"):
        netrc_credentials("https://example.org/")
    (tmp_path / ".netrc").chmod(0o600)
    assert netrc_credentials("https://example.org/") == Credentials("alice", "secret")


def test_one_way_at_a_time() -> None:
    for ways in ({"proxy": "http://127.0.0.1:1", "public_only": True}, {"unix_socket": "/x", "public_only": True}):
        with pytest.raises(UsageError, match="each says where to connect to"):
            http.session(**ways)
    assert Proxy.parse("http://127.0.0.1:1")
