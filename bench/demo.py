"""The demo's times: warm caches, and (with --cold) from a checkout with empty caches; the deployment split by step.

Run: ./ingot bench demo [--cold] [--image debian|tiny]   Two emulated machines at once, as `./ingot demo` makes them.
Cold means: no environment, no ramdisk, no image; Debian packages that are installed stay installed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cold", action="store_true")
    parser.add_argument("--image", choices=("debian", "tiny"), default="debian")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "XDG_CACHE_HOME": folder} if wanted.cold else dict(os.environ)
        report = Path(folder) / "report.json"
        command = [str(ROOT / "ingot"), "demo", "--image", wanted.image, "--report", str(report)]
        begun = time.monotonic()
        subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
        wall = time.monotonic() - begun
        told = json.loads(report.read_text())
    print(json.dumps({"cold": wanted.cold, "image": wanted.image, "wall s": round(wall, 1), **split(told)}, indent=2))


def split(told: dict[str, Any]) -> dict[str, Any]:
    """What the report says, phases and deploy steps by machine."""
    machines = {
        name: {"phases": one["seconds"], "deploy steps": one["steps"].get("deploy", {}), "total": one["total"]}
        for name, one in told["machines"].items()
    }
    return {"build": told["build"], "machines": machines}


if __name__ == "__main__":
    main()
