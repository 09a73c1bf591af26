"""Memory asserted from outside: the highest resident size of a fresh interpreter, read from /proc by its parent.

What matters is a difference: `peak_memory(measured) - peak_memory(the same without the load)`.
"""

import collections
import subprocess
import sys
from pathlib import Path

import pytest

_DONE = b"\0done\n"
_TAIL = "\nimport sys as _s\n_s.stdout.flush()\n_s.stdout.write('\\0done\\n')\n_s.stdout.flush()\n_s.stdin.read()\n"


def peak_memory(code: str, *arguments: str) -> int:
    """Run `code` in a fresh interpreter with these arguments in sys.argv; its highest resident size in bytes.

    The working folder is the project's root, so that `asyncnet` and `tests` can be imported. A test is skipped where
    there is no /proc.

    Raises:
        AssertionError: the code did not get to its end; with the last lines that it wrote.
    """
    if not Path("/proc/self/status").exists():
        pytest.skip("the memory of another process is read from /proc, which is not here")
    command = [sys.executable, "-c", code + _TAIL, *arguments]
    root = Path(__file__).parent.parent
    with subprocess.Popen(
        command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as child:
        assert child.stdout
        wrote = collections.deque[bytes](maxlen=40)
        while (line := child.stdout.readline()) not in (_DONE, b""):
            wrote.append(line)
        # While it waits, after its work. The figure of the kernel's accounts (wait4) would count the parent's too.
        status = Path(f"/proc/{child.pid}/status").read_text() if line else ""
        child.communicate()
    if not line:
        raise AssertionError("the measured code failed:\n" + b"".join(wrote).decode(errors="replace"))
    fields = dict(entry.split(":", 1) for entry in status.splitlines())
    return int(fields["VmHWM"].removesuffix("kB")) * 1024
