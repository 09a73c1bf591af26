"""The one tree of errors: each class is a different next step for the caller.

    NetError(Exception)                      every failure that leaves asyncnet
    ├── UsageError(ValueError)               fix the call; raised before a byte is sent
    │   ├── InvalidEndpoint                  the URL cannot be used
    │   └── ClosedError                      used after aclose(), or after the session was lost
    ├── ConnectError(ConnectionError)        never got there: name, route, refusal    transient
    │   └── TLSError                         handshake or certificate                 not transient
    ├── DisconnectedError(ConnectionError)   the peer left in mid-talk                transient
    │   └── IncompleteRead(EOFError)         .partial .expected
    ├── DeadlineError(TimeoutError)          .seconds                                 transient
    ├── ProtocolError                        the peer broke its grammar               not transient
    │   └── LimitError                       a line, body or reply beyond max_...     .limit
    ├── RefusedError                         understood, and the answer is no         .code .text, transient by code
    │   ├── AuthenticationError              the secret was not accepted, or cannot be sent
    │   ├── RecipientsRefused                nobody would receive it                  .refused
    │   └── StatusError                      raise_for_status() alone
    └── AllFailed                            first_of had no winner                   .errors, transient if any is

`str(error)` is one line: operation, endpoint, what happened. It holds no secret and no control character of the
peer's. Every error survives pickling with all its fields, though not with its cause.

`transient` follows the class, and for a RefusedError the peer's code, which each protocol reads in its own way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

_MAX_TEXT = 300
"""How much of a peer's text an error shows: enough for any real reply, too little to fill a log."""


def printable(text: str | bytes, *, max_characters: int = _MAX_TEXT) -> str:
    """Give `text` as one line that is safe to show: bounded, control and undecodable characters escaped.

    What does not fit ends in "...". Escaped are also the characters that turn the writing direction around, and halves
    of surrogate pairs, which no terminal or file takes.
    """
    if isinstance(text, bytes):  # four bytes make a character, and one character too many shows that it was cut
        text = text.strip()[: 4 * (max_characters + 1)].decode("utf-8", "backslashreplace")
    text = text.strip()
    cut = text[:max_characters]
    if not cut.isprintable():
        cut = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in cut)
    return cut if len(text) <= max_characters >= len(cut) else cut[:max_characters] + "..."


class NetError(Exception):
    """A failure that leaves asyncnet; the root of the tree.

    Attributes:
        endpoint: where, as a URL without its query, or None.
        operation: what was being done (`connect`, `RETR`, `GET`...), or None.
        transient: whether the same call may succeed later.
        outcome_unknown: whether the peer may have done what was asked all the same: all of it was sent, and the
            answer was lost. Such an error is never transient: doing it again could do it twice.
    """

    _transient: ClassVar[bool] = False
    outcome_unknown: bool = False

    def __init__(
        self,
        message: str = "",
        *,
        endpoint: object = None,
        operation: str | None = None,
        transient: bool | None = None,
    ) -> None:
        super().__init__(printable(message, max_characters=2 * _MAX_TEXT))
        where = None if endpoint is None else getattr(endpoint, "redacted", None) or str(endpoint)
        self.endpoint: str | None = where and printable(where)  # so that a long URL hides no reason
        self.operation = operation
        self.transient: bool = self._transient if transient is None else transient

    @property
    def message(self) -> str:
        """What happened, without operation and endpoint."""
        return str(self.args[0]) if self.args else ""

    def __str__(self) -> str:
        """One line: operation, endpoint, what happened."""
        where = " ".join(part for part in (self.operation, self.endpoint) if part)
        what = self.message or type(self).__name__
        return printable(f"{where}: {what}" if where else what, max_characters=3 * _MAX_TEXT)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (type(self), self.args, self.__dict__)


def _rebuilt(kind: type[NetError], args: tuple[Any, ...], state: dict[str, Any]) -> NetError:
    # Not by calling the class: keyword-only fields would be lost (BaseException.__reduce__ hands on args alone).
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(state)
    return error


class UsageError(NetError, ValueError):
    """The call itself is wrong; raised before a byte is sent."""


class InvalidEndpoint(UsageError):
    """The URL cannot be used: unknown scheme, no host, bad port, a password in it."""


class ClosedError(UsageError):
    """Used after `aclose()`, or after a deadline, a cancellation or a lost peer closed it."""


class ConnectError(NetError, ConnectionError):
    """The connection was never made: no such name, no route, refused."""

    _transient = True


class TLSError(ConnectError):
    """The TLS handshake failed or the certificate was not trusted; not transient."""

    _transient = False


class DisconnectedError(NetError, ConnectionError):
    """The peer left in mid-talk: closed, reset, or said goodbye."""

    _transient = True


