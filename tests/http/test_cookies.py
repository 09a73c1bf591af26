"""Cookies go back to whom they came from, and not to another port or scheme."""

import pytest
from yarl import URL

from asyncnet.http.cookies import OriginJar


def back(jar: OriginJar, url: str) -> dict[str, str]:
    return {name: morsel.value for name, morsel in jar.filter_cookies(URL(url)).items()}


@pytest.fixture
async def jar() -> OriginJar:
    return OriginJar()


async def test_a_cookie_goes_back_to_its_host(jar: OriginJar) -> None:
    assert back(jar, "http://example.org/") == {}
    jar.update_cookies_from_headers(["a=1", "b=2; Path=/deep"], URL("http://example.org/"))
    assert back(jar, "http://example.org/") == {"a": "1"}
    assert back(jar, "http://example.org/deep/er") == {"a": "1", "b": "2"}
    assert back(jar, "http://sub.example.org/") == {}
    assert back(jar, "http://example.com/") == {}
    assert len(jar) == 2
    assert {morsel.key for morsel in jar} == {"a", "b"}


async def test_a_cookie_of_a_domain_goes_to_its_hosts(jar: OriginJar) -> None:
    jar.update_cookies_from_headers(["a=1; Domain=example.org"], URL("https://www.example.org/"))
    assert back(jar, "https://example.org/") == {"a": "1"}
    assert back(jar, "https://api.example.org/") == {"a": "1"}
    assert back(jar, "https://notexample.org/") == {}


async def test_nobody_sets_cookies_for_another_domain(jar: OriginJar) -> None:
    jar.update_cookies_from_headers(["a=1; Domain=example.org"], URL("https://evil.example.com/"))
    assert back(jar, "https://example.org/") == {}


async def test_another_port_or_scheme_gets_nothing(jar: OriginJar) -> None:
    jar.update_cookies_from_headers(["a=1"], URL("https://example.org/"))
    assert back(jar, "https://example.org:443/") == {"a": "1"}
    for other in ("http://example.org/", "https://example.org:8443/", "http://example.org:443/"):
        assert back(jar, other) == {}


async def test_an_address_keeps_cookies_for_itself(jar: OriginJar) -> None:
    jar.update_cookies_from_headers(["a=1", "b=2; Domain=0.0.1"], URL("http://127.0.0.1:8080/"))
    assert back(jar, "http://127.0.0.1:8080/") == {"a": "1"}
    assert back(jar, "http://127.0.0.2:8080/") == {}


async def test_secure_cookies_and_removals_are_honoured(jar: OriginJar) -> None:
    jar.update_cookies_from_headers(["a=1; Secure"], URL("https://example.org/"))
    assert back(jar, "https://example.org/") == {"a": "1"}
    jar.update_cookies_from_headers(["a=; Max-Age=0"], URL("https://example.org/"))
    assert back(jar, "https://example.org/") == {}


async def test_they_can_be_forgotten(jar: OriginJar) -> None:
    for url in ("http://a.example.org/", "http://b.example.org:81/"):
        jar.update_cookies_from_headers(["x=1"], URL(url))
    assert {(domain, name) for domain, _, name in jar.host_only_cookies} == {
        ("a.example.org", "x"),
        ("b.example.org", "x"),
    }
    assert len(jar.cookies) == 2
    jar.clear_domain("a.example.org")
    assert back(jar, "http://a.example.org/") == {}
    assert back(jar, "http://b.example.org:81/") == {"x": "1"}
    jar.clear()
    assert len(jar) == 0


async def test_nonsense_is_ignored(jar: OriginJar) -> None:
    jar.update_cookies_from_headers(["", "=", ";;;", "\udce9=1", "a" * 9000 + "=1", "x=\x00"], URL("http://h/"))
    for value in back(jar, "http://h/").values():
        assert "\r" not in value
        assert "\n" not in value
