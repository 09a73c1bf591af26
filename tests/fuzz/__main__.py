"""`python -m tests.fuzz [TARGET ...] [--bytes N] [--seed N]`: changed, cut, repeated and random bytes for the parsers.

Each case is told by its seed and number, so a failure is repeated by `--seed S --only N`. What fails: an exception that
is no ProtocolError, values that depend on where the bytes were cut, and time that grows faster than the bytes.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
import traceback
from collections.abc import Sequence

from asyncnet.errors import ProtocolError
from tests.fuzz.targets import TARGETS, Target

_STRETCHED = 50
"""Each so many-th case is repeated to many times its length, and timed."""

_LENGTHS = (10_000, 40_000)
_SLOWER = 10.0
"""Four times the bytes may take so many times as long: 4 is linear, 16 would be quadratic."""
_NOISE_SECONDS = 0.05
"""What is quicker than that is no matter."""


class Failure(Exception):
    """A parser did what it may not."""


def changed(chance: random.Random, target: Target) -> bytes:
    """Make bytes that are nearly right, or not at all."""
    if chance.random() < 0.02:
        return chance.randbytes(chance.randint(0, 300))
    text = bytearray(b"".join(chance.choices(target.seeds, k=chance.randint(1, 3))))
    for _ in range(chance.randint(0, 6)):
        place = chance.randint(0, len(text))
        other = place + chance.randint(0, 20)
        kind = chance.random()
        if kind < 0.6:
            text[place : place + chance.randint(0, 3)] = chance.choice(target.words)
        elif kind < 0.75:
            text[place:place] = text[place:other] * chance.randint(1, 3)
        elif kind < 0.9:
            del text[place:other]
        else:
            text[place : place + 1] = chance.randbytes(1)
    return bytes(text)


def pieces(chance: random.Random, data: bytes) -> list[bytes]:
    """Cut bytes anywhere."""
    places = sorted(chance.randint(0, len(data)) for _ in range(chance.randint(0, 12)))
    return [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]


def outcome(target: Target, data: Sequence[bytes]) -> list[object]:
    """Give what comes of bytes: the values, and that they were refused then if they were."""
    values: list[object] = []
    try:
        for value in target.read(data):
            values.append(value)
    except ProtocolError:
        values.append(ProtocolError)
    return values


def check(chance: random.Random, target: Target, data: bytes) -> None:
    """Read bytes whole and in pieces.

    Raises:
        Failure: that makes a difference.
    """
    whole = outcome(target, [data])
    if whole != (cut := outcome(target, pieces(chance, data))):
        raise Failure(f"in one piece {whole!r}, in pieces {cut!r}")


def check_time(chance: random.Random, target: Target, data: bytes) -> None:
    """Repeat a part of bytes within them to two lengths, and read both.

    Raises:
        Failure: the time grows faster than they do.
    """
    start, end = sorted(chance.randint(0, len(data)) for _ in range(2))
    part = data[start:end] or b"("
    for attempt in range(3):
        short, long = (_seconds(target, data[:start] + part * (size // len(part)) + data[end:]) for size in _LENGTHS)
        if long < _NOISE_SECONDS or long < _SLOWER * short:
            return
        if attempt == 2:
            raise Failure(
                f"{_LENGTHS} bytes took {short:.3f} and {long:.3f} s: {part!r} repeated from {start} to {end}"
            )


def _seconds(target: Target, data: bytes) -> float:
    start = time.process_time()
    outcome(target, [data])
    return time.process_time() - start


def case(name: str, seed: int, number: int) -> tuple[random.Random, bytes]:
    """Make the bytes of one case."""
    chance = random.Random(f"{name} {seed} {number}")
    return chance, changed(chance, TARGETS[name])


def run(name: str, count: int, seed: int, only: int | None = None) -> int:
    """Let one parser read `count` bytes in so many cases as that takes (or one case alone); how many those were.

    Raises:
        Failure: it did what it may not; with the case.
    """
    target, number, total = TARGETS[name], only or 0, 0
    while total < count:
        chance, data = case(name, seed, number)
        try:
            check(chance, target, data)
            if number % _STRETCHED == 0:
                check_time(chance, target, data)
        except Exception as error:
            again = f"python -m tests.fuzz {name} --seed {seed} --only {number}"
            raise Failure(
                f"{name}: {error!r}\nof {data!r}\n{traceback.format_exc(limit=-3)}\nagain: {again}"
            ) from error
        number += 1
        total += max(1, len(data))
        if only is not None:
            break
    return number


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the targets; 1 if one failed."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("target", nargs="*", choices=[*TARGETS, []], help="which parsers (all)")
    parser.add_argument("--bytes", type=int, default=200_000, help="how many for each (200,000)")
    parser.add_argument("--seed", type=int, help="what the cases are made of (another one each time)")
    parser.add_argument("--only", type=int, help="this one case")
    given = parser.parse_args(arguments)
    seed = random.SystemRandom().randrange(1 << 32) if given.seed is None else given.seed
    print(f"seed {seed}", flush=True)
    status = 0
    for name in given.target or TARGETS:
        start = time.monotonic()
        try:
            cases = run(name, given.bytes, seed, given.only)
        except Failure as failure:
            print(f"FAILED {failure}", flush=True)
            status = 1
        else:
            print(f"{name:14} {cases:8} cases  {time.monotonic() - start:6.1f} s", flush=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
