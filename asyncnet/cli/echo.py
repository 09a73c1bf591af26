"""echo: a server that sends back what it receives, until a signal ends it."""

from __future__ import annotations

from functools import partial
from typing import Any

import click

import asyncnet
from asyncnet import Endpoint, Security, UsageError
from asyncnet.cli.descriptors import make_room
from asyncnet.cli.options import COUNT, SECONDS, SIZE, said_options
from asyncnet.cli.output import Printer
from asyncnet.cli.service import RELOADS, Service, echo_in_worker
from asyncnet.cli.tally import DONE

_FILE = click.Path(exists=True)
_CLOSING_SECONDS = 5.0
"""What a worker may take beyond the grace of its clients until it is told to hurry."""


@click.command()
@click.argument("endpoint", default="tcp://127.0.0.1:4242")
@click.option("--tls-cert", metavar="FILE", type=_FILE, help="The certificate chain, for tls:// (PEM).")
@click.option("--tls-key", metavar="FILE", type=_FILE, help="Its private key, if not in the same file.")
@click.option(
    "--workers", type=COUNT, metavar="N", default=1, show_default=True, help="Processes; the limits are for each."
)
@click.option(
    "--max-clients", type=COUNT, metavar="N", default=10_000, show_default=True, help="More wait until one leaves."
)
@click.option("--per-address", "max_per_address", type=COUNT, metavar="N", help="Clients from one address; more go.")
@click.option(
    "--idle-timeout",
    type=SECONDS,
    default=300.0,
    show_default=True,
    metavar="SECONDS",
    help="Silence that ends a client.",
)
@click.option(
    "--handshake-timeout",
    type=SECONDS,
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="How long a client may take for the TLS handshake, and for the PROXY header.",
)
@click.option(
    "--write-timeout",
    type=SECONDS,
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="How long a client may take to make room for what it gets.",
)
@click.option(
    "--max-buffer-bytes",
    type=SIZE,
    metavar="SIZE",
    default=262_144,
    show_default=True,
    help="What is received ahead of its answer, for each client.",
)
@click.option(
    "--grace",
    type=click.FloatRange(min=0),
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="How long clients may go on after SIGINT or SIGTERM; a second signal cuts that short.",
)
@click.option(
    "--proxy-protocol",
    is_flag=True,
    help="Every client comes through a proxy that says who it is (PROXY header, version 1 or 2).",
)
@click.option("--uvloop", is_flag=True, help="Run on uvloop (extra uvloop).")
@said_options
def echo(
    endpoint: str,
    tls_cert: str | None,
    tls_key: str | None,
    workers: int,
    uvloop: bool,
    verbose: int,
    quiet: bool,
    **limits: Any,
) -> int:
    """Serve an echo: every client gets back what it sends.

    ENDPOINT is tcp://host:port, tls://host:port (with --tls-cert) or unix:///path; tcp://:4242 is every interface, port
    0 any free one. The endpoint listened at is printed on standard output. SIGINT and SIGTERM are its normal end, and
    the exit status is 0 then. With tls://, SIGHUP has the certificate read again; clients that are there stay.
    """
    place = Endpoint.parse(endpoint)
    if place.security is Security.TLS and tls_cert is None:
        raise UsageError("tls:// needs a certificate: --tls-cert FILE")
    if place.security is not Security.TLS and (tls_cert or tls_key):
        raise UsageError("a certificate is for tls:// alone")
    service = Service(tls_cert, tls_key, limits, quiet, verbose)
    with service.screen().logs():
        make_room(limits["max_clients"])
        if workers == 1:
            asyncnet.run(service.echo(place, _announce), uvloop=uvloop, signals=True)
            return DONE
        asyncnet.run_workers(
            partial(echo_in_worker, service),
            place,
            workers=workers,
            uvloop=uvloop,
            grace=limits["grace"] + _CLOSING_SECONDS,
            forward=() if service.context() is None or RELOADS is None else (RELOADS,),
            on_ready=_announce,
        )
    return DONE


def _announce(place: Endpoint) -> None:
    Printer().write(f"{place}\n")
