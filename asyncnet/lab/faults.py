"""Faults: what a server of the lab does wrong, as values, and the rules that say when.

A `Fault` is a value: any of its verbs may be combined, as long as one of them ends the answer at most. It is applied
where bytes leave the server (see wire.py), so it is the same for every protocol; only what a refusal or a goodbye looks
like differs. `Faults` holds the rules; before each command a server asks it by `meet`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Literal

from asyncnet.errors import UsageError

if TYPE_CHECKING:
    from asyncnet.lab.chaos import Chaos

PROTOCOLS = frozenset({"smtp", "pop3", "imap", "http", "echo"})

CONNECT, TLS, PUSH, MESSAGE = "CONNECT", "TLS", "PUSH", "MESSAGE"
"""Moments that are not commands: a client has come (the greeting is the answer); a TLS handshake begins; a server
speaks unasked (IMAP IDLE); the last byte of a mail has come (SMTP, after DATA or BDAT LAST)."""

Certificate = Literal["expired", "wrong-name", "self-signed"]
_ENDINGS = ("refuse", "bye", "reply", "silence", "garbage", "endless_line", "endless_reply", "lose_answer", "greylist")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What goes wrong with one answer.

    In place of the answer, the command not being done:
        refuse: the protocol's no (`550`, `-ERR`, `NO`); at CONNECT the connection is reset before a byte.
        bye: the protocol's goodbye (`421`, `-ERR`, `* BYE`), and the connection is closed.
        reply: exactly these bytes; `{tag}` in them is IMAP's tag.
        greylist: SMTP's 450 the first time a recipient is named, and yes from then on.
        silence: nothing; what the client sends is read and dropped from then on, until it leaves.
        garbage: so many random bytes.
        endless_line: a line that never ends.
        endless_reply: lines without end, each of them fit to go before another.

    With the answer, the command being done:
        lose_answer: nothing of it is sent, and the connection is closed.
        cut_after: the connection is closed after so many bytes of the answer (over TLS without a goodbye).
        reset_after: as `cut_after`, by a reset (RST).
        delay: seconds that every byte of the answer is on its way; pipelined commands wait side by side.
        drip: seconds between one byte and the next.
        throttle: bytes a second.
        literal_lie: so many bytes are added to the size that each literal announces (IMAP's `{n}`); may be below 0.
        inject: these bytes stand right behind the answer, in the same piece; after STARTTLS in plaintext.
        duplicate: what is sent is sent twice.

    About TLS:
        strip: a capability of the name of the command is not offered, and the command not known (`STARTTLS`).
        certificate: the one that is shown: `expired`, `wrong-name` or `self-signed`.
    """

    refuse: bool = False
    bye: bool = False
    reply: bytes | None = None
    greylist: bool = False
    silence: bool = False
    garbage: int = 0
    endless_line: bool = False
    endless_reply: bool = False
    lose_answer: bool = False
    cut_after: int | None = None
    reset_after: int | None = None
    delay: float = 0.0
    drip: float = 0.0
    throttle: int | None = None
    literal_lie: int = 0
    inject: bytes = b""
    duplicate: bool = False
    strip: bool = False
    certificate: Certificate | None = None

    def __post_init__(self) -> None:
        endings = [name for name in _ENDINGS if name in self._said()]
        if len(endings) > 1:
            raise UsageError(f"an answer ends in one way, not in {' and '.join(endings)}")
        if self.cut_after is not None and self.reset_after is not None:
            raise UsageError("an answer is cut or reset, not both")
        counts = (self.garbage, self.cut_after or 0, self.reset_after or 0, self.delay, self.drip)
        if min(counts) < 0 or (self.throttle is not None and self.throttle < 1):
            raise UsageError("a number of bytes or seconds is not below 0, a rate not below 1")
        if not self._said():
            raise UsageError("name what goes wrong: refuse=True, cut_after=1000, delay=0.03 ...")

    def __repr__(self) -> str:
        return f"Fault({', '.join(f'{name}={value!r}' for name, value in self._said().items())})"

    def beside(self, other: Fault) -> Fault | None:
        """Give both in one, where they can happen together; None where they exclude each other."""
        mine, others = self._said(), other._said()
        if mine.keys() & others.keys():
            return None
        try:
            return replace(self, **others)
        except UsageError:
            return None

    def _said(self) -> dict[str, Any]:
        # An explicit cut_after=0 counts; a False, a None or an empty text does not.
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        unsaid = (False, None, b"")
        return {
            name: value
            for name, value in values.items()
            if value not in unsaid or (value == 0 and name in ("cut_after", "reset_after") and value is not None)
        }


@dataclass(slots=True)
class Rule:
    """A fault and when it happens; made by `Faults.on`.

    Attributes:
        protocol, verb, matching: where; see `Faults.on`.
        fault: what.
        times: how often still; None is every time.
        after: how many times it is passed over first, still.
        met: how often it has happened.
    """

    protocol: str
    verb: str | None
    matching: str
    fault: Fault
    times: int | None
    after: int
    met: int = field(default=0)

    def fits(self, protocol: str, verb: str, text: str) -> bool:
        """Whether it speaks of this command."""
        if self.protocol != protocol or (self.verb is not None and self.verb != verb):
            return False
        if self.verb is None and verb in (TLS, PUSH):
            return False  # these happen beside the commands
        return self.matching.lower() in text.lower()

    def take(self) -> bool:
        """Whether it happens now; counts."""
        if self.after > 0:
            self.after -= 1
            return False
        if self.times is not None:
            if self.times < 1:
                return False
            self.times -= 1
        self.met += 1
        return True


