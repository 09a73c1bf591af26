"""Reply: what a worker tells, as bytes that come home. Pure.

A worker may have modules that the home has not, and what its jobs give is theirs: a value or an error that is not plain
is packed by itself (Sealed). What cannot be unpacked at home is the failure of its own job, and of no other.
"""

from __future__ import annotations

import io
import math
import pickle
from dataclasses import dataclass, replace
from typing import Any

from asyncnet.errors import LimitError, NetError, ProtocolError, UsageError, printable
from asyncnet.jobs.job import Outcome
from asyncnet.jobs.records import weight

_PLAIN = frozenset({type(None), bool, int, float, str, bytes})
_RESPONSE, _ERRORS = "asyncnet.http.response", "asyncnet.errors"

_MOST = 1 << 31
"""Counts beyond this are none: nobody tries so often, and no reply is so big."""

Ended = tuple[int, Outcome[Any]]
Trouble = tuple[int, Exception, float]
"""an attempt that failed: number of the job, its error, the seconds until the next"""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a worker tells at the end of a lease.

    Args:
        ended: outcomes, by the numbers of their jobs.
        troubles: attempts that failed, of those and others.
        held: how many jobs it has yet, or has the outcomes of.
    """

    ended: list[Ended]
    troubles: list[Trouble]
    held: int = 0


@dataclass(frozen=True, slots=True)
class Sealed:
    """A value or an error, packed by itself.

    Args:
        data: it; empty if it cannot be packed.
        shown: what it is, in words, for those who cannot unpack it.
        transient: of an error, whether it may pass.
        outcome_unknown: of an error, whether it may have been done nevertheless.
    """

    data: bytes
    shown: str
    transient: bool = False
    outcome_unknown: bool = False

    @classmethod
    def of_error(cls, error: Exception) -> Sealed:
        """Seal an error."""
        flags = [getattr(error, name, False) is True for name in ("transient", "outcome_unknown")]
        return cls(_packed(error), _named(error), *flags)

    def open_error(self) -> Exception:
        """Give the error, or one of ours that tells of it."""
        try:
            error = pickle.loads(self.data)
            if isinstance(error, Exception):
                return error
        except Exception:
            pass  # of a class that is not here, or that cannot be made anew: it raises what it likes
        told = NetError(printable(str(self.shown)), transient=self.transient is True)
        told.outcome_unknown = self.outcome_unknown is True
        return told


def fit(outcome: Outcome[Any], max_bytes: int) -> Outcome[Any]:
    """Give an outcome that may travel: this one, unless its value is too big."""
    size = weight(outcome.value)
    if size <= max_bytes:
        return outcome
    why = f"a result of {size} bytes does not travel from worker to home: at most {max_bytes} do"
    return replace(outcome, value=None, error=LimitError(why, limit=max_bytes))


# At the worker.


def told(reply: Reply) -> bytes:
    """Pack a reply; an outcome whose value cannot be packed has failed."""
    ended = [(number, _sealed(outcome)) for number, outcome in reply.ended]
    troubles = [(number, Sealed.of_error(error), delay) for number, error, delay in reply.troubles]
    return bare((ended, troubles, reply.held))


def told_error(error: Exception) -> bytes:
    """Pack what a call of the worker has failed with."""
    return bare(Sealed.of_error(error))


def _sealed(outcome: Outcome[Any]) -> Outcome[Any]:
    error, value = outcome.error, outcome.value
    if error is not None:
        return outcome if _is_plain(error) else _failed(outcome, error)
    if type(value) in _PLAIN or type(value).__module__ == _RESPONSE:
        return outcome
    kind = type(value).__name__
    try:
        return replace(outcome, value=Sealed(bare(value), kind))
    except Exception as failure:
        why = f"its value, a {kind}, cannot travel from worker to home: {printable(_text(failure))}"
        return replace(outcome, value=None, error=UsageError(why))


class _Teller(pickle.Pickler):
    def reducer_override(self, value: Any) -> Any:
        # As it packs itself: tblib's picklers, which Dask installs, would take along what led to it, and with that what
        # no error of ours tells.
        return value.__reduce_ex__(5) if isinstance(value, BaseException) else NotImplemented


def bare(value: object) -> bytes:
    """Pack a value; errors in it go without cause, context and traceback."""
    file = io.BytesIO()
    _Teller(file, protocol=5).dump(value)
    return file.getvalue()


def _packed(error: Exception) -> bytes:
    try:
        return bare(error)
    except Exception:
        return b""


def _failed(outcome: Outcome[Any], error: Exception) -> Outcome[Any]:
    sealed: Any = Sealed.of_error(error)
    return replace(outcome, error=sealed)


def _is_plain(error: Exception) -> bool:
    """Whether it is one of ours, and holds nothing that is not."""
    if type(error).__module__ != _ERRORS:
        return False
    return _PLAIN.issuperset(map(type, error.args)) and _PLAIN.issuperset(map(type, vars(error).values()))


def _named(error: Exception) -> str:
    return printable(f"{type(error).__name__}: {_text(error)}")


def _text(error: Exception) -> str:
    try:
        return str(error)
    except Exception:  # the error of a class that cannot be shown
        return "?"


# At home.


def heard(data: object) -> Reply:
    """Unpack a reply. Of what is told wrongly, the outcome of a job becomes its failure, and the rest is left out.

    Raises:
        ProtocolError: it is none.
    """
    try:
        ended, troubles, held = pickle.loads(data)  # type: ignore[arg-type]
        reply = Reply([], [], int(held))
        for entry in ended:
            match entry:
                case (int(number), outcome):
                    reply.ended.append((number, _opened(outcome)))
        for entry in troubles:
            match entry:
                case (int(number), Sealed() as error, float() | int() as delay) if 0 <= delay < math.inf:
                    reply.troubles.append((number, error.open_error(), delay))
    except Exception as error:  # what pickle raises for garbage is anything
        what = f"{type(error).__name__}: {printable(_text(error))}"
        raise ProtocolError(f"what a worker told is no reply of this version of asyncnet: {what}") from error
    return reply


def heard_error(data: object) -> Exception:
    """Unpack what a call of a worker has failed with."""
    try:
        error = pickle.loads(data)  # type: ignore[arg-type]
        if isinstance(error, Sealed):
            return error.open_error()
    except Exception:
        pass
    return ProtocolError("the worker failed, and what it tells of it cannot be read")


def _opened(outcome: object) -> Outcome[Any]:
    if not isinstance(outcome, Outcome) or not _is_sound(outcome):
        return Outcome("", None, ProtocolError(f"the worker told no outcome of it, but {type(outcome).__name__}"))
    if isinstance(outcome.error, Sealed):
        return replace(outcome, value=None, error=outcome.error.open_error())
    if not isinstance(outcome.value, Sealed):
        return outcome
    try:
        return replace(outcome, value=pickle.loads(outcome.value.data))
    except Exception as error:
        kind = printable(str(outcome.value.shown), max_characters=80)
        why = f"its value, a {kind}, cannot be made at home: {type(error).__name__}: {printable(_text(error))}"
        return replace(outcome, value=None, error=UsageError(why))


def _is_sound(outcome: Outcome[Any]) -> bool:
    """Whether its fields are what they are to be, as far as others reckon with them."""
    try:
        counts = (outcome.attempts, outcome.received_bytes, outcome.sent_bytes)
        return (
            isinstance(outcome.error, Sealed | NetError | None)
            and all(type(count) is int and 0 <= count < _MOST for count in counts)
            and outcome.attempts > 0
            and isinstance(outcome.seconds, float | int)
            and 0 <= outcome.seconds < math.inf
        )
    except AttributeError:  # made without its fields
        return False
