"""Credentials out of the system's keyring (extra `keyring`)."""

from __future__ import annotations

from asyncnet.credentials import Credentials
from asyncnet.daemon import in_daemon
from asyncnet.endpoint import Endpoint
from asyncnet.errors import UsageError


async def keyring_credentials(url: str | Endpoint) -> Credentials | None:
    """Give the credentials that the keyring holds for the host of `url`, or None.

    Args:
        url: where they would go: the host is the name of the service; a user in it takes only an entry of that user.

    Raises:
        UsageError: the package `keyring` is not installed, or the keyring fails or stays locked. Nothing of its content
            is repeated.

    It asks in a daemon thread, so a keyring that waits for a human to unlock it holds up nobody else; cancelled, it
    gives up at once.
    """
    endpoint = Endpoint.parse(url)
    try:
        import keyring
    except ImportError as error:
        raise UsageError("keyring is not installed: pip install 'asyncnet[keyring]'") from error
    entry, wrong = None, ""
    try:
        entry = await in_daemon(lambda: keyring.get_credential(endpoint.host, endpoint.username))
    except Exception as error:  # backends raise what they like
        wrong = type(error).__name__
    if wrong:  # raised out here it has no context, whose text may be a password
        raise UsageError(f"the keyring: {wrong}", endpoint=endpoint)
    if entry is None or not entry.username or not entry.password:
        return None
    if endpoint.username not in (None, entry.username):
        return None
    return Credentials(entry.username, entry.password)
