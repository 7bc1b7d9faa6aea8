"""The write_image step: choose the disk, write the image, mend its table, add the config drive, make it start.

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
    disks,
    efiboot,
    errors,
    fields,
    gpt,
    hints,
    log,
    machine,
    settings,
    streamed,
    transfer,
)

_ALGORITHMS = {32: "md5", 40: "sha1", 64: "sha256", 96: "sha384", 128: "sha512"}


@dataclass(frozen=True)
class Order:
    """A checked request to write an image."""

    url: str
    checksum: streamed.Checksum | None
    chunks: dict[str, Any] | None
    configdrive: str


def _checksum(info: dict[str, Any]) -> streamed.Checksum | None:
    algorithm, value = fields.text(info, "os_hash_algo"), fields.text(info, "os_hash_value")
    if algorithm and value:
        return streamed.Checksum(algorithm.lower(), value)
    plain = fields.text(info, "checksum")
    if not plain:
        return None
    if len(plain) not in _ALGORITHMS:
        raise errors.InvalidCommandParams(
            f"The image's checksum has {len(plain)} digits, as no known kind has. Correct it."
        )
    return streamed.Checksum(_ALGORITHMS[len(plain)], plain)


def order(info: dict[str, Any], drive: str) -> Order:
    """Check image_info. Raises InvalidCommandParams."""
    urls = fields.texts(info, "urls")
    if not urls:
        raise errors.InvalidCommandParams("image_info lacks urls. Send at least one address.")
    if fields.text(info, "disk_format") not in ("", "raw"):
        raise errors.InvalidCommandParams(
            f"The image's format is {info['disk_format']!r} and this agent writes raw images. Let the "
            "conductor convert it."
        )
    checksum, chunks = _checksum(info), fields.find_object(info, "ingot_chunks")
    if checksum is None and chunks is None:
        raise errors.InvalidCommandParams("image_info has no checksum. Send os_hash_algo and os_hash_value.")
    return Order(urls[0], checksum, chunks, drive or fields.text(info, "configdrive"))


def write(
    wanted: Order,
    node: dict[str, Any],
    config: settings.Settings,
    roots: settings.Roots,
    progress: commands.Progress,
) -> str:
    """Carry out an order on the node's root disk; says what was done. Raises the agent's errors."""
    drive = b""
    if wanted.configdrive:
        drive = configdrive.decode(wanted.configdrive, config.http_timeout, config.insecure)
    disk = hints.choose(disks.find_all(roots), *hints.of_node(node))
    log.line(f"writing the image to {hints.describe(disk)}")
    with blockdev.opened(disk.name) as device:
        size = write_to(device, wanted, config, roots, progress)
        finish(device, drive, progress)
    if machine.is_uefi(roots):
        progress.begin("making the boot entry")
        with blockdev.opened(disk.name, exclusive=False) as device:
            log.line(efiboot.install(device, roots))
    return f"image ({wanted.url.partition('?')[0].rpartition('/')[2]}) of {size} bytes written to {disk.name}"


def write_to(
    device: blockdev.Device,
    wanted: Order,
    config: settings.Settings,
    roots: settings.Roots,
    progress: commands.Progress,
) -> int:
    """Write the image alone; gives its size in bytes."""
    source = transfer.Source(wanted.url, config.http_timeout, config.insecure)
    if wanted.chunks is None:
        assert wanted.checksum is not None
        quick = streamed.can_zero_quickly(device, roots.sys)
        return streamed.write(device, source, wanted.checksum, progress, quick)
    plan = chunkmap.fetch(wanted.chunks, config.http_timeout, config.insecure)
    if plan.size > device.size:
        raise errors.ImageWriteError(
            f"The image has {plan.size} bytes and the disk {device.path} has {device.size}. Choose a larger disk."
        )
    chunked.write(device, plan, source, progress)
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
