"""Descriptors: how many sockets this process, and those that it starts, may have open."""

from __future__ import annotations

import contextlib
import logging

logger = logging.getLogger("asyncnet.cli")

_SPARE = 64
"""For what is no client: the listening sockets, the loop, standard streams, files."""


def make_room(clients: int) -> None:
    """Raise the limit for so many clients, as far as the system lets it be raised; where that is not enough, say so."""
    try:
        import resource
    except ImportError:  # not a Unix
        return
    wanted = clients + _SPARE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        soft = most
    if soft < wanted:
        logger.info("%d clients need %d open files, and %d are allowed (ulimit -n)", clients, wanted, soft)
