"""endpoint.py: what a URL may be, what it becomes, and that no error repeats a password."""

import pickle
import re
import time
import traceback

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from asyncnet.endpoint import SCHEMES, Endpoint, Security, _taken_apart
from asyncnet.errors import InvalidEndpoint, UsageError
from tests.clock import MS

# Parts that a URL can say.

_ESCAPE = st.integers(0, 255).map(lambda byte: f"%{byte:02X}")
_LABEL = st.from_regex(r"[a-z0-9_]([a-z0-9_-]{0,20}[a-z0-9_])?", fullmatch=True)
_NAME = st.lists(_LABEL, min_size=1, max_size=4).map(".".join).filter(lambda name: not _is_number(name))
_ZONE = st.from_regex(r"[A-Za-z0-9._~-]{1,8}", fullmatch=True)
_IPV6 = st.builds("{}{}".format, st.ip_addresses(v=6), st.one_of(st.just(""), _ZONE.map("%{}".format)))
_HOST = st.one_of(_NAME, _NAME.map("{}.".format), st.ip_addresses(v=4).map(str), _IPV6)
_USERNAME = st.one_of(
    st.none(),
    st.text(min_size=1, max_size=20).filter(lambda name: not re.search("[\x00-\x1f\x7f-\x9f\u2028\u2029]", name)),
)
_SAFE = st.sampled_from([chr(code) for code in range(33, 127) if chr(code) not in "%#?"])
_PATH = st.one_of(st.just(""), st.lists(_SAFE | _ESCAPE, max_size=20).map("".join).map("/{}".format))
_QUERY = st.lists(_SAFE | _ESCAPE | st.just("?"), max_size=20).map("".join)
_PORT = st.integers(0, 65535)
_UNIX_PATH = st.binary(min_size=1, max_size=100).map(lambda raw: b"/" + raw.replace(b"\0", b"0"))


def _is_number(name: str) -> bool:
    return re.fullmatch(r"\d+|0x[0-9a-f]*", name.rpartition(".")[2]) is not None


_NETWORK = sorted(SCHEMES.keys() - {"unix"})


@given(st.sampled_from(_NETWORK), _HOST, _PORT, _USERNAME, _PATH, _QUERY)
def test_an_endpoint_is_what_its_url_parses_to(
    scheme: str, host: str, port: int, username: str | None, path: str, query: str
) -> None:
    place = Endpoint(scheme, host, port, username, path, query)
    assert Endpoint.parse(str(place)) == place
    assert hash(Endpoint.parse(str(place))) == hash(place)
    assert pickle.loads(pickle.dumps(place)) == place
    assert Endpoint.parse(place.origin) == Endpoint(scheme, host, port)
    if query:
        assert str(place) == f"{place.redacted.removesuffix('?...')}?{query}"


@given(_UNIX_PATH, _USERNAME)
def test_a_unix_endpoint_of_any_bytes_is_what_its_url_parses_to(raw: bytes, username: str | None) -> None:
    path = raw.decode("utf-8", "surrogateescape")
    assume(path.strip("/"))
    place = Endpoint("unix", "", 0, username, path)
    assert Endpoint.parse(str(place)) == place
    assert place.path.encode("utf-8", "surrogateescape") == raw
    assert str(place).isascii()
    assert str(place).isprintable()


def attempt(text: str) -> Endpoint | InvalidEndpoint:
    try:
        return Endpoint.parse(text)
    except InvalidEndpoint as error:
        return error


_URLISH = st.lists(
    st.one_of(
        st.sampled_from([*SCHEMES, "://", "//", "/", ":", "@", "[", "]", "%", "%25", "%zz", "?", "#", ";AUTH=", "::1"]),
        st.sampled_from(
            ["example.org", "127.0.0.1", "0x7f.1", "xn--", "ex\u00e4mple", "80", "65536", "\u0661", "\u200d"]
        ),
        st.text(max_size=5),
    ),
    max_size=12,
).map("".join)


