"""The files of this checkout as the house tests see them: listed once, read once, parsed once.

It judges nothing; test_house.py and its siblings do. Invariant: it sees every file that git tracks or would.
"""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

ROOT = Path(__file__).parent.parent


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
    command = ["git", "-c", "safe.directory=*", "ls-files", "--cached", "--others", "--exclude-standard"]
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
