"""The C programs, compiled when they are first needed and when they change: gcc or cc, and OpenSSL's library."""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

SOURCES = Path(__file__).parent
ROOT = SOURCES.parent.parent
SCRATCH = ROOT / "build" / "bench-core"
"""Where programs, logs and the results of partial runs go; `make clean` removes it."""

_SECONDS = 120.0


class NotBuilt(Exception):
    """There is no compiler, or it refused."""


@functools.cache
def program(name: str) -> str:
    """Compile `name`.c if need be, and give the program's path.

    Raises:
        NotBuilt: no compiler, no libssl.so.3, or the compiler refused; the message is its own.
    """
    sources = [SOURCES / f"{name}.c", SOURCES / "common.h"]
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:12]
    built = SCRATCH / f"{name}-{digest}"
    if built.exists():
        return str(built)
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise NotBuilt("no C compiler: install gcc")
    SCRATCH.mkdir(parents=True, exist_ok=True)
    half = SCRATCH / f"{name}-{os.getpid()}.new"
    command = [compiler, "-O2", "-Wall", "-o", str(half), str(sources[0]), "-l:libssl.so.3"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    if done.returncode:
        raise NotBuilt(f"{' '.join(command)}\n{done.stderr}")
    half.rename(built)
    return str(built)
