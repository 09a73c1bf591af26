"""A whole conversation means the same wherever the stream is cut into pieces."""

import pytest

from asyncnet import Credentials, Message, RefusedError, pop3
from asyncnet.pop3 import Listing, Stat
from tests.peers import Authority, ChunkProxy, Script
from tests.pop3.talks import LEFT

TALK = r"""
    S: +OK <1@a> ready
    C: CAPA
    S: +OK
    S: SASL LOGIN
    S: .
    C: AUTH LOGIN
    S: + VXNlcg==
    C: *
    S: + UGFzcw==
    C: *
    S: +OK
    C: STAT
    S: +OK 2 30
    C: LIST
    S: +OK
    S: 1 10
    S: 2 0
    S: .
    C: UIDL
    S: +OK
    S: 1 a
    S: .
    C: RETR 1
    S: +OK 18 octets
    send ..\r\n...\r\n\r\n\r\n..x\ny\r\n.\r\n
    C: RETR 2
    S: +OK
    S: .
    C: NOOP
    S: -ERR no
"""
TO_CLIENT = 190
"""At least as many bytes as go to the client."""


async def _converse(place: str, authority: Authority) -> None:
    async with pop3.session(
        place, Credentials("alice", "secret", mechanism="LOGIN"), tls=authority.client()
    ) as maildrop:
        assert await maildrop.stat() == Stat(2, 30)
        assert await maildrop.list() == [Listing(1, 10), Listing(2, 0)]
        assert await maildrop.uidl() == {1: "a"}
        first = await maildrop.retrieve(1)
        assert first == Message(raw=b".\r\n..\r\n\r\n\r\n.x\ny\r\n", uid="a", number=1, size=18)
        assert (await maildrop.retrieve(2)).raw == b""
        with pytest.raises(RefusedError, match="no"):
            await maildrop.noop()


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("scheme", ["pop3", "pop3s"])
async def test_in_pieces_of_some_bytes(scheme: str, size: int, authority: Authority) -> None:
    tls = authority.server if scheme == "pop3s" else None
    async with Script(TALK + LEFT, tls=tls) as peer, ChunkProxy((peer.host, peer.port), size=size, rest=0.01) as proxy:
        await _converse(f"{scheme}://{proxy.address}", authority)


async def test_cut_in_two_at_each_offset(authority: Authority) -> None:
    async with Script(TALK + LEFT, repeat=True) as peer:
        for offset in range(1, TO_CLIENT + 1):
            async with ChunkProxy((peer.host, peer.port), at=[offset], rest=0.2) as proxy:
                await _converse(f"pop3://{proxy.address}", authority)
        assert proxy.passed["to client"] <= TO_CLIENT
