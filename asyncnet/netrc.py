"""Credentials out of a netrc file, for whoever keeps them there, as curl and git do."""

from __future__ import annotations

import netrc
import os

from asyncnet.credentials import Credentials
from asyncnet.endpoint import Endpoint
from asyncnet.errors import UsageError


def netrc_credentials(url: str | Endpoint, path: str | os.PathLike[str] | None = None) -> Credentials | None:
    """Give the credentials that a netrc file has for the host of `url`, or None.

    Args:
        url: where they would go; a username in it takes only an entry of that user.
        path: the file; None takes the one that NETRC names, else `~/.netrc`.

    Raises:
        UsageError: the file cannot be read, does not keep to its grammar, or (`~/.netrc`) others may read it. Nothing
            of its content is repeated.

    The entry `default` serves every host. It reads a small file, and blocks for that long.
    """
    endpoint = Endpoint.parse(url)
    named = os.environ.get("NETRC") if path is None else os.fspath(path)
    found, wrong = None, ""
    try:
        found = netrc.netrc(named).authenticators(endpoint.host)
    except FileNotFoundError:
        return None
    except netrc.NetrcParseError as error:
        wrong = "others may read it" if "permissi" in str(error) else f"line {error.lineno} cannot be read"
    except (OSError, UnicodeError) as error:
        wrong = type(error).__name__
    if wrong:  # raised out here it has no context, whose text may be a password
        raise UsageError(f"the netrc file: {wrong}")
    if found is None:
        return None
    login, _, password = found
    if not login or not password or endpoint.username not in (None, login):
        return None
    return Credentials(login, password)
