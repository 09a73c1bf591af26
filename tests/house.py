"""The rules of the house, as functions from a tree of sources to the sentences that say where it breaks them.

An import goes down: cli, then the face, then lab | jobs, then health and client, then the five wings, then the ground.
All imports count, those inside a function and those under `if TYPE_CHECKING` too. Nothing here imports the package.
"""

import ast
import dataclasses
import functools
import inspect
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

PACKAGE = "asyncnet"
GROUND, WINGS, CLIENTS, WORK, FACE, COMMANDS = range(6)
FLOORS = {
    "streams": WINGS,
    "pop3": WINGS,
    "imap": WINGS,
    "smtp": WINGS,
    "http": WINGS,
    "health": CLIENTS,
    "client": CLIENTS,
    "loans": CLIENTS,
    "web": CLIENTS,
    "lab": WORK,
    "jobs": WORK,
    "": FACE,
    "cli": COMMANDS,
    "__main__": COMMANDS,
}
"""The floor of each part; a part that is not named here lies on the ground."""

# Parts of one floor that do not know each other; the ground's files, and health and client, may.
STRANGERS = {WINGS, WORK}

# A library has one home: where it lives, its exceptions are translated and its sharp edges known.
HOMES = {
    "aiohttp": ("asyncnet.http", "asyncnet.lab"),
    "aioimaplib": ("asyncnet.imap.wire",),
    "aiosmtplib": ("asyncnet.smtp",),
    "poplib": ("asyncnet.pop3",),
    "click": ("asyncnet.cli",),
    "distributed": ("asyncnet.jobs.cluster",),
}

SHAPELESS = {"utils", "util", "helpers", "helper", "common", "misc", "tools"}
MAX_LINES = 400
LEAVES = {f"{PACKAGE}.jobs.fetch", f"{PACKAGE}.jobs.deliver"}
"""the jobs that know protocols"""

# Not in 3.11: wait_for() swallows a cancellation that lands with the result; to_thread() shares the few threads of the
# loop's default executor, which the interpreter waits for at exit; a socket is dialled by dial.py, whoever asks.
FORBIDDEN = {
    "asyncio.wait_for": "asyncio.timeout()",
    "asyncio.to_thread": "an executor of its own",
    "asyncio.open_connection": "dial()",
    "asyncio.open_unix_connection": "dial()",
    "socket.create_connection": "dial()",
}

# What is true of one machine or of one moment does not belong into a source: a path in somebody's home, an index that
# packages happened to come from, a note to oneself. (The brackets keep this pattern from finding itself.)
PASSING = re.compile(
    r"""(?<![\w.\-/])/(?:home|Users|root|work)/\w+
      | \b(?:TO[D]O|FIX[M]E|XX[X])\b
      | \b(?:pypi|pythonhosted|npmjs)\.org\b
      | \bwork[p]lace""",
    re.VERBOSE,
)


@dataclasses.dataclass(frozen=True)
class Import:
    """One imported thing: `module`, or `name` from `module`; `at_load` unless in a function or for type checkers."""

    module: str
    name: str | None
    line: int
    at_load: bool


