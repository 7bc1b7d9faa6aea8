"""The firmware's own description of the machine (SMBIOS), read from the kernel's copy of its table.

May not: need dmidecode. Invariant: what a table does not tell is absent, never guessed. The words are dmidecode's,
as Ironic's agent passes them on. Source: DMTF DSP0134 3.6, clause 7.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

from ingot_agent import settings

_UNKNOWN_SIZES = (0, 0xFFFF)


def table(roots: settings.Roots) -> bytes:
    """The raw table, empty when there is none."""
    try:
        with open(f"{roots.sys}/firmware/dmi/tables/DMI", "rb") as file:
            return file.read()
    except OSError:
        return b""


def structures(raw: bytes) -> Iterator[tuple[int, bytes, list[str]]]:
    """Type, formatted part and texts of each structure."""
    at = 0
    while at + 4 <= len(raw):
        kind, length = raw[at], raw[at + 1]
        if length < 4:
            return
        end = raw.find(b"\0\0", at + length)
        end = len(raw) if end < 0 else end
        texts = [one.decode("utf-8", "replace").strip() for one in raw[at + length : end].split(b"\0")]
        yield kind, raw[at : at + length], texts
        at = end + 2


def _text(body: bytes, texts: list[str], at: int) -> str:
    number = body[at] if at < len(body) else 0
    return texts[number - 1] if 0 < number <= len(texts) else ""


def memory_size(body: bytes) -> int:
    """MiB of one memory device (type 17); 0 when the slot is empty."""
    if len(body) < 0x0E:
        return 0
    size: int = struct.unpack_from("<H", body, 0x0C)[0]
    if size == 0x7FFF and len(body) >= 0x20:
        return struct.unpack_from("<I", body, 0x1C)[0] & 0x7FFFFFFF
    if size in _UNKNOWN_SIZES:
        return 0
    return (size & 0x7FFF) >> 10 if size & 0x8000 else size


def _bios(body: bytes, texts: list[str]) -> dict[str, str]:
    return {
        "Vendor": _text(body, texts, 4),
        "Version": _text(body, texts, 5),
        "Release Date": _text(body, texts, 8),
    }


def _processor(body: bytes, texts: list[str]) -> dict[str, str]:
    speeds = struct.unpack_from("<HH", body, 0x14) if len(body) >= 0x18 else (0, 0)
    cores = (body[0x23], body[0x25]) if len(body) >= 0x26 else (0, 0)
    return {
        "Socket Designation": _text(body, texts, 4),
        "Manufacturer": _text(body, texts, 7),
        "Version": _text(body, texts, 0x10),
        "Max Speed": f"{speeds[0]} MHz",
        "Current Speed": f"{speeds[1]} MHz",
        "Core Count": str(cores[0]),
        "Thread Count": str(cores[1]),
        "Serial Number": _text(body, texts, 0x20),
        "Part Number": _text(body, texts, 0x22),
    }


def _memory(body: bytes, texts: list[str]) -> dict[str, str]:
    speed = struct.unpack_from("<H", body, 0x15)[0] if len(body) >= 0x17 else 0
    return {
        "Size": f"{memory_size(body)} MB" if memory_size(body) else "No Module Installed",
        "Locator": _text(body, texts, 0x10),
        "Bank Locator": _text(body, texts, 0x11),
        "Speed": f"{speed} MT/s" if speed else "Unknown",
        "Manufacturer": _text(body, texts, 0x17),
        "Serial Number": _text(body, texts, 0x18),
        "Part Number": _text(body, texts, 0x1A),
    }


def describe(roots: settings.Roots) -> dict[str, Any]:
    """Firmware, processors and memory devices; empty parts where the table has none."""
    found = list(structures(table(roots)))
    bios = [_bios(body, texts) for kind, body, texts in found if kind == 0]
    devices = [_memory(body, texts) for kind, body, texts in found if kind == 17]
    array = next((body for kind, body, _ in found if kind == 16), b"")
    kilobytes: int = struct.unpack_from("<I", array, 7)[0] if len(array) >= 0x0F else 0
    if kilobytes == 0x80000000 and len(array) >= 0x17:
        kilobytes = struct.unpack_from("<Q", array, 0x0F)[0] >> 10
    memory = {"Maximum Capacity": f"{kilobytes >> 20} GB", "Number Of Devices": len(devices), "devices": devices}
    processors = [_processor(body, texts) for kind, body, texts in found if kind == 4]
    return {"bios": bios[0] if bios else {}, "cpu": processors, "memory": memory}
