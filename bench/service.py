"""How long `ingot serve` takes to its first answer, and what it costs while it does nothing.

Run: ./ingot bench service [--rounds N] [--idle SECONDS]   Starts the service on loopback with an empty data folder.
Memory is the proportional set size of the process; idle CPU is its own processor time over the idle seconds.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--idle", type=float, default=20.0)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        first, _, _ = one_start(Path(folder), idle=0)
        rounds = [one_start(Path(folder), idle=0)[0] for _ in range(wanted.rounds)]
        _, memory, busy = one_start(Path(folder), idle=wanted.idle)
    figures = {
        "first start (makes the database), s": round(first, 2),
        "start to ready, s (median)": round(statistics.median(rounds), 2),
        "memory after start, MiB (PSS)": round(memory, 1),
        f"idle CPU over {wanted.idle:.0f} s, % of a core": round(busy * 100, 2),
    }
    print(json.dumps(figures, indent=2))


def one_start(folder: Path, idle: float) -> tuple[float, float, float]:
    """Start, wait for the first answer, idle, stop: (seconds to ready, MiB, share of a core while idle)."""
    begun = time.monotonic()
    with served(folder) as (pid, _):
        ready = time.monotonic() - begun
        before = cpu(pid)
        time.sleep(idle)  # noqa: TID251  idling is what is measured
        busy = (cpu(pid) - before) / idle if idle else 0.0
        memory = pss(pid)
    return ready, memory, busy


@contextmanager
def served(folder: Path) -> Generator[tuple[int, int]]:
    """A service on loopback without authentication, its data in ``folder``: (its pid, its port)."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [sys.executable, "-P", "-m", "ingot.cli.main", "serve", "--noauth", "--port", str(port)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    command += ["--data-dir", str(folder)]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, env=environment, stdout=quiet, stderr=quiet) as process:
        try:
            wait_ready(port, process)
            yield process.pid, port
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(20)


def wait_ready(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
            connection.request("GET", "/v1")
            if connection.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.005)  # noqa: TID251  looking for the moment it answers
    raise SystemExit("ingot serve did not answer within 30 s")


def pss(pid: int) -> float:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(text.split("Pss:")[1].split()[0]) / 1024


def cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
