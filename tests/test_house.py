"""The rules of the house hold for the package, and each rule finds what breaks it."""

import importlib
import types
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests import house
from tests.house import House

ROOT = Path(__file__).parent.parent
HOUSE = House.at(ROOT)

RULES = [
    house.climbs,
    house.jobs_that_know_protocols,
    house.commands_past_the_face,
    house.through_a_face,
    house.circles,
    house.homeless_libraries,
    house.unopened,
    house.shapeless,
    house.overlong,
    house.forbidden_calls,
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_package_keeps_the_rule(rule) -> None:
    assert list(rule(HOUSE)) == []


def test_no_word_is_true_of_one_machine_or_moment_only() -> None:
    suffixes = {".py", ".md", ".toml", ".txt", ".cfg", ".conf", ".yml", ".yaml"}
    folders = ["asyncnet", "tests", "examples", "benchmarks", "docs"]
    files = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.suffix in suffixes]
    files += [path for path in ROOT.iterdir() if path.suffix in suffixes or path.name in {"Makefile", "LICENSE"}]
    files += list((ROOT / ".ci").glob("*"))
    assert list(house.passing_words(files)) == []


@pytest.fixture
def face() -> types.ModuleType:
    return importlib.import_module("asyncnet")  # only here: the rules above hold for files that do not load yet


def test_each_listed_name_is_on_the_face(face: types.ModuleType) -> None:
    assert [name for name in face.__all__ if getattr(face, name, None) is None] == []
    assert len(set(face.__all__)) == len(face.__all__)


def test_each_name_on_the_face_is_listed(face: types.ModuleType) -> None:
    for name in face.__all__:
        getattr(face, name)  # what loads late is there now
    public = {name for name in vars(face) if name.isidentifier() and not name.startswith("_")}
    public -= {"TYPE_CHECKING", "annotations"}
    modules = {module.removeprefix("asyncnet.") for module in HOUSE.sources}  # Python itself hangs those on
    assert public - modules - set(face.__all__) == set()


def test_each_public_name_is_documented(face: types.ModuleType) -> None:
    assert list(house.undocumented("asyncnet", face)) == []


def _house(root: Path, files: dict[str, str]) -> House:
    """A small house of the given files, each by its path below the package; folders get an `__init__.py`."""
    for name, text in files.items():
        path = root / house.PACKAGE / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for folder in [root / house.PACKAGE, *(root / house.PACKAGE).rglob("*/")]:
        if folder.is_dir() and not (folder / "__init__.py").exists():
            (folder / "__init__.py").write_text('"""A place."""\n')
    return House.at(root)


def _places(complaints: Iterable[str]) -> list[str]:
    return [complaint.split()[0] for complaint in complaints]


@pytest.mark.parametrize(
    ("source", "target", "allowed"),
    [
        ("endpoint", "errors", True),
        ("imap/session", "dial", True),
        ("imap/session", "imap/wire", True),
        ("client", "imap/session", True),
        ("client", "health", True),
        ("jobs/fetch", "client", True),
        ("lab/smtp", "streams/server", True),
        ("dial", "streams/connect", False),
        ("imap/session", "smtp/session", False),
        ("http/session", "streams/connect", False),
        ("imap/session", "client", False),
        ("client", "jobs/runner", False),
        ("lab/web", "jobs/runner", False),
        ("jobs/runner", "lab/web", False),
        ("jobs/runner", "cli/output", False),
    ],
)
@pytest.mark.parametrize(
    "form",
    [
        "import asyncnet.{module}",
        "from asyncnet.{module} import Name",
        "def later():\n    from asyncnet.{module} import Name",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from asyncnet.{module} import Name",
    ],
)
def test_an_import_goes_down(tmp_path: Path, source: str, target: str, allowed: bool, form: str) -> None:
    text = form.format(module=target.replace("/", "."))
    built = _house(tmp_path, {source: text, target: "class Name: ..."})
    assert (list(house.climbs(built)) == []) is allowed


def test_a_relative_import_is_followed(tmp_path: Path) -> None:
    session = "from ..smtp import session\nfrom . import wire"
    built = _house(tmp_path, {"imap/session": session, "imap/wire": "", "smtp/session": ""})
    assert list(house.climbs(built)) == ["asyncnet.imap.session:1 imports asyncnet.smtp.session, which is not below it"]


def test_of_the_jobs_only_fetch_may_know_protocols(tmp_path: Path) -> None:
    text = "from asyncnet.http.session import get"
    built = _house(tmp_path, {"jobs/fetch": text, "jobs/runner": text, "http/session": "def get(): ..."})
    assert _places(house.jobs_that_know_protocols(built)) == ["asyncnet.jobs.runner:1"]


