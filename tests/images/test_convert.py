from __future__ import annotations

import gzip
import lzma
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import programs
from ingot.domain import errors
from ingot.images import child, chunks, convert

MIB = 1024 * 1024
LIMITS = child.Limits(size=256 * MIB)


def make_raw(path: Path) -> bytes:
    """A 64 MiB disk with a little data here and there, and a size that no block divides."""
    with path.open("wb") as file:
        file.truncate(64 * MIB + 512)
        for offset in (0, 5 * MIB - 700, 20 * MIB, 64 * MIB):
            os.pwrite(file.fileno(), os.urandom(1400 if offset < 64 * MIB else 512), offset)
        os.pwrite(file.fileno(), os.urandom(9 * MIB), 30 * MIB)
    return path.read_bytes()


def zstd(data: bytes, *options: str) -> bytes:
    command = [programs.system("zstd"), "-q", "-c", *options]
    return subprocess.run(command, input=data, stdout=subprocess.PIPE, check=True).stdout


def zstd_in_frames(data: bytes) -> bytes:
    half = len(data) // 2
    skippable = b"\x50\x2a\x4d\x18\x05\0\0\0hello"
    return zstd(data[:half]) + skippable + zstd(data[half:], "--no-check")


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress, zstd, zstd_in_frames])
async def test_packed_raw_disks_are_unpacked_sparse(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    data = make_raw(tmp_path / "disk")
    (tmp_path / "packed").write_bytes(pack(data))
    assert await convert.to_raw(tmp_path / "packed", tmp_path / "out", "raw", LIMITS) == len(data)
    assert (tmp_path / "out").read_bytes() == data
    assert (tmp_path / "out").stat().st_blocks * 512 < 12 * MIB
    assert not (tmp_path / "packed").exists()


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress, zstd, zstd_in_frames])
@pytest.mark.parametrize("part", [0.3, 0.5, 0.999])
async def test_cut_off_streams_are_refused(tmp_path: Path, pack: Callable[[bytes], bytes], part: float) -> None:
    packed = pack(make_raw(tmp_path / "disk"))
    (tmp_path / "packed").write_bytes(packed[: int(len(packed) * part)])
    with pytest.raises(errors.Invalid, match="cannot be unpacked"):
        await convert.to_raw(tmp_path / "packed", tmp_path / "out", None, LIMITS)


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress, zstd])
async def test_a_bomb_stops_at_the_limit(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    (tmp_path / "packed").write_bytes(pack(bytes(300 * MIB)))
    with pytest.raises(errors.TooLarge, match="larger than the"):
        await convert.to_raw(tmp_path / "packed", tmp_path / "out", None, LIMITS)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("options", [[], ["-c"], ["-c", "-o", "compression_type=zstd"], ["-o", "compat=0.10"]])
async def test_qcow2_becomes_the_same_disk(tmp_path: Path, options: list[str]) -> None:
    data = make_raw(tmp_path / "disk")
    made = [
        "qemu-img",
        "convert",
        "-f",
        "raw",
        "-O",
        "qcow2",
        *options,
        str(tmp_path / "disk"),
        str(tmp_path / "image"),
    ]
    subprocess.run(made, check=True)
    assert await convert.to_raw(tmp_path / "image", tmp_path / "out", "qcow2", LIMITS) == len(data)
    assert (tmp_path / "out").read_bytes() == data
    assert (tmp_path / "out").stat().st_blocks * 512 < 12 * MIB


async def test_a_qcow2_larger_than_allowed_is_refused_before_it_is_converted(tmp_path: Path) -> None:
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(tmp_path / "image"), "1T"], check=True)
    with pytest.raises(errors.TooLarge):
        await convert.to_raw(tmp_path / "image", tmp_path / "out", None, LIMITS)
    assert not (tmp_path / "out").exists()


async def test_a_damaged_qcow2_is_a_sentence_of_qemu_img(tmp_path: Path) -> None:
    make_raw(tmp_path / "disk")
    subprocess.run(["qemu-img", "convert", "-O", "qcow2", str(tmp_path / "disk"), str(tmp_path / "image")], check=True)
    with (tmp_path / "image").open("r+b") as file:
        file.seek(40)
        file.write(b"\x00\x00\x00\x00\x00\x00\x00\x07")  # the first-level table's place, unaligned
    with pytest.raises(errors.Invalid, match=r"could not convert the qcow2 image: .*L1 table"):
        await convert.to_raw(tmp_path / "image", tmp_path / "out", None, LIMITS)