@given(st.one_of(st.text(), _URLISH, _URLISH.map("tcp://{}".format)))
@example("http://\u00ad/")
@example("http://[::1%25]/")
@example("http://[::1%25\u0000]/")
@example("http://%00/")
@example("http://xn--a/")
@example("http://" + "\u00e4" * 300)
@example("http://\u00e4" + "." * 300)
@example("unix:///%ff%00")
@example("imap://%ff@h")
def test_a_random_text_is_an_endpoint_or_an_invalid_one_and_nothing_else(text: str) -> None:
    result = attempt(text)
    assert str(result).isprintable()
    if isinstance(result, InvalidEndpoint):
        assert len(str(result)) < 700
    else:
        assert Endpoint.parse(str(result)) == result
        assert str(result).isascii()


_PLAINLY = st.builds(
    "{}://{}{}{}{}{}".format,
    st.sampled_from([*SCHEMES, "HTTP", "htp"]),
    st.one_of(_HOST, st.sampled_from(["H.example", "1.2.3", "127.1", "0x7f.1", "-a", "a..b", "", "u@h", "a" * 64])),
    st.one_of(
        st.just(""), st.sampled_from([":80", ":080", ":443", ":", ":0", ":65536", ":99999"]), _PORT.map(":{}".format)
    ),
    _PATH,
    st.one_of(st.just(""), _QUERY.map("?{}".format)),
    st.sampled_from(["", "", "", "#", "#f", "\n", " ", "%", "\u00e4"]),
)


def _told(parse, url: str) -> object:
    try:
        made = parse(url)
    except InvalidEndpoint as error:
        return str(error)
    again = pickle.loads(pickle.dumps(made))
    shown = [(str(one), one.redacted, one.authority, one.origin, repr(one), hash(one)) for one in (made, again)]
    return made, again, shown


@given(st.one_of(_PLAINLY, _PLAINLY, _URLISH))
@example("http://h?")
@example("http://h:80/?")
@example("http://h:00080/a?b?c")
@example("https://h:443")
@example("tcp://h")
@example("unix:///a")
@example("http://h/" + "a" * 65_536)
def test_a_plain_url_that_is_parsed_quickly_is_what_it_is_by_the_long_way(url: str) -> None:
    assert _told(Endpoint.parse, url) == _told(_taken_apart, url)


@given(st.text(), st.text(), st.integers(), st.text(), st.text(), st.text())
def test_parts_that_no_url_could_say_make_no_endpoint(
    scheme: str, host: str, port: int, username: str, path: str, query: str
) -> None:
    for known in ("http", "unix", scheme):
        try:
            place = Endpoint(known, host, port, username, path, query)
        except InvalidEndpoint:
            continue
        assert Endpoint.parse(str(place)) == place


# Passwords.

_WORDS = st.text(alphabet=st.characters(exclude_characters="/?#@", exclude_categories=["Cs"]), max_size=5)


@given(
    st.sampled_from(
        ["imap://", "http://", "tcp://", "smtp+starttls://", "ftp://", "//", "/", "imap:", "imap:/", "://", ""]
    ),
    _WORDS,
    st.sampled_from([":", "%3a", "%3A"]),
    st.text(max_size=5),
    st.text(max_size=5),
    st.sampled_from(["@h", "@h:1", "@h/", "@h:80/x?y#z", "@[::1]:1", "@", "@h@h", "@h h", "@h:x", "@imap://h"]),
)
def test_no_error_repeats_a_password(scheme: str, user: str, colon: str, before: str, after: str, end: str) -> None:
    result = attempt(f"{scheme}{user}{colon}{before}hunter2{after}{end}")
    if isinstance(result, InvalidEndpoint):
        assert "hunter2" not in str(result) + repr(result)
        assert "hunter2" not in str(result.__cause__)
    else:
        # It was read as what RFC 3986 says it is: an escaped colon is part of a name, digits before a slash are a port.
        assert colon != ":" or re.match(r"\d*[/?#]", before) or "/" in user


