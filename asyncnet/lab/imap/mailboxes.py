"""CREATE, DELETE, RENAME, SUBSCRIBE, UNSUBSCRIBE (RFC 9051 §6.3.4 to §6.3.8)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from asyncnet.errors import UsageError
from asyncnet.lab.imap.command import Command
from asyncnet.lab.imap.refusal import Bad, No
from asyncnet.lab.imap.session import Session
from asyncnet.lab.store import MailboxExists, NoMailbox

_USES = {use.lower(): use for use in ("\\Archive", "\\Drafts", "\\Flagged", "\\Junk", "\\Sent", "\\Trash")}


async def create(session: Session, command: Command) -> str:
    """CREATE, with a special use where one is wanted (RFC 6154 §3)."""
    arguments = command.arguments
    arguments.space()
    name = session.read_name(arguments)
    use = None
    if not arguments.is_done:
        arguments.space()
        arguments.expect(b"(")
        if arguments.word() != "USE":
            raise Bad("USE expected")
        arguments.space()
        uses = arguments.flags()
        arguments.expect(b")")
        use = _USES.get(uses[0].lower()) if len(uses) == 1 else None
        if use is None:
            raise No("no such use here", code="USEATTR")
    arguments.end()
    with _refusing():
        session.signed_in.create(name, use)
    return "made"


async def delete(session: Session, command: Command) -> str:
    """DELETE."""
    name = _only_name(session, command)
    view = session.view
    with _refusing():
        mailbox = session.signed_in.mailbox(name)
        session.signed_in.delete(name)
    if view is not None and view.mailbox is mailbox:
        session.leave()
        await session.write(b"* OK [CLOSED] it was open\r\n")
    return "gone"


async def rename(session: Session, command: Command) -> str:
    """RENAME."""
    arguments = command.arguments
    arguments.space()
    old = session.read_name(arguments)
    arguments.space()
    new = session.read_name(arguments)
    arguments.end()
    with _refusing():
        session.signed_in.rename(old, new)
    return "renamed"


async def subscribe(session: Session, command: Command) -> str:
    """SUBSCRIBE; there must be such a mailbox."""
    name = _only_name(session, command)
    session.signed_in.subscribe(session.mailbox(name).name)
    return "subscribed"


async def unsubscribe(session: Session, command: Command) -> str:
    """UNSUBSCRIBE; it need not be there any more."""
    session.signed_in.unsubscribe(_only_name(session, command))
    return "unsubscribed"


def _only_name(session: Session, command: Command) -> str:
    command.arguments.space()
    name = session.read_name(command.arguments)
    command.arguments.end()
    return name


@contextlib.contextmanager
def _refusing() -> Iterator[None]:
    """Make a NO of what the store refuses."""
    try:
        yield
    except NoMailbox:
        raise No("there is no such mailbox", code="NONEXISTENT") from None
    except MailboxExists:
        raise No("there is such a mailbox", code="ALREADYEXISTS") from None
    except UsageError:
        raise No("that cannot be done with this name", code="CANNOT") from None
