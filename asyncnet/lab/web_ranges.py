"""Ranges: many bytes, or a part of them (RFC 9110 §14), with a strong ETag. Pure but for the answer's class."""

from __future__ import annotations

import hashlib
import re

from aiohttp import web

_RANGE = re.compile(r"bytes=(\d{0,15})-(\d{0,15})", re.ASCII)
_BLOCK = 1_024


def some_bytes(seed: int, start: int, stop: int) -> bytes:
    """Give the bytes from `start` to `stop` of those that belong to the seed: any part without what stands before."""
    block = hashlib.shake_128(f"asyncnet lab {seed}".encode()).digest(_BLOCK)
    first = start % _BLOCK
    many = block * ((stop - start + first) // _BLOCK + 1)
    return many[first : first + stop - start]


def ranged(request: web.BaseRequest, count: int, seed: int) -> web.Response:
    """Answer with `count` bytes, or with what Range, If-Range and If-None-Match make of that."""
    tag = f'"{seed}-{count}"'
    headers = {"ETag": tag, "Accept-Ranges": "bytes", "Content-Type": "application/octet-stream"}
    if tag in (known := request.headers.get("If-None-Match", "")) or known.strip() == "*":
        return web.Response(status=304, headers=headers)
    start, stop, status = 0, count, 200
    found = _RANGE.fullmatch(request.headers.get("Range", "").strip())
    # Several ranges, or what is none, may be ignored (RFC 9110 §14.2); so is one of another version (§13.1.5).
    if found and (found[1] or found[2]) and request.headers.get("If-Range", tag) == tag and request.method == "GET":
        status = 206
        if found[1]:
            start, stop = int(found[1]), min(count, int(found[2]) + 1 if found[2] else count)
        else:
            start = max(0, count - int(found[2]))
        if start >= stop:
            return web.Response(status=416, headers={"Content-Range": f"bytes */{count}"})
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{count}"
    return web.Response(status=status, headers=headers, body=some_bytes(seed, start, stop))
