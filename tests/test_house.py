"""The house rules that no linter knows, each as one small test.

What ruff, the type checker and import-linter prove is not repeated here (tests/test_linters.py runs them). A failure
names every place as `file:line: what` and then says what to do. CONTRIBUTING.md tells the rules in prose.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent

# --- Exceptions by name. Each entry says why; keep these lists short. ---

LONG_TABLES: dict[str, str] = {}  # files over 400 lines that are one table
NAMES_ALLOWED = {"src/ingot/bus/base.py": "the contract that memory.py and rabbitmq.py fulfil"}
BROAD_EXCEPT = {
    "src/ingot/flows/run.py": "turns any error of a step into a journal entry",
    "src/ingot/api/wire.py": "turns any error of a request into a body",
}
BROAD_EXCEPT_ONCE = {
    "ingot_agent": "the agent's main loop must outlive a broken command",
    "ingot_rack": "a simulated machine must outlive a broken client",
}

VAGUE_FILES = {"utils", "util", "common", "helpers", "helper", "base", "misc"}
VAGUE_CLASSES = re.compile(r"(Manager|Helper|Utils?|Impl|Mixin)$|^Abstract")
VAGUE_FUNCTIONS = re.compile(r"^_*(handle|process|do|manage)_")
DOMAIN_FREE_OF = {"asyncio", "time", "os", "socket", "subprocess", "pathlib", "threading", "sqlalchemy", "aiohttp"}
FORBIDDEN_TEXT = re.compile(
    "|".join(
        [
            r"py" r"pi\.org",
            r"python" r"hosted\.org",
            r"deb\." r"debian\.org",
            r"security\." r"debian\.org",
            r"npm" r"js\.(org|com)",
            r"(?<![\w.])/wo" r"rk/",
            r"/root/\.ca" r"che",
        ]
    )
)

# --- One parsed copy of every file, shared by all rules. ---


@dataclass(frozen=True)
class Source:
    """One Python file of the repository; `path` is relative to its root."""

    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, self.path)

    @cached_property
    def nodes(self) -> list[ast.AST]:
        return list(ast.walk(self.tree))

    @property
    def module(self) -> str:
        return self.path.removeprefix("src/").removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    def at(self, node: ast.AST, what: str) -> str:
        return f"{self.path}:{getattr(node, 'lineno', 1)}: {what}"

    def functions(self) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
        return (n for n in self.nodes if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))

    def classes(self) -> Iterator[ast.ClassDef]:
        return (n for n in self.nodes if isinstance(n, ast.ClassDef))

    def imports(self) -> Iterator[tuple[ast.stmt, str]]:
        """(statement, dotted name) for everything imported; names of `from` imports are appended."""
        for node in self.nodes:
            if isinstance(node, ast.Import):
                yield from ((node, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                yield from ((node, f"{node.module}.{alias.name}") for alias in node.names)


@cache
def files() -> list[str]:
    """Every file that git tracks or would track."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return sorted(line for line in set(listed.splitlines()) if (ROOT / line).is_file())


@cache
def source(path: str) -> Source:
    return Source(path, (ROOT / path).read_text())


def sources(*tops: str) -> list[Source]:
    """The Python files below these folders (`src/`, `tests/`, ...)."""
    return [source(path) for path in files() if path.endswith(".py") and path.startswith(tops)]


def refuse(found: list[str], advice: str) -> None:
    assert not found, "\n  " + "\n  ".join(found) + f"\n-> {advice}"


def written_lines(node: ast.AST) -> int:
    """Lines of a function without its docstring and decorators."""
    assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    first = node.body[0]
    doc = 0
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        doc = (first.end_lineno or 0) - first.lineno + 1
    return (node.end_lineno or 0) - node.lineno + 1 - doc


# --- Sizes ---


def test_files_are_short() -> None:
    lengths = {s.path: s.text.count("\n") for s in sources("src/", "tests/", "bench/", "ramdisk/")}
    long = [f"{path}:1: {n} lines" for path, n in lengths.items() if n > 400 and path not in LONG_TABLES]
    refuse(long, "aim at 60-250 lines, 400 at most: split by noun; only a pure table may go to LONG_TABLES")


def test_functions_are_short() -> None:
    long = [
        s.at(f, f"{f.name} has {written_lines(f)} lines")
        for s in sources("src/")
        for f in s.functions()
        if written_lines(f) > 40
    ]
    refuse(long, "aim at 15 lines, 40 at most (docstring not counted): name the parts and call them")


def parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    args = function.args
    return [a.arg for a in [*args.posonlyargs, *args.args, *args.kwonlyargs] if a.arg not in ("self", "cls")]


