"""Bring a config drive onto the disk: its own partition labelled config-2 at the end.

May not: log any of it, for it holds secrets. Invariant: it is in place, flushed, before the step ends.
"""

from __future__ import annotations

import binascii
import zlib

from ingot_agent import blockdev, errors, gpt, mbr, wire

LIMIT = 64 << 20
LABEL = "config-2"


def decode(text: str, timeout: float, insecure: bool) -> bytes:
    """Give the file system's bytes of a config drive: base64 of gzip of ISO 9660 or vfat, or an http address of that.

    Raises InvalidCommandParams, Unreachable.
    """
    if text.startswith(("http://", "https://")):
        raw = wire.fetch(text, timeout=timeout, insecure=insecure, limit=2 * LIMIT)
    else:
        raw = text.encode("ascii", "replace")
    if raw[:2] != b"\x1f\x8b":
        try:
            raw = binascii.a2b_base64(b"".join(raw.split()), strict_mode=True)
        except ValueError as error:
            raise errors.InvalidCommandParams(
                f"The config drive is not base64: {error}. Send base64 of a gzipped ISO 9660 file."
            ) from None
    unpacker = zlib.decompressobj(47)
    try:
        plain = unpacker.decompress(raw, LIMIT + 1)
    except zlib.error:
        plain = b""
    if len(plain) > LIMIT:
        raise errors.InvalidCommandParams(f"The config drive is larger than {LIMIT} bytes. Make it smaller.")
    if not plain or not unpacker.eof:
        raise errors.InvalidCommandParams("The config drive is not whole gzip. Send base64 of a gzipped ISO 9660 file.")
    return plain


def _has_label(device: blockdev.Device, offset: int) -> bool:
    """Tell whether an ISO 9660 or FAT file system labelled config-2 starts there."""
    volume = device.read(offset + 32768, 72)
    if volume[1:6] == b"CD001":
        return volume[40:72].decode("ascii", "replace").strip().lower() == LABEL
    boot = device.read(offset, 90)
    labels = (boot[43:54], boot[71:82])
    return any(one.decode("ascii", "replace").strip().lower() == LABEL for one in labels)


def _existing(device: blockdev.Device) -> tuple[int, int] | None:
    """Byte offset and length of a partition that already is a config drive; None when there is none."""
    table = gpt.find(device)
    if table is not None:
        places = [(one.first, one.last + 1 - one.first, one.name) for one in table.partitions]
    else:
        places = [(one.first, one.count, "") for one in mbr.find(device) or []]
    for first, count, name in places:
        if name.lower() == LABEL or _has_label(device, first * device.sector):
            return first * device.sector, count * device.sector
    return None


def _place(device: blockdev.Device) -> tuple[int, int]:
    existing = _existing(device)
    if existing is not None:
        return existing
    table = gpt.find(device)
    if table is not None:
        table, added = gpt.add_at_end(gpt.fit(table, device.size), LIMIT, LABEL)
        gpt.write(device, table)
        return added.first * device.sector, LIMIT
    if mbr.find(device) is not None:
        return mbr.add_at_end(device, LIMIT).first * device.sector, LIMIT
    raise errors.ImageWriteError(
        "The image has no partition table, so there is no place for the config drive. Use a whole-disk image."
    )


def write(device: blockdev.Device, plain: bytes) -> None:
    """Write the config drive into its partition, making that when needed.

    Raises ImageWriteError, BlockDeviceError.
    """
    offset, room = _place(device)
    if len(plain) > room:
        text = f"The config drive needs {len(plain)} bytes and its partition has {room}. Make it smaller."
        raise errors.ImageWriteError(text)
    padding = -len(plain) % device.sector
    device.write(memoryview(plain + bytes(padding)), offset)
    for _ in device.zero(offset + len(plain) + padding, min(room - len(plain) - padding, 1 << 20)):
        pass
    device.flush()
