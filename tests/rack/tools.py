"""What the rack's tests share: programs, conditions, and tiny guests made of one boot sector."""

from __future__ import annotations

import asyncio
import os
import re
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path

UUID = "7b0f4d8e-6c3a-4c55-9f1e-0d7e3a1b2c3d"
Tool = Callable[..., Awaitable[tuple[int, str]]]
USER, PASSWORD = "admin", "s3cret-word"

HALT = b"\xf4\xeb\xfd"  # hlt, for ever
REBOOT = b"\xb0\xfe\xe6\x64" + HALT  # the keyboard controller's reset line
POWER_OFF = b"\xba\x04\x06\xb8\x00\x20\xef" + HALT  # ACPI: sleep state 5 through PM1a control at 0x604

_PRINT = bytes.fromhex("31c08ed8be0000fcac84c0741288c4bafd03eca82074fb88e0baf803eeebe9")


def boot_sector(text: str, then: bytes) -> bytes:
    """A boot sector that writes `text` to COM1 and then does what `then` says."""
    message = 0x7C00 + len(_PRINT) + len(then)
    code = _PRINT[:5] + struct.pack("<H", message) + _PRINT[7:] + then + text.encode() + b"\0"
    return code.ljust(510, b"\0") + b"\x55\xaa"


def boot_cd(text: str, then: bytes) -> bytes:
    """A CD image whose boot image (El Torito, no emulation) is such a boot sector."""
    record = (b"\0CD001\x01EL TORITO SPECIFICATION".ljust(0x47, b"\0") + struct.pack("<I", 19)).ljust(2048, b"\0")
    check = b"\x01\0\0\0" + bytes(24)
    total = sum(struct.unpack("<14H", check)) + 0xAA55
    catalog = check + struct.pack("<H", -total & 0xFFFF) + b"\x55\xaa"
    catalog += struct.pack("<BBHBBHI", 0x88, 0, 0, 0, 0, 4, 20)
    volume = (b"\x01CD001\x01".ljust(2048, b"\0"), record, b"\xffCD001\x01".ljust(2048, b"\0"))
    return bytes(16 * 2048) + b"".join(volume) + catalog.ljust(2048, b"\0") + boot_sector(text, then).ljust(4096, b"\0")


async def run(*argv: str, env: dict[str, str] | None = None, seconds: float = 60) -> tuple[int, str]:
    """Run a program to its end: exit code, and both outputs as one text."""
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, **(env or {})},
    )
    try:
        async with asyncio.timeout(seconds):
            output, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        output, _ = await process.communicate()
        raise AssertionError(f"{argv[0]} took over {seconds} s: {output.decode()}") from None
    return process.returncode or 0, output.decode(errors="replace")  # ipmitool prints packed names as they are


async def until(condition: Callable[[], bool], *, seconds: float = 30, what: str = "the condition") -> None:
    """Wait for a condition with a deadline."""
    try:
        async with asyncio.timeout(seconds):
            while not condition():
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"{what} did not come true within {seconds} s") from None


def serial_text(path: Path) -> str:
    """A serial log without terminal control codes."""
    text = path.read_text(errors="replace") if path.exists() else ""
    return re.sub(r"\x1b\[[0-9;=?]*[A-Za-z]", "", text)
