"""The SMTP clients that are Python: `python -m benchmarks.mail.smtp_clients NAME HOST PORT FOLDER COUNT`.

Each sends the files 0.eml to COUNT-1.eml of FOLDER to one recipient. Only what a client needs is imported, and its
imports are not timed. Our own hand over small messages as bytes, and big ones as open files.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator

from benchmarks.mail.rounds import Tally, measured

SENDER, RECIPIENT = "sender@example.org", "anybody@discard.example.org"
_CONNECTIONS = 8
_BIG = 131_072
_WINDOW = 20
"""Postfix answers when it has read all that has come: a window of more than its work of a round trip keeps it busy."""
_OPEN = contextlib.ExitStack()
"""Files that are still being sent; closed with the process."""


def _files(folder: str, count: int) -> Iterator[bytes]:
    for number in range(count):
        with open(f"{folder}/{number}.eml", "rb") as file:
            yield file.read()


async def _mails(folder: str, count: int, tally: Tally) -> AsyncIterator[object]:
    from asyncnet import smtp

    for number in range(count):
        file = _OPEN.enter_context(open(f"{folder}/{number}.eml", "rb"))  # noqa: SIM115 (still open when this ends)
        size = os.fstat(file.fileno()).st_size
        tally.size += size
        if size > _BIG:
            yield smtp.Mail(file, SENDER, RECIPIENT)
        else:
            yield smtp.Mail(file.read(), SENDER, RECIPIENT)
            file.close()


def ours(host: str, port: int, folder: str, count: int) -> None:
    """asyncnet, one connection: `session.send_many`, up to 20 on their way."""
    from asyncnet import smtp

    async def main() -> None:
        async with smtp.session(f"smtp://{host}:{port}", timeout=300.0) as outgoing:
            async for sent in outgoing.send_many(_mails(folder, count, tally), window=_WINDOW):
                if sent.error is not None:
                    raise sent.error
                tally.count += 1

    smtp.session  # noqa: B018 (loads the wing, which is not timed)
    with measured() as tally:
        asyncio.run(main())


def pool(host: str, port: int, folder: str, count: int) -> None:
    """asyncnet, a pool of eight: `pool.send_many`, up to 20 on their way on each."""
    from asyncnet import smtp

    async def main() -> None:
        async with smtp.pool(f"smtp://{host}:{port}", size=_CONNECTIONS, timeout=300.0) as outgoing:
            async for sent in outgoing.send_many(_mails(folder, count, tally), window=_WINDOW):
                if sent.error is not None:
                    raise sent.error
                tally.count += 1

    smtp.pool  # noqa: B018
    with measured() as tally:
        asyncio.run(main())


def stalls(host: str, port: int, folder: str, count: int) -> None:
    """asyncnet sends each file as an EmailMessage's attachment, and as a stream, and looks how long the loop stood."""
    from email.message import EmailMessage

    from asyncnet import smtp

    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0.001)
            longest = max(longest, time.perf_counter() - before - 0.001)

    async def main() -> None:
        attachment = smtp.compose(SENDER, RECIPIENT, attachments=[f"{folder}/0.eml"])
        async with smtp.session(f"smtp://{host}:{port}", timeout=300.0) as outgoing:
            watching = asyncio.create_task(watch())
            await asyncio.sleep(0.05)
            assert isinstance(attachment, EmailMessage)
            await outgoing.send(attachment)
            with open(f"{folder}/0.eml", "rb") as file:
                await outgoing.send(file, sender=SENDER, recipients=RECIPIENT)
            watching.cancel()
        tally.count, tally.size = int(longest * 1_000_000), os.path.getsize(f"{folder}/0.eml")

    smtp.session  # noqa: B018
    with measured() as tally:
        asyncio.run(main())


def serial(host: str, port: int, folder: str, count: int) -> None:
    """smtplib, one connection."""
    import smtplib

    with measured() as tally, smtplib.SMTP(host, port) as outgoing:
        outgoing.ehlo()
        for message in _files(folder, count):
            outgoing.sendmail(SENDER, [RECIPIENT], message)
            tally.add(message)


def threads(host: str, port: int, folder: str, count: int) -> None:
    """smtplib, eight threads with a connection each."""
    import smtplib

    lock, files = threading.Lock(), _files(folder, count)

    def work() -> None:
        with smtplib.SMTP(host, port) as outgoing:
            outgoing.ehlo()
            while True:
                with lock:
                    message = next(files, None)
                if message is None:
                    return
                outgoing.sendmail(SENDER, [RECIPIENT], message)
                with lock:
                    tally.add(message)

    with measured() as tally:
        workers = [threading.Thread(target=work) for _ in range(_CONNECTIONS)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()


def aiosmtplib_one(host: str, port: int, folder: str, count: int, connections: int = 1) -> None:
    """aiosmtplib: `sendmail` over one connection, or several."""
    import aiosmtplib

    files = _files(folder, count)

    async def work() -> None:
        async with aiosmtplib.SMTP(hostname=host, port=port, timeout=300, start_tls=False) as outgoing:
            for message in files:
                await outgoing.sendmail(SENDER, [RECIPIENT], message)
                tally.add(message)

    async def main() -> None:
        await asyncio.gather(*(work() for _ in range(connections)))

    with measured() as tally:
        asyncio.run(main())


def aiosmtplib_eight(host: str, port: int, folder: str, count: int) -> None:
    """aiosmtplib, eight connections."""
    aiosmtplib_one(host, port, folder, count, _CONNECTIONS)


CLIENTS: dict[str, Callable[[str, int, str, int], None]] = {
    one.__name__: one for one in (ours, pool, stalls, serial, threads, aiosmtplib_one, aiosmtplib_eight)
}

if __name__ == "__main__":
    with _OPEN:
        CLIENTS[sys.argv[1]](sys.argv[2], int(sys.argv[3]), sys.argv[4], int(sys.argv[5]))
