"""LIST, LSUB, STATUS, NAMESPACE: which mailboxes there are (RFC 9051 §6.3.9 to §6.3.11, RFC 5258, RFC 5819)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from asyncnet.lab.imap.arguments import Arguments
from asyncnet.lab.imap.command import Command
from asyncnet.lab.imap.pattern import Pattern
from asyncnet.lab.imap.refusal import Bad
from asyncnet.lab.imap.session import Session
from asyncnet.lab.mailbox import DELETED, SEEN, Mailbox
from asyncnet.lab.store import SEPARATOR, Account

_MAX_PATTERNS = 20
_MAX_PATTERN = 1_000
_STATUS_ITEMS = (
    "MESSAGES",
    "RECENT",
    "UIDNEXT",
    "UIDVALIDITY",
    "UNSEEN",
    "DELETED",
    "SIZE",
    "HIGHESTMODSEQ",
    "APPENDLIMIT",
)


@dataclass(slots=True)
class _Wish:
    """What LIST is asked for."""

    reference: str = ""
    patterns: list[str] = field(default_factory=list)
    select: frozenset[str] = frozenset()
    returns: set[str] = field(default_factory=set)
    status: list[str] = field(default_factory=list)


async def list_(session: Session, command: Command) -> str:
    """LIST."""
    wish = _wish(session, command.arguments)
    if wish.patterns == [""]:  # RFC 9051 §6.3.9: what separates the levels, and where they begin
        await session.write(b'* LIST (\\Noselect) "/" ""\r\n')
        return "that is it"
    account, patterns = session.signed_in, [Pattern(_checked(wish.reference + text)) for text in wish.patterns]
    parents = {above for mailbox in account for above in _above(mailbox.name)}
    for name in sorted(_names(account, wish), key=lambda one: (one != "INBOX", one)):
        if not any(pattern.fits(name) for pattern in patterns):
            continue
        attributes = _attributes(account, name, wish, has_children=name in parents)
        if "SPECIAL-USE" in wish.select and not (name in account and account.mailbox(name).special_use):
            continue
        await session.write(_line(session, "LIST", attributes, name))
        if wish.status and name in account:
            await session.write(_status_line(session, account.mailbox(name), wish.status))
    return "that is all"


async def lsub(session: Session, command: Command) -> str:
    """LSUB, the LIST of subscriptions before RFC 5258 (RFC 3501 §6.3.9)."""
    arguments = command.arguments
    arguments.space()
    reference = session.read_name(arguments)
    arguments.space()
    text = _checked(session.decoded_name(arguments.list_mailbox()))
    arguments.end()
    names = session.signed_in.subscriptions
    # With "%", a level above of what is subscribed to is told too, and cannot be opened by that.
    above = {one for name in names for one in _above(name)} - names if text.endswith("%") else set[str]()
    pattern = Pattern(_checked(reference + text))
    for name in sorted(names | above):
        if pattern.fits(name):
            await session.write(_line(session, "LSUB", ["\\Noselect"] if name in above else [], name))
    return "that is all"


async def namespace(session: Session, command: Command) -> str:
    """NAMESPACE (RFC 2342): all is one's own."""
    command.arguments.end()
    await session.write(b'* NAMESPACE (("" "/")) NIL NIL\r\n')
    return "that is all"


async def status(session: Session, command: Command) -> str:
    """STATUS."""
    arguments = command.arguments
    arguments.space()
    name = session.read_name(arguments)
    arguments.space()
    items = _status_items(arguments)
    arguments.end()
    mailbox = session.mailbox(name)
    if "HIGHESTMODSEQ" in items:
        session.enabled.add("CONDSTORE")  # RFC 7162 §3.1
    await session.write(_status_line(session, mailbox, items))
    return "that is it"