def is_command(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """A command's parameters are its options: the user's table, not a call's burden."""
    return any(".command" in ast.unparse(decorator) for decorator in function.decorator_list)


def test_functions_take_few_parameters() -> None:
    many = [
        s.at(f, f"{f.name} takes {len(parameters(f))}")
        for s in sources("src/")
        for f in s.functions()
        if len(parameters(f)) > 6 and not is_command(f)
    ]
    refuse(many, "6 parameters at most: pass a Struct that has a name in the field's words")


# --- Names ---


def test_file_names_say_something() -> None:
    vague = [f"{path}:1: vague name" for path in files() if Path(path).stem in VAGUE_FILES and path.endswith(".py")]
    refuse([line for line in vague if line.split(":")[0] not in NAMES_ALLOWED], "name the file after its noun")


def test_init_files_are_empty() -> None:
    full = [f"{s.path}:1: not empty" for s in sources("src/") if s.path.endswith("/__init__.py") and s.text.strip()]
    refuse(full, "one door per room is ingot.<room>.<module>: move the code into a named module")


def test_function_names_tell_the_effect() -> None:
    vague = [s.at(f, f.name) for s in sources("src/") for f in s.functions() if VAGUE_FUNCTIONS.match(f.name)]
    refuse(vague, "handle_, process_, do_ and manage_ say nothing: use the verb for what comes out")


def test_class_names_are_nouns_of_the_field() -> None:
    vague = [s.at(c, c.name) for s in sources("src/") for c in s.classes() if VAGUE_CLASSES.search(c.name)]
    refuse(vague, "name the class after what it is in the glossary; no mixins")


def test_modules_say_why_they_exist() -> None:
    silent = [
        f"{s.path}:1: {'a' if ast.get_docstring(s.tree) else 'no'} docstring of {len(ast.get_docstring(s.tree) or '')} characters"
        for s in sources("src/")
        if s.text.strip() and len(ast.get_docstring(s.tree) or "") < 60
    ]
    refuse(silent, "tell in the module docstring why this file exists, what it may not do, and its one invariant")


# --- Inheritance ---


def bases(s: Source, c: ast.ClassDef) -> Iterator[tuple[str, str]]:
    """The house classes that a class names as bases, as (module, class)."""
    names = {dotted.rsplit(".", 1)[-1]: dotted for _, dotted in s.imports() if dotted.startswith("ingot")}
    local = {other.name for other in s.classes()}
    for base in c.bases:
        text = ast.unparse(base).split("[", 1)[0]
        head, _, tail = text.rpartition(".")
        if head in names:
            yield names[head], tail
        elif text in names:
            yield names[text].rpartition(".")[0], text
        elif text in local:
            yield s.module, text


@cache
def family() -> dict[tuple[str, str], tuple[str, list[tuple[str, str]]]]:
    """(module, class) -> (where, its house bases)."""
    return {(s.module, c.name): (s.at(c, c.name), list(bases(s, c))) for s in sources("src/") for c in s.classes()}


def depth(key: tuple[str, str]) -> int:
    return max((1 + depth(base) for base in family().get(key, ("", []))[1]), default=0)


def test_inheritance_is_shallow() -> None:
    deep = [f"{where} stands on {depth(key)} house classes" for key, (where, _) in family().items() if depth(key) > 2]
    refuse(deep, "at most two house ancestors: hold the object instead of being it")


def test_a_class_has_one_house_parent() -> None:
    mixed = [f"{where} has {len(parents)}" for where, parents in family().values() if len(parents) > 1]
    refuse(mixed, "no mixins: hold the second object, or make it a function")


# --- Imports and calls ---


def test_the_agent_needs_the_standard_library_only() -> None:
    allowed = sys.stdlib_module_names | {"ingot_agent"}
    foreign = [
        s.at(node, name)
        for s in sources("src/ingot_agent/")
        for node, name in s.imports()
        if name.split(".")[0] not in allowed
    ]
    refuse(foreign, "the ramdisk has Python and nothing else: use the standard library")


def test_the_rack_imports_nothing_of_ingot() -> None:
    leaks = [
        s.at(node, name)
        for s in sources("src/ingot_rack/")
        for node, name in s.imports()
        if name.split(".")[0] in ("ingot", "ingot_agent")
    ]
    refuse(leaks, "virtual hardware must not share ingot's mistakes: write the protocol from its specification")


def test_nothing_imports_a_driver() -> None:
    direct = [
        s.at(node, name)
        for s in sources("src/ingot/")
        for node, name in s.imports()
        if name.startswith("ingot.drivers.") and not s.path.startswith("src/ingot/drivers/")
    ]
    refuse(direct, "drivers are leaf code: reach them through interfaces/registry.py")


def test_domain_is_pure() -> None:
    impure = [
        s.at(node, name)
        for s in sources("src/ingot/domain/")
        for node, name in s.imports()
        if name.split(".")[0] in DOMAIN_FREE_OF
    ]
    impure += [s.at(f, f"async {f.name}") for s in sources("src/ingot/domain/") for f in s.functions() if isinstance(f, ast.AsyncFunctionDef)]
    refuse(impure, "domain/ holds values and rules: no I/O, no async, no clock; take what you need as a parameter")


def test_store_functions_are_synchronous() -> None:
    waiting = [
        s.at(f, f"async {f.name}")
        for s in sources("src/ingot/store/")
        if not s.path.endswith("/engine.py")
        for f in s.functions()
        if isinstance(f, ast.AsyncFunctionDef)
    ]
    refuse(waiting, "a transaction must not span a wait: write `def f(conn, ...)` and call `await store.run(f, ...)`")


def test_tests_use_peers_not_patches() -> None:
    patched = [
        s.at(node, ast.unparse(node.func))
        for s in sources("tests/", "bench/")
        for node in s.nodes
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("monkeypatch.setattr", "mocker.patch")
    ]
    refuse(patched, "use a peer from ingot_rack or an in-memory implementation that production uses too")


def broad(s: Source) -> Iterator[ast.ExceptHandler]:
    """Handlers that catch everything and do not raise again."""
    for node in s.nodes:
        if isinstance(node, ast.ExceptHandler):
            caught = "BaseException" if node.type is None else ast.unparse(node.type)
            last = node.body[-1]
            if caught in ("Exception", "BaseException") and not (isinstance(last, ast.Raise) and not last.exc):
                yield node


def test_catching_everything_has_its_places() -> None:
    found = [(s, node) for s in sources("src/") for node in broad(s) if s.path not in BROAD_EXCEPT]
    for package in BROAD_EXCEPT_ONCE:
        mine = [(s, node) for s, node in found if s.path.startswith(f"src/{package}/")]
        found = [pair for pair in found if pair not in mine[:1]]
    refuse([s.at(node, "except Exception") for s, node in found], "catch the errors of domain/errors.py that you can answer")


def test_exceptions_to_rules_give_a_reason() -> None:
    bare = re.compile(r"#\s*(noqa(?!: [A-Z]+\d+[^#]*[a-z]{3})|type: ignore|pyright: ignore(?!\[\w+\].*[a-z]{3}))")
    silent = [
        f"{s.path}:{number}: {line.strip()[-60:]}"
        for s in sources("src/", "tests/")
        if s.path != "tests/test_house.py"
        for number, line in enumerate(s.text.splitlines(), 1)
        if bare.search(line)
    ]
    refuse(silent, "write `# noqa: CODE  reason` or `# pyright: ignore[rule]  reason` on that line")


def test_logs_and_prints_carry_no_secrets() -> None:
    secret = re.compile(r"(^|_)(password|secret|token|passphrase|private_key)$")
    writers = {"print", "echo", "debug", "info", "warning", "error", "exception", "critical", "bind"}
    leaks: list[str] = []
    for s in sources("src/"):
        for node in s.nodes:
            if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in writers:
                names = [k.arg or "" for k in node.keywords] + [ast.unparse(a).rpartition(".")[2] for a in node.args]
                leaks += [s.at(node, name) for name in names if secret.search(name)]
    refuse(leaks, "secrets stay out of logs, errors and screens: name the node or the user instead")


# --- The repository ---


def test_no_registry_hosts_or_machine_paths() -> None:
    named: list[str] = []
    for path in files():
        data = (ROOT / path).read_bytes()
        if b"\0" not in data:
            lines = enumerate(data.decode(errors="replace").splitlines(), 1)
            named += [f"{path}:{n}: {found.group()}" for n, line in lines if (found := FORBIDDEN_TEXT.search(line))]
    refuse(named, "the repository works anywhere: let the tool's own configuration choose mirrors and folders")


def pins(name: str) -> dict[str, str]:
    lines = (ROOT / name).read_text().splitlines()
    return {line.split("==")[0].lower(): line.split("==")[1].split(" ")[0] for line in lines if "==" in line}


def test_pins_fulfil_the_requirements() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    run, dev = pins("constraints.txt"), pins("packaging/dev.txt")
    wanted = [(run, "constraints.txt", text) for text in project["dependencies"]]
    wanted += [(dev, "packaging/dev.txt", text) for text in project["optional-dependencies"]["dev"]]
    wrong = [f"{name}:1: {text}" for pinned, name, text in wanted if not fulfils(pinned, Requirement(text))]
    wrong += [f"packaging/dev.txt:1: {name} differs from constraints.txt" for name in run if dev.get(name) != run[name]]
    refuse(wrong, "compile the pins again: the two commands are in CONTRIBUTING.md, 'Dependencies'")


def fulfils(pinned: dict[str, str], wanted: Requirement) -> bool:
    version = pinned.get(wanted.name.lower().replace("_", "-"))
    return version is not None and wanted.specifier.contains(version)


def test_every_debian_package_has_a_known_group() -> None:
    path = "packaging/debian-packages.txt"
    rows = [(n, line.split("#")[0].split()) for n, line in enumerate((ROOT / path).read_text().splitlines(), 1)]
    rows = [(n, row) for n, row in rows if row]
    wrong = [f"{path}:{n}: {row}" for n, row in rows if len(row) != 2 or row[0] not in ("run", "rack", "test")]
    names = [row[-1] for _, row in rows]
    wrong += [f"{path}:{n}: {row[-1]} twice" for n, row in rows if names.count(row[-1]) > 1]
    refuse(wrong, "a line is `group package   # what needs it`; groups: run, rack, test")
