"""A thousand clients at `asyncnet echo`, and SIGTERM in the middle of their talk."""

import asyncio
import resource
import signal

import pytest

import asyncnet
from tests.cli.running import environment, started

CLIENTS, MESSAGES = 1000, 100

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def enough_files():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < CLIENTS + 200:
        pytest.skip(f"a process may open {hard} files here; {CLIENTS} clients need more")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, CLIENTS + 200), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def message(client: int, number: int) -> bytes:
    return b"%d/%d " % (client, number) + bytes((client + number + i) % 256 for i in range(client % 199))


class Tally:
    """Counts the messages of all clients, and says when half of them have come back."""

    def __init__(self) -> None:
        self.messages = 0
        self.half = asyncio.Event()

    def add(self) -> None:
        self.messages += 1
        if self.messages == CLIENTS * MESSAGES // 2:
            self.half.set()


async def talk(url: str, client: int, count: int, tally: Tally) -> int:
    """Exchange messages one by one, and give the number of those that came back right."""
    async with asyncnet.connect(url, timeout=30.0) as connection:
        for number in range(count):
            sent = message(client, number)
            await connection.write(sent)
            assert await connection.read_exactly(len(sent)) == sent
            tally.add()
        return count


async def test_a_thousand_clients_get_back_every_byte() -> None:
    with started("echo", "tcp://127.0.0.1:0", env=environment()) as server:
        url, tally = server.stdout.readline().split()[-1], Tally()
        done = await asyncio.gather(*(talk(url, client, MESSAGES, tally) for client in range(CLIENTS)))
        assert sum(done) == CLIENTS * MESSAGES
        server.send_signal(signal.SIGTERM)
        out, err = await asyncio.to_thread(server.communicate, timeout=20)
        assert (server.returncode, err) == (0, ""), out


async def test_what_was_accepted_before_sigterm_is_echoed() -> None:
    grace = 10.0
    with started("echo", "tcp://127.0.0.1:0", "--grace", grace, env=environment()) as server:
        url, tally = server.stdout.readline().split()[-1], Tally()
        talks = [asyncio.create_task(talk(url, client, MESSAGES, tally)) for client in range(CLIENTS)]
        async with asyncnet.connect(url) as silent:
            await silent.write(b"I am here")
            assert await silent.read_exactly(9) == b"I am here"
            await tally.half.wait()
            assert not all(one.done() for one in talks), "this is the middle of their talk"
            server.send_signal(signal.SIGTERM)
            began = asyncio.get_running_loop().time()
            assert sum(await asyncio.gather(*talks)) == CLIENTS * MESSAGES
            assert await silent.read() == b"", "a silent client is told that this is the end"
        await asyncio.to_thread(server.wait, timeout=20)
        assert server.returncode == 0
        assert asyncio.get_running_loop().time() - began < grace + 2
        with pytest.raises(asyncnet.ConnectError):
            await asyncnet.connect(url)
