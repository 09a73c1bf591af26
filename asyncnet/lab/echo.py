"""Echo of the lab: what comes goes back (RFC 862), with the faults of every other service."""

from __future__ import annotations

from asyncnet.lab.conversation import Conversation
from asyncnet.lab.faults import CONNECT
from asyncnet.lab.manner import ECHO
from asyncnet.lab.service import LineService


async def talk_echo(conversation: Conversation) -> None:
    """Send back every byte until the client ends; each piece that comes is a command called ECHO."""
    await conversation.begin(CONNECT)
    while True:
        await conversation.receive()
        data = conversation.take_buffered()
        conversation.dialogue.say("C", data)
        if await conversation.begin("ECHO"):
            await conversation.write(data)


class EchoService(LineService):
    """The echo server: `tcp://` at one port, `tls://` at the other."""

    def __init__(self, *, port: int = 0, tls_port: int = 0) -> None:
        super().__init__(ECHO, talk_echo, port=port, tls_port=tls_port, scheme="tcp")
