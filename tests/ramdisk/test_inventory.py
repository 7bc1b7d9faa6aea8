"""What the agent tells of its machine, under a booted ramdisk: each collector by devices and neighbours chosen here.

The BMC is OpenIPMI's ipmi_sim behind QEMU's KCS device, the switch a real lldpd at the other end of a card's cable.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

import programs
from agent import peers, vm
from ingot_agent import collectors

pytestmark = [
    pytest.mark.qemu,
    pytest.mark.peer,
    pytest.mark.slow,
    pytest.mark.timeout(400),
    pytest.mark.skipif(shutil.which("qemu-system-x86_64") is None, reason="no QEMU on this host"),
    pytest.mark.skipif(os.geteuid() != 0, reason="a tap needs root"),
]
_SECOND = "52:54:00:0a:0b:0d"
_LAN_PROGRAM = """#!/bin/sh
shift
for name; do
  case $name in
  ip_addr) echo "$name:192.0.2.7" ;;
  mac_addr) echo "$name:52:54:00:0b:3c:01" ;;
  *_mac_addr) echo "$name:00:00:00:00:00:00" ;;
  ip_addr_src) echo "$name:static" ;;
  *) echo "$name:0.0.0.0" ;;
  esac
done
"""
_LAN = """name "peer"
set_working_mc 0x20
startlan 1
addr 127.0.0.1 {lan}
priv_limit admin
allowed_auths_admin none md5 straight
guid a123456789abcdefa123456789abcdef
lan_config_program "{program}"
endlan
serial 15 127.0.0.1 {serial} codec VM
user 2 true "root" "calvin" admin 5 none md5 straight
"""
_CONTROLLER = "mc_setbmc 0x20\nmc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr\nmc_enable 0x20\n"
# lldpd reads its file without root's rights: one in the test's own folder it would pass over in silence
_SWITCH = """
mount -t tmpfs run /run && mkdir /run/lldpd && echo 'configure lldp tx-interval 2' >/run/conf || exit
exec "$0" -d -I "$1" -C "$1" -S rack-switch -O /run/conf
"""


@contextlib.contextmanager
def _running(command: list[str], folder: Path) -> Iterator[None]:
    with (
        (folder / "said").open("wb") as said,
        subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=said, stderr=said) as process,
    ):
        try:
            yield
            assert process.poll() is None, (folder / "said").read_text()
        finally:
            process.terminate()


@contextlib.contextmanager
def _controller(folder: Path) -> Generator[list[str]]:
    """A BMC at 192.0.2.7; QEMU's words for a machine that has it."""
    folder.mkdir()
    program, serial = folder / "lan", vm.free_port()
    program.write_text(_LAN_PROGRAM)
    program.chmod(0o755)
    (folder / "lan.conf").write_text(_LAN.format(lan=vm.free_port(), program=program, serial=serial))
    (folder / "peer.emu").write_text(_CONTROLLER)
    with _running([programs.system("ipmi_sim"), "-c", "lan.conf", "-f", "peer.emu", "-s", ".", "-n", "-p"], folder):
        words = ["-chardev", f"socket,id=kcs,host=127.0.0.1,port={serial},reconnect=1"]
        yield [*words, "-device", "ipmi-bmc-extern,id=bmc,chardev=kcs", "-device", "isa-ipmi-kcs,bmc=bmc"]


@contextlib.contextmanager
def _switch(folder: Path) -> Generator[list[str]]:
    """A tap with lldpd on it; QEMU's words for a machine whose second card is plugged in there."""
    folder.mkdir()
    tap = f"lldp{os.getpid()}"
    subprocess.run(["ip", "tuntap", "add", "dev", tap, "mode", "tap"], check=True, timeout=10)
    try:
        subprocess.run(["ip", "link", "set", tap, "up"], check=True, timeout=10)
        lldpd = ["unshare", "--mount", "sh", "-c", _SWITCH, programs.system("lldpd"), tap]
        with _running(lldpd, folder):
            words = ["-netdev", f"tap,id=n1,ifname={tap},script=no,downscript=no"]
            yield [*words, "-device", f"e1000e,netdev=n1,romfile=,mac={_SECOND}"]
    finally:
        subprocess.run(["ip", "link", "del", tap], check=True, timeout=10)