def test_the_command_line_knows_the_face_alone(tmp_path: Path) -> None:
    lines = [
        "import asyncnet",
        "from asyncnet import connect, imap",
        "from asyncnet.cli.output import table",
        "from asyncnet import hidden",
        "from asyncnet.imap import fetch",
        "import asyncnet.imap",
    ]
    files = {
        "__init__": '__all__ = ["connect", "imap"]',
        "imap/__init__": "def fetch(): ...",
        "cli/output": "def table(): ...",
        "cli/main": "\n".join(lines),
    }
    found = _places(house.commands_past_the_face(_house(tmp_path, files)))
    assert found == ["asyncnet.cli.main:4", "asyncnet.cli.main:5", "asyncnet.cli.main:6"]


def test_a_name_is_imported_from_the_file_that_defines_it(tmp_path: Path) -> None:
    lines = [
        "from asyncnet import errors",
        "from asyncnet.errors import NetError, FLAG",
        "from asyncnet import NetError",
        "import asyncnet",
        "from asyncnet.endpoint import NetError",
    ]
    files = {
        "errors": "class NetError: ...\ntry:\n    FLAG = 1\nexcept ImportError:\n    FLAG = 2",
        "endpoint": "from asyncnet.errors import NetError",
        "dial": "\n".join(lines),
    }
    found = _places(house.through_a_face(_house(tmp_path, files)))
    assert found == ["asyncnet.dial:3", "asyncnet.dial:4", "asyncnet.dial:5"]


def test_a_circle_is_found_once_and_a_late_import_breaks_it(tmp_path: Path) -> None:
    files = {"dial": "import asyncnet.tls", "tls": "import asyncnet.endpoint", "endpoint": "import asyncnet.dial"}
    assert list(house.circles(_house(tmp_path, files))) == [
        "asyncnet.dial imports asyncnet.tls imports asyncnet.endpoint imports asyncnet.dial"
    ]
    files["tls"] = "def later():\n    import asyncnet.endpoint"
    assert list(house.circles(_house(tmp_path, files))) == []


def test_a_library_lives_in_one_place(tmp_path: Path) -> None:
    files = {
        "imap/wire": "import aioimaplib",
        "imap/session": "from aioimaplib import IMAP4",
        "client": "import aiohttp",
    }
    found = _places(house.homeless_libraries(_house(tmp_path, files)))
    assert found == ["asyncnet.client:1", "asyncnet.imap.session:1"]


@pytest.mark.parametrize(
    "text",
    [
        "import asyncio\nasync def f(): await asyncio.wait_for(g(), 1)",
        "from asyncio import wait_for",
        "import asyncio\nasync def f(): await asyncio.to_thread(g)",
        "import socket\nsocket.create_connection(('h', 1))",
    ],
)
def test_a_forbidden_call_is_found(tmp_path: Path, text: str) -> None:
    assert _places(house.forbidden_calls(_house(tmp_path, {"dial": text}))) == [
        f"asyncnet.dial:{text.count(chr(10)) + 1}"
    ]


def test_the_shape_of_files_is_checked(tmp_path: Path) -> None:
    files = {"imap/utils": '"""Things."""', "dial": '"""Dial."""\n' + "x = 1\n" * 400, "tls": "x = 1"}
    built = _house(tmp_path, files)
    assert list(house.shapeless(built)) == ["asyncnet.imap.utils"]
    assert list(house.overlong(built)) == ["asyncnet.dial has 401 lines"]
    assert list(house.unopened(built)) == ["asyncnet.tls"]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("see " + "/home/" + "alice/notes", True),
        ("# TO" + "DO: later", True),
        ("https://" + "pypi" + ".org/simple", True),
        ("imaps://example.org/work/INBOX", False),
        ("https://example.org/home/alice", False),
        ("todo lists and working homes", False),
    ],
)
def test_a_passing_word_is_found(tmp_path: Path, line: str, found: bool) -> None:
    file = tmp_path / "note.md"
    file.write_text(f"first\n{line}\n")
    assert bool(list(house.passing_words([file]))) is found


def test_what_is_undocumented_is_found() -> None:
    source = '''
"""A face."""
import dataclasses
__all__ = ["Bare", "Told", "call"]
@dataclasses.dataclass
class Bare:
    x: int
    def method(self): ...
class Base:
    """A base."""
    def inherited(self): ...
    def told(self):
        """Told below."""
class Told(Base):
    """Told."""
    def told(self): ...
    @property
    def value(self): ...
    async def _private(self): ...
def call(): ...
'''
    face = types.ModuleType("face")
    exec(source, vars(face))
    assert list(house.undocumented("face", face)) == [
        "face.Bare",
        "face.Bare.method",
        "face.Told.value",
        "face.Told.inherited",
        "face.call",
    ]
