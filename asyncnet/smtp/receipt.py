"""Receipt: what became of a message, recipient by recipient."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from asyncnet.smtp.reply import Reply


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a message: the server answers for it from now on, for those who were accepted.

    One is returned when the server has said yes to the whole message. An error with `outcome_unknown` bears one, too,
    as `.receipt`: there, `unknown` are those for whom the message may have been taken or not.

    Args:
        accepted: the recipients that the server will deliver to, or tell the sender why not.
        refused: each other recipient with the server's reply, a tuple of code and text that also has `.enhanced` and
            `.is_transient`; 4xx may be accepted later.
        code: of the final reply, 250.
        text: of the final reply; most servers name the message in their queue there.
        message_id: the message's own Message-ID with its angle brackets, or None if it has none.
        unknown: those for whom all was sent, and whose answer was lost with the connection: a second try could be a
            second message. Empty but in the receipt of an error.
    """

    accepted: tuple[str, ...]
    refused: Mapping[str, Reply] = field(default_factory=dict)
    code: int = 250
    text: str = ""
    message_id: str | None = None
    unknown: tuple[str, ...] = ()

    @property
    def enhanced(self) -> str | None:
        """The enhanced status code of the final reply, such as `2.0.0` (RFC 3463), or None."""
        return Reply(self.code, self.text).enhanced
