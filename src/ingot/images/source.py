"""Which image a node is to get, read from its instance_info as Ironic's clients write it."""

from __future__ import annotations

from typing import Any

from ingot.domain import errors
from ingot.images import fetch
from ingot.images.cache import ImageSource


def from_instance_info(info: dict[str, Any]) -> ImageSource:
    """The image of an instance: image_source with image_os_hash_value (and _algo) or image_checksum.

    Raises errors.Invalid when image or checksum is missing.
    """
    url = info.get("image_source")
    if not url:
        raise errors.Invalid(
            "Cannot validate image information: instance_info has no image_source",
            hint="Set it: baremetal node set --instance-info image_source=https://... .",
        )
    checksum = info.get("image_os_hash_value") or info.get("image_checksum")
    if not checksum:
        raise errors.Invalid(
            f"The image {fetch.shown(str(url))} has no checksum, so nobody could tell whether it arrived whole",
            hint="Set instance_info image_os_hash_algo=sha256 and image_os_hash_value=... .",
        )
    algo = info.get("image_os_hash_algo") if info.get("image_os_hash_value") else None
    return ImageSource(str(url), algo, str(checksum), info.get("image_disk_format"))
