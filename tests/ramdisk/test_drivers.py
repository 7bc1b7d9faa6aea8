"""The ramdisk for real hardware has the driver of every card and controller that it is said to have."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.recipe import load
from ingot_rack import osimage_sources

PROMISED = {
    "virtual machines": "virtio_net virtio_blk virtio_scsi virtio_pci",
    "network": "e1000 e1000e igb ixgbe i40e ice mlx5_core bnxt_en tg3",
    "disks": "ahci nvme megaraid_sas mpt3sas smartpqi hpsa",
    "USB": "xhci_pci ehci_pci uhci_hcd usb_storage uas usbhid",
    "IPMI": "ipmi_si ipmi_devintf ipmi_ssif",
}


def silently(phase: str, part: float) -> None:
    """Nobody watches the build."""


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_every_promised_driver_is_in_it_and_it_stays_small(tmp_path: Path) -> None:
    """The builder leaves a name out that a kernel no longer has, without a word, so all are looked for here."""
    if osimage_sources.host_distribution().ident != "debian":
        pytest.skip("other kernels have some of them built in")
    manifest = load("build").build("full", tmp_path, silently)
    missing = {kind: set(names.split()) - set(manifest.modules) for kind, names in PROMISED.items()}
    assert {kind: names for kind, names in missing.items() if names} == {}
    assert sum(manifest.sizes.values()) <= 40 << 20
