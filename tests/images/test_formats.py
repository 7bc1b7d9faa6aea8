from __future__ import annotations

import gzip
import lzma
import os
import subprocess
from pathlib import Path

import pytest

from ingot.domain import errors
from ingot.images import formats, iso9660
from ingot.images.formats import Format


def qemu_img(*arguments: str) -> None:
    subprocess.run(["qemu-img", *arguments], check=True, capture_output=True)


def partitioned(path: Path, label: str) -> Path:
    with path.open("wb") as file:
        file.truncate(8 << 20)
    command = "label: gpt\n,4M\n" if label == "gpt" else "label: dos\n,4M\n"
    subprocess.run(["sfdisk", "-q", str(path)], input=command, text=True, check=True)
    return path


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return partitioned(tmp_path / "disk.raw", "gpt")


@pytest.mark.parametrize(
    ("form", "found"),
    [("qcow2", Format.QCOW2), ("vmdk", Format.VMDK), ("vpc", Format.VHD), ("vhdx", Format.VHDX), ("vdi", Format.VDI)],
)
def test_what_qemu_img_writes_is_recognised(raw: Path, tmp_path: Path, form: str, found: Format) -> None:
    made = tmp_path / "made"
    qemu_img("convert", "-f", "raw", "-O", form, str(raw), str(made))
    assert formats.detect(made) is found
    if found is Format.QCOW2:
        assert formats.check(made, None) is found
    else:
        with pytest.raises(errors.Invalid, match=f"is a {found} file"):
            formats.check(made, None)


def test_disks_and_streams_are_recognised(raw: Path, tmp_path: Path) -> None:
    data = raw.read_bytes()
    samples = {
        Format.GZIP: gzip.compress(data),
        Format.XZ: lzma.compress(data),
        Format.ZSTD: subprocess.run(["zstd", "-q", "-c"], input=data, stdout=subprocess.PIPE, check=True).stdout,
        Format.ISO: iso9660.build({"a": b"x"}, "cd"),
        Format.RAW: b"just bytes",
        Format.EMPTY: b"",
        Format.LUKS: b"LUKS\xba\xbe\x00\x02" + bytes(4096),
        Format.MBR: partitioned(tmp_path / "mbr", "dos").read_bytes(),
        Format.GPT: data,
    }
    for found, content in samples.items():
        path = tmp_path / "sample"
        path.write_bytes(content)
        assert formats.detect(path) is found


@pytest.mark.parametrize("declared", ["raw", "qcow2", "iso", "gpt", "zst", "nonsense"])
def test_a_declared_format_must_match(raw: Path, tmp_path: Path, declared: str) -> None:
    qcow2 = tmp_path / "image"
    qemu_img("convert", "-f", "raw", "-O", "qcow2", str(raw), str(qcow2))
    if declared == "qcow2":
        assert formats.check(qcow2, declared) is Format.QCOW2
        with pytest.raises(errors.Invalid, match="declared as qcow2, but its content is gpt"):
            formats.check(raw, declared)
        return
    with pytest.raises(errors.Invalid) as caught:
        formats.check(qcow2, declared)
    assert ("not known" if declared == "nonsense" else "content is qcow2") in caught.value.sentence()


def test_qcow2_files_that_name_other_files_are_refused(raw: Path, tmp_path: Path) -> None:
    backed = tmp_path / "backed"
    qemu_img("create", "-f", "qcow2", "-b", str(raw), "-F", "raw", str(backed))
    with pytest.raises(errors.Invalid, match="has a backing file") as caught:
        formats.check(backed, None)
    assert "qemu-img convert" in caught.value.sentence()
    outside = tmp_path / "outside"
    qemu_img("create", "-f", "qcow2", "-o", f"data_file={tmp_path / 'data'}", str(outside), "8M")
    with pytest.raises(errors.Invalid, match="external file"):
        formats.check(outside, "qcow2")


