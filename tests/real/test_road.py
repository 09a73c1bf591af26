"""The whole road by the command line: 200 mails out through Postfix, and everything back over four protocols."""

import asyncio
import hashlib
import random
import threading
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest

import asyncnet
from tests.cli.running import environment, started
from tests.peers import Authority
from tests.real.dovecot import ALICE, Dovecot
from tests.real.nginx import Nginx
from tests.real.postfix import Postfix

MESSAGES = 200
MIB = 1024 * 1024
SENDER = "alice@example.org"


def messages() -> Iterator[bytes]:
    """Small ones, some 8-bit and some with an attachment, and one of 20 MiB."""
    chance = random.Random(7)
    for number in range(MESSAGES - 1):
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = SENDER, "bob@example.org", f"Nummer {number}: grüße"
        message.set_content(f"Zeile {number} äöü\n.\n..\nFrom here\n" * chance.randrange(1, 40), cte="8bit")
        if number % 10 == 0:
            message.add_attachment(chance.randbytes(9000), maintype="image", subtype="png", filename="bild ä.png")
        yield bytes(message)
    big = EmailMessage()
    big["From"], big["Subject"] = SENDER, "big"
    big.set_content("see attachment")
    big.add_attachment(chance.randbytes(20 * MIB * 3 // 4), maintype="application", subtype="octet-stream")
    yield bytes(big)


@pytest.fixture
def pouring() -> Iterator[tuple[str, bytes]]:
    """A server of ours that pours 3 MiB to whoever comes, on a loop in a thread of its own."""
    data = random.Random(8).randbytes(3 * MIB)
    up, down = threading.Event(), []

    async def pour(connection: asyncnet.Connection) -> None:
        await connection.write(data)

    async def main() -> None:
        stop = asyncio.Event()
        async with asyncnet.serve(pour, "tcp://127.0.0.1:0") as server:
            down.extend([asyncio.get_running_loop(), stop, str(server.endpoint)])
            up.set()
            await stop.wait()

    thread = threading.Thread(target=asyncio.run, args=(main(),))
    thread.start()
    assert up.wait(10)
    loop, stop, url = down
    yield url, data
    loop.call_soon_threadsafe(stop.set)
    thread.join()


def command(home: Path, *arguments: object) -> str:
    """Run `asyncnet`; the password comes from the environment."""
    with started(*arguments, env=environment(home, ASYNCNET_PASSWORD=ALICE.password)) as child:
        out, err = child.communicate(timeout=120)
    assert child.returncode == 0, err
    return out


def hashes(contents: Iterator[bytes] | list[bytes]) -> list[str]:
    return sorted(hashlib.sha256(content).hexdigest() for content in contents)


def test_everything_goes_out_and_comes_back(
    dovecot: Dovecot,
    postfix: Postfix,
    nginx: Nginx,
    authority: Authority,
    authority_pem: Path,
    pouring: tuple[str, bytes],
    tmp_path: Path,
) -> None:
    dovecot.clear(ALICE)
    files = []
    for number, message in enumerate(messages()):
        files.append(tmp_path / f"{number}.eml")
        files[-1].write_bytes(message)
    submission = postfix.submission.replace("://", f"://{ALICE.name}@")
    command(tmp_path, "send", "--ca", authority_pem, "--from", SENDER, "--to", ALICE.address, submission, *files)
    postfix.wait_until_delivered()
    held = dovecot.wait_for_messages(ALICE, MESSAGES)
    assert len(held) == MESSAGES
    for file in files:  # each arrived once, behind the trace that servers put in front
        sent = b"\r\n" + file.read_bytes().replace(b"\n", b"\r\n")
        assert sum(one.endswith(sent) for one in held) == 1

    big = nginx.file(10 * MIB)
    folder = tmp_path / "fetched"
    user = f"{ALICE.name}@"
    command(
        tmp_path,
        *("fetch", "--limit", 8, "--ca", authority_pem, "-o", folder, "--timeout", 60),
        dovecot.imaps.replace("://", f"://{user}") + "/INBOX",
        dovecot.pop3s.replace("://", f"://{user}"),
        f"{nginx.https}{big}",
        pouring[0],
    )
    fetched = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    assert hashes(fetched) == hashes([*held, *held, nginx.on_disk(big).read_bytes(), pouring[1]])
