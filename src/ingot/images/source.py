"""Which image a node is to get, read from its instance_info as Ironic's clients write it."""

from __future__ import annotations

from typing import Any

from ingot.domain import errors
from ingot.images import checksums, locate, oci, partitions, urls


def from_instance_info(info: dict[str, Any], cpu_arch: str | None = None) -> locate.ImageSource:
    """The image of an instance: image_source with image_os_hash_value (and _algo) or image_checksum.

    ``cpu_arch`` is the node's; it chooses among what a registry has. Raises errors.Invalid when image or checksum is
    missing.
    """
    url = str(info.get("image_source") or "")
    if not url:
        raise errors.Invalid(
            "Cannot validate image information: instance_info has no image_source",
            hint="Set it: ingot node set NODE instance_info.image_source=https://... .",
        )
    in_registry = urls.scheme(url) == "oci"
    if in_registry:
        oci.parse(url)
    checksum = info.get("image_os_hash_value") or info.get("image_checksum")
    if not checksum and not in_registry:
        raise errors.Invalid(
            f"The image {urls.shown(url)} has no checksum, so nobody could tell whether it arrived whole",
            hint="Set instance_info image_os_hash_algo=sha256 and image_os_hash_value=... .",
        )
    algo = _text(info, "image_os_hash_algo") if info.get("image_os_hash_value") else None
    declared = _text(info, "image_disk_format")
    return locate.ImageSource(
        url,
        algo,
        str(checksum) if checksum else None,
        None if declared == "unknown" else declared,
        cpu_arch,
        _text(info, "image_pull_secret"),
    )


def _text(info: dict[str, Any], name: str) -> str | None:
    """A client may send anything; what is no text fits nothing and is refused as such."""
    value = info.get(name)
    return None if value is None else str(value)


def check(info: dict[str, Any], *, weak: bool) -> None:
    """Refuse what can be refused without fetching: an image or checksum missing, malformed or too weak.

    ``weak`` lets md5 count. Raises errors.Invalid.
    """
    found = from_instance_info(info)
    if partitions.is_wanted(info):
        partitions.order(info)
    if found.checksum is not None and not checksums.is_url(found.checksum):
        checksums.parse(found.algo, found.checksum, weak=weak)
