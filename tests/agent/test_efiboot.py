"""Boot entries as the firmware reads them, in a folder shaped like efivarfs."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import pytest

from agent import machines
from ingot_agent import blockdev, efiboot, errors, gpt

GLOBAL = "8be4df61-93ca-11d2-aa0d-00e098032b8c"


def variables(tmp_path: Path, entries: dict[int, bytes], order: list[int]) -> efiboot.Variables:
    tmp_path.mkdir(exist_ok=True)
    for number, content in entries.items():
        (tmp_path / f"Boot{number:04X}-{GLOBAL}").write_bytes(struct.pack("<I", 7) + content)
    raw = struct.pack("<I", 7) + b"".join(struct.pack("<H", one) for one in order)
    (tmp_path / f"BootOrder-{GLOBAL}").write_bytes(raw)
    return efiboot.Variables(str(tmp_path))


def other(label: str, path: bytes = b"\x7f\xff\x04\x00") -> bytes:
    return struct.pack("<IH", 1, len(path)) + (label + "\0").encode("utf-16-le") + path


def partition() -> gpt.Partition:
    return gpt.Partition(1, gpt.ESP, bytes(range(16)), 2048, 206847, "esp")


def test_load_option_has_the_specified_layout() -> None:
    raw = efiboot.load_option("ingot", partition(), "\\EFI\\BOOT\\BOOTX64.EFI")
    attributes, length = struct.unpack_from("<IH", raw)
    assert attributes == 1
    label_end = 6 + len("ingot\0") * 2
    assert raw[6:label_end].decode("utf-16-le") == "ingot\0"
    path = raw[label_end:]
    assert len(path) == length
    kind, subtype, size, number, first, count = struct.unpack_from("<BBHIQQ", path)
    assert (kind, subtype, size, number, first, count) == (4, 1, 42, 1, 2048, 204800)
    assert path[24:40] == bytes(range(16))
    assert path[40:42] == b"\x02\x02"
    kind, subtype, size = struct.unpack_from("<BBH", path, 42)
    assert (kind, subtype) == (4, 4)
    assert path[46 : 42 + size].decode("utf-16-le") == "\\EFI\\BOOT\\BOOTX64.EFI\0"
    assert path[42 + size :] == b"\x7f\xff\x04\x00"


def test_our_entry_comes_first_and_only_once(tmp_path: Path) -> None:
    store = variables(
        tmp_path, {0: other("PXE"), 1: other("ingot"), 2: other("ingot"), 3: other("Shell")}, [0, 2, 1, 3]
    )
    option = efiboot.load_option(efiboot.LABEL, partition(), "\\X")
    assert efiboot.replace_entries(store, [option]) == [1]
    assert efiboot.replace_entries(store, [option]) == [1]
    assert store.order() == [1, 0, 3]
    assert store.entries() == {0: "PXE", 1: "ingot", 3: "Shell"}


def test_a_mirror_has_an_entry_for_each_disk(tmp_path: Path) -> None:
    store = variables(tmp_path, {0: other("PXE"), 1: other("ingot"), 2: other("ingots")}, [0, 2, 1])
    options = [efiboot.load_option(name, partition(), "\\X") for name in ("ingot", "ingot-2")]
    assert efiboot.replace_entries(store, options) == [1, 3]
    assert efiboot.replace_entries(store, options) == [1, 3]
    assert store.order() == [1, 3, 0, 2]
    assert store.entries() == {0: "PXE", 1: "ingot", 2: "ingots", 3: "ingot-2"}
    assert efiboot.replace_entries(store, options[:1]) == [1]
    assert store.entries() == {0: "PXE", 1: "ingot", 2: "ingots"}
    assert store.read("Boot0001") == options[0]


def test_first_free_number_is_taken(tmp_path: Path) -> None:
    store = variables(tmp_path, {0: other("PXE"), 2: other("Shell")}, [2, 0])
    assert efiboot.replace_entries(store, [other("ingot")]) == [1]
    assert store.order() == [1, 2, 0]


def test_cleaning_removes_disk_entries_alone(tmp_path: Path) -> None:
    roots = machines.make(tmp_path / "machine", uefi=True)
    folder = Path(roots.sys) / "firmware/efi/efivars"
    store = variables(folder, {0: other("PXE"), 5: efiboot.load_option("old", partition(), "\\X")}, [5, 0])
    assert efiboot.clean(roots) == "removed 1 boot entries"
    assert store.entries() == {0: "PXE"}
    assert store.order() == [0]


def test_image_without_esp_is_refused_on_uefi(tmp_path: Path) -> None:
    roots = machines.make(tmp_path / "machine", uefi=True)
    variables(Path(roots.sys) / "firmware/efi/efivars", {}, [])
    disk = machines.add_disk(roots, "vda", 64 << 20)
    subprocess.run(["sgdisk", "-n", "1:2048:0", str(disk)], check=True, capture_output=True)
    with blockdev.opened(str(disk)) as device, pytest.raises(errors.ImageWriteError, match="no EFI system partition"):
        efiboot.install([device], roots)
