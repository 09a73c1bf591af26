"""One conversation being held: the verbs of a Script as methods, over one connection."""

import random
import ssl
import threading
import time
from collections.abc import Callable
from typing import Protocol

from tests.clock import MS
from tests.peers.conversation import HEARING, Step, pattern, render
from tests.peers.wire import Wire

_LONGEST_LINE = 1 << 20
"""Bytes of a client's line beyond which the peer no longer waits for its end."""


class Mismatch(Exception):
    """The client said something else than the conversation has it, or nothing at all."""


class Over(Exception):
    """The conversation has come to an end that it foresaw."""


class Gone(Over):
    """The client (or the test) left while the server was speaking; what it still had to say was never said."""


class Stage(Protocol):
    """What a Talk needs to know of the Script that holds it."""

    bodies: dict[str, bytes]
    tls_failures: list[Exception]
    stopping: threading.Event

    def starttls_context(self) -> ssl.SSLContext:
        """The context for an upgrade."""

    def stand_at(self, name: str) -> bool:
        """Wait until the test releases `name`; False when the test ended instead."""

    def heard(self) -> None:
        """Tell whoever waits that more was received."""


class Talk:
    """One connection and the verbs that may be used on it, by a Script's lines or by a function of the test's own.

    What is said is collected and goes out in one piece when any other verb comes, or at the end.
    """

    def __init__(self, wire: Wire, stage: Stage, names: dict[str, bytes]) -> None:
        self.wire = wire
        self.names = names
        self.transcript: list[str] = []
        self._stage = stage
        self._said = bytearray()
        self._drip: tuple[int, float] | None = None

    # What the server says

    def say(self, line: str) -> None:
        """Say one line, with escapes and {names}; CRLF is added."""
        self.send(line + r"\r\n")

    def send(self, text: str) -> None:
        """Say exactly this text, with escapes and {names}."""
        self.send_bytes(render(text, self.names))

    def send_bytes(self, data: bytes) -> None:
        """Say exactly these bytes."""
        self.transcript.append(f"S: {_brief(data)}")
        self._said += data

    def dump(self, name: str) -> None:
        """Say the body that was handed to the Script by this name."""
        self.send_bytes(self._stage.bodies[name])

    def raw(self, text: str) -> None:
        """Say exactly this text, unencrypted even under TLS."""
        self.flush()
        self._attempt(self.wire.send_raw, render(text, self.names))

    def flush(self) -> None:
        """Let what was said go out now."""
        data, self._said = bytes(self._said), bytearray()
        if not data:
            return
        size, rest = self._drip or (len(data), 0.0)
        for start in range(0, len(data), size):
            if start and self._stage.stopping.wait(rest):
                raise Gone
            self._attempt(self.wire.send, data[start : start + size])

    # What the client must say

    def expect(self, line: str) -> None:
        """The client must say this line: exactly, with `*` and {names}, or /regex/; its groups are remembered."""
        self.flush()
        wanted = pattern(line)
        found = self._until(b"\n", f"C: {line}")
        match = wanted.fullmatch(found[:-2]) if found.endswith(b"\r\n") else None
        if not match:
            raise Mismatch(f"expected C: {line!r}, got {_brief(found)}")
        self.names.update((name, value) for name, value in match.groupdict().items() if value is not None)

    def expect_bytes(self, data: bytes) -> None:
        """The client must send exactly these bytes."""
        self.flush()
        found = self.read(len(data))
        if found != data:
            raise Mismatch(f"expected the bytes {_brief(data)}, got {_brief(found)}")

    def read(self, count: int) -> bytes:
        """The client must send so many bytes more."""
        self.flush()
        while len(self.wire.buffer) < count:
            self._fill(f"{count} bytes")
        return self._heard(count)

    def until(self, text: str) -> bytes:
        """The client must send bytes that end so."""
        self.flush()
        return self._until(render(text, self.names), f"bytes up to {text!r}")

    def eof(self) -> None:
        """The client must end its half now, without another byte."""
        self.flush()
        if self.wire.buffer or self._more():
            raise Mismatch(f"expected the client's end, got {_brief(self.wire.buffer)}")

    # What goes wrong

    def starttls(self) -> None:
        """TLS from here on; a failed handshake ends the conversation and is noted in `tls_failures`."""
        self.flush()
        self.upgrade(self._stage.starttls_context())

    def upgrade(self, context: ssl.SSLContext) -> None:
        """Shake hands by this context."""
        try:
            self.wire.start_tls(context)
        except OSError as error:
            self._stage.tls_failures.append(error)
            raise Over from error

    def wait(self, name: str) -> None:
        """Go on when the test says `release(name)`."""
        self.flush()
        if not self._stage.stand_at(name):
            raise Gone

    def pause(self, milliseconds: float) -> None:
        """Rest for a while, in milliseconds of the tests' time."""
        self.flush()
        if self._stage.stopping.wait(milliseconds * MS):
            raise Gone

    def drip(self, size: int, milliseconds: float) -> None:
        """From here on speak `size` bytes at a time, with a rest between them; a size of 0 ends that."""
        self.flush()
        self._drip = (size, milliseconds * MS) if size else None

    def silence(self) -> None:
        """Say nothing more, but listen, until the client leaves."""
        self.flush()
        while self._more():
            pass
        raise Over

    def shut(self) -> None:
        """End the server's half, without close_notify, and go on listening."""
        self.flush()
        self.wire.shut()

    def close(self) -> None:
        """End in order: say so, and wait for the client's end, which must come without another word."""
        self.flush()
        self.wire.finish()
        if self.wire.buffer or self._more():
            raise Mismatch(f"the conversation was over, and the client said {_brief(self.wire.buffer)}")
        raise Over

    def cut(self) -> None:
        """Close the socket at once, without a word of TLS."""
        self.flush()
        self.wire.drain()
        raise Over

    def reset(self) -> None:
        """End the connection by an RST."""
        self.flush()
        self.wire.linger()
        raise Over

    def garbage(self, count: int) -> None:
        """Say `count` bytes without sense, the same ones each time."""
        self.send_bytes(random.Random(count).randbytes(count))

    def endless(self, text: str = "x", *, line_end: str = "") -> None:
        """Say the same again and again, until the client leaves."""
        self.flush()
        piece = render(text + line_end, self.names)
        block = piece * max(1, 16384 // len(piece))
        while not self._stage.stopping.is_set():
            self._attempt(self.wire.send, block)
            time.sleep(0)  # let the client's thread have its turn: a flood must not be a freeze
        raise Over

    # How it is done

    def play(self, steps: list[Step]) -> None:
        """Hold a conversation to its end, which is an orderly close."""
        for position, step in enumerate(steps):
            try:
                _PLAYERS[step.verb](self, step.argument)
            except Mismatch as mismatch:
                raise Mismatch(f"line {step.line}: {mismatch}") from None
            except Gone:
                for missed in steps[position:]:
                    if missed.verb in HEARING:
                        raise Mismatch(f"line {missed.line}: the client left before {_written(missed)!r}") from None
                raise
        self.close()

    def _attempt(self, send: Callable[[bytes], None], data: bytes) -> None:
        """Send; a client that no longer takes it has left."""
        try:
            send(data)
        except OSError as error:
            while self._more():  # what it had said before is still to be recorded
                pass
            raise Gone from error

    def _until(self, end: bytes, what: str) -> bytes:
        searched = 0
        while (found := self.wire.buffer.find(end, searched)) < 0:
            searched = max(0, len(self.wire.buffer) - len(end) + 1)
            if len(self.wire.buffer) > _LONGEST_LINE and end == b"\n":
                raise Mismatch(f"expected {what}, got a line of more than {_LONGEST_LINE} bytes")
            self._fill(what)
        return self._heard(found + len(end))

    def _heard(self, count: int) -> bytes:
        data = self.wire.take(count)
        self.transcript.append(f"C: {_brief(data)}")
        return data

    def _fill(self, what: str) -> None:
        if not self._more():
            raise Mismatch(f"expected {what}, but the client left after {_brief(self.wire.buffer)}")

    def _more(self) -> bool:
        try:
            return self.wire.fill()
        except TimeoutError:
            raise Mismatch(f"the client did nothing for {self.wire.socket.gettimeout():g} s") from None
        finally:
            self._stage.heard()


def _brief(data: bytes | bytearray) -> str:
    return repr(bytes(data)) if len(data) <= 200 else f"{bytes(data[:200])!r} and {len(data) - 200} bytes more"


def _written(step: Step) -> str:
    return f"{step.verb} {step.argument}".strip()


def _drip(talk: Talk, argument: str) -> None:
    size, _, rest = argument.partition(" ")
    talk.drip(0 if size == "off" else int(size), float(rest or 0))


def _endless(talk: Talk, argument: str) -> None:
    what, _, text = argument.partition(" ")
    talk.endless(text or "x", line_end={"line": "", "reply": r"\r\n"}[what])


_PLAYERS: dict[str, Callable[[Talk, str], object]] = {
    "S:": Talk.say,
    "C:": Talk.expect,
    "send": Talk.send,
    "raw": Talk.raw,
    "dump": Talk.dump,
    "read": lambda talk, argument: talk.read(int(render(argument, talk.names))),
    "until": Talk.until,
    "expect": lambda talk, argument: talk.expect_bytes(render(argument, talk.names)),
    "eof": lambda talk, _: talk.eof(),
    "starttls": lambda talk, _: talk.starttls(),
    "wait": Talk.wait,
    "pause": lambda talk, argument: talk.pause(float(argument)),
    "drip": _drip,
    "silence": lambda talk, _: talk.silence(),
    "shut": lambda talk, _: talk.shut(),
    "close": lambda talk, _: talk.close(),
    "cut": lambda talk, _: talk.cut(),
    "reset": lambda talk, _: talk.reset(),
    "garbage": lambda talk, argument: talk.garbage(int(argument)),
    "endless": _endless,
}
