"""Deploy ramdisks beside upstream's: size, time and processor time from power-on to the first call, least memory.

Run: ./ingot bench ramdisk [--rounds N]    About six minutes, emulated.
Upstream's is its agent from PyPI in a Debian root with the same drivers (tests/upstream/ramdisk.py). Each is started
directly in a machine of one processor on user networking and has to ask for its node (GET /v1/lookup). "Of it before
the kernel's first line" is the machine's firmware and the kernel unpacking itself, the distribution's work. The least
memory is the smallest size tried in which it does.
"""

from __future__ import annotations

import contextlib
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import report

from agent import peers, vm
from agent.recipe import load
from upstream import ramdisk

SIZES_MB = (192, 256, 320, 384, 512, 768, 1024, 1280, 1536, 2048, 3072)
ROOMY_MB = 3072  # what every kind works in
PATIENCE = 240  # seconds: well above the slowest first call seen


@dataclass(frozen=True)
class Call:
    """A first call: seconds, processor seconds, and those of them before the kernel's first line."""

    wall: float
    cpu: float
    unpacked: float = 0.0


def main() -> None:
    parser = report.parser(__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    wanted = parser.parse_args()
    taking = report.Taking(wanted)
    with tempfile.TemporaryDirectory() as scratch:
        made = ramdisks(Path(scratch))
        calls: dict[str, list[Call]] = {name: [] for name in made}
        for _ in range(wanted.rounds):
            for name, folder in made.items():
                calls[name].append(call(folder, ROOMY_MB))
        rows = [row(name, folder, calls[name]) for name, folder in made.items()]
    sizes = ", ".join(f"{one['ramdisk']} {one['kernel + initrd, MB']} MB" for one in rows)
    taking.tell(f"kernel + initrd: {sizes}", rows=rows)


def ramdisks(scratch: Path) -> dict[str, Path]:
    """A folder with vmlinuz and initrd of each kind."""
    made: dict[str, Path] = {}
    for variant in ("full", "cloud"):
        made[f"ingot {variant}"] = scratch / variant
        load("build").build(variant, scratch / variant, lambda _phase, _part: None, [])
    return {**made, "upstream": ramdisk.build().folder}


def row(name: str, folder: Path, calls: list[Call]) -> report.Row:
    sizes = [(folder / part).stat().st_size / 1e6 for part in ("vmlinuz", "initrd")]
    return {
        "ramdisk": name,
        "kernel + initrd, MB": round(sum(sizes), 1),
        "first call, s": round(statistics.median(one.wall for one in calls), 1),
        "first call, s of processor": round(statistics.median(one.cpu for one in calls), 1),
        "of it before the kernel's first line": round(statistics.median(one.unpacked for one in calls), 1),
        "least memory, MB": next(size for size in SIZES_MB if size == ROOMY_MB or calls_in(folder, size)),
    }


def calls_in(folder: Path, memory_mb: int) -> bool:
    with contextlib.suppress(AssertionError, ChildProcessError):
        call(folder, memory_mb)
        return True
    return False


def call(folder: Path, memory_mb: int) -> Call:
    """What it takes from the start of the machine to its first call.

    Errors: AssertionError - none within PATIENCE; ChildProcessError - the machine reset before (a kernel's panic does).
    """
    with peers.Ironic() as api, machine(folder, api.port, memory_mb) as (process, serial):
        begun, unpacked = time.monotonic(), list[float]()

        def called() -> bool:
            if process.poll() is not None:
                raise ChildProcessError(f"the machine ended with {process.returncode} before it called")
            if not unpacked and serial.exists() and b"Linux version" in serial.read_bytes():
                unpacked.append(processor_seconds(process))
            return bool(api.seen.lookups)

        peers.wait_until(called, PATIENCE, "the first call")
        return Call(time.monotonic() - begun, processor_seconds(process), *unpacked[:1])


def processor_seconds(process: subprocess.Popen[bytes]) -> float:
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


@contextlib.contextmanager
def machine(folder: Path, port: int, memory_mb: int) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    append = f"console=ttyS0 panic=5 BOOTIF=01-{vm.MAC.replace(':', '-')} ipa-api-url=http://10.0.2.2:{port}"
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        hull = vm.Hull(folder, folder / "initrd", home / "disk", home / "serial", vm.Frame(memory_mb))
        with subprocess.Popen(hull.command(append), stdin=subprocess.DEVNULL) as process:
            try:
                yield process, hull.serial
            finally:
                process.kill()


if __name__ == "__main__":
    main()
