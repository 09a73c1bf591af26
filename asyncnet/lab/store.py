"""Store: the one memory behind all servers of a lab: accounts, their mailboxes, and a bound on both. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

from asyncnet.errors import UsageError
from asyncnet.lab.mailbox import Change, Listener, Mailbox, OverQuota

SEPARATOR = "/"
"""between the levels of a mailbox name"""

SPECIAL_USE = {"Sent": "\\Sent", "Drafts": "\\Drafts", "Trash": "\\Trash", "Junk": "\\Junk", "Archive": "\\Archive"}
"""The mailboxes that every account begins with beside INBOX, and what they are for (RFC 6154 §2)."""

_FIRST_UID_VALIDITY = 1000
_MAX_MAILBOXES = 10_000
_MAX_NAME = 1000


class NoMailbox(UsageError):
    """There is no mailbox of that name."""


class MailboxExists(UsageError):
    """There is a mailbox of that name already."""


class Store:
    """All mail of a lab.

    Args:
        max_bytes: what all messages together may take.
        max_messages: how many there may be.

    Attributes:
        accounts: by username.
    """

    def __init__(self, *, max_bytes: int = 268_435_456, max_messages: int = 100_000) -> None:
        self.max_bytes = max_bytes
        self.max_messages = max_messages
        self.accounts: dict[str, Account] = {}
        self.size_bytes = 0
        self.count = 0
        self._addresses: dict[str, Account] = {}
        self._validities = itertools.count(_FIRST_UID_VALIDITY)
        self._listeners: list[Listener] = []

    def add_account(self, username: str, secret: str, *addresses: str) -> Account:
        """Make an account with its usual mailboxes.

        Args:
            username: who signs in.
            secret: the password, and the bearer token too.
            addresses: mail for these goes into its INBOX; `name+anything@domain` is `name@domain`.

        Raises:
            UsageError: the username or an address is taken, or the username is empty or no printable text.
        """
        if not username or not username.isprintable() or len(username) > _MAX_NAME:
            raise UsageError(f"a username is 1 to {_MAX_NAME} printable characters")
        if username in self.accounts:
            raise UsageError(f"there is an account {username!r} already")
        for address in addresses:
            if self.account_for(address) is not None:
                raise UsageError(f"the address {address!r} is somebody's already")
        account = self.accounts[username] = Account(self, username, secret, addresses)
        self._addresses |= dict.fromkeys(account.addresses, account)
        return account

    def account_for(self, address: str) -> Account | None:
        """Give the account that mail for `address` goes to; case does not matter, nor what follows a "+"."""
        return self._addresses.get(_plain(address))

    def new_uid_validity(self) -> int:
        """Give a UIDVALIDITY that no mailbox of this store has had."""
        return next(self._validities)

    # The bound.

    def check(self, size: int, count: int = 1) -> None:
        """Raise unless so many messages, of so many bytes together, fit.

        Raises:
            OverQuota: they do not.
        """
        if self.size_bytes + size > self.max_bytes:
            raise OverQuota(f"the store holds {self.max_bytes} bytes at most", limit=self.max_bytes)
        if self.count + count > self.max_messages:
            raise OverQuota(f"the store holds {self.max_messages} messages at most", limit=self.max_messages)

    def take(self, size: int) -> None:
        """Count a message that comes in.

        Raises:
            OverQuota: it does not fit.
        """
        self.check(size)
        self.size_bytes += size
        self.count += 1

    def give_back(self, size: int) -> None:
        """Count a message that goes."""
        self.size_bytes -= size
        self.count -= 1

    # Who hears of it.

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Tell `listener` of every change in every mailbox; calling what is given back ends that. Idempotent."""
        self._listeners.append(listener)

        def stop() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return stop

    def tell(self, change: Change) -> None:
        """Tell all who listen to the whole store; a mailbox calls this."""
        for listener in tuple(self._listeners):
            listener(change)


