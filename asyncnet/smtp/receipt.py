"""Receipt: what became of a message, recipient by recipient."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from asyncnet.smtp.reply import Reply


@dataclass(frozen=True, slots=True)
class Receipt:
    """The server took the message, and answers for it from now on, for those who were accepted.

    Args:
        accepted: the recipients that the server will deliver to, or tell the sender why not.
        refused: each other recipient with the server's reply, a tuple of code and text that also has `.enhanced` and
            `.is_transient`; 4xx may be accepted later.
        code: of the final reply, 250.
        text: of the final reply; most servers name the message in their queue there.
        message_id: the message's own Message-ID with its angle brackets, or None if it has none.
    """

    accepted: tuple[str, ...]
    refused: Mapping[str, Reply] = field(default_factory=dict)
    code: int = 250
    text: str = ""
    message_id: str | None = None

    @property
    def enhanced(self) -> str | None:
        """The enhanced status code of the final reply, such as `2.0.0` (RFC 3463), or None."""
        return Reply(self.code, self.text).enhanced
