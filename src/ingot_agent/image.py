"""The write_image step: choose the disk, write the image, mend its table, add the config drive, make it start.

A whole-disk image brings its own table and boot loader; for a partition image (partition.py) the table is ours, and the
boot loader is a command of its own (bootloader.py).

May not: know HTTP or partition tables itself. Invariant: success means flushed to the disk, and nothing is
written before the request is checked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ingot_agent import (
    blockdev,
    chunked,
    chunkmap,
    commands,
    configdrive,
    errors,
    fields,
    firmware,
    gpt,
    hints,
    layout,
    log,
    machine,
    partition,
    rootdisk,
    settings,
    streamed,
    transfer,
)

_ALGORITHMS = {32: "md5", 40: "sha1", 64: "sha256", 96: "sha384", 128: "sha512"}


@dataclass(frozen=True)
class Order:
    """A checked request to write an image."""

    url: str
    disk_format: str
    checksum: streamed.Checksum | None
    chunks: dict[str, Any] | None
    configdrive: str
    partitions: dict[str, Any] | None


def _checksum(info: dict[str, Any]) -> streamed.Checksum | None:
    algorithm, value = fields.text(info, "os_hash_algo"), fields.text(info, "os_hash_value")
    if algorithm and value:
        return streamed.Checksum(_known(algorithm.lower()), value)
    plain = fields.text(info, "checksum")
    if not plain:
        return None
    if len(plain) not in _ALGORITHMS:
        raise errors.InvalidCommandParams(
            f"The image's checksum has {len(plain)} digits, as no known kind has. Correct it."
        )
    return streamed.Checksum(_ALGORITHMS[len(plain)], plain)


def _known(algorithm: str) -> str:
    import hashlib  # only when an image is written

    try:
        hashlib.new(algorithm).hexdigest()
    except (ValueError, TypeError):  # unknown, or of no certain length
        text = f"This agent cannot compute the image's checksum {algorithm!r}. Use sha256 or sha512."
        raise errors.InvalidCommandParams(text) from None
    return algorithm


def order(info: dict[str, Any], drive: str) -> Order:
    """Check image_info. Raises InvalidCommandParams."""
    urls = fields.texts(info, "urls")
    if not urls:
        raise errors.InvalidCommandParams("image_info lacks urls. Send at least one address.")
    disk_format = fields.text(info, "disk_format") or "raw"
    if disk_format not in ("raw", "qcow2"):
        raise errors.InvalidCommandParams(
            f"The image's format is {disk_format!r} and this agent writes raw and qcow2 images. Let the "
            "conductor convert it."
        )
    checksum, chunks = _checksum(info), fields.find_object(info, "ingot_chunks")
    if checksum is None and chunks is None:
        raise errors.InvalidCommandParams("image_info has no checksum. Send os_hash_algo and os_hash_value.")
    partitions = info if fields.text(info, "image_type") == "partition" else None
    return Order(urls[0], disk_format, checksum, chunks, drive or fields.text(info, "configdrive"), partitions)


def write(
    wanted: Order,
    node: dict[str, Any],
    config: settings.Settings,
    roots: settings.Roots,
    progress: commands.Progress,
) -> str:
    """Carry out an order on the node's root disk; says what was done. Raises the agent's errors."""
    uefi = machine.is_uefi(roots)
    wish = layout.wish(wanted.partitions, uefi) if wanted.partitions is not None else None
    drive = b""
    if wanted.configdrive:
        drive = configdrive.decode(wanted.configdrive, config.http_timeout, config.insecure)
    from ingot_agent import raid  # only when an image is written

    disk = rootdisk.find(node, roots)
    behind = raid.disks_of(disk.name, roots)
    if behind and wish is None and not uefi:
        raise errors.ImageWriteError(
            f"The image brings its own partition table and would go onto the array {disk.name} of {', '.join(behind)}: "
            "a machine that starts by BIOS looks for boot code on the disks themselves and would not find it. "
            "Use a partition image (image_type partition), boot the machine in UEFI mode, or choose a disk."
        )
    log.line(f"writing the image to {hints.describe(disk)}")

    def write_here(device: blockdev.Device) -> int:
        return write_to(device, wanted, config, roots, progress)

    if wish is not None:
        size = partition.write(disk.name, wish, drive, write_here, progress)
    else:
        with blockdev.opened(disk.name) as device:
            size = write_here(device)
            finish(device, drive, progress)
        if uefi:
            progress.begin("making the boot entry")
            log.line(firmware.install(disk.name, roots))
    name = wanted.url.partition("?")[0].rpartition("/")[2]
    where = f"a partition of {disk.name}" if wish else disk.name
    return f"image ({name}) of {size} bytes written to {where}"


def write_to(
    device: blockdev.Device,
    wanted: Order,
    config: settings.Settings,
    roots: settings.Roots,
    progress: commands.Progress,
) -> int:
    """Write the image alone; gives its size in bytes."""
    source = transfer.Source(wanted.url, config.http_timeout, config.insecure, progress.meet)
    if wanted.chunks is None:
        assert wanted.checksum is not None
        if wanted.disk_format == "qcow2":
            from ingot_agent import unpacked  # only for a conductor that converts nothing

            return unpacked.write(device, source, wanted.checksum, progress)
        quick = streamed.can_zero_quickly(device, roots.sys)
        return streamed.write(device, source, wanted.checksum, progress, quick)
    plan = chunkmap.fetch(wanted.chunks, config.http_timeout, config.insecure)
    if plan.size > device.size:
        raise errors.ImageWriteError(
            f"The image has {plan.size} bytes and {device.name} has {device.size}. {device.remedy}"
        )
    together = None
    if sources := fields.text(wanted.chunks, "sources"):
        from ingot_agent import sharing  # only for a conductor that has images shared

        together = sharing.Sharing(sources, source, plan, device, roots) if sharing.fits(plan) else None
    try:
        chunked.write(device, plan, source, progress, together)
    finally:
        if together:
            together.close()
    return plan.size


def finish(device: blockdev.Device, drive: bytes, progress: commands.Progress) -> None:
    """Mend the table, place the config drive, flush, show the partitions."""
    progress.begin("mending the partition table")
    device.flush()
    device.drop_cache()
    table = gpt.find(device)
    if table is not None:
        gpt.write(device, gpt.fit(table, device.size))
    if drive:
        progress.begin("writing the config drive", len(drive))
        configdrive.write(device, drive)
    device.flush()
    device.reread_partitions()
