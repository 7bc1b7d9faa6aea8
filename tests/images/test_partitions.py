"""What an instance asks for around a partition image, as Ironic's clients write it."""

from __future__ import annotations

from typing import Any

import pytest

from ingot.domain import errors
from ingot.images import partitions, source

IMAGE = {"image_source": "http://h/i", "image_checksum": "0" * 64}


@pytest.mark.parametrize(
    ("info", "wanted"),
    [
        ({}, False),
        ({"image_type": "whole-disk", "kernel": "k", "ramdisk": "r"}, False),
        ({"image_type": "partition"}, True),
        ({"kernel": "k", "ramdisk": "r"}, True),
        ({"kernel": "k"}, False),
    ],
)
def test_which_images_are_partition_images(info: dict[str, Any], wanted: bool) -> None:
    assert partitions.is_wanted(info) is wanted


def test_sizes_and_defaults() -> None:
    asked = {"root_gb": "10", "swap_mb": 512, "ephemeral_gb": 20, "preserve_ephemeral": "True"}
    assert partitions.order(asked, 10 << 30) == {
        "image_type": "partition",
        "root_mb": 10240,
        "swap_mb": 512,
        "ephemeral_mb": 20480,
        "ephemeral_format": "ext4",
        "preserve_ephemeral": True,
        "boot_option": "local",
    }
    for capabilities in ("boot_mode:bios,disk_label:gpt", {"disk_label": "gpt"}):
        assert partitions.order({"root_gb": 1, "capabilities": capabilities})["disk_label"] == "gpt"
    assert "disk_label" not in partitions.order({"root_gb": 1, "capabilities": "boot_mode:uefi"})


@pytest.mark.parametrize(
    ("info", "said"),
    [
        ({"image_type": "partition"}, "needs instance_info root_gb"),
        ({"image_type": "partition", "root_gb": "ten"}, "root_gb 'ten'"),
        ({"image_type": "partition", "root_gb": 1, "swap_mb": -1}, "swap_mb -1"),
        ({"image_type": "floppy"}, "image_type 'floppy'"),
        ({"image_os_hash_algo": 5, "image_os_hash_value": "0" * 64}, "algorithm '5' is not supported"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_happens(info: dict[str, Any], said: str) -> None:
    with pytest.raises(errors.Invalid, match=said):
        source.check({**IMAGE, **info}, weak=False)


def test_an_image_larger_than_its_partition() -> None:
    with pytest.raises(errors.Invalid, match="too small for the image: 1025 MiB into 1024"):
        partitions.order({"root_gb": 1}, 1025 << 20)