class Faults:
    """The rules of a lab, the first that fits counting, and its chaos."""

    def __init__(self) -> None:
        self._rules: list[Rule] = []
        self.chaos: Chaos | None = None
        self._greylisted: set[str] = set()

    def on(
        self,
        protocol: str,
        verb: str | None = None,
        *,
        times: int | None = None,
        after: int = 0,
        matching: str = "",
        refuse: bool = False,
        bye: bool = False,
        reply: bytes | None = None,
        greylist: bool = False,
        silence: bool = False,
        garbage: int = 0,
        endless_line: bool = False,
        endless_reply: bool = False,
        lose_answer: bool = False,
        cut_after: int | None = None,
        reset_after: int | None = None,
        delay: float = 0.0,
        drip: float = 0.0,
        throttle: int | None = None,
        literal_lie: int = 0,
        inject: bytes = b"",
        duplicate: bool = False,
        strip: bool = False,
        certificate: Certificate | None = None,
    ) -> Rule:
        """Let something go wrong from now on; the rule that is given back counts how often it did.

        Args:
            protocol: `smtp`, `pop3`, `imap`, `http` or `echo`.
            verb: the command, any case (`RETR`, `FETCH` for UID FETCH too); or `CONNECT`, `TLS`, `MESSAGE`, `PUSH`.
                None is every command, and CONNECT and MESSAGE.
            times: how often; None is until `clear`.
            after: how many times it goes well first.
            matching: only where the command's line holds this text, any case (a recipient, a mailbox).
            refuse, bye, reply, greylist, silence, garbage, endless_line, endless_reply, lose_answer, cut_after,
            reset_after, delay, drip, throttle, literal_lie, inject, duplicate, strip, certificate: see `Fault`.

        Raises:
            UsageError: an unknown protocol, nothing that goes wrong, things that exclude each other, a number below 0,
                a certificate elsewhere than at "TLS".
        """
        if protocol not in PROTOCOLS:
            raise UsageError(f"no protocol {protocol!r} here; there are {', '.join(sorted(PROTOCOLS))}")
        if after < 0 or (times is not None and times < 1):
            raise UsageError("times= is at least 1, after= at least 0")
        fault = Fault(
            refuse=refuse,
            bye=bye,
            reply=reply,
            greylist=greylist,
            silence=silence,
            garbage=garbage,
            endless_line=endless_line,
            endless_reply=endless_reply,
            lose_answer=lose_answer,
            cut_after=cut_after,
            reset_after=reset_after,
            delay=delay,
            drip=drip,
            throttle=throttle,
            literal_lie=literal_lie,
            inject=inject,
            duplicate=duplicate,
            strip=strip,
            certificate=certificate,
        )
        if (certificate is not None) != ((verb or "").upper() == TLS):
            raise UsageError('certificate= belongs to "TLS", and nothing else does')
        rule = Rule(protocol, verb.upper() if verb else None, matching, fault, times, after)
        self._rules.append(rule)
        return rule

    def clear(self, rule: Rule | None = None) -> None:
        """Let all go well again (chaos too), or take back one rule. What is going wrong already goes on."""
        if rule is not None:
            self._rules = [one for one in self._rules if one is not rule]
            return
        self._rules.clear()
        self._greylisted.clear()
        self.chaos = None

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The rules, in the order in which they are asked."""
        return tuple(self._rules)

    def meet(
        self, protocol: str, verb: str, text: str = "", place: tuple[int, int] = (0, 0), also: str = ""
    ) -> Fault | None:
        """Say what goes wrong with this command; a server asks before it does it. Counts.

        Rules that can happen together do (a delay for all, a cut for one command); else the earlier one happens.

        Args:
            protocol: which server asks.
            verb: the command's name, upper case.
            text: its line, for `matching`.
            place: the number of the conversation in its protocol and of the command in it, for chaos.
            also: another name that rules may know this moment by.
        """
        found: Fault | None = None
        for rule in self._rules:
            if rule.fault.strip or not (rule.fits(protocol, verb, text) or (also and rule.fits(protocol, also, text))):
                continue
            both = rule.fault if found is None else found.beside(rule.fault)
            if both is not None and self._happens(rule, text):
                found = both
        if found is None and self.chaos is not None:
            return self.chaos.draw(protocol, verb, place)
        return found

    def strips(self, protocol: str, capability: str) -> bool:
        """Whether a capability is to be hidden, and its command unknown (a man in the middle took it out)."""
        return any(rule.fault.strip and rule.protocol == protocol and rule.verb == capability for rule in self._rules)

    def _happens(self, rule: Rule, text: str) -> bool:
        if rule.fault.greylist and text.lower() in self._greylisted:
            return False
        happens = rule.take()
        if happens and rule.fault.greylist:
            self._greylisted.add(text.lower())
        return happens
