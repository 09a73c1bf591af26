"""Options that several commands share, and the values they read."""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from asyncnet import Endpoint, Security, UsageError, client_context

F = TypeVar("F", bound=Callable[..., Any])

_SIZE = re.compile(r"(\d{1,12})\s*([kmgKMG]?)(i?)[bB]?", re.ASCII)
_RATE = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)(?:/([smh]))?", re.ASCII)
_SECONDS_OF = {"s": 1, "m": 60, "h": 3600}
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3}


if TYPE_CHECKING:
    _ParamType = click.ParamType[int]
    _FloatType = click.ParamType[float]
else:
    _ParamType = _FloatType = click.ParamType  # it takes no parameter before click 8.2


class SizeType(_ParamType):
    """A number of bytes: `5000`, `64k`, `10M`, `2GiB`; k is 1000, ki is 1024."""

    name = "SIZE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read it."""
        if isinstance(value, int):
            return value
        match = _SIZE.fullmatch(str(value).strip())
        if match is None:
            self.fail(f"{value!r} is no number of bytes, such as 5000, 64k or 10MiB", param, ctx)
        factor: int = (1024 if match[3] else 1000) ** _POWERS[match[2].lower()]
        return int(match[1]) * factor


class RateType(_FloatType):
    """A number a second: `10`, `0.5`, `10/s`, `600/m`, `1000/h`."""

    name = "RATE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read it."""
        if isinstance(value, float):
            return value
        match = _RATE.fullmatch(str(value).strip())
        rate = float(match[1]) / _SECONDS_OF[match[2] or "s"] if match is not None else 0.0
        if not rate:
            self.fail(f"{value!r} is no rate, such as 10, 0.5 or 600/m", param, ctx)
        return rate


SIZE = SizeType()
RATE = RateType()
SECONDS = click.FloatRange(min=0, min_open=True)
COUNT = click.IntRange(min=1)


def network_options(function: F) -> F:
    """Add what concerns the way to a server."""
    for add in (
        click.option("--proxy", metavar="URL", help="Go through http://host:port or socks5://host:port."),
        click.option(
            "--ca", metavar="FILE", type=click.Path(exists=True), help="Trust the authorities in this PEM file as well."
        ),
        click.option(
            "--timeout",
            type=SECONDS,
            default=30.0,
            show_default=True,
            metavar="SECONDS",
            help="Give up an attempt after so many seconds, lookup and last byte included.",
        ),
    ):
        function = add(function)
    return function


def header_option(function: F) -> F:
    """Add the fields of http requests."""
    return click.option(
        "-H",
        "--header",
        "headers",
        multiple=True,
        metavar="'NAME: VALUE'|@FILE",
        help="A field of each http request, such as Accept; from a file where it is a secret. May be given again.",
    )(function)


def secret_options(function: F) -> F:
    """Add what concerns signing in. None of them takes a secret: what stands on a command line, others can see."""
    for add in (
        click.option(
            "--allow-plaintext-login",
            is_flag=True,
            help="Send the secret even without TLS, where others may read it.",
        ),
        click.option("--token-command", metavar="CMD", help="A shell command that prints an OAuth 2 token."),
        click.option("--password-command", metavar="CMD", help="A shell command that prints the password."),
        click.option("--username", metavar="NAME", help="Who signs in, where the URL does not say (user@host)."),
    ):
        function = add(function)
    return function


def said_options(function: F) -> F:
    """Add what concerns standard error."""
    for add in (
        click.option("-v", "--verbose", count=True, help="Say more: what happens, and with -vv everything."),
        click.option("-q", "--quiet", is_flag=True, help="Say nothing on standard error: the exit status tells."),
    ):
        function = add(function)
    return function


def trust(ca: str | None) -> ssl.SSLContext | None:
    """Make the context of `--ca`, or None for the default."""
    return None if ca is None else client_context(ca=ca)


def trust_for(endpoint: Endpoint, context: ssl.SSLContext | None) -> ssl.SSLContext | None:
    """Give the context to use there: a plain socket takes none."""
    return None if endpoint.protocol == "tcp" and endpoint.security is Security.PLAINTEXT else context


def parsed(url: str, *protocols: str) -> Endpoint:
    """Read a URL of the command line.

    Raises:
        UsageError: it is none, or of another protocol.
    """
    endpoint = Endpoint.parse(url)
    if endpoint.protocol not in protocols:
        taken = " and ".join(filter(None, (", ".join(protocols[:-1]), protocols[-1])))
        raise UsageError(f"{endpoint.scheme}:// is not for this command; it takes {taken}")
    return endpoint
