"""Disks that obey a test, for tests whose own thread does not run an event loop, and how QEMU is given them."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Generator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, TypeVar

from ingot_rack.disks import ata, iscsi, media, nvme, scsi

_Peer = TypeVar("_Peer")
NAME = "iqn.2026-11.example:disks"
LEFT = b"what the tenant left behind " * 4096  # whole blocks
SIZE = 16 << 20


def _filled(path: Path) -> media.Media:
    kept = media.Media(path, SIZE)
    kept.write(4096, LEFT)
    return kept


def holds_data(kept: media.Media) -> bool:
    """Whether the platters have what the tenant left, whatever the disk says."""
    return LEFT[: media.BLOCK] in kept.path.read_bytes()


def plain(folder: Path, serial: str, **more: Any) -> scsi.Disk:
    """A SCSI disk that holds what a tenant left."""
    return scsi.Disk(_filled(folder / serial), serial, **more)


def sata(folder: Path, serial: str, **more: Any) -> scsi.Disk:
    """The same as a SATA disk behind an adapter; ``more`` as ata.Drive takes it."""
    disk = plain(folder, serial)
    disk.drive = ata.Drive(disk.media, serial, **more)
    return disk


def flash(folder: Path, serial: str, second: str = "", **more: Any) -> nvme.Controller:
    """The same as an NVMe disk; ``second``: which namespaces it has besides ("more", "detached"); ``more`` as there."""
    if second:
        more[second] = (_filled(folder / f"{serial}-2"),)
    return nvme.Controller(_filled(folder / serial), serial, **more)


@contextlib.contextmanager
def beside(peer: AbstractAsyncContextManager[_Peer]) -> Generator[_Peer]:
    """The peer, served by an event loop in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="disk peers")
    thread.start()
    try:
        served = asyncio.run_coroutine_threadsafe(peer.__aenter__(), loop).result(10)
        try:
            yield served
        finally:
            asyncio.run_coroutine_threadsafe(peer.__aexit__(None, None, None), loop).result(10)
    finally:  # a thread that goes on would keep the whole of pytest from its end
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def attached(target: iscsi.Target, bridged: str = "") -> list[str]:
    """QEMU's words for a machine whose SCSI disks are the target's; what the guest says to them comes through whole.

    ``bridged``: the serial number of the one that is behind a USB bridge.
    """
    words = ["-device", "virtio-scsi-pci,id=peers"]
    for lun, disk in target.luns.items():
        locked = ",readonly=on" if disk.read_only else ""
        words += ["-drive", f"file={target.url(lun)},format=raw,if=none,id=peer{lun}{locked}"]
        place = f"bus=peers.0,scsi-id={lun}"
        if disk.serial == bridged:
            words += ["-device", "qemu-xhci", "-device", "usb-bot,id=bridge"]
            place = "bus=bridge.0"
        words += ["-device", f"scsi-generic,drive=peer{lun},{place}"]
    return words
