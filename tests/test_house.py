"""The house rules that no linter knows, each as one small test.

What ruff, the type checker and import-linter prove is not repeated here (tests/test_linters.py runs them).
A failure names every place as `file:line: what` and then says what to do.
CONTRIBUTING.md tells the rules in prose.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from checkout import Source, files, refuse, sources

# --- Exceptions by name. Each entry says why; keep these lists short. ---

GENERATED = "src/ingot/store/migrations/versions/"  # written by Alembic, one table of changes each
NAMES_ALLOWED = {"src/ingot/bus/base.py": "the contract that memory.py and rabbitmq.py fulfil"}
ASYNC_STORE = {
    "src/ingot/store/engine.py": "runs the units of work: the bridge to asyncio",
    "src/ingot/store/sqlite.py": "its half for a file",
    "src/ingot/store/server.py": "its half for a server, whose drivers are asynchronous",
    "src/ingot/store/readers.py": "those who read there",
    "src/ingot/store/drivers.py": "those drivers as store functions see them: synchronous",
}
DOMAIN_ALLOWED = {
    ("src/ingot/domain/typed.py", "threading"): "keeps threads apart while msgspec learns a type: no I/O, no wait"
}
TYPED = "src/ingot/domain/typed.py"
DEEP_TREES = {"src/ingot/domain/errors.py": "one tree of errors: Locked is a Conflict to every client"}
BROAD_EXCEPT = {
    "src/ingot/flows/attempts.py": "turns any error of a step into a journal entry",
    "src/ingot/flows/run.py": "an error outside of all steps is tried again, not left to the task",
    "src/ingot/flows/ending.py": "what cannot even be noted is left to the next claim",
    "src/ingot/store/units.py": "hands a unit's error to the caller who waits for it; the others of its group go on",
    "src/ingot/store/lanes.py": "the same of a unit whose neighbours are in the middle of theirs",
    "src/ingot/store/server.py": "the same of a whole group",
    "src/ingot/store/readers.py": "drivers stumble over a server that hangs up in any way",
    "src/ingot/store/sqlite.py": "the same of a whole group: without its writer everybody would wait for ever",
    "src/ingot/api/refusals.py": "turns any error of a request into a body",
}
BROAD_EXCEPT_ONCE = {
    "ingot_agent": "the agent's main loop must outlive a broken command",
    "ingot_rack": "a simulated machine must outlive a broken client",
}

VAGUE_FILES = {"utils", "util", "common", "helpers", "helper", "base", "misc"}
VAGUE_CLASSES = re.compile(r"(Manager|Helper|Utils?|Impl|Mixin)$|^Abstract")
VAGUE_FUNCTIONS = re.compile(r"^_*(handle|process|do|manage)_")
DOMAIN_FREE_OF = {
    "asyncio",
    "time",
    "os",
    "socket",
    "subprocess",
    "pathlib",
    "threading",
    "sqlalchemy",
    "aiohttp",
}


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
    long = [f"{path}:1: {n} lines" for path, n in lengths.items() if n > 400]
    refuse(long, "aim at 60-250 lines, 400 at most: split by noun")


def written_sources() -> list[Source]:
    """The sources that people write."""
    return [s for s in sources("src/") if not s.path.startswith(GENERATED)]


def test_functions_are_short() -> None:
    long = [
        s.at(f, f"{f.name} has {written_lines(f)} lines")
        for s in written_sources()
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
    python = [path for path in files() if path.endswith(".py") and path not in NAMES_ALLOWED]
    vague = [f"{path}:1: vague name" for path in python if Path(path).stem in VAGUE_FILES]
    refuse(vague, "name the file after its noun")


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
    told = {s.path: len(ast.get_docstring(s.tree) or "") for s in written_sources() if s.text.strip()}
    silent = [f"{path}:1: a docstring of {n} characters" for path, n in told.items() if n < 40]
    refuse(silent, "the module docstring tells why this file exists, what it may not do, and its invariant")


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
    places = {key: where for key, (where, _) in family().items() if where.split(":")[0] not in DEEP_TREES}
    deep = [f"{where} has {depth(key)} house ancestors" for key, where in places.items() if depth(key) > 2]
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


def test_structs_are_copied_by_their_own_library() -> None:
    """dataclasses.replace fails at a Struct, and only when it is reached."""
    copies = [
        s.at(node, "dataclasses.replace")
        for s in sources("src/ingot/")
        for node in s.nodes
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "dataclasses.replace"
    ]
    imports = [(s, node, name) for s in sources("src/ingot/") for node, name in s.imports()]
    copies += [s.at(node, name) for s, node, name in imports if name == "dataclasses.replace"]
    refuse(copies, "values are Structs here: msgspec.structs.replace")


def asynchronous(among: list[Source]) -> list[str]:
    functions = [(s, f) for s in among for f in s.functions()]
    return [s.at(f, f"async {f.name}") for s, f in functions if isinstance(f, ast.AsyncFunctionDef)]


def test_domain_is_pure() -> None:
    imports = [(s, node, name) for s in sources("src/ingot/domain/") for node, name in s.imports()]
    impure = [
        s.at(node, name)
        for s, node, name in imports
        if name.split(".")[0] in DOMAIN_FREE_OF and (s.path, name) not in DOMAIN_ALLOWED
    ]
    impure += asynchronous(sources("src/ingot/domain/"))
    refuse(impure, "domain/ holds values and rules: no I/O, no async, no clock; take it as a parameter")


def test_types_are_learnt_in_one_place() -> None:
    found = [
        s.at(call, ast.unparse(call.func))
        for s in sources("src/ingot/")
        if s.path != TYPED
        for call in s.nodes
        if isinstance(call, ast.Call) and learns(call)
    ]
    refuse(found, "two threads that make msgspec learn a type at once crash: use ingot.domain.typed")


def learns(call: ast.Call) -> bool:
    name = ast.unparse(call.func)
    typed = (
        name.startswith("msgspec.") and name.endswith(".decode") and any(word.arg == "type" for word in call.keywords)
    )
    return typed or name == "msgspec.convert" or (name.startswith("msgspec.") and name.endswith(".Decoder"))


def test_store_functions_are_synchronous() -> None:
    waiting = asynchronous([s for s in sources("src/ingot/store/") if s.path not in ASYNC_STORE])
    refuse(
        waiting,
        "a transaction must not span a wait: write `def f(conn)` and call `await store.run(f)`",
    )


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
    refuse(
        [s.at(node, "except Exception") for s, node in found],
        "catch the errors of domain/errors.py that you can answer",
    )


def test_exceptions_to_rules_give_a_reason() -> None:
    noqa = r"noqa(?!: [A-Z]+\d+[^#]*[a-z]{3})"  # a code, then a word in small letters
    rule = rf"({noqa}|type: ignore|pyright: ignore(?!\[[\w, ]+\].*[A-Za-z]{{3}}))"
    bare = re.compile(r"#\s*" + rule)
    silent = [
        f"{s.path}:{number}: {line.strip()[-60:]}"
        for s in sources("src/", "tests/")
        if not s.path.endswith("/test_house.py")
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
