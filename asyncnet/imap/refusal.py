"""Refusals: NO and BAD as errors, and which of them time may heal (RFC 5530)."""

from __future__ import annotations

from asyncnet.errors import AuthenticationError, RefusedError
from asyncnet.imap.command import quoted
from asyncnet.imap.response import Status
from asyncnet.sasl import masked

# RFC 5530 §3: the server, not the command, is what is wrong now. LIMIT is there because servers say it of rates too.
_TRANSIENT = frozenset({"UNAVAILABLE", "INUSE", "LIMIT", "SERVERBUG", "EXPUNGEISSUED"})


def refusal(status: Status, endpoint: object, operation: str) -> RefusedError:
    """Give the error for NO (the answer is no) or BAD (the server did not understand; never transient)."""
    return RefusedError(
        code=status.kind, text=_said(status), endpoint=endpoint, operation=operation, transient=_is_transient(status)
    )


def login_refusal(
    status: Status, endpoint: object, secret: str, initial: bytes | None = None, reason: str = ""
) -> RefusedError:
    """Give the error for a login that was refused: of the secret, or of a server that cannot tell now.

    Args:
        status: NO or BAD.
        endpoint: where.
        secret: what is not shown, should the server repeat it.
        initial: the mechanism's initial response, which is not shown either.
        reason: what the mechanism gave as its own.
    """
    is_transient = _is_transient(status)
    kind = RefusedError if is_transient else AuthenticationError
    text = " ".join(part for part in (_said(status), f"({reason})" if reason else "") if part)
    shown = masked(text.replace(quoted(secret), "***"), secret, initial)
    return kind(code=status.kind, text=shown, endpoint=endpoint, operation="login", transient=is_transient)


def _said(status: Status) -> str:
    if status.code is None:
        return status.text
    code = f"{status.code.name} {status.code.text}".strip()
    return f"[{code}] {status.text}"


def _is_transient(status: Status) -> bool:
    return status.kind == "NO" and status.code is not None and status.code.name in _TRANSIENT
