"""Dovecot: IMAP, POP3, LMTP and authentication for a few users, whose mail lies in Maildirs to be looked into."""

import base64
import contextlib
import grp
import hashlib
import hmac
import itertools
import json
import os
import pwd
import secrets
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from tests.clock import MS
from tests.peers.certificates import Authority
from tests.real import dovecot_config
from tests.real.daemon import Daemon, Missing, program, unprivileged

_LIBEXEC = Path("/usr/lib/dovecot")
_STRANGERS = 2000
_ARRIVAL = 10_000 * MS


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody with a mailbox: the name to sign in with, the password, the address."""

    name: str
    password: str

    @property
    def address(self) -> str:
        """Where mail for the account goes."""
        return f"{self.name}@example.org"


ALICE = Account("alice", "secret of alice")
BOB = Account("bob", 'b"ob\\s {3} grün')
CAROL = Account("carol", "carol-secret")
DAVE = Account("dave", "dave-secret")


class Dovecot(Daemon):
    """Dovecot as an ordinary user (as `nobody` if we are root).

    `ports`: imap and pop3 (plaintext, STARTTLS offered), imaps and pop3s, lmtp, sasl (authentication for Postfix).
    On `strict_host` the same ports take no password before STARTTLS; on `host` they do. Every mechanism of
    `dovecot_config.MECHANISMS` is offered. Signing in costs no delay, not even a wrong password.
    """

    name = "dovecot"
    port_names = ("imap", "imaps", "pop3", "pop3s", "lmtp", "sasl")
    strict_host = "127.0.0.2"

    def __init__(self, authority: Authority | None = None) -> None:
        super().__init__(authority)
        self._account = unprivileged()
        self._key = secrets.token_bytes(32)
        # All are known from the start: Dovecot looks for new ones once a second at most.
        self._strangers = iter([Account(f"user{number}", secrets.token_hex(8)) for number in range(_STRANGERS)])
        self._files = itertools.count(1)

    # Where to go

    @property
    def imap(self) -> str:
        """imap://: plaintext, STARTTLS offered."""
        return f"imap://{self.host}:{self.ports['imap']}"

    @property
    def imaps(self) -> str:
        """imaps://: TLS from the first byte."""
        return f"imaps://{self.host}:{self.ports['imaps']}"

    @property
    def imap_starttls(self) -> str:
        """imap+starttls://: TLS after STARTTLS, at the same port as `imap`."""
        return f"imap+starttls://{self.host}:{self.ports['imap']}"

    @property
    def pop3(self) -> str:
        """pop3://: plaintext, STLS offered."""
        return f"pop3://{self.host}:{self.ports['pop3']}"

    @property
    def pop3s(self) -> str:
        """pop3s://: TLS from the first byte."""
        return f"pop3s://{self.host}:{self.ports['pop3s']}"

    @property
    def pop3_starttls(self) -> str:
        """pop3+starttls://: TLS after STLS, at the same port as `pop3`."""
        return f"pop3+starttls://{self.host}:{self.ports['pop3']}"

    # Who is there

    def new_account(self) -> Account:
        """Somebody with an empty mailbox, who was never handed out before."""
        return next(self._strangers)

    def token(self, account: Account, *, seconds: float = 3600.0) -> str:
        """A bearer token for XOAUTH2 and OAUTHBEARER that is good for so many seconds (negative: expired)."""
        now = time.time()
        header = {"alg": "HS256", "typ": "JWT"}
        claims = {"sub": account.name, "iat": int(now - 60), "nbf": int(now - 60), "exp": int(now + seconds)}
        signed = b".".join(_base64url(json.dumps(part).encode()) for part in (header, claims))
        return (signed + b"." + _base64url(hmac.digest(self._key, signed, hashlib.sha256))).decode()

    # What lies in the mailboxes

    def maildir(self, account: Account, mailbox: str = "INBOX") -> Path:
        """The folder of a mailbox: INBOX, or a top-level one (`Sent`)."""
        root = self.folder / "homes" / account.name / "Maildir"
        return root if mailbox == "INBOX" else root / f".{mailbox}"

    def messages(self, account: Account, mailbox: str = "INBOX") -> list[bytes]:
        """The messages in a mailbox as they lie on disk with CRLF line ends, in the order of their arrival."""
        folder = self.maildir(account, mailbox)
        while True:
            with contextlib.suppress(FileNotFoundError):  # moved from new to cur between two looks: look again
                paths = [path for part in ("new", "cur") for path in (folder / part).glob("*")]
                return [_crlf(path.read_bytes()) for path in sorted(paths, key=_moment)]

    def deliver(self, account: Account, message: bytes, mailbox: str = "INBOX") -> Path:
        """Put a message into a mailbox, byte for byte, without asking the server; the path it has at first."""
        folder = self.maildir(account, mailbox)
        for part in ("tmp", "new", "cur"):
            self._make(folder / part)
        now = time.time_ns()
        name = f"{now // 10**9}.M{now % 10**9 // 1000:06}P{os.getpid()}Q{next(self._files)}.tests"
        path = folder / "tmp" / name
        path.write_bytes(message)
        self._own(path)
        return path.rename(folder / "new" / name)

    def wait_for_messages(self, account: Account, count: int, mailbox: str = "INBOX") -> list[bytes]:
        """The messages of a mailbox once it has at least `count`; AssertionError with the log if they do not come."""
        stop = time.monotonic() + _ARRIVAL
        while len(found := self.messages(account, mailbox)) < count:
            if time.monotonic() > stop:
                raise AssertionError(f"{len(found)} of {count} messages came to {account.name}:\n{self.log[-4000:]}")
            time.sleep(5 * MS)
        return found

    def clear(self, account: Account) -> None:
        """Remove all mail and all mailboxes of an account; nobody may be signed in."""
        shutil.rmtree(self.folder / "homes" / account.name, ignore_errors=True)

    # How it runs

    def configure(self) -> None:
        """Write the configuration and the users."""
        self._program = program("dovecot", "dovecot-core dovecot-imapd dovecot-pop3d dovecot-lmtpd")
        for part in ("imap", "pop3", "lmtp"):
            if not (_LIBEXEC / part).exists():
                raise Missing(f"Dovecot has no {part} here: apt-get install dovecot-{part}d")
        group = _group_name(self._account)
        key = base64.b64encode(self._key).decode()
        dovecot_config.write(
            self.folder, self.ports, self._account.pw_name, group, self._account.pw_uid, self._account.pw_gid, key
        )
        accounts = [ALICE, BOB, CAROL, DAVE, *self._strangers]
        self._strangers = iter(accounts[4:])
        lines = (f"{account.name}:{{PLAIN}}{account.password}::::::\n" for account in accounts)
        (self.folder / "passwd").write_text("".join(lines), encoding="utf-8")

    @property
    def command(self) -> list[str]:
        """Dovecot in the foreground."""
        return [self._program, "-F", "-c", str(self.folder / "dovecot.conf")]

    @property
    def user(self) -> str | None:
        """Nobody, if we are root."""
        return self._account.pw_name if os.geteuid() == 0 else None

    def wait_until_ready(self) -> None:
        """Wait for the ports, and for the first greeting, which tells that signing in works."""
        super().wait_until_ready()
        self.wait_for(lambda: self.greets(self.ports["imap"], b"* OK "))

    def _make(self, folder: Path) -> None:
        for path in (*reversed(folder.parents), folder):
            if self.folder in path.parents and not path.exists():
                path.mkdir(mode=0o700)
                self._own(path)

    def _own(self, path: Path) -> None:
        if os.geteuid() == 0:
            os.chown(path, self._account.pw_uid, self._account.pw_gid)


def _moment(path: Path) -> tuple[int, int]:
    """When the message came, by its name: seconds, and microseconds after an M."""
    seconds, rest = path.name.split(".", 1)
    return int(seconds), int(rest[1:].split("P")[0])


def _group_name(account: pwd.struct_passwd) -> str:
    return grp.getgrgid(account.pw_gid).gr_name


def _base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _crlf(data: bytes) -> bytes:
    return data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
