"""The demo's times: warm caches, and (with --cold) from a checkout with empty caches; the deployment split by step.

Run: ./ingot bench demo [--cold] [--image debian|tiny]   Two emulated machines at once, as `./ingot demo` makes them.
Cold means: no environment, no ramdisk, no image; Debian packages that are installed stay installed.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import report

ROOT = Path(__file__).parents[1]
PHASES = ("verify", "inspect", "clean", "deploy", "boot")


def main() -> None:
    parser = report.parser(__doc__)
    parser.add_argument("--cold", action="store_true")
    parser.add_argument("--image", choices=("debian", "tiny"), default="debian")
    wanted = parser.parse_args()
    taking = report.Taking(wanted, name="demo_cold" if wanted.cold else "demo_warm")
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "XDG_CACHE_HOME": folder} if wanted.cold else dict(os.environ)
        told = Path(folder) / "report.json"
        command = [str(ROOT / "ingot"), "demo", "--image", wanted.image, "--report", str(told)]
        begun = time.monotonic()
        subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
        wall = time.monotonic() - begun
        found = json.loads(told.read_text())
    how = "all caches empty" if wanted.cold else "caches filled"
    figures = {"wall, s": round(wall, 1), **{f"building the {name}, s": one for name, one in found["build"].items()}}
    taking.tell(f"{wall:.0f} s, {how} ({wanted.image} image)", figures, rows(found["machines"]))


def rows(machines: dict[str, Any]) -> list[report.Row]:
    """Seconds of each phase, and of each step of the deployment, by machine."""
    phases = [(name, {key: one["seconds"].get(name) for key, one in machines.items()}) for name in PHASES]
    steps = dict.fromkeys(step for one in machines.values() for step in one["steps"].get("deploy", {}))
    phases += [(step, {key: one["steps"]["deploy"].get(step) for key, one in machines.items()}) for step in steps]
    phases.append(("total", {key: one["total"] for key, one in machines.items()}))
    return [{"seconds": name, **values} for name, values in phases]


if __name__ == "__main__":
    main()