@pytest.mark.parametrize(
    "url",
    [
        "imap://me:hunter2@h",
        "imap://me:hunter2@h/INBOX",
        "imap://:hunter2@h",
        "imap://me:hun/ter2@h",
        "imap://me:hunter2/@h",
        "imap://me:h@unter2@h",
        "imap://me:hunter2?@h",
        "imap://me:hunter2#@h",
        "imap://me;AUTH=*:hunter2@h",
        "http://me:hunter2%zz@h",
        "http://me:hunter2@h:notaport",
        "http://me:hunter2 @h",
        "http://me:hunter2\n@h",
        "unix://me:hunter2@/run/x",
        "HTTPS://me:hunter2@h",
        "ftp://me:hunter2@h",
        "me:hunter2@h",
        "me:hunter2@h:25",
        "//me:hunter2@h",
        "imap:me:hunter2@h",
        "imap:/me:hunter2@h",
        "me:hunter2@imap://h",
        "imap://me%3Ahunter2@h:x",
        "imap://me:hunter2",
        "imap://h/?token=hunter2 x",
        "imap://h?token=hunter2#f",
    ],
)
def test_a_secret_in_a_url_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(InvalidEndpoint) as caught:
        Endpoint.parse(url)
    told = "".join(traceback.format_exception(caught.value))  # with whatever it was raised from or during
    assert not any(secret in told for secret in ("hunter2", "ter2", "unter2"))


def test_a_refused_password_is_called_one_and_a_remedy_is_named() -> None:
    with pytest.raises(InvalidEndpoint, match=r"password in the URL 'imap://me\.\.\.'.*Credentials"):
        Endpoint.parse("imap://me:hunter2@h")


def test_an_escaped_colon_is_part_of_the_username() -> None:
    assert Endpoint.parse("imap://corp%3Ame@h").username == "corp:me"  # RFC 3986 §3.2.1: a literal colon delimits