class IncompleteRead(DisconnectedError, EOFError):
    """The peer ended before all that was asked for (or announced) had come.

    Attributes:
        partial: the bytes that did come.
        expected: how many were wanted, or None where only an end mark was.
    """

    def __init__(
        self,
        message: str = "",
        *,
        partial: bytes = b"",
        expected: int | None = None,
        endpoint: object = None,
        operation: str | None = None,
        transient: bool | None = None,
    ) -> None:
        wanted = "more" if expected is None else f"{expected} bytes"
        text = message or f"the peer ended after {len(partial)} bytes; {wanted} expected"
        super().__init__(text, endpoint=endpoint, operation=operation, transient=transient)
        self.partial = partial
        self.expected = expected


class DeadlineError(NetError, TimeoutError):
    """The deadline passed; what was open has been aborted.

    Attributes:
        seconds: the limit that passed.
    """

    _transient = True

    def __init__(
        self,
        message: str = "",
        *,
        seconds: float,
        endpoint: object = None,
        operation: str | None = None,
        transient: bool | None = None,
    ) -> None:
        text = message or f"not done within {seconds:g} seconds"
        super().__init__(text, endpoint=endpoint, operation=operation, transient=transient)
        self.seconds = seconds


class ProtocolError(NetError):
    """The peer broke the grammar of its protocol; nothing more it says can be trusted."""


class LimitError(ProtocolError):
    """A line, body or reply went beyond a limit of the caller's.

    Attributes:
        limit: the limit, in the unit of its name (`max_..._bytes`: bytes), or None where it has no number.
    """

    def __init__(
        self,
        message: str = "",
        *,
        limit: int | None = None,
        endpoint: object = None,
        operation: str | None = None,
        transient: bool | None = None,
    ) -> None:
        super().__init__(message, endpoint=endpoint, operation=operation, transient=transient)
        self.limit = limit


class RefusedError(NetError):
    """The peer understood, and the answer is no; transient only where the caller's protocol reads the code so.

    Attributes:
        code: the peer's code as its protocol writes it: `550`, `"NO"`, `"-ERR"`, `503`; None if it gave none.
        text: the peer's words, bounded and printable.
        retry_after: seconds the peer asked to wait, or None.
    """

    def __init__(
        self,
        message: str = "",
        *,
        code: int | str | None = None,
        text: str | bytes = "",
        retry_after: float | None = None,
        endpoint: object = None,
        operation: str | None = None,
        transient: bool | None = None,
    ) -> None:
        said = printable(text)
        reply = " ".join(str(part) for part in (code, said) if part not in (None, ""))
        default = f"refused ({reply})" if reply else "refused"
        super().__init__(message or default, endpoint=endpoint, operation=operation, transient=transient)
        self.code = code
        self.text = said
        self.retry_after = retry_after


class AuthenticationError(RefusedError):
    """The login was refused, or no offered mechanism can be used; the secret is in none of its fields."""


class RecipientsRefused(RefusedError):
    """No recipient was accepted, so nothing was sent.

    Attributes:
        refused: address -> (code, text) of each, the text bounded and printable.
    """

    def __init__(
        self,
        message: str = "",
        *,
        refused: Mapping[str, tuple[int, str]],
        code: int | str | None = None,
        text: str | bytes = "",
        endpoint: object = None,
        operation: str | None = None,
        transient: bool | None = None,
    ) -> None:
        replies = {address: (reply, printable(said)) for address, (reply, said) in refused.items()}
        first_code, first_text = next(iter(replies.values()), (None, ""))
        if transient is None:
            transient = bool(replies) and all(400 <= reply < 500 for reply, _ in replies.values())
        super().__init__(
            message or f"all {len(replies)} recipients refused ({first_code} {first_text})",
            code=code if code is not None else first_code,
            text=text or first_text,
            endpoint=endpoint,
            operation=operation,
            transient=transient,
        )
        self.refused = replies


class StatusError(RefusedError):
    """An HTTP status of 400 or more, raised by `raise_for_status()` alone; `code` is the status."""


class AllFailed(NetError):
    """Every branch of `first_of` failed.

    Attributes:
        errors: what each branch ended with, in order.
    """

    def __init__(
        self,
        message: str = "",
        *,
        errors: Sequence[Exception] = (),
        endpoint: object = None,
        operation: str | None = None,
        transient: bool | None = None,
    ) -> None:
        if transient is None:
            transient = any(getattr(error, "transient", False) for error in errors)
        last = f"; the last: {errors[-1]}" if errors else ""
        super().__init__(
            message or f"all {len(errors)} failed{last}", endpoint=endpoint, operation=operation, transient=transient
        )
        self.errors = tuple(errors)
