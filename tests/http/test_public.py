"""`public_only=True`: no address that is not the public internet's is connected to, on any hop, by any name."""

import socket
import sys

import pytest

from asyncnet import http
from asyncnet.dial import dial
from asyncnet.endpoint import Endpoint
from asyncnet.errors import ConnectError
from asyncnet.http.public import is_public
from tests.http.site import Site

PRIVATE = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.127.255.254",
    "127.0.0.1",
    "127.8.8.8",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::8.8.8.8",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:0:127.0.0.1",
    "64:ff9b::127.0.0.1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::8.8.8.8",
    "100::1",
    "2001::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:db8::1",
    "2002:7f00:1::1",
    "2002:a00:1::1",
    "2002:a9fe:a9fe::",
    "3fff::1",
    "4000::1",
    "fc00::1",
    "fd12:3456::1",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "localhost",
    "",
]
PUBLIC = ["8.8.8.8", "1.1.1.1", "100.63.255.255", "100.128.0.1", "172.32.0.1", "2606:4700::1111", "2a00:1450::1"]
PUBLIC += ["::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1", "2001:4860:4860::8888"]


@pytest.mark.parametrize("address", PRIVATE)
def test_an_address_that_is_not_public_is_known(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_an_address_that_is_public_is_known(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]"])
async def test_this_machine_is_not_reached(site: Site, host: str) -> None:
    with pytest.raises(ConnectError, match="not to be connected to") as caught:
        await http.get(f"http://{host}:{site.port}/hello", public_only=True)
    assert not caught.value.transient
    assert site.requests == []


async def test_a_name_is_judged_by_what_it_stands_for(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def looked_up(host: bytes, port: int, **_: object) -> list[object]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", looked_up)
    with pytest.raises(ConnectError, match=r"not to be connected to: 127\.0\.0\.1"):
        await http.get(f"http://rebound.example.org:{site.port}/hello", public_only=True)
    assert site.requests == []


async def test_each_hop_is_judged(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    # The first hop counts as public here, the second does not.
    module = sys.modules["asyncnet.http.session"]  # by its name one finds the function
    monkeypatch.setattr(module, "is_public", lambda address: address == "127.0.0.1")
    async with Site() as inner:
        with pytest.raises(ConnectError, match="::1"):
            await http.get(f"{site.url}/to/302?url=http://[::1]:{inner.port}/hello", public_only=True)
        assert (len(site.requests), inner.requests) == (1, [])


async def test_of_several_addresses_only_the_public_ones_are_tried(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    places = [("127.0.0.2", 1), ("127.0.0.1", site.port)]
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda *_, **__: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", place) for place in places]
    )
    tried: list[str] = []

    def allow(address: str) -> bool:
        tried.append(address)
        return address == "127.0.0.1"

    sock = await dial(Endpoint.parse(f"tcp://example.org:{site.port}"), allow=allow)
    assert sock.getpeername() == ("127.0.0.1", site.port)
    sock.close()
    assert tried == ["127.0.0.2", "127.0.0.1"]
