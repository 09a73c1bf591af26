"""Lease: jobs as bytes that may go to another machine. Pure; what comes back is in `reply`.

A job travels by pickle, as what it is made of: method, URL, headers, body, key, timeout, retry. No secret does: of
Credentials there is only the name, by which the worker finds them; a field of a header that is a secret, a TLS context
and a function that has no name of its own are refused. What comes back are Outcomes, as they are.
"""

from __future__ import annotations

import io
import pickle
import ssl
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, replace
from types import FunctionType
from typing import Any, NamedTuple

from asyncnet.credentials import Credentials
from asyncnet.endpoint import Endpoint
from asyncnet.errors import NetError, UsageError, printable
from asyncnet.jobs.fetch import SECRET_FIELDS
from asyncnet.jobs.job import Job, Leaf
from asyncnet.proxy import Proxy

_UNFIT = (pickle.PicklingError, TypeError, AttributeError, ValueError, RecursionError)
"""what pickle raises for what it cannot take"""


class Name(NamedTuple):
    """Who signs in, and where: all of Credentials that travels.

    Args:
        url: where, without path and query.
        username: who.
        mechanism: the SASL mechanism to use and no other, or None.
    """

    url: str
    username: str
    mechanism: str | None


@dataclass(frozen=True, slots=True)
class Parcel:
    """A job, packed.

    Args:
        data: the job.
        names: who signs in for it.
        repeatable: whether it may be done again after it was lost on its way or at work.
    """

    data: bytes
    names: frozenset[Name] = frozenset()
    repeatable: bool = True


class _Packer(pickle.Pickler):
    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, protocol=5)
        self.names: set[Name] = set()
        self.repeatable = True

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, Job):
            self._look_at(value)
            who = getattr(value, "_credentials", None)
            return NotImplemented if who is None else self._leaf_of(value, who)
        if isinstance(value, Proxy) and value.credentials is not None:
            name = self._name(f"{value.scheme}://{value.host}:{value.port}", value.credentials)
            return _proxy, (value.scheme, value.host, value.port, name, value.allow_plaintext_login)
        if isinstance(value, ssl.SSLContext):
            raise UsageError(
                "a TLS context does not travel: let the workers have a client of their own (Cluster.client)"
            )
        if isinstance(value, FunctionType) and (value.__module__ == "__main__" or "<" in value.__qualname__):
            raise UsageError(f"a function travels by its name, and {value.__qualname__} can be imported from nowhere")
        return NotImplemented

    def _look_at(self, job: Job[Any]) -> None:
        """See whether it may be done twice, and holds a secret."""
        if not isinstance(job, Leaf):
            # What a function makes of a value or an error is not known before, and may be a mail.
            made_later = hasattr(job, "_function") or not isinstance(getattr(job, "_other", job), Job)
            self.repeatable = self.repeatable and not made_later
            return
        is_once = getattr(job, "once", "") is None or hasattr(job, "message") or not getattr(job, "repeatable", True)
        self.repeatable = self.repeatable and not is_once
        for field, _ in getattr(job, "headers", ()):
            if field.lower() in SECRET_FIELDS:
                raise UsageError(f"the field {field} is a secret, which does not travel: use credentials")

    def _leaf_of(self, leaf: Any, who: Credentials) -> Any:
        name = self._name(leaf._endpoint.origin, who)
        _, slots = leaf.__getstate__()
        return (
            _leaf,
            (type(leaf), name),
            (None, {slot: value for slot, value in slots.items() if slot != "_credentials"}),
        )

    def _name(self, url: str, who: Credentials) -> Name:
        name = Name(url, who.username, who.mechanism)
        self.names.add(name)
        return name


_FOUND: ContextVar[Mapping[Name, Credentials]] = ContextVar("asyncnet_lease_credentials")


def _leaf(kind: type[Any], name: Name) -> Any:
    leaf: Any = object.__new__(kind)
    leaf._credentials = _FOUND.get()[Name(*name)]
    return leaf


def _proxy(scheme: str, host: str, port: int, name: Name, allow_plaintext_login: bool) -> Proxy:
    return Proxy(scheme, host, port, _FOUND.get()[Name(*name)], allow_plaintext_login)


def packed(job: Job[Any]) -> Parcel:
    """Pack a job.

    Raises:
        UsageError: something in it cannot travel, or must not.
    """
    file = io.BytesIO()
    packer = _Packer(file)
    try:
        packer.dump(job)
    except UsageError as error:
        raise UsageError(f"it cannot be leased to a worker: {error.message}", operation=job._shown) from None
    except _UNFIT as error:
        why = f"it cannot be leased to a worker: {printable(str(error))}"
        raise UsageError(why, operation=job._shown) from error
    return Parcel(file.getvalue(), frozenset(packer.names), packer.repeatable)


def unpacked(data: bytes, found: Mapping[Name, Credentials]) -> Job[Any]:
    """Unpack a job, with the credentials that its names stand for.

    Raises:
        UsageError: this worker cannot make it: another version, or a module that is not here.
    """
    token = _FOUND.set(found)
    try:
        job = pickle.loads(data)
    except NetError:
        raise
    except Exception as error:
        raise UsageError(f"the worker cannot make this job: {type(error).__name__}: {printable(str(error))}") from error
    finally:
        _FOUND.reset(token)
    assert isinstance(job, Job)
    return job


def place_of(name: Name) -> Endpoint:
    """Give the place that credentials are looked for, with who signs in."""
    where = name.url.replace("http://", "tcp://").replace("socks5h://", "tcp://").replace("socks5://", "tcp://")
    try:
        endpoint = Endpoint.parse(name.url)
    except NetError:
        endpoint = Endpoint.parse(where)
    return replace(endpoint, username=name.username)
