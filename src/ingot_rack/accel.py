"""Which QEMU accelerator is worth using here: KVM if it really runs guests, else TCG.

Why: /dev/kvm may exist and yet be emulated, crippled or forbidden; only a boot tells.
May not: trust a device node. Invariant: the verdict comes from a guest that ran, and is kept for the boot of the host.
The probe is a boot sector that counts in a loop and leaves through QEMU's debug-exit port. KVM wins only when it
ends quickly and QEMU did not complain that processor features every server has are missing.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from pathlib import Path

from ingot_rack import places
from ingot_rack.hardware import Processor

PROBE_SECONDS = 3.0
ACCEPTABLE_SECONDS = 1.5
SUCCESS = 33  # debug-exit turns the written value 0x10 into (0x10 << 1) | 1
TCG = "tcg,thread=multi,tb-size=256"
KVM = "kvm"

_LOOP_AND_LEAVE = bytes.fromhex(
    "66b900e1f505"  # mov ecx, 100000000
    "6649"  # dec ecx
    "75fc"  # jnz back
    "baf400"  # mov dx, 0xf4
    "b010ee"  # mov al, 0x10; out dx, al
    "f4ebfd"  # hlt forever
)


async def choose(processor: Processor = Processor.X86_64) -> str:
    """The value for QEMU's -accel. The environment's INGOT_RACK_ACCEL (kvm or tcg) overrides the probe.

    The probe is a program for x86-64: a machine of another processor is always emulated.
    """
    if processor is not Processor.X86_64:
        return TCG
    asked = os.environ.get("INGOT_RACK_ACCEL", "auto")
    if asked != "auto":
        return TCG if asked == "tcg" else asked
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return TCG
    known = _recall()
    if known is None:
        known = KVM if await kvm_works() else TCG
        _remember(known)
    return known


async def kvm_works() -> bool:
    """Boot the probe under KVM; True when it ends by itself, soon and without warnings."""
    with tempfile.TemporaryDirectory(prefix="ingot-kvm-") as folder:
        disk = Path(folder) / "probe.img"
        disk.write_bytes((_LOOP_AND_LEAVE.ljust(510, b"\0") + b"\x55\xaa").ljust(1 << 20, b"\0"))
        argv = [
            "qemu-system-x86_64",
            "-accel",
            KVM,
            "-cpu",
            "host",
            "-m",
            "64",
            "-machine",
            "pc",
            "-nodefaults",
        ]
        argv += ["-vga", "none", "-display", "none", "-drive", f"file={disk},format=raw,if=virtio"]
        argv += ["-device", "isa-debug-exit,iobase=0xf4,iosize=4"]
        return await _timed(argv)


async def _timed(argv: list[str]) -> bool:
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
    except FileNotFoundError:
        return False
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            _, complaints = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.communicate()
        return False
    quick = loop.time() - began < ACCEPTABLE_SECONDS
    return process.returncode == SUCCESS and quick and b"doesn't support" not in complaints


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _recall() -> str | None:
    try:
        kept: object = json.loads(_verdict_file().read_text())
    except (OSError, ValueError):
        return None
    if isinstance(kept, dict) and kept.get("boot") == _boot_id() and kept.get("accel") in {KVM, TCG}:  # pyright: ignore[reportUnknownMemberType] - JSON
        return str(kept["accel"])  # pyright: ignore[reportUnknownArgumentType] - JSON
    return None


def _remember(accel: str) -> None:
    path = _verdict_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"boot": _boot_id(), "accel": accel}))


def _verdict_file() -> Path:
    return places.cache() / "accel.json"