@pytest.mark.parametrize("options", [[], ["-c"]])
async def test_a_cut_off_qcow2_is_refused(tmp_path: Path, options: list[str]) -> None:
    (tmp_path / "disk").write_bytes(os.urandom(4 * MIB))
    command = ["qemu-img", "convert", "-O", "qcow2", *options, str(tmp_path / "disk"), str(tmp_path / "image")]
    subprocess.run(command, check=True)
    with (tmp_path / "image").open("r+b") as file:
        file.truncate(3 * MIB)
    with pytest.raises(errors.Invalid, match="damaged or cut off: ERROR"):
        await convert.to_raw(tmp_path / "image", tmp_path / "out", None, LIMITS)


async def test_limits_stop_the_converter(tmp_path: Path) -> None:
    make_raw(tmp_path / "disk")
    command = ["qemu-img", "convert", "-O", "qcow2", str(tmp_path / "disk"), str(tmp_path / "image")]
    subprocess.run(command, check=True)
    with pytest.raises(errors.Invalid, match="could not convert"):
        await convert.to_raw(tmp_path / "image", tmp_path / "out", None, child.Limits(memory=20 * MIB))
    with pytest.raises(errors.TimedOut, match=r"took more than 0\.001 s"):
        await convert.to_raw(tmp_path / "image", tmp_path / "out", None, child.Limits(time=0.001))


async def test_limits_stop_the_unpacker_too(tmp_path: Path) -> None:
    (tmp_path / "packed").write_bytes(zstd(os.urandom(64 * MIB)))
    with pytest.raises(errors.TimedOut, match=r"took more than 0\.001 s"):
        await convert.to_raw(tmp_path / "packed", tmp_path / "out", None, child.Limits(time=0.001))
    with pytest.raises(errors.Invalid, match="cannot be unpacked"):
        await convert.to_raw(tmp_path / "packed", tmp_path / "out", None, child.Limits(memory=20 * MIB))
    with pytest.raises(errors.TooLarge, match="image cache may hold"):
        await convert.to_raw(tmp_path / "packed", tmp_path / "out", None, child.Limits(space=8 * MIB))


async def test_a_child_has_so_much_of_the_processor_and_no_more(tmp_path: Path) -> None:
    ended = await child.run([sys.executable, "-c", "while True: pass"], tmp_path / "out", child.Limits(cpu=1, time=60))
    assert (ended.code < 0, ended.reason) == (True, "it used up its CPU time")


async def test_a_packed_qcow2_is_refused(tmp_path: Path) -> None:
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(tmp_path / "image"), "8M"], check=True)
    (tmp_path / "packed").write_bytes(gzip.compress((tmp_path / "image").read_bytes()))
    with pytest.raises(errors.Invalid, match="gzip file holds a qcow2 file"):
        await convert.to_raw(tmp_path / "packed", tmp_path / "out", None, LIMITS)


def rebuild(data: bytes, raw: Path) -> bytes:
    """Write what the map covers to an empty disk, as the agent does, checking each piece."""
    found = chunks.parse(data)
    disk = bytearray(found.size)
    source = raw.read_bytes()
    last = 0
    for offset, length, digest in found.extents:
        assert offset >= last
        assert 0 < length <= found.chunk_size
        assert offset % chunks.GRAIN == 0
        piece = source[offset : offset + length]
        assert chunks.digest(piece) == digest
        disk[offset : offset + length] = piece
        last = offset + length
    return bytes(disk)


def test_the_chunk_map_covers_all_data_and_little_more(tmp_path: Path) -> None:
    raw = tmp_path / "disk"
    data = make_raw(raw)
    told: list[tuple[int, int]] = []
    built = chunks.build(raw, lambda done, size: told.append((done, size)))
    assert rebuild(built, raw) == data
    assert chunks.parse(built).data_size < 10 * MIB
    assert told[-1] == (len(data), len(data))
    assert chunks.build(raw) == built


def test_zeros_that_were_written_are_not_data(tmp_path: Path) -> None:
    raw = tmp_path / "disk"
    content = bytearray(16 * MIB)
    content[3 * MIB : 3 * MIB + 10] = b"0123456789"
    raw.write_bytes(content)
    found = chunks.parse(chunks.build(raw))
    assert [(offset, length) for offset, length, _ in found.extents] == [(3 * MIB, chunks.GRAIN)]


@pytest.mark.parametrize("size", [0, 1, 512, chunks.GRAIN, chunks.GRAIN + 1, chunks.CHUNK_SIZE + 1])
def test_odd_sizes_are_mapped_exactly(tmp_path: Path, size: int) -> None:
    raw = tmp_path / "disk"
    raw.write_bytes(os.urandom(size))
    assert rebuild(chunks.build(raw), raw) == raw.read_bytes()
    raw.write_bytes(bytes(size))
    assert chunks.parse(chunks.build(raw)).extents == []