# What a URL means.


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("tcp://127.0.0.1:4242", Endpoint("tcp", "127.0.0.1", 4242)),
        ("tcp://:4242", Endpoint("tcp", "", 4242)),
        ("tcp://h:0", Endpoint("tcp", "h", 0)),
        ("tls://[::1]:1", Endpoint("tls", "::1", 1)),
        ("tls://[0:0:0:0:0:0:0:1]:1", Endpoint("tls", "::1", 1)),
        ("tcp://[FE80::1%25eth0]:1", Endpoint("tcp", "fe80::1%eth0", 1)),
        ("tcp://[::FFFF:1.2.3.4]:1", Endpoint("tcp", "::ffff:1.2.3.4", 1)),
        ("http://example.org", Endpoint("http", "example.org", 80)),
        ("HTTP://EXAMPLE.org:/A?B", Endpoint("http", "example.org", 80, None, "/A", "B")),
        ("https://example.org/a%20b?q=%C3%A4#part", Endpoint("https", "example.org", 443, None, "/a%20b", "q=%C3%A4")),
        ("https://example.org./", Endpoint("https", "example.org.", 443, None, "/")),
        ("https://b\u00fccher.example/", Endpoint("https", "xn--bcher-kva.example", 443, None, "/")),
        ("https://B\u00dcCHER\u3002example/", Endpoint("https", "xn--bcher-kva.example", 443, None, "/")),
        ("https://xn--bcher-kva.example/", Endpoint("https", "xn--bcher-kva.example", 443, None, "/")),
        ("https://h/\u00fc[1]?\u00fc={}", Endpoint("https", "h", 443, None, "/%C3%BC[1]", "%C3%BC={}")),
        ("https://ex%61mple.org", Endpoint("https", "example.org", 443)),
        ("https://h?a?b", Endpoint("https", "h", 443, None, "", "a?b")),
        ("https://me@h/@x:y", Endpoint("https", "h", 443, "me", "/@x:y")),
        ("https://a;b@h", Endpoint("https", "h", 443, "a;b")),
        ("imap://h", Endpoint("imap", "h", 143)),
        ("imaps://h", Endpoint("imaps", "h", 993)),
        ("imap+starttls://h", Endpoint("imap+starttls", "h", 143)),
        ("imaps://me%40example.org@h/INBOX", Endpoint("imaps", "h", 993, "me@example.org", "/INBOX")),
        ("imaps://me;AUTH=*@h/INBOX", Endpoint("imaps", "h", 993, "me", "/INBOX")),
        ("imaps://;auth=*@h/INBOX", Endpoint("imaps", "h", 993, None, "/INBOX")),
        ("imaps://a%3Bb@h", Endpoint("imaps", "h", 993, "a;b")),
        ("imaps://@h", Endpoint("imaps", "h", 993)),
        ("pop3://h", Endpoint("pop3", "h", 110)),
        ("pop3s://h", Endpoint("pop3s", "h", 995)),
        ("pop3+starttls://h", Endpoint("pop3+starttls", "h", 110)),
        ("smtp://h", Endpoint("smtp", "h", 25)),
        ("smtps://h", Endpoint("smtps", "h", 465)),
        ("smtp+starttls://h", Endpoint("smtp+starttls", "h", 587)),
        ("unix:///run/my%20app.sock", Endpoint("unix", "", 0, None, "/run/my app.sock")),
        ("unix:///run/a%3Fb%23c", Endpoint("unix", "", 0, None, "/run/a?b#c")),
        ("unix:///run/%FF", Endpoint("unix", "", 0, None, "/run/\udcff")),
    ],
)
def test_a_url_becomes_an_endpoint(url: str, expected: Endpoint) -> None:
    place = Endpoint.parse(url)
    assert place == expected
    assert Endpoint.parse(str(place)) == expected
    assert Endpoint.parse(place) is place


@pytest.mark.parametrize(
    "url",
    [
        "",
        "h",
        "h:80",
        "://h",
        "tcp:h:80",
        "foo://h",
        "imap+tls://h",
        "tcp://h",  # no default port
        "tls://h:",
        "tcp://h:65536",
        "tcp://h:-1",
        "tcp://h:+1",
        "tcp://h: 1",
        "tcp://h:1_0",
        "tcp://h:\u0661",
        "tcp://h:000080",
        "http://",
        "http:///path",
        "http://?q",
        "http://a b/",
        "http://a/\tb",
        "http://a/\x7f",
        "http://a/\x85",
        "http://a/\u2028",
        "http://a/\ud800",
        "http://a%/",
        "http://a/%zz",
        "http://a?%1",
        "http://a%2Fb/",
        "http://a%00b/",
        "http://%3A%3A1/",
        "http://-a.org/",
        "http://a-.org/",
        "http://a..b/",
        "http://.a/",
        "http://./",
        "http://a,b/",
        "http://" + "a" * 64 + ".org/",
        "http://" + ".".join(["a" * 60] * 5) + "/",
        "http://127.1/",
        "http://0177.0.0.1/",
        "http://0x7f.0.0.1/",
        "http://0x7f000001/",
        "http://2130706433/",
        "http://1.2.3.4.5/",
        "http://1.2.3.256/",
        "http://1.2.3.4./",
        "http://example.123/",
        "http://[::g]/",
        "http://[::1",
        "http://::1/",
        "http://[]/",
        "http://[h]/",
        "http://[127.0.0.1]/",
        "http://[::1]x/",
        "http://[fe80::1%eth0]/",  # RFC 6874: the percent sign is escaped
        "http://[fe80::1%25]/",
        "http://[fe80::1%25a%2Fb]/",
        "http://xn--\u00e4.org/",
        "http://\u2603\ufe0f\u200d.org/",
        "imap://%ff@h",
        "imap://a%0Ab@h",
        "imap://a%00b@h",
        "imap://me;AUTH=PLAIN@h",
        "imap://me;x@h",
        "imaps://h#part",
        "unix://",
        "unix:///",
        "unix://run/x",
        "unix:///a%00b",
        "unix:///a?b",
        "unix:///a#b",
        "unix://:1/a",
        "unix:///" + "a" * 107,
        "http://h/" + "a" * 70_000,
    ],
)
def test_what_is_no_usable_url_is_refused(url: str) -> None:
    with pytest.raises(InvalidEndpoint):
        Endpoint.parse(url)


