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
            print(f"{path.stem}\n    {sentence(about)}")
            for line in last(path.stem):
                print(f"    {line}")


def sentence(about: str) -> str:
    """The first paragraph on one line."""
    return " ".join(about.split("\n\n", 1)[0].split())


def last(name: str) -> list[str]:
    """The recorded results of a bench, a line for each kind of run."""
    found = [json.loads(path.read_text()) for path in sorted((HERE / "results").glob("*.json"))]
    own = [one for one in found if "headline" in one and one["command"].split()[2] == name]
    return [f"last: {one['headline']} ({one['when']}, load {one['load']['before']})" for one in own]


if __name__ == "__main__":
    main()
