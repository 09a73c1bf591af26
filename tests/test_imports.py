"""What `import asyncnet` costs, and that what loads late is found by each way of naming it."""

import importlib
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LATE = ["http", "imap", "jobs", "pop3", "smtp"]

# Libraries that one protocol or the command line needs, and standard modules that asyncio itself does without.
HEAVY = ["aiohttp", "aioimaplib", "aiosmtplib", "click", "rich", "idna", "uvloop", "python_socks", "distributed"]
HEAVY += ["email", "html", "http", "imaplib", "multiprocessing", "poplib", "smtplib", "sqlite3", "unittest", "xml"]


def _fresh(code: str) -> str:
    """What a new interpreter prints after running `code` with warnings as errors."""
    # A coverage run would start itself in there too, and bring modules and work of its own.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("COV", "PYTHON"))}
    command = [sys.executable, "-W", "error", "-c", code]
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def _loaded_by(code: str) -> set[str]:
    """The top-level modules that `code` loads in a new interpreter, over what the interpreter loads by itself."""
    report = (
        "import sys; before = set(sys.modules)\n{}\nimport json; print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    return {module.partition(".")[0] for module in json.loads(_fresh(report.format(code)))}


@pytest.mark.parametrize("module", HEAVY)
def test_the_import_leaves_out_what_only_a_part_needs(loaded: set[str], module: str) -> None:
    assert module not in loaded


@pytest.fixture(scope="module")
def loaded() -> set[str]:
    loaded = _loaded_by("import asyncnet")
    assert "asyncnet" in loaded
    return loaded - _loaded_by("import asyncio, ssl")


@pytest.mark.parametrize("module", LATE)
@pytest.mark.parametrize(
    "spelling",
    ["import asyncnet; found = asyncnet.{}", "from asyncnet import {} as found", "import asyncnet.{} as found"],
)
def test_a_late_module_is_found_by_each_spelling(module: str, spelling: str) -> None:
    found = _fresh(f"{spelling.format(module)}\nprint(found.__name__, found.__doc__ is not None)")
    assert found.split() == [f"asyncnet.{module}", "True"]


def test_a_late_module_is_looked_up_once() -> None:
    assert _fresh("import asyncnet; asyncnet.http; print('http' in vars(asyncnet))").split() == ["True"]


def test_a_name_that_is_not_there_is_an_attribute_error_like_any_other() -> None:
    asyncnet = importlib.import_module("asyncnet")
    with pytest.raises(AttributeError, match=r"^module 'asyncnet' has no attribute 'htpp'$"):
        asyncnet.htpp  # noqa: B018 - looking it up is the act
    with pytest.raises(ImportError, match=r"^cannot import name 'htpp' from 'asyncnet'"):
        from asyncnet import htpp  # noqa: F401


def test_what_loads_late_is_listed_by_dir() -> None:
    listed = _fresh("import asyncnet; print(*dir(asyncnet))").split()
    assert [name for name in LATE if name not in listed] == []


def test_without_aioimaplib_only_imap_is_missing_and_the_error_names_the_extra() -> None:
    code = """
import sys
sys.modules["aioimaplib"] = None
import asyncio
import asyncnet
import asyncnet.http, asyncnet.pop3, asyncnet.smtp, asyncnet.jobs
async def main():
    try:
        async with asyncnet.imap.session("imap://127.0.0.1:1", asyncnet.Credentials("alice", "secret")):
            pass
    except (ImportError, asyncnet.NetError) as error:
        print(error)
asyncio.run(main())
"""
    assert "asyncnet[imap]" in _fresh(code)


@pytest.mark.slow  # 18 processes; CPU time, so that a busy machine does not count
def test_the_import_costs_little_more_than_asyncio() -> None:
    measure = "import time; start = time.process_time(); import {}; print(time.process_time() - start)"
    seconds: dict[str, list[float]] = {"asyncio": [], "asyncnet": []}
    for _ in range(9):
        for module, taken in seconds.items():
            taken.append(float(_fresh(measure.format(module))))
    ratio = statistics.median(seconds["asyncnet"]) / statistics.median(seconds["asyncio"])
    assert ratio < 1.6