@pytest.mark.parametrize("thing", [None, 5, b"http://h/", ["http://h/"]])
def test_what_is_no_text_is_refused(thing: object) -> None:
    with pytest.raises(InvalidEndpoint, match="URL in a str"):
        Endpoint.parse(thing)  # type: ignore[arg-type]


def test_an_invalid_endpoint_is_a_usage_error_and_a_value_error() -> None:
    with pytest.raises(UsageError) as caught:
        Endpoint.parse("foo://h")
    assert isinstance(caught.value, ValueError)
    assert "known are tcp, tls, unix, http" in str(caught.value)


@pytest.mark.parametrize(
    "parts",
    [
        ("http", "h", 80, None, "/a b", ""),
        ("http", "h", 80, None, "/a\r\nX-Injected: 1", ""),
        ("http", "h", 80, None, "/\u00e4", ""),
        ("http", "h", 80, None, "a", ""),
        ("http", "h", 80, None, "/a?b", ""),
        ("http", "h", 80, None, "/a#b", ""),
        ("http", "h", 80, None, "/%", ""),
        ("http", "h", 80, None, "/", "a#b"),
        ("http", "h", 80, None, "/", "a\nb"),
        ("http", "h\r\n", 80, None, "", ""),
        ("http", "h/x", 80, None, "", ""),
        ("http", "a@h", 80, None, "", ""),
        ("http", "", 80, None, "", ""),
        ("http", "h", -1, None, "", ""),
        ("http", "h", 65536, None, "", ""),
        ("http", "h", 80, "", "", ""),
        ("http", "h", 80, "a\r\nb", "", ""),
        ("imap", "h", 143, "a\udcff", "", ""),
        ("HTTP", "h", 80, None, "", ""),
        ("ftp", "h", 21, None, "", ""),
        ("tcp", "::1%", 1, None, "", ""),
        ("tcp", "::1%a b", 1, None, "", ""),
        ("unix", "", 0, None, "a", ""),
        ("unix", "h", 0, None, "/a", ""),
        ("unix", "", 1, None, "/a", ""),
        ("unix", "", 0, None, "/a\ud800", ""),
        ("unix", "", 0, None, "/a", "q"),
    ],
)
def test_an_endpoint_made_by_hand_is_checked_like_a_url(parts: tuple[str, str, int, str | None, str, str]) -> None:
    with pytest.raises(InvalidEndpoint):
        Endpoint(*parts)


def test_a_host_given_by_hand_is_kept_in_its_one_spelling() -> None:
    assert Endpoint("tcp", "B\u00dcCHER.Example", 1).host == "xn--bcher-kva.example"
    assert Endpoint("tcp", "0:0::0:1", 1).host == "::1"
    assert Endpoint("tcp", "FE80::1%eth0", 1).host == "fe80::1%eth0"


# What an endpoint tells.


