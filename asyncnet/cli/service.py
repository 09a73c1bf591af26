"""Service: the server of a command, in one process or in each of several, and the certificate that it reads again."""

from __future__ import annotations

import asyncio
import logging
import signal
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import asyncnet
from asyncnet import Endpoint, Server, UsageError, server_context
from asyncnet.cli.screen import Screen

logger = logging.getLogger("asyncnet.cli")

RELOADS = getattr(signal, "SIGHUP", None)
"""The signal at which the certificate is read again, where the system has it."""


@dataclass(frozen=True)
class Service:
    """What is served, as plain values: other processes are given it.

    Args:
        certificate: the file of the certificate's chain, or None for plaintext.
        key: the file of its private key, if that is another one.
        limits: further arguments of `asyncnet.serve`.
        quiet: say nothing on standard error.
        verbose: how much to say otherwise.
    """

    certificate: str | None
    key: str | None
    limits: dict[str, Any]
    quiet: bool
    verbose: int

    async def echo(self, place: Endpoint, ready: Callable[[Endpoint], object], *, reuse_port: bool = False) -> None:
        """Echo until cancelled; `ready` is given the real endpoint once it listens."""
        tls = self.context()
        async with asyncnet.serve(asyncnet.echo, place, tls=tls, reuse_port=reuse_port, **self.limits) as server:
            if tls is not None and RELOADS is not None:
                asyncio.get_running_loop().add_signal_handler(RELOADS, self._reload, server)
            ready(server.endpoint)
            await server.serve_forever()

    def context(self) -> ssl.SSLContext | None:
        """Read the certificate.

        Raises:
            UsageError: a file is missing, or cannot be used.
        """
        return None if self.certificate is None else server_context(self.certificate, self.key)

    def screen(self) -> Screen:
        """Make the standard error of this process."""
        return Screen(quiet=self.quiet, verbose=self.verbose)

    def _reload(self, server: Server) -> None:
        try:
            context = self.context()
            assert context is not None
            server.use_tls(context)
        except UsageError as error:
            logger.error("the certificate stays as it was: %s", error)
        else:
            logger.info("the certificate was read again")


async def echo_in_worker(service: Service, place: Endpoint, ready: Callable[[], None]) -> None:
    """Be one of several processes that echo."""
    with service.screen().logs():
        await service.echo(place, lambda _: ready(), reuse_port=True)
