"""Limits: what a server grants its clients."""

from __future__ import annotations

from typing import NamedTuple


class Limits(NamedTuple):
    """What a server grants its clients; the parameters of `serve`."""

    max_clients: int
    max_per_address: int | None
    max_buffer_bytes: int
    idle_timeout: float | None
    handshake_timeout: float
    write_timeout: float | None
    total_timeout: float | None
    min_rate: float
    grace: float
    proxy_protocol: bool
