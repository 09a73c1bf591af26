"""Mail addresses as MAIL and RCPT take them (RFC 5321 §4.1.2, RFC 6531 §3.3): checked, and in their form on the wire.

What is no address is refused here, so that no argument can end a command line and begin another.
"""

from __future__ import annotations

import re

from asyncnet.errors import UsageError, printable

_MAX_OCTETS = 320
"""64 of the local part, "@", 255 of the domain (RFC 5321 §4.5.3.1)."""

# Mailbox = Local-part "@" ( Domain / address-literal ); a local part alone is for the server itself ("postmaster").
# More atoms are taken than RFC 5322 has (a dot at either end, say), for such addresses are in use.
_ADDRESS = re.compile(
    r"""(?P<local>"(?:[^"\\]|\\.)*"|[^\s"(),:;<>@\[\\\]]+)
        (?:@(?P<domain>\[[0-9A-Za-z:.-]+\]|[^\s"(),:;<>@\[\\\]]+))?""",
    re.VERBOSE,
)
_DOMAIN = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)(?:\.(?!-)[A-Za-z0-9_-]{1,63}(?<!-))*", re.ASCII)


def check(address: str, *, role: str = "address") -> None:
    """Refuse what is no bare address: `alice@example.org`, `"a b"@example.org`, `postmaster`, `alice@[192.0.2.1]`.

    Args:
        address: the address without a name and without angle brackets.
        role: what it is, for the error.

    Raises:
        UsageError: it is not an address, holds a control character, is too long, or its domain is no domain.
    """
    if not isinstance(address, str):
        raise UsageError(f"the {role} is a str, not {type(address).__name__}")
    match = _ADDRESS.fullmatch(address) if address.isprintable() else None
    if match is None:
        hint = "; the bare address alone is wanted" if "<" in address or "," in address else ""
        raise UsageError(f"the {role} is not a mail address: {printable(address, max_characters=100)!r}{hint}")
    if len(address.encode()) > _MAX_OCTETS:
        raise UsageError(f"the {role} has more than {_MAX_OCTETS} octets: {printable(address, max_characters=60)!r}")
    domain = match["domain"]
    if domain is not None and not domain.startswith("["):
        ascii_domain(domain)


def needs_utf8(address: str) -> bool:
    """Whether only a server with SMTPUTF8 can take a checked address: its local part is not ASCII (RFC 6531)."""
    return not address.isascii() and not _parts(address)[0].isascii()


def on_the_wire(address: str, *, utf8: bool) -> bytes:
    """Give a checked address as a path takes it: as it is where `utf8`, else with its domain in ASCII (IDNA)."""
    if address.isascii() or utf8:
        return address.encode()
    local, domain = _parts(address)
    return f"{local}@{ascii_domain(domain)}".encode("ascii")


def ascii_domain(domain: str) -> str:
    """Give a domain in ASCII (RFC 5891).

    Raises:
        UsageError: it is no domain.
    """
    name = domain
    if not domain.isascii():
        import idna  # loaded only for a name that needs it

        try:
            name = idna.encode(domain, uts46=True).decode("ascii")
        except UnicodeError as error:  # idna's own errors are of this family
            raise UsageError(f"not a domain: {printable(domain, max_characters=80)!r} ({error})") from error
    if not _DOMAIN.fullmatch(name):
        raise UsageError(f"not a domain: {printable(domain, max_characters=80)!r}")
    return name


def _parts(address: str) -> tuple[str, str]:
    match = _ADDRESS.fullmatch(address)
    assert match is not None
    return match["local"], match["domain"] or ""
