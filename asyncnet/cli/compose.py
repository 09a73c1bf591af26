"""A message from what the command line says: headers, text, attachments."""

from __future__ import annotations

import mimetypes
import os
from collections.abc import Sequence
from email.errors import MessageError
from email.message import EmailMessage
from email.utils import format_datetime, localtime, make_msgid, parseaddr

from asyncnet import UsageError


def compose(sender: str, to: Sequence[str], subject: str, text: str, attachments: Sequence[str] = ()) -> EmailMessage:
    """Make a message.

    Args:
        sender: an address, with or without a name: `Alice <alice@example.org>`.
        to: addresses of the same kind.
        subject: one line.
        text: the body.
        attachments: paths of files; their types follow from their names.

    Raises:
        UsageError: a header that cannot be, or a file that cannot be read.
    """
    message = EmailMessage()
    try:
        message["From"] = sender
        message["To"] = ", ".join(to)
        message["Subject"] = subject
        message["Date"] = format_datetime(localtime())
        # Of the sender's domain: the default would look up the name of this machine, and tell it.
        message["Message-ID"] = make_msgid(domain=parseaddr(sender)[1].rpartition("@")[2] or "localhost")
        message.set_content(text)
        for path in attachments:
            _attach(message, path)
    except (ValueError, MessageError, UnicodeError) as error:
        raise UsageError(f"no message can be made of this: {error}") from error
    return message


def _attach(message: EmailMessage, path: str) -> None:
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    kind, coding = mimetypes.guess_type(path)
    main, _, sub = (kind if kind and not coding else "application/octet-stream").partition("/")
    message.add_attachment(data, maintype=main, subtype=sub, filename=os.path.basename(path))
