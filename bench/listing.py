"""What there is to measure: each bench with its first sentence and the headline of its last recorded result."""

from __future__ import annotations

import ast
import json
from pathlib import Path

HERE = Path(__file__).parent


def main() -> None:
    """Print the list."""
    print("./ingot bench NAME measures; --help tells its options, --json prints JSON, --record keeps the result.\n")
    for path in sorted(HERE.glob("*.py")):
        about = ast.get_docstring(ast.parse(path.read_text())) or ""
        if f"./ingot bench {path.stem}" in about:
            print(f"{path.stem}\n    {sentence(about)}\n    {last(path.stem)}")


def sentence(about: str) -> str:
    """The first paragraph on one line."""
    return " ".join(about.split("\n\n", 1)[0].split())


def last(name: str) -> str:
    """The newest recorded result of a bench in a line."""
    path = HERE / "results" / f"{name}.json"
    found = json.loads(path.read_text()) if path.exists() else {}
    return f"last: {found['headline']} ({found['when']})" if "headline" in found else "last: nothing recorded yet"


if __name__ == "__main__":
    main()