@pytest.mark.parametrize(
    ("offset", "value", "said"),
    [
        (4, b"\0\0\0\x09", "version 9"),
        (20, b"\0\0\0\x40", "cluster size"),
        (32, b"\0\0\0\x01", "encrypted"),
        (32, b"\0\0\0\x02", "encrypted"),
        (72, b"\0\0\0\0\0\0\0\x02", "corrupt"),
        (72, b"\x40\0\0\0\0\0\0\0", "bits 62"),
    ],
)
def test_damaged_or_unknown_qcow2_headers_are_refused(tmp_path: Path, offset: int, value: bytes, said: str) -> None:
    path = tmp_path / "image"
    qemu_img("create", "-f", "qcow2", str(path), "8M")
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(value)
    with pytest.raises(errors.Invalid, match=said):
        formats.check(path, None)
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(errors.Invalid, match="cut off"):
        formats.check(path, None)


def test_a_file_that_is_two_formats_at_once_is_refused(raw: Path, tmp_path: Path) -> None:
    qcow2, forged = tmp_path / "image", tmp_path / "forged"
    qemu_img("convert", "-f", "raw", "-O", "qcow2", str(raw), str(qcow2))
    disc = iso9660.build({"a": b"x"}, "cd")
    layouts = {Format.ISO: (32768, disc[32768:34816]), Format.GPT: (512, raw.read_bytes()[512:604])}
    for kind, (place, content) in layouts.items():
        for packed in (qcow2.read_bytes(), gzip.compress(os.urandom(200_000))):
            body = bytearray(packed)
            body[place : place + len(content)] = content
            forged.write_bytes(body)
            with pytest.raises(errors.Invalid, match=f"at once a {kind} disk"):
                formats.check(forged, None)


def test_a_bootable_disc_with_a_partition_table_is_a_disc_and_a_raw_disk(raw: Path, tmp_path: Path) -> None:
    hybrid = tmp_path / "hybrid"
    disc = iso9660.build({"a": b"x" * 100_000}, "cd")
    hybrid.write_bytes(raw.read_bytes()[:32768] + disc[32768:])
    for declared in ("iso", "raw", None):
        assert formats.check(hybrid, declared) is Format.ISO
    with pytest.raises(errors.Invalid, match="content is iso"):
        formats.check(hybrid, "gpt")


@pytest.mark.parametrize("start", [b"", b"\n# a comment\n \t# and another\r\n\n"])
def test_a_vmdk_descriptor_names_other_files_however_it_begins(tmp_path: Path, start: bytes) -> None:
    text = b'version=1\nCID=fffffffe\nparentCID=ffffffff\ncreateType="monolithicFlat"\nRW 2048 FLAT "/etc/shadow" 0\n'
    (tmp_path / "image").write_bytes(start + text)
    with pytest.raises(errors.Invalid, match="declared as raw, but its content is vmdk"):
        formats.check(tmp_path / "image", "raw")


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("declared", [None, "raw", "luks", "gpt"])
def test_an_encrypted_disk_is_refused_whatever_it_is_called(tmp_path: Path, version: int, declared: str | None) -> None:
    image = tmp_path / "image"
    image.write_bytes(b"LUKS\xba\xbe\0" + bytes([version]) + bytes(1 << 20))
    with pytest.raises(errors.Invalid) as caught:
        formats.check(image, declared)
    assert "luks" in caught.value.message
    assert "luks" not in caught.value.hint, "which is no format that could be set"


def test_an_encrypted_disk_with_a_partition_table_in_its_header_is_refused(raw: Path, tmp_path: Path) -> None:
    """Firmware would start what the table says, whoever looked at the first bytes alone."""
    forged = bytearray(b"LUKS\xba\xbe\x00\x02" + bytes(raw.stat().st_size - 8))
    forged[512:604] = raw.read_bytes()[512:604]
    (tmp_path / "image").write_bytes(forged)
    with pytest.raises(errors.Invalid, match="at once a gpt disk"):
        formats.check(tmp_path / "image", None)