def _wish(session: Session, arguments: Arguments) -> _Wish:
    wish = _Wish()
    arguments.space()
    if arguments.next_is(b"("):
        wish.select = frozenset(arguments.words())
        if wish.select - {"SUBSCRIBED", "REMOTE", "RECURSIVEMATCH", "SPECIAL-USE"} or wish.select == {"RECURSIVEMATCH"}:
            raise Bad("there is no such option")
        arguments.space()
    wish.reference = session.read_name(arguments)
    arguments.space()
    if arguments.skip(b"("):
        while not arguments.skip(b")"):
            if wish.patterns:
                arguments.space()
            wish.patterns.append(_checked(session.decoded_name(arguments.list_mailbox())))
            if len(wish.patterns) > _MAX_PATTERNS:
                raise Bad("too many patterns")
    else:
        wish.patterns.append(_checked(session.decoded_name(arguments.list_mailbox())))
    if not arguments.is_done:
        arguments.space()
        if arguments.word() != "RETURN":
            raise Bad("RETURN expected")
        arguments.space()
        _returns(arguments, wish)
    arguments.end()
    return wish


def _returns(arguments: Arguments, wish: _Wish) -> None:
    arguments.expect(b"(")
    while not arguments.skip(b")"):
        if wish.returns:
            arguments.space()
        name = arguments.word()
        if name not in ("SUBSCRIBED", "CHILDREN", "SPECIAL-USE", "STATUS"):
            raise Bad("there is no such option of RETURN")
        wish.returns.add(name)
        if name == "STATUS":
            arguments.space()
            wish.status = _status_items(arguments)


def _checked(pattern: str) -> str:
    if len(pattern) > _MAX_PATTERN:
        raise Bad("a pattern that is too long")
    return pattern


def _names(account: Account, wish: _Wish) -> set[str]:
    if "SUBSCRIBED" in wish.select:
        names = set(account.subscriptions)
        if "RECURSIVEMATCH" in wish.select:
            names |= {above for name in names for above in _above(name)}
        return names
    names = {mailbox.name for mailbox in account}
    return names | {above for name in names for above in _above(name)}


def _above(name: str) -> Iterator[str]:
    """Give the levels that a name lies below."""
    at = name.find(SEPARATOR)
    while at > 0:
        yield name[:at]
        at = name.find(SEPARATOR, at + 1)


def _attributes(account: Account, name: str, wish: _Wish, *, has_children: bool) -> list[str]:
    attributes = []
    if name not in account:
        attributes += ["\\NonExistent", "\\Noselect"]
    attributes.append("\\HasChildren" if has_children else "\\HasNoChildren")
    if name in account and (use := account.mailbox(name).special_use):
        attributes.append(use)
    if wish.returns & {"SUBSCRIBED"} or "SUBSCRIBED" in wish.select:
        attributes += ["\\Subscribed"] if name in account.subscriptions else []
    return attributes


def _line(session: Session, word: str, attributes: list[str], name: str) -> bytes:
    return f'* {word} ({" ".join(attributes)}) "/" '.encode() + session.written_name(name) + b"\r\n"


def _status_items(arguments: Arguments) -> list[str]:
    items = arguments.words()
    if not items or not set(items) <= set(_STATUS_ITEMS):
        raise Bad("there is no such item of STATUS")
    return items


def _status_line(session: Session, mailbox: Mailbox, items: list[str]) -> bytes:
    counts = {
        "MESSAGES": lambda: len(mailbox),
        "RECENT": lambda: len(mailbox.recent),
        "UIDNEXT": lambda: mailbox.uid_next,
        "UIDVALIDITY": lambda: mailbox.uid_validity,
        "UNSEEN": lambda: sum(SEEN not in one.flags for one in mailbox),
        "DELETED": lambda: sum(DELETED in one.flags for one in mailbox),
        "SIZE": lambda: mailbox.size_bytes,
        "HIGHESTMODSEQ": lambda: mailbox.highest_modseq,
        "APPENDLIMIT": lambda: session.lab.max_message_bytes,
    }
    told = " ".join(f"{item} {counts[item]()}" for item in items)
    return b"* STATUS " + session.written_name(mailbox.name) + f" ({told})\r\n".encode()
