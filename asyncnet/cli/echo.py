"""echo: a server that sends back what it receives, until a signal ends it."""

from __future__ import annotations

import click

import asyncnet
from asyncnet import Endpoint, Security, UsageError, serve, server_context
from asyncnet.cli.options import COUNT, said_options
from asyncnet.cli.output import Printer
from asyncnet.cli.screen import Screen
from asyncnet.cli.tally import DONE


@click.command()
@click.argument("endpoint", default="tcp://127.0.0.1:4242")
@click.option("--cert", metavar="FILE", type=click.Path(exists=True), help="The certificate chain, for tls:// (PEM).")
@click.option("--key", metavar="FILE", type=click.Path(exists=True), help="Its private key, if not in the same file.")
@click.option(
    "--grace",
    type=click.FloatRange(min=0),
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="How long clients may go on after SIGINT or SIGTERM; a second signal cuts that short.",
)
@click.option(
    "--max-clients", type=COUNT, metavar="N", default=10_000, show_default=True, help="More wait until one leaves."
)
@click.option(
    "--idle-timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=300.0,
    show_default=True,
    metavar="SECONDS",
    help="Silence that ends a client.",
)
@click.option("--uvloop", is_flag=True, help="Run on uvloop (extra uvloop).")
@said_options
def echo(
    endpoint: str,
    cert: str | None,
    key: str | None,
    grace: float,
    max_clients: int,
    idle_timeout: float,
    uvloop: bool,
    verbose: int,
    quiet: bool,
) -> int:
    """Serve an echo: every client gets back what it sends.

    ENDPOINT is tcp://host:port, tls://host:port (with --cert) or unix:///path; tcp://:4242 is every interface, port 0
    any free one. The endpoint listened at is printed on standard output. SIGINT and SIGTERM are its normal end, and the
    exit status is 0 then.
    """
    place = Endpoint.parse(endpoint)
    if place.security is Security.TLS and cert is None:
        raise UsageError("tls:// needs a certificate: --cert FILE")
    if place.security is not Security.TLS and (cert or key):
        raise UsageError("a certificate is for tls:// alone")
    tls = None if cert is None else server_context(cert, key)
    screen = Screen(quiet=quiet, verbose=verbose)

    async def main() -> None:
        serving = serve(asyncnet.echo, place, tls=tls, max_clients=max_clients, idle_timeout=idle_timeout, grace=grace)
        async with serving as server:
            Printer().write(f"{server.endpoint}\n")
            await server.serve_forever()

    with screen.logs():
        asyncnet.run(main(), uvloop=uvloop, signals=True)
    return DONE
