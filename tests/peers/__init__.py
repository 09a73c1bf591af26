"""Peers that misbehave on purpose: real servers on loopback, made of the standard library alone.

A judge does not borrow the tools of the accused, so nothing here imports the package under test. Each peer
runs in threads of its own, whatever loop the test runs, and has ended and been joined when its `with`
(or `async with`) block is left. The fixtures `authority` and `authority_pem` (fixtures.py) are known to every test.

    Script       plays a conversation written as text, faults included   script.py, conversation.py, talk.py
    DelayProxy   adds a round-trip time                                  proxies.py
    CutProxy     ends a connection after so many bytes                   proxies.py
    ChunkProxy   cuts the stream into pieces, or at one offset           proxies.py
    SocksProxy   SOCKS5, with and without a password                     socks.py
    ConnectProxy HTTP CONNECT, with and without a password               connect_proxy.py
    Authority    certificates, good, expired, foreign and misnamed       certificates.py
    MS           one millisecond, scalable                               tests/clock.py
"""

from tests.clock import MS
from tests.peers.certificates import Authority
from tests.peers.connect_proxy import ConnectProxy
from tests.peers.proxies import ChunkProxy, CutProxy, DelayProxy
from tests.peers.script import Script
from tests.peers.socks import SocksProxy
from tests.peers.talk import Talk

__all__ = ["MS", "Authority", "ChunkProxy", "ConnectProxy", "CutProxy", "DelayProxy", "Script", "SocksProxy", "Talk"]
