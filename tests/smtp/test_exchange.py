"""The exchange writes in step with the server and never much at a time, so that the loop is free and memory small."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Iterable, Iterator

import pytest

from asyncnet import DisconnectedError, Endpoint, ProtocolError, UsageError
from asyncnet.smtp.content import CHUNK, Content
from asyncnet.smtp.envelope import Envelope
from asyncnet.smtp.exchange import Exchange
from asyncnet.smtp.offers import Offers
from asyncnet.smtp.parcel import Parcel
from asyncnet.smtp.receipt import Receipt
from asyncnet.smtp.transaction import Transaction
from tests.memory import peak_memory


class Recorder(asyncio.Transport):
    """A transport that keeps what is written, and is as full as the test wants it."""

    def __init__(self, sock: object = None) -> None:
        super().__init__({"socket": sock})
        self.written: list[bytes] = []
        self.unsent = 0
        self.closing = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def is_closing(self) -> bool:
        return self.closing

    def abort(self) -> None:
        self.closing = True


@pytest.fixture
async def link() -> tuple[Exchange, Recorder]:
    exchange, transport = Exchange(Endpoint.parse("smtp://example.org")), Recorder()
    exchange.connection_made(transport)
    exchange.data_received(b"220 hi\r\n")
    assert (await exchange.greeting).code == 220
    return exchange, transport


class Blocks:
    """A message as a test wants it cut."""

    message_id = None

    def __init__(self, blocks: Iterable[bytes]) -> None:
        self._blocks = blocks

    async def blocks(self) -> AsyncGenerator[bytes, None]:
        for block in self._blocks:
            yield block


class Message:
    """A message that is being sent by DATA; the envelope is answered as soon as it is asked for."""

    def __init__(self, exchange: Exchange, transport: Recorder, blocks: Iterable[bytes]) -> None:
        parcel = Parcel(Envelope("a", ("b",)), Blocks(blocks), None, b"MAIL", (b"RCPT",), None)  # type: ignore[arg-type]
        offers = Offers({"PIPELINING": ""})
        self.transaction = Transaction(exchange, offers, Endpoint.parse("smtp://example.org"), parcel)
        self._exchange = exchange
        self._transport = transport
        self.task: asyncio.Task[Receipt] = asyncio.create_task(self.transaction.send())

    async def begun(self) -> "Message":
        """Wait until the first block is being written."""
        for _ in range(100):
            await asyncio.sleep(0)
            if self._transport.written:
                break
        assert self._transport.written == [b"MAIL\r\nRCPT\r\nDATA\r\n"]
        self._transport.written.clear()
        self._exchange.data_received(b"250 ok\r\n250 ok\r\n354 go on\r\n")
        return self

    async def written(self) -> None:
        """Wait until all is written."""
        for _ in range(10_000):
            if self.transaction._end:
                return
            await asyncio.sleep(0)
        raise AssertionError("the message is not written")


async def test_a_message_is_written_in_small_pieces_with_the_loop_free_in_between(
    link: tuple[Exchange, Recorder],
) -> None:
    exchange, transport = link
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    counting = asyncio.create_task(count_turns())
    sending = await Message(exchange, transport, Content((b"x" * 50 + b".\n" * 2_000_000,)).chunks()).begun()
    await sending.written()
    exchange.data_received(b"250 ok\r\n")
    assert (await sending.task).text == "ok"
    counting.cancel()
    assert max(map(len, transport.written)) <= 2 * CHUNK + 2  # each byte may have become two at the most
    assert turns > len(transport.written)


async def test_a_server_that_takes_no_more_is_waited_for(link: tuple[Exchange, Recorder]) -> None:
    exchange, transport = link
    taken = []

    def chunks() -> Iterator[bytes]:
        for number in range(10):
            taken.append(number)
            if number == 3:
                exchange.pause_writing()
            yield b"line\n"

    sending = await Message(exchange, transport, chunks()).begun()
    for _ in range(100):
        await asyncio.sleep(0)
    assert taken == [0, 1, 2, 3]
    exchange.resume_writing()
    for _ in range(100):
        await asyncio.sleep(0)
    assert len(taken) == 10
    exchange.data_received(b"250 ok\r\n")
    await sending.task
    exchange.resume_writing()  # once too often does no harm


async def test_a_server_that_takes_no_more_and_leaves_is_not_waited_for(link: tuple[Exchange, Recorder]) -> None:
    exchange, transport = link
    sending = await Message(exchange, transport, [b"x"]).begun()
    exchange.pause_writing()
    for _ in range(10):
        await asyncio.sleep(0)
    exchange.connection_lost(None)
    with pytest.raises(DisconnectedError):
        await sending.task
    assert transport.written == []


@pytest.mark.parametrize(
    ("reply", "kind", "sent"),
    [(b"250 ok\r\n", ProtocolError, True), (b"", DisconnectedError, False)],
)
async def test_what_comes_while_the_end_of_the_message_is_still_here_is_no_answer_to_it(
    link: tuple[Exchange, Recorder], reply: bytes, kind: type[Exception], sent: bool
) -> None:
    exchange, transport = link
    sending = await Message(exchange, transport, [b"x"]).begun()
    await sending.written()
    transport.unsent = 1
    if reply:
        exchange.data_received(reply)
    else:
        exchange.eof_received()
    with pytest.raises(kind):
        await sending.task
    assert (sending.transaction.unknown is not None) is sent


async def test_a_source_that_fails_leaves_half_a_message_and_so_drops_the_connection(
    link: tuple[Exchange, Recorder],
) -> None:
    exchange, transport = link

    def chunks() -> Iterator[bytes]:
        yield b"half"
        yield b"never written"
        raise UsageError("no more")

    sending = await Message(exchange, transport, chunks()).begun()
    with pytest.raises(UsageError):
        await sending.task
    assert transport.closing
    assert transport.written == [b"half"]
    assert not exchange.is_usable
    assert sending.transaction.unknown is None


@pytest.mark.parametrize("line", [b"NOOP\r\nRSET", b"NOOP\n", b"NO\0OP", b"\x7f"])
async def test_a_control_character_in_a_command_is_written_by_nobody(
    link: tuple[Exchange, Recorder], line: bytes
) -> None:
    exchange, transport = link
    with pytest.raises(UsageError):
        await exchange.command(line, "NOOP")
    with pytest.raises(UsageError):
        await exchange.execute_command(line)
    assert transport.written == []
    assert exchange.is_usable


async def test_replies_go_to_their_commands_in_order(link: tuple[Exchange, Recorder]) -> None:
    exchange, transport = link
    asked = [asyncio.create_task(exchange.command(b"NOOP %d" % number, "NOOP")) for number in range(5)]
    await asyncio.sleep(0)
    assert transport.written == [b"NOOP %d\r\n" % number for number in range(5)]
    exchange.data_received(b"".join(b"25%d ok\r\n" % number for number in range(5)))
    assert [(await one).code for one in asked] == [250, 251, 252, 253, 254]


async def test_whoever_waits_when_the_connection_goes_hears_of_it(link: tuple[Exchange, Recorder]) -> None:
    exchange, _ = link
    asked = [asyncio.create_task(exchange.command(b"NOOP", "NOOP")) for _ in range(3)]
    await asyncio.sleep(0)
    exchange.connection_lost(ConnectionResetError(104, "Connection reset by peer"))
    for one in asked:
        with pytest.raises(DisconnectedError, match="reset by the peer"):
            await one


@pytest.mark.parametrize("early", [b"250 ok\r\n", b"250 ok\r\n250 ok\r\n"])
async def test_a_yes_to_a_command_that_has_not_left_is_no_yes(link: tuple[Exchange, Recorder], early: bytes) -> None:
    exchange, transport = link
    first, second = exchange.ask(b"MAIL", "MAIL"), exchange.ask(b"RCPT", "RCPT")
    exchange.flush()
    transport.unsent = 6 if early.count(b"250") == 2 else 12
    exchange.data_received(early)
    with pytest.raises(ProtocolError, match="nothing had asked for"):
        await second
    assert first.done()


_SENDING = """
import asyncio, sys
from email.message import EmailMessage
from asyncnet import smtp

