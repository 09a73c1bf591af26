"""Making: orders become jobs, with who signs in and how the way is."""

from __future__ import annotations

import functools
import hashlib
import re
from typing import TYPE_CHECKING, Any, NoReturn

from asyncnet import Endpoint, ProtocolError, Retry, UsageError, jobs
from asyncnet.cli.headers import SECRETS, header_fields
from asyncnet.cli.login import Login
from asyncnet.cli.options import parsed, trust, trust_for
from asyncnet.cli.orders import METHODS, Order

if TYPE_CHECKING:
    from asyncnet.cli.fetch import Options

_PLAIN = re.compile(r"https?://[^?#@\s]+")


def key_of(line: str) -> str | None:
    """Give the key of the job of a line, where it can be told without making it: of a page, without query or user.

    A URL that is written in another way than the library writes it has another key: it is not known by this one.
    """
    return f"GET {line}" if _PLAIN.fullmatch(line) else None


class Maker:
    """Makes the jobs of one run.

    Args:
        options: of the command line.
        login: who signs in where.
    """

    def __init__(self, options: Options, login: Login) -> None:
        self._options = options
        self._login = login
        self._trusted = trust(options.ca)
        self._fields = header_fields(options.headers)
        if options.cluster is not None and (secret := next((n for n, _ in self._fields if n.lower() in SECRETS), None)):
            raise UsageError(f"{secret} is a secret, which does not travel to a cluster: let its workers sign in")
        self._retry = Retry(attempts=options.retries + 1) if options.retries else None

    async def job(self, order: Order) -> jobs.Job[Any]:
        """Make a job.

        Raises:
            UsageError: the URL cannot be used, somebody must sign in and there is no secret, or what is sent is wrong.
        """
        endpoint = parsed(order.url, *METHODS[order.method])
        made = await self._made(order, endpoint)
        digest = order.get("sha256")
        return made if digest is None else made.then(functools.partial(_verifying, digest.lower()))

    async def _made(self, order: Order, endpoint: Endpoint) -> jobs.Job[Any]:
        options = self._options
        way: dict[str, Any] = {"timeout": options.timeout, "retry": self._retry, "proxy": options.proxy}
        way["tls"] = trust_for(endpoint, self._trusted)
        if order.method == "EXCHANGE":
            return jobs.exchange(endpoint, order.body or b"", name=order.name, **_exchange(order, options), **way)
        who = await self._login.credentials(endpoint, by_default=endpoint.protocol != "http")
        way["allow_plaintext_login"] = options.allow_plaintext_login
        if order.method == "SEND":
            to, sender = order.get("recipients"), order.get("sender")
            return jobs.send(order.body or b"", endpoint, who, name=order.name, recipients=to, sender=sender, **way)
        if order.method == "POST":
            content = _post(order) | {"headers": self._headers(order)}
            return jobs.post(endpoint, who, name=order.name, max_bytes=options.max_bytes, **content, **way)
        own = order.get("headers")  # which another protocol refuses
        return jobs.fetch(
            endpoint,
            who,
            headers=self._headers(order) if endpoint.protocol == "http" else own,
            name=order.name,
            max_bytes=options.max_bytes,
            max_messages=options.max_messages,
            max_total_bytes=options.max_total_bytes,
            **way,
        )

    def _headers(self, order: Order) -> list[tuple[str, str]] | None:
        """Give the fields of an http request: those of all but what its line says otherwise, and those of its line."""
        own = order.get("headers") or {}
        names = {name.lower() for name in own}
        return [field for field in self._fields if field[0].lower() not in names] + list(own.items()) or None


def _exchange(order: Order, options: Options) -> dict[str, Any]:
    until = order.get("until")
    end = None if until is None else until.encode("utf-8", "surrogatepass")
    return {"until": end, "repeatable": order.get("repeatable", False), "max_bytes": options.max_bytes}


def _post(order: Order) -> dict[str, Any]:
    content = {"form": order.get("form"), "json": order.get("json"), "body": order.body}
    if all(value is None for value in content.values()):
        content["body"] = b""
    return content | {"idempotency_key": order.get("idempotency_key")}


def _verifying(wanted: str, value: Any) -> jobs.Job[Any]:  # by its name it can travel to a cluster
    return jobs.call(_verified, value, wanted)


async def _verified(value: Any, wanted: str) -> Any:
    data = value if isinstance(value, bytes) else getattr(value, "body", None)
    if data is None:
        raise UsageError("mail has no SHA-256 as a whole")
    found = hashlib.sha256(data).hexdigest()
    if found != wanted:
        raise ProtocolError(f"SHA-256 is {found}, expected was {wanted}")
    return value


def refused(error: UsageError, name: str) -> jobs.Job[NoReturn]:
    """Make a job that fails: what is wrong with a line is its own failure, and not the run's."""
    return jobs.call(_fail, error, name=name)


async def _fail(error: UsageError) -> NoReturn:
    raise error
