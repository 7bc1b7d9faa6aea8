"""The ramdisk for real hardware has the driver of every card and controller that it is said to have."""

from __future__ import annotations

import re
import subprocess
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


BEFORE_THE_CALL = (
    "pci:v00008086d000010D3sv00008086sd0000A01Fbc02sc00i00",
    "pci:v00001B36d0000000Dsv00001AF4sd00001100bc0Csc03i30",  # xHCI: its disks come seconds later
    "virtio:d00000001v00001AF4",
    "vmbus:f8615163df3e46c5913ff2d2f965ed0e",
)
AFTER_IT = (
    "pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01",
    "pci:v00001B36d00000010sv00001AF4sd00001100bc01sc08i02",
    "virtio:d00000002v00001AF4",
)


def test_what_the_first_call_waits_for() -> None:
    """Its modaliases are as the kernel writes them (scripts/mod/file2alias.c)."""
    text = (Path(__file__).parents[2] / "ramdisk/drivers.sh").read_text()
    (pattern,) = re.findall(r"^CARDS='(.*)'$", text, re.MULTILINE)
    words = "\n".join((*BEFORE_THE_CALL, *AFTER_IT))
    found = subprocess.run(["grep", pattern], input=words, capture_output=True, text=True, check=True, timeout=10)
    assert tuple(found.stdout.split()) == BEFORE_THE_CALL


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
