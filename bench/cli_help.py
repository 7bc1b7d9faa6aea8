"""How long `ingot --help` and its like take, in milliseconds: best and median of 15 runs of a new process.

Run: ./ingot bench cli_help
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import report

ROOT = Path(__file__).parent.parent
RUNS = 15
GOAL_MS = 150
COMMANDS = (["--help"], ["node", "--help"], ["node", "deploy", "--help"], ["serve", "--help"], ["demo", "--help"])


def measure(words: list[str]) -> list[float]:
    """Milliseconds of each run, sorted."""
    argv = [sys.executable, "-P", "-m", "ingot.cli.main", *words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    took: list[float] = []
    for _ in range(RUNS):
        began = time.perf_counter()
        subprocess.run(argv, env=environment, stdout=subprocess.DEVNULL, check=True)
        took.append((time.perf_counter() - began) * 1000)
    return sorted(took)


def main() -> None:
    """Print a line per command."""
    taking = report.Taking(report.parser(__doc__).parse_args())
    rows: list[report.Row] = []
    for words in COMMANDS:
        took = measure(words)
        rows.append({"command": f"ingot {' '.join(words)}", "best, ms": took[0], "median, ms": statistics.median(took)})
    slowest = max(row["median, ms"] for row in rows)
    taking.tell(f"every help within {slowest:.0f} ms (goal {GOAL_MS})", rows=rows)


if __name__ == "__main__":
    main()