class Server(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.tail, self.in_message = transport, b"", False
        transport.write(b"220 hi\\r\\n")
    def data_received(self, data):
        if self.in_message:
            self.tail = (self.tail + data)[-5:]
            if self.tail == b"\\r\\n.\\r\\n":
                self.in_message = False
                self.transport.write(b"250 ok\\r\\n")
        elif data.startswith(b"DATA"):
            self.in_message = True
            self.transport.write(b"354 go on\\r\\n")
        else:
            self.transport.write(b"250 SIZE\\r\\n" if not data.startswith(b"QUIT") else b"221 bye\\r\\n")

async def main(size, send):
    message = EmailMessage()
    message["From"], message["To"] = "alice@example.org", "bob@example.net"
    message.set_content("hello")
    message.add_attachment("x" * 75 + "\\n", filename="big.txt", cte="7bit")
    [attachment] = message.iter_attachments()
    attachment.set_payload(("x" * 75 + "\\n") * (size // 76))
    server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0)
    async with server, smtp.session(f"smtp://127.0.0.1:{server.sockets[0].getsockname()[1]}") as outgoing:
        if send:
            await outgoing.send(message)

asyncio.run(main(int(sys.argv[1]), sys.argv[2] == "send"))
"""


def test_sending_a_big_message_costs_no_memory() -> None:
    held = peak_memory(_SENDING, "50000000", "hold")
    sent = peak_memory(_SENDING, "50000000", "send")
    assert sent - held < 6_000_000


class Acknowledging(socket.socket):
    """A socket that counts how often it was told to acknowledge at once."""

    count = 0

    def setsockopt(self, *option: object) -> None:  # type: ignore[override]
        super().setsockopt(*option)  # type: ignore[call-overload]
        self.count += option[:2] == (socket.IPPROTO_TCP, socket.TCP_QUICKACK)


async def over(sock: object) -> Exchange:
    exchange = Exchange(Endpoint.parse("smtp://example.org"))
    exchange.connection_made(Recorder(sock))
    exchange.data_received(b"220 hi\r\n")
    assert (await exchange.greeting).code == 220
    return exchange


@pytest.mark.skipif(not hasattr(socket, "TCP_QUICKACK"), reason="Linux alone has it")
async def test_replies_are_acknowledged_at_once_only_amid_the_chunks_of_a_message() -> None:
    with Acknowledging(socket.AF_INET, socket.SOCK_STREAM) as sock:
        exchange = await over(sock)
        counts = []
        for is_chunk in (False, True, True, False):
            exchange.ask(b"BDAT 1", "BDAT", b"x", is_chunk=is_chunk)
        exchange.flush()
        for _ in range(4):
            exchange.data_received(b"250 ok\r\n")
            counts.append(sock.count)
    assert counts == [1, 2, 2, 2]


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_a_reply_amid_chunks_is_taken_although_the_socket_is_closed(loop: str) -> None:
    sock: object = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.close()  # type: ignore[attr-defined]
    if loop == "uvloop":
        sock = pytest.importorskip("uvloop.loop").PseudoSocket(socket.AF_INET, socket.SOCK_STREAM, 0, -1)
    exchange = await over(sock)
    first, _ = (exchange.ask(b"BDAT 1", "BDAT", b"x", is_chunk=True) for _ in range(2))
    exchange.flush()
    exchange.data_received(b"250 ok\r\n")
    assert (await exchange.answer(first)).code == 250
