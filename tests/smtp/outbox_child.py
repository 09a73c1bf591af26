"""A process that fills and empties an outbox until it is done or killed: `outbox_child FOLDER URL COUNT [TO]`.

The file `put` beside the folder gets a line "open" once the outbox is, "begun N" before message N is put into it, and
"done N" when it is there; one that is done is not put again. So a message with two "begun" may have been put twice, by
us.
"""

import asyncio
import contextlib
import json
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

from asyncnet import Retry, smtp
from tests.clock import MS


async def main(folder: str, url: str, count: int, to: str) -> None:
    """Spool what is missing, then send all."""
    log = Path(folder).parent / "put"
    lines = log.read_text().splitlines() if log.exists() else []
    done = {int(line.split()[1]) for line in lines if line.startswith("done")}
    retry = Retry(attempts=1000, first_delay=0.05, max_delay=0.5)
    async with smtp.outbox(folder, url, size=4, retry=retry) as box:
        with log.open("a", buffering=1) as put:
            put.write("open\n")  # the first sign of work, also where all has been put
            for number in range(count):
                if number not in done:
                    message = f"Message-ID: <{number}@example.org>\r\nSubject: {number}\r\n\r\nnumber {number}\r\n"
                    put.write(f"begun {number}\n")
                    await box.put(message, sender="alice@example.org", recipients=to.format(number).split(","))
                    put.write(f"done {number}\n")
        await box.drain()


def maybe_twice(folder: Path) -> set[int]:
    """The messages of which there may be two: those the outbox has counted, and those that were put twice."""
    log = folder / "twice.log"
    counted = [json.loads(line)["message_id"] for line in log.read_text().splitlines()] if log.exists() else []
    begun = Counter(line for line in (folder.parent / "put").read_text().splitlines() if line.startswith("begun"))
    again = {int(line.split()[1]) for line, times in begun.items() if times > 1}
    return again | {int(name[1:].partition("@")[0]) for name in counted}


def start(folder: Path, url: str, count: int, to: str) -> "subprocess.Popen[bytes]":
    """Start such a process."""
    command = [sys.executable, "-m", "tests.smtp.outbox_child", str(folder), url, str(count), to]
    return subprocess.Popen(command, cwd=Path(__file__).parent.parent.parent)


async def killed(folder: Path, url: str, count: int, to: str, chance: random.Random) -> bool:
    """Start one, and kill it at some moment of its work; gives whether it still had something to do.

    The moment counts from the first sign of work, for a process takes longer to start on one machine than on another.
    """
    log = folder.parent / "put"
    before = log.stat().st_size if log.exists() else 0
    most = 100 if count <= 100 else 200
    with start(folder, url, count, to) as child:
        for _ in range(100):
            if child.poll() is not None or (log.exists() and log.stat().st_size != before):
                break
            await asyncio.sleep(5 * MS)
        with contextlib.suppress(subprocess.TimeoutExpired):
            await asyncio.to_thread(child.wait, chance.uniform(0, most) * MS)
        child.kill()
    return child.returncode != 0


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]))
