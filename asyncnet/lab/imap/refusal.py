"""Bad, No: how a command fails (RFC 9051 §7.1). They never leave the server, which answers with them."""

from __future__ import annotations


class Bad(Exception):
    """The command breaks the grammar, or comes at the wrong time: it is answered BAD."""

    def __init__(self, text: str, *, code: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.code = code


class No(Exception):
    """The command is understood and cannot be done: it is answered NO.

    Args:
        text: why, for a human.
        code: the response code of RFC 9051 §7.1, without brackets: `TRYCREATE`, `NONEXISTENT`...
    """

    def __init__(self, text: str, *, code: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.code = code