@pytest.mark.parametrize(
    ("url", "protocol", "security"),
    [
        ("tcp://h:1", "tcp", Security.PLAINTEXT),
        ("tls://h:1", "tcp", Security.TLS),
        ("unix:///a", "tcp", Security.PLAINTEXT),
        ("http://h", "http", Security.PLAINTEXT),
        ("https://h", "http", Security.TLS),
        ("imap+starttls://h", "imap", Security.STARTTLS),
        ("pop3s://h", "pop3", Security.TLS),
        ("smtp://h", "smtp", Security.PLAINTEXT),
    ],
)
def test_the_scheme_says_what_is_spoken_and_when_tls_begins(url: str, protocol: str, security: Security) -> None:
    place = Endpoint.parse(url)
    assert (place.protocol, place.security) == (protocol, security)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("unix:///a", True),
        ("tcp://localhost:1", True),
        ("tcp://LOCALHOST:1", True),
        ("tcp://127.0.0.1:1", True),
        ("tcp://127.255.0.9:1", True),
        ("tcp://[::1]:1", True),
        ("tcp://\uff11\uff12\uff17.0.0.1:1", True),  # full-width digits: IDNA maps them
        ("tcp://127.0.0.1.example.org:1", False),
        ("tcp://127.example.org:1", False),
        ("tcp://localhost.example.org:1", False),
        ("tcp://localhost.:1", False),
        ("tcp://128.0.0.1:1", False),
        ("tcp://[::]:1", False),
        ("tcp://:1", False),
        ("tcp://0.0.0.0:1", False),
    ],
)
def test_loopback_is_what_never_leaves_the_machine(url: str, expected: bool) -> None:
    assert Endpoint.parse(url).is_loopback is expected


def test_authority_origin_and_redacted_show_as_much_as_they_say() -> None:
    place = Endpoint.parse("https://me@[fe80::1%25eth0]:8443/a?token=x")
    assert place.authority == "me@[fe80::1%25eth0]:8443"
    assert place.origin == "https://[fe80::1%25eth0]:8443"
    assert place.redacted == "https://me@[fe80::1%25eth0]:8443/a?..."
    assert Endpoint.parse("https://h/a").authority == "h"
    assert Endpoint.parse("https://h/a").origin == "https://h:443"
    assert Endpoint.parse("https://h/a").redacted == "https://h/a"
    assert Endpoint.parse("unix:///a%20b").origin == "unix:///a%20b"


def test_the_decoded_path_is_text_whatever_was_escaped() -> None:
    assert Endpoint.parse("imap://h/Entw%C3%BCrfe%2F2024").decoded_path == "Entwürfe/2024"
    assert Endpoint.parse("imap://h/%FF").decoded_path == "\ufffd"
    assert Endpoint.parse("imap://h").decoded_path == ""
    assert Endpoint.parse("unix:///a%2541").decoded_path == "/a%41"


def test_with_port_gives_the_same_place_at_another_port() -> None:
    place = Endpoint.parse("tcp://me@[::1]:0")
    assert place.with_port(4242) == Endpoint("tcp", "::1", 4242, "me")
    with pytest.raises(InvalidEndpoint):
        place.with_port(70_000)


@pytest.mark.parametrize(
    "text",
    [
        "//:" * 20_000,
        "http://" + "a@" * 30_000,
        "http://" + "a:" * 30_000,
        "http://" + "[" * 60_000,
        "http://" + "a." * 30_000,
        "http://h/" + "%41" * 20_000 + "%",
        "http://h/" + "a/" * 30_000 + " ",
        "http://h?" + "%20a" * 15_000 + "#",
        "http://" + "%C3%A4" * 10_000,
        "http://" + "\u00e4" * 60_000,
        "http://" + "1." * 30_000,
        "imap://" + ";AUTH=" * 10_000 + "@h",
        "a" * 60_000 + "://",
        "unix:///" + "%ff" * 20_000,
    ],
    ids=lambda text: text[:12].encode("unicode_escape").decode(),
)
def test_no_text_takes_long(text: str) -> None:
    begun = time.process_time()
    assert len(str(attempt(text))) <= 65_536
    assert time.process_time() - begun < 1000 * MS  # linear is some milliseconds; quadratic is many seconds