def _disks(folder: Path) -> list[str]:
    words: list[str] = []
    for name, device in (("nvme", "nvme,serial=N1"), ("ata", "ide-hd,bus=ide.0,serial=A1,rotation_rate=7200")):
        with (folder / name).open("wb") as file:
            file.truncate(64 << 20)
        words += ["-drive", f"file={folder / name},format=raw,if=none,id={name}", "-device", f"{device},drive={name}"]
    return words


def _check_disks(inventory: dict[str, Any]) -> None:
    by_serial = {one["serial"]: one for one in inventory["disks"]}
    assert sorted(by_serial) == ["A1", "D0", "N1"]
    assert (by_serial["D0"]["size"], by_serial["D0"]["tran"]) == (4 << 30, "virtio")
    assert by_serial["N1"]["tran"] == "nvme"
    assert by_serial["N1"]["by_path"].endswith("-nvme-1")
    assert (by_serial["A1"]["tran"], by_serial["A1"]["model"]) == ("sata", "QEMU HARDDISK")
    assert (by_serial["A1"]["rotational"], by_serial["N1"]["rotational"]) == (True, False)


def _check_cards(inventory: dict[str, Any]) -> None:
    cards = {one["mac_address"]: one for one in inventory["interfaces"]}
    assert sorted(cards) == [vm.MAC, _SECOND]
    assert (cards[vm.MAC]["ipv4_address"], cards[vm.MAC]["driver"]) == ("10.0.2.15", "virtio_net")
    assert cards[vm.MAC]["lldp"] is None, "QEMU's own network is no switch"
    second = cards[_SECOND]
    assert (second["vendor"], second["product"], second["driver"]) == ("0x8086", "0x10d3", "e1000e")
    assert second["has_carrier"], "the agent has switched it on: the machine started from the other one"
    told = {kind: bytes.fromhex(value) for kind, value in second["lldp"]}
    assert told[6] == b"rack-switch"
    assert told[1][0] == 4, "the chassis is named by a MAC address"
    assert second["lldp"][-1] == [0, ""]


def _check_machine(found: dict[str, Any]) -> None:
    inventory = found["inventory"]
    assert (inventory["bmc_address"], inventory["bmc_mac"]) == ("192.0.2.7", "52:54:00:0b:3c:01")
    assert (inventory["cpu"]["count"], inventory["cpu"]["architecture"]) == (2, "x86_64")
    assert "QEMU" in inventory["cpu"]["model_name"]
    assert inventory["memory"]["physical_mb"] == 512
    assert 400 << 20 < inventory["memory"]["total"] < 512 << 20
    assert inventory["system_vendor"]["manufacturer"] == "QEMU"
    assert inventory["boot"]["current_boot_mode"] == "bios"
    assert inventory["boot"]["pxe_interface"] == vm.MAC
    flash = next(one for one in found["pci_devices"] if one["class"] == "010802")
    assert {"vendor_id": "1b36", "product_id": "0010"}.items() <= flash.items()
    assert any("Tablet" in one["product"] for one in found["usb_devices"])
    assert found["dmi"]["bios"]["Vendor"] == "SeaBIOS"
    assert len(found["numa_topology"]["cpus"]) == 2
    assert found["tpm"] == {"present": False, "version": None}
    assert found["root_disk"]["serial"] == "D0"


def test_each_collector_tells_what_is_there(tmp_path: Path) -> None:
    usb = ("-device", "qemu-xhci", "-device", "usb-tablet")
    with _controller(tmp_path / "bmc") as bmc, _switch(tmp_path / "switch") as cable, peers.Ironic() as api:
        words = "ipa-collect-lldp=1 ipa-lldp-timeout=10"
        frame = vm.Frame(512, processors=2, words=words, extra=(*bmc, *cable, *_disks(tmp_path), *usb))
        with vm.booted(tmp_path, api, variant="full", frame=frame) as machine:
            peers.wait_until(lambda: api.seen.heartbeats, 240, "the heartbeat")
            wanted = {"collectors": collectors.DEFAULT}
            found = machine.client.post("ingot.get_inventory", wanted)[1]["command_result"]
            _check_disks(found["inventory"])
            _check_cards(found["inventory"])
            _check_machine(found)
            reported = api.seen.inspections[0]["inventory"]
            assert reported["bmc_address"] == "192.0.2.7", "what was reported at the start is the same"