@dataclasses.dataclass(frozen=True)
class Source:
    """A Python file and its dotted name."""

    path: Path
    module: str
    is_package: bool

    @functools.cached_property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @functools.cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, str(self.path))

    @functools.cached_property
    def imports(self) -> list[Import]:
        return list(self._imports(self.tree, at_load=True))

    @property
    def part(self) -> str:
        """The first name below the package: `imap` for asyncnet.imap.wire, empty for the face."""
        return part_of(self.module) or ""

    def _imports(self, node: ast.AST, *, at_load: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                yield from (Import(alias.name, None, child.lineno, at_load) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                module = self._absolute(child)
                yield from (Import(module, alias.name, child.lineno, at_load) for alias in child.names)
            elif isinstance(child, ast.If) and _is_for_type_checkers(child.test):
                for statement in child.body:
                    yield from self._imports(ast.Module([statement], []), at_load=False)
                yield from self._imports(ast.Module(child.orelse, []), at_load=at_load)
            else:
                is_function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
                yield from self._imports(child, at_load=at_load and not is_function)

    def _absolute(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        parents = self.module.split(".")
        parents = parents[: len(parents) - node.level + self.is_package]
        return ".".join([*parents, node.module] if node.module else parents)

    @functools.cached_property
    def defined(self) -> set[str]:
        """The names that the file itself makes at its top: classes, functions, values, and not what it imports."""
        found: set[str] = set()
        for node in _top_level(self.tree):
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                found.add(node.name)
            elif isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign | ast.For | ast.With):
                found |= {name.id for name in ast.walk(node) if isinstance(name, ast.Name) and _is_stored(name)}
        return found


@dataclasses.dataclass(frozen=True)
class House:
    """All sources of the package, by dotted name."""

    sources: dict[str, Source]

    @classmethod
    def at(cls, root: Path) -> "House":
        """Read the package whose folder lies in `root`."""
        sources = {}
        for path in sorted((root / PACKAGE).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            is_package = parts[-1] == "__init__"
            module = ".".join(parts[:-1] if is_package else parts)
            sources[module] = Source(path, module, is_package)
        return cls(sources)

    def target(self, found: Import) -> str | None:
        """The module of the package that an import reaches, or None if it reaches another package."""
        if part_of(found.module) is None:
            return None
        full = f"{found.module}.{found.name}"
        return full if full in self.sources else found.module


def part_of(module: str) -> str | None:
    """`imap` for asyncnet.imap.wire, empty for asyncnet itself, None outside the package."""
    names = module.split(".")
    if names[0] != PACKAGE:
        return None
    return names[1] if len(names) > 1 else ""


def floor_of(module: str) -> int:
    """The floor of a module of the package."""
    return FLOORS.get(part_of(module) or "", GROUND)


def climbs(house: House) -> Iterator[str]:
    """Imports that go up, or across between parts that do not know each other."""
    for source, found, target in _inner_imports(house):
        above, below = source.part, part_of(target)
        if above == below or above == "cli" or below == "":
            continue  # the command line and the face have rules of their own
        here, there = floor_of(source.module), floor_of(target)
        if there > here or (there == here and here in STRANGERS):
            yield f"{source.module}:{found.line} imports {target}, which is not below it"


def jobs_that_know_protocols(house: House) -> Iterator[str]:
    """Imports of a wing by a job that is neither jobs/fetch.py nor jobs/deliver.py."""
    for source, found, target in _inner_imports(house):
        if source.part == "jobs" and source.module not in LEAVES and floor_of(target) == WINGS:
            yield f"{source.module}:{found.line} imports {target}; only fetch.py and deliver.py know protocols"


def commands_past_the_face(house: House) -> Iterator[str]:
    """Imports of the command line other than of itself and of names that the face lists in `__all__`."""
    listed = listed_names(house.sources[PACKAGE])
    for source, found, target in _inner_imports(house):
        if source.part != "cli" or part_of(target) == "cli":
            continue
        if found.module != PACKAGE or (found.name is not None and found.name not in listed):
            yield f"{source.module}:{found.line} imports {target}; the command line knows the face alone"


def through_a_face(house: House) -> Iterator[str]:
    """Imports of a name from a file that only hands it on."""
    for source, found, target in _inner_imports(house):
        if source.part == "cli" or source.is_package:
            continue  # the first lives on the face, the second is one
        if target == PACKAGE:
            yield f"{source.module}:{found.line} imports through the face"
        elif found.name is not None and target == found.module and found.name not in _definitions(house, target):
            yield f"{source.module}:{found.line} imports {found.name} from {target}, which does not define it"


def circles(house: House) -> Iterator[str]:
    """Modules that, at load, import each other, straight or round a corner."""
    edges: dict[str, set[str]] = {module: set() for module in house.sources}
    for source, found, target in _inner_imports(house):
        if found.at_load and target != source.module:
            edges[source.module].add(target)
    for start in edges:
        path = _way_back(edges, start)
        if path and start == min(path):
            yield " imports ".join([*path, start])


def homeless_libraries(house: House) -> Iterator[str]:
    """Imports of a library outside its home."""
    for source in house.sources.values():
        for found in source.imports:
            homes = HOMES.get(found.module.partition(".")[0])
            if homes and not any(source.module == home or source.module.startswith(f"{home}.") for home in homes):
                yield f"{source.module}:{found.line} imports {found.module}, which lives in {', '.join(homes)}"


def unopened(house: House) -> Iterator[str]:
    """Modules that do not open with their rule."""
    return (source.module for source in house.sources.values() if not ast.get_docstring(source.tree))


def shapeless(house: House) -> Iterator[str]:
    """Modules whose name holds no noun."""
    return (module for module in house.sources if SHAPELESS & set(module.split(".")))


def overlong(house: House) -> Iterator[str]:
    """Files that ask for a second noun."""
    for source in house.sources.values():
        lines = len(source.text.splitlines())
        if lines > MAX_LINES:
            yield f"{source.module} has {lines} lines"


def forbidden_calls(house: House) -> Iterator[str]:
    """Uses of what FORBIDDEN names, imported by name or reached through its module."""
    for source in house.sources.values():
        reached = [(f"{found.module}.{found.name}", found.line) for found in source.imports]
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                reached.append((f"{node.value.id}.{node.attr}", node.lineno))
        for name, line in reached:
            if name in FORBIDDEN:
                yield f"{source.module}:{line} uses {name}; here one uses {FORBIDDEN[name]}"


def passing_words(files: Iterable[Path]) -> Iterator[str]:
    """Words in the given text files that are true of one machine or moment only."""
    for path in files:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if found := PASSING.search(line):
                yield f"{path}:{number} says {found[0]!r}"


def listed_names(source: Source) -> set[str]:
    """The strings in a file's `__all__`."""
    for node in _top_level(source.tree):
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
            values = ast.walk(node.value) if isinstance(node, ast.Assign | ast.AnnAssign) and node.value else ()
            return {value.value for value in values if isinstance(value, ast.Constant) and isinstance(value.value, str)}
    return set()


def undocumented(name: str, value: object) -> Iterator[str]:
    """The public names at and below `value`, which goes by `name`, that have no docstring: modules, classes, calls."""
    if inspect.ismodule(value):
        if not value.__doc__:
            yield name
        for inner in getattr(value, "__all__", ()):
            yield from undocumented(f"{name}.{inner}", getattr(value, inner))
    elif inspect.isclass(value):
        # A dataclass or a named tuple without a docstring gets its signature for one, which explains nothing.
        if (vars(value).get("__doc__") or f"{value.__name__}(").startswith(f"{value.__name__}("):
            yield name
        ours = value.__module__.partition(".")[0]
        bases = [base for base in value.__mro__ if base.__module__.partition(".")[0] == ours]
        names = dict.fromkeys(inner for base in bases for inner, member in vars(base).items() if _is_method(member))
        yield from (f"{name}.{inner}" for inner in names if inner[0] != "_" and not _is_told(value, inner))
    elif inspect.isroutine(value) and not inspect.getdoc(value):
        yield name


def _is_method(member: object) -> bool:
    return inspect.isroutine(member) or isinstance(
        member, staticmethod | classmethod | property | functools.cached_property
    )


def _is_told(owner: type, name: str) -> bool:
    """Whether the class, or one that it derives from, says what its method does."""
    return any(inspect.getdoc(vars(base)[name]) for base in owner.__mro__ if name in vars(base))


def _inner_imports(house: House) -> Iterator[tuple[Source, Import, str]]:
    for source in house.sources.values():
        for found in source.imports:
            target = house.target(found)
            if target is not None:
                yield source, found, target


def _definitions(house: House, module: str) -> set[str]:
    source = house.sources.get(module)
    return source.defined if source else set()


def _way_back(edges: dict[str, set[str]], start: str) -> list[str] | None:
    """The shortest chain of imports from `start` to itself, `start` first and not repeated."""
    ways = [[start]]
    seen = {start}
    for way in ways:  # grows while it is walked: breadth first
        for target in sorted(edges.get(way[-1], ())):
            if target == start:
                return way
            if target not in seen:
                seen.add(target)
                ways.append([*way, target])
    return None


def _top_level(tree: ast.Module) -> Iterator[ast.stmt]:
    """The statements that run at load, those inside `if`, `try` and `with` too."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        for child in ast.iter_child_nodes(waiting.pop()):
            if isinstance(child, ast.stmt):
                yield child
            if isinstance(child, ast.If | ast.Try | ast.With | ast.ExceptHandler):
                waiting.append(child)


def _is_for_type_checkers(test: ast.expr) -> bool:
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )


def _is_stored(name: ast.Name) -> bool:
    return isinstance(name.ctx, ast.Store)
