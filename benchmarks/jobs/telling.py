"""How the programs of the benchmark that are written in Python tell what became of each URL, and what they may take."""

from __future__ import annotations

import hashlib
import json

PATIENCE = 2.0
"""seconds for one URL, for whoever can be told so"""
MOST_BYTES = 8 * 1024 * 1024
"""the largest body, for whoever can be told so"""


def tell_body(url: str, body: bytes) -> None:
    """Say that a body came."""
    print(json.dumps({"url": url, "sha256": hashlib.sha256(body).hexdigest()}), flush=True)


def tell_error(url: str, error: BaseException) -> None:
    """Say that it failed, and why."""
    print(json.dumps({"url": url, "error": f"{type(error).__name__}: {error}"}), flush=True)