class Account:
    """Somebody with mailboxes.

    Attributes:
        username: who signs in.
        secret: the password, and the bearer token too; not in the repr.
        addresses: mail for these goes into its INBOX; lower case, without a "+..." part.
        subscriptions: names subscribed to (RFC 9051 §6.3.7); a name stays when its mailbox goes.
        maildrop_locked: whether a POP3 session holds the maildrop (RFC 1939 §8).
    """

    def __init__(self, store: Store, username: str, secret: str, addresses: tuple[str, ...]) -> None:
        self.store = store
        self.username = username
        self.secret = secret
        self.addresses = frozenset(_plain(address) for address in addresses)
        self.maildrop_locked = False
        self._mailboxes: dict[str, Mailbox] = {}
        self.subscriptions: set[str] = set()
        for name, use in {"INBOX": None, **SPECIAL_USE}.items():
            self._mailboxes[name] = Mailbox(self, name, store.new_uid_validity(), use)
            self.subscriptions.add(name)

    @property
    def inbox(self) -> Mailbox:
        """Where mail comes in."""
        return self._mailboxes["INBOX"]

    @property
    def mailboxes(self) -> list[Mailbox]:
        """All mailboxes: INBOX first, then by name."""
        return sorted(self._mailboxes.values(), key=lambda one: (one.name != "INBOX", one.name))

    def __iter__(self) -> Iterator[Mailbox]:
        return iter(self.mailboxes)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and canonical(name) in self._mailboxes

    def mailbox(self, name: str = "INBOX") -> Mailbox:
        """Give the mailbox of that name.

        Raises:
            NoMailbox: there is none.
        """
        found = self._mailboxes.get(canonical(name))
        if found is None:
            raise NoMailbox(f"no mailbox {name!r}")
        return found

    def create(self, name: str, special_use: str | None = None) -> Mailbox:
        """Make a mailbox, and those above it that are missing (RFC 9051 §6.3.4).

        Raises:
            MailboxExists: it is there already.
            UsageError: an empty level or a control character in the name, or too long a name.
            OverQuota: there are too many.
        """
        name = canonical(name.removesuffix(SEPARATOR))
        check_name(name)
        if name in self._mailboxes:
            raise MailboxExists(f"there is a mailbox {name!r} already")
        if len(self._mailboxes) >= _MAX_MAILBOXES:
            raise OverQuota(f"an account has {_MAX_MAILBOXES} mailboxes at most", limit=_MAX_MAILBOXES)
        above = name.rpartition(SEPARATOR)[0]
        if above and above not in self:
            self.create(above)
        made = self._mailboxes[name] = Mailbox(self, name, self.store.new_uid_validity(), special_use)
        return made

    def delete(self, name: str) -> None:
        """Remove a mailbox with its messages; those below it stay (RFC 9051 §6.3.5).

        Raises:
            NoMailbox: there is none.
            UsageError: INBOX cannot be removed.
        """
        mailbox = self.mailbox(name)
        if mailbox.name == "INBOX":
            raise UsageError("INBOX cannot be deleted")
        mailbox.clear()
        del self._mailboxes[mailbox.name]

    def rename(self, old: str, new: str) -> None:
        """Give a mailbox and those below it another name; INBOX gives its messages to a new one (RFC 9051 §6.3.6).

        Raises:
            NoMailbox, MailboxExists, UsageError: as in `mailbox` and `create`; a mailbox does not go below itself.
        """
        mailbox, new = self.mailbox(old), canonical(new.removesuffix(SEPARATOR))
        if new.startswith(mailbox.name + SEPARATOR) and mailbox.name != "INBOX":
            raise UsageError("a mailbox cannot go below itself")
        if mailbox.name == "INBOX":
            mailbox.move(mailbox.uids, self.create(new))
            return
        below = mailbox.name + SEPARATOR
        moved = {new + one.name[len(mailbox.name) :]: one for one in self if f"{one.name}{SEPARATOR}".startswith(below)}
        if taken := [name for name in moved if name in self]:
            raise MailboxExists(f"there is a mailbox {taken[0]!r} already")
        for name in moved:
            check_name(name)
        self.create(new)  # makes what is missing above
        for name, one in moved.items():
            del self._mailboxes[one.name]
            one.name = name
            self._mailboxes[name] = one

    def subscribe(self, name: str) -> None:
        """Note that the user wants to see this name.

        Raises:
            OverQuota: there are too many.
        """
        name = canonical(name)
        if len(self.subscriptions) >= _MAX_MAILBOXES and name not in self.subscriptions:
            raise OverQuota(f"an account has {_MAX_MAILBOXES} subscriptions at most", limit=_MAX_MAILBOXES)
        self.subscriptions.add(name)

    def unsubscribe(self, name: str) -> None:
        """Forget that again."""
        self.subscriptions.discard(canonical(name))

    def __repr__(self) -> str:
        return f"<Account {self.username}: {len(self._mailboxes)} mailboxes>"


def canonical(name: str) -> str:
    """Spell INBOX as INBOX, alone and as the first level (RFC 9051 §5.1)."""
    first, separator, rest = name.partition(SEPARATOR)
    return f"INBOX{separator}{rest}" if first.upper() == "INBOX" else name


def check_name(name: str) -> None:
    """Refuse a name that no mailbox may have.

    Raises:
        UsageError: it is empty, too long, has an empty level, a wildcard or a control character.
    """
    if not name or len(name) > _MAX_NAME or not all(name.split(SEPARATOR)):
        raise UsageError(f"a mailbox name has no empty level and at most {_MAX_NAME} characters")
    if any(c in "*%" or not c.isprintable() for c in name):
        raise UsageError("a mailbox name holds no wildcard and no control character")


def _plain(address: str) -> str:
    local, at, domain = address.lower().rpartition("@")
    return f"{local.partition('+')[0] or local}{at}{domain}"
