r"""Orders: a line of a list, a URL or a JSON object, as what to do. Pure.

https://example.org/
{"url": "https://example.org/", "name": "home", "headers": {"Accept": "text/html"}, "sha256": "..."}
{"method": "POST", "url": "https://example.org/api", "json": {"a": 1}, "idempotency_key": "7", "headers": {"X-A": "b"}}
{"method": "EXCHANGE", "url": "tcp://example.org:7", "body": "ping\n", "until": "\n", "repeatable": true}
{"method": "SEND", "url": "smtp://example.org", "body": "Subject: ...", "sender": "a@b", "recipients": ["c@d"]}
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from typing import Any

from asyncnet import UsageError

METHODS = {"GET": ("http", "imap", "pop3", "tcp"), "POST": ("http",), "EXCHANGE": ("tcp",), "SEND": ("smtp",)}
"""what can be done, and where"""

_ALWAYS = {"url", "method", "name"}
_TAKES = {
    "GET": {"headers", "sha256"},
    "POST": {"body", "body_base64", "json", "form", "headers", "idempotency_key", "sha256"},
    "EXCHANGE": {"body", "body_base64", "until", "repeatable", "sha256"},
    "SEND": {"body", "body_base64", "sender", "recipients"},
}
_SHA256 = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Order:
    """What one line asks for.

    Args:
        url: where.
        method: GET, POST, EXCHANGE or SEND.
        name: what the outcome is called; None takes the URL.
        body: what is sent, or None.
        more: what else was said, by its name in the line.
    """

    url: str
    method: str = "GET"
    name: str | None = None
    body: bytes | None = None
    more: dict[str, Any] | None = None

    def get(self, name: str, default: Any = None) -> Any:
        """Give what else was said by that name."""
        return default if self.more is None else self.more.get(name, default)


def order_of(line: str) -> Order:
    """Read a line.

    Raises:
        UsageError: a JSON object that is none, has no URL, or says what its method does not take.
    """
    if not line.startswith("{"):
        return Order(line)
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        raise UsageError("neither a URL nor a JSON object") from None
    url, method = said.get("url"), said.get("method", "GET")
    if not isinstance(url, str):
        raise UsageError('a JSON object without a "url"')
    if not isinstance(method, str) or method.upper() not in METHODS:
        raise UsageError(f'"method" is one of {", ".join(METHODS)}')
    method = method.upper()
    if unknown := sorted(said.keys() - _ALWAYS - _TAKES[method]):
        raise UsageError(f'{method} takes no "{unknown[0][:40]}"')
    _check(said)
    more = {key: value for key, value in said.items() if key not in (*_ALWAYS, "body", "body_base64")}
    return Order(url, method, said.get("name"), _body(said), more or None)


_KINDS: dict[str, tuple[type, ...]] = {
    "name": (str,),
    "body": (str,),
    "body_base64": (str,),
    "headers": (dict,),
    "form": (dict,),
    "idempotency_key": (str,),
    "until": (str,),
    "repeatable": (bool,),
    "sender": (str,),
    "recipients": (str, list),
}


def _check(said: dict[str, Any]) -> None:
    for key, kinds in _KINDS.items():
        if key in said and not isinstance(said[key], kinds):
            raise UsageError(f'"{key}" is a {" or ".join(kind.__name__ for kind in kinds)}')
    for key in ("headers", "form"):
        if not all(isinstance(value, str) for value in said.get(key, {}).values()):
            raise UsageError(f'"{key}" holds strings')
    if "sha256" in said and not (isinstance(said["sha256"], str) and _SHA256.fullmatch(said["sha256"])):
        raise UsageError('"sha256" has 64 hexadecimal digits')


def _body(said: dict[str, Any]) -> bytes | None:
    if "body_base64" in said:
        try:
            return base64.b64decode(said["body_base64"], validate=True)
        except ValueError:
            raise UsageError('"body_base64" is not base64') from None
    body = said.get("body")
    return None if body is None else body.encode("utf-8", "surrogatepass")
