"""What the tests of strangers share: threads for blocking clients, programs run to their end, a door to knock at."""

import asyncio
import shutil
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asyncnet.lab import Dialogue, Lab, LineService
from tests.clock import MS
from tests.real.running import absent

PATIENCE = 30_000 * MS


async def in_thread(work: Callable[[], Any]) -> Any:
    """A blocking client, while the lab runs on this loop."""
    return await asyncio.to_thread(work)


async def program(*command: str | Path, stdin: bytes = b"") -> tuple[int, str]:
    """Run a program to its end; its status and all it said."""
    if shutil.which(command[0]) is None:
        absent(f"{command[0]} is not here")
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.STDOUT)
    try:
        async with asyncio.timeout(PATIENCE):
            said, _ = await process.communicate(stdin)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        process._transport.close()  # type: ignore[attr-defined]
    assert process.returncode is not None
    return process.returncode, said.decode("utf-8", "replace")


class Ended(Exception):
    """A program has ended with a status that tells of a failure."""


async def finished(*command: str | Path, stdin: bytes = b"") -> str:
    """Run a program to its good end; what it said.

    Raises:
        Ended: its status was another; it begins the text.
    """
    status, said = await program(*command, stdin=stdin)
    if status != 0:
        raise Ended(f"{status} {said}")
    return said


@dataclass(frozen=True)
class Door:
    """Where a stranger knocks, and with which key."""

    way: str
    """`plain`, `starttls` or `tls`."""
    port: int
    trust: ssl.SSLContext
    folder: Path
    """A client's own, for what it keeps: `mail` in it is made already."""
    secret: str = "secret"

    @classmethod
    def of(cls, lab: Lab, service: LineService, way: str, folder: Path, secret: str = "secret") -> "Door":
        (folder / "ca.pem").write_bytes(lab.ca_pem)
        (folder / "mail").mkdir()
        port = service.tls_port if way == "tls" else service.port
        return cls(way, port, lab.tls, folder, secret)

    @property
    def ca(self) -> Path:
        return self.folder / "ca.pem"

    @property
    def kept(self) -> list[bytes]:
        """What a program has put into `mail`, in the order of the files' names; lines end as on the wire."""
        files = sorted(path for path in (self.folder / "mail").rglob("*") if path.is_file())
        return [path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") for path in files]


def big_mail() -> bytes:
    """5 MiB, with the lines that the protocols treat specially."""
    line = b".dots. " * 10 + b"\r\n"
    return b"Subject: big\r\n\r\n.\r\n..\r\n" + line * (5 * 1024 * 1024 // len(line)) + b"end\r\n"


def many_mails(count: int = 200) -> list[bytes]:
    return [b"Subject: %d\r\n\r\nnumber %d\r\n" % (number, number) for number in range(count)]


def is_over_tls(dialogue: Dialogue) -> bool:
    return any(line.who == "!" and line.data.startswith(b"TLS") for line in dialogue.lines)
