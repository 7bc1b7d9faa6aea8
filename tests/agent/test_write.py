"""Images onto disks: real HTTP, real files and loop devices, with every fault the network offers."""

from __future__ import annotations

import concurrent.futures
import hashlib
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent import machines, peers
from ingot_agent import blockdev, commands, errors, image, settings, transfer, wire

MIB = 1 << 20
CHUNK = 1 << 20


def sample(size: int = 24 * MIB) -> bytes:
    """Data, holes, a short tail and a chunk that begins with zeros."""
    body = bytearray(size + 5000)
    for offset in (0, MIB, 5 * MIB, 6 * MIB, 20 * MIB):
        body[offset : offset + 700_000] = os.urandom(700_000)
    body[10 * MIB + 70_000 : 10 * MIB + 70_100] = os.urandom(100)
    body[-10:] = os.urandom(10)
    return bytes(body)


def write(disk: Path, info: dict[str, Any], tmp_path: Path, timeout: float = 5) -> commands.Progress:
    progress = commands.Progress()
    config = settings.Settings(http_timeout=timeout)
    roots = settings.Roots(str(tmp_path / "nosys"), "/proc", "/dev", str(tmp_path))
    with blockdev.opened(str(disk)) as device:
        image.write_to(device, image.order(info, ""), config, roots, progress)
        device.flush()
    return progress


def info_for(images: peers.Images, body: bytes, chunks: bytes | None) -> dict[str, Any]:
    info: dict[str, Any] = {"id": "i", "urls": [images.url("/i.raw")], "disk_format": "raw"}
    info |= {"os_hash_algo": "sha256", "os_hash_value": hashlib.sha256(body).hexdigest()}
    if chunks is not None:
        info["ingot_chunks"] = {"url": images.url("/i.map"), "digest": peers.digest(chunks)}
    return info


@pytest.fixture
def dirty(tmp_path: Path) -> Path:
    disk = tmp_path / "disk"
    disk.write_bytes(os.urandom(40 * MIB))
    return disk


@pytest.fixture
def loop(tmp_path: Path) -> Iterator[Path]:
    backing = tmp_path / "backing"
    backing.write_bytes(os.urandom(40 * MIB))
    done = subprocess.run(["losetup", "-f", "--show", str(backing)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no loop devices here: {done.stderr.strip()}")
    yield Path(done.stdout.strip())
    subprocess.run(["losetup", "-d", done.stdout.strip()], check=True)


@pytest.mark.parametrize("mapped", [True, False])
@pytest.mark.parametrize("breaks", [0, 3])
def test_every_byte_is_right_over_stale_data(tmp_path: Path, dirty: Path, mapped: bool, breaks: int) -> None:
    body = sample()
    chunks = peers.chunk_map(body, CHUNK)
    with peers.Images({"/i.raw": body, "/i.map": chunks}, breaks=breaks, break_after=1_500_000) as images:
        progress = write(dirty, info_for(images, body, chunks if mapped else None), tmp_path)
    assert dirty.read_bytes()[: len(body)] == body
    assert progress.done == progress.total > 0


@pytest.mark.parametrize("mapped", [True, False])
def test_on_a_block_device(tmp_path: Path, loop: Path, mapped: bool) -> None:
    body = sample()
    chunks = peers.chunk_map(body, CHUNK)
    with peers.Images({"/i.raw": body, "/i.map": chunks}) as images:
        write(loop, info_for(images, body, chunks if mapped else None), tmp_path)
    with loop.open("rb") as file:
        assert file.read(len(body)) == body


def test_quick_zeroing_skips_zero_blocks(tmp_path: Path, loop: Path) -> None:
    body = sample()
    sys_root = tmp_path / "sys"
    folder = sys_root / "class/block" / loop.name / "queue"
    folder.mkdir(parents=True)
    (folder / "write_zeroes_max_bytes").write_text("4294966784\n")
    config, roots = settings.Settings(http_timeout=5), settings.Roots(str(sys_root))
    with peers.Images({"/i.raw": body}) as images, blockdev.opened(str(loop)) as device:
        image.write_to(device, image.order(info_for(images, body, None), ""), config, roots, commands.Progress())
        device.flush()
    with loop.open("rb") as file:
        assert file.read(len(body)) == body


def test_holes_are_not_fetched_and_one_connection_serves(tmp_path: Path, dirty: Path) -> None:
    body = sample()
    chunks = peers.chunk_map(body, CHUNK)
    with peers.Images({"/i.raw": body, "/i.map": chunks}) as images:
        write(dirty, info_for(images, body, chunks), tmp_path)
        fetched = sum(int(last) + 1 - int(first) for first, last in (r[6:].split("-") for r in images.ranges))
        assert fetched <= 7 * CHUNK
        assert len(images.connections) == 2  # the map, the data


@pytest.mark.parametrize("mapped", [True, False])
def test_image_larger_than_the_disk_writes_nothing(tmp_path: Path, mapped: bool) -> None:
    disk = tmp_path / "small"
    disk.write_bytes(b"x" * MIB)
    body = sample()
    chunks = peers.chunk_map(body, CHUNK)
    with (
        peers.Images({"/i.raw": body, "/i.map": chunks}) as images,
        pytest.raises(errors.ImageWriteError, match=rf"{len(body)} bytes and the disk .* has {MIB}"),
    ):
        write(disk, info_for(images, body, chunks if mapped else None), tmp_path)
    assert disk.read_bytes() == b"x" * MIB


def test_wrong_checksum_names_both(tmp_path: Path, dirty: Path) -> None:
    body = sample()
    wrong = "0" * 64
    with peers.Images({"/i.raw": body}) as images:
        info = info_for(images, body, None) | {"os_hash_value": wrong}
        right = hashlib.sha256(body).hexdigest()
        with pytest.raises(errors.ImageChecksumError, match=f"expected {wrong}, got {right}"):
            write(dirty, info, tmp_path)


def test_changed_image_behind_a_map_is_refused(tmp_path: Path, dirty: Path) -> None:
    body = sample()
    chunks = peers.chunk_map(body, CHUNK)
    changed = bytearray(body)
    changed[5 * MIB + 5] ^= 1
    with (
        peers.Images({"/i.raw": bytes(changed), "/i.map": chunks}) as images,
        pytest.raises(errors.ImageChecksumError, match=rf"at byte {5 * MIB} has the wrong checksum: expected .* got"),
    ):
        write(dirty, info_for(images, body, chunks), tmp_path)


def test_map_with_wrong_digest_is_refused(tmp_path: Path, dirty: Path) -> None:
    body = sample()
    chunks = peers.chunk_map(body, CHUNK)
    with (
        peers.Images({"/i.raw": body, "/i.map": chunks + b" "}) as images,
        pytest.raises(errors.ImageChecksumError, match="chunk map has the wrong checksum"),
    ):
        write(dirty, info_for(images, body, chunks), tmp_path)


def test_a_server_that_fails_for_a_moment_is_asked_for_the_map_again(tmp_path: Path, dirty: Path) -> None:
    body = sample()
    chunks = peers.chunk_map(body, CHUNK)
    with peers.Images({"/i.raw": body, "/i.map": chunks}) as images:
        images.state["refusals"] = 2
        write(dirty, info_for(images, body, chunks), tmp_path)
        assert images.state["refusals"] == 0
    assert dirty.read_bytes()[: len(body)] == body


def test_small_files_are_asked_for_so_often_and_no_more() -> None:
    with peers.Images({"/i.map": b"x"}) as images:
        images.state["refusals"] = 100
        with pytest.raises(
            errors.Unreachable, match=r"answered 503 for /i\.map.* attempt 3, the last\. .*deploy again"
        ):
            wire.fetch(images.url("/i.map"), timeout=5, pauses=(0.01, 0.01))
        assert images.state["refusals"] == 97
        images.state["refusals"] = 0
        before = len(images.connections)
        with pytest.raises(errors.Unreachable, match=r"answered 404 for /none\. Check") as told:
            wire.fetch(images.url("/none?signature=secret"), timeout=5, pauses=(0.01, 0.01))
        assert len(images.connections) == before + 1, "that does not change by asking again"
    assert told.value.as_dict()["type"] == "Unreachable"
    with pytest.raises(errors.Unreachable, match=r"No connection to .* attempt 2, the last"):
        wire.fetch(images.url("/i.map"), timeout=5, pauses=(0.01,))


def test_a_silent_server_is_a_sentence() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        pytest.raises(errors.Unreachable, match="nothing came in time"),
    ):
        wire.fetch(f"http://127.0.0.1:{silent.getsockname()[1]}/i.map", timeout=0.2, pauses=())


@pytest.mark.parametrize(
    "raw",
    [b"{", b"[]", b'{"version":2,"hash":"blake2b-256","size":1,"chunk_size":4096,"extents":[]}',
     b'{"version":1,"hash":"blake2b-256","size":4096,"chunk_size":4096,"extents":[[0,4096,"00"]]}',
     b'{"version":1,"hash":"blake2b-256","size":4096,"chunk_size":4096,"extents":[[4096,4096,"' + b"00" * 32 + b'"]]}'],
)  # fmt: skip
def test_nonsense_maps_are_refused(raw: bytes) -> None:
    from ingot_agent import chunkmap

    with pytest.raises(errors.ImageWriteError, match="chunk map is not usable"):
        chunkmap.parse(raw)


def test_server_gone_is_a_sentence(tmp_path: Path, dirty: Path) -> None:
    from ingot_agent import chunked, chunkmap

    body = sample()
    plan = chunkmap.parse(peers.chunk_map(body, CHUNK))
    with peers.Images({}) as images:
        url = images.url("/i.raw")
    source = transfer.Source(url, timeout=1, attempts=3, first_pause=0.01)
    with blockdev.opened(str(dirty)) as device, pytest.raises(errors.ImageWriteError, match="failed 3 times in a row"):
        chunked.write(device, plan, source, commands.Progress())


def test_server_that_keeps_breaking_off_ends_patience(tmp_path: Path, dirty: Path) -> None:
    from ingot_agent import chunked, chunkmap, streamed

    body = sample()
    plan = chunkmap.parse(peers.chunk_map(body, CHUNK))
    with peers.Images({"/i.raw": body}, breaks=1000, break_after=1000) as images, blockdev.opened(str(dirty)) as device:
        source = transfer.Source(images.url("/i.raw"), timeout=1, attempts=3, first_pause=0.01)
        with pytest.raises(errors.ImageWriteError, match=r"failed 3 times in a row at byte 0.*deploy again"):
            chunked.write(device, plan, source, commands.Progress())
        with pytest.raises(errors.ImageWriteError, match="failed 3 times in a row at byte 0"):
            streamed.write(device, source, streamed.Checksum("sha256", "0" * 64), commands.Progress(), False)


@pytest.mark.parametrize("mapped", [True, False])
def test_a_server_that_falls_silent_is_told_while_it_is_waited_for(dirty: Path, mapped: bool) -> None:
    from ingot_agent import chunked, chunkmap, streamed

    progress, plan = commands.Progress(), chunkmap.parse(peers.chunk_map(sample(), CHUNK))
    checksum = streamed.Checksum("sha256", "0" * 64)
    with socket.create_server(("127.0.0.1", 0)) as silent, concurrent.futures.ThreadPoolExecutor(1) as beside:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/i.raw"
        source = transfer.Source(url, 0.5, False, progress.meet, attempts=4, first_pause=0.2)
        with blockdev.opened(str(dirty)) as device:
            if mapped:
                work = beside.submit(chunked.write, device, plan, source, progress)
            else:
                work = beside.submit(streamed.write, device, source, checksum, progress, False)
            peers.wait_until(lambda: "Going on at byte 0" in progress.as_dict()["phase"], 5, "the trouble told")
            assert not work.done()
            assert url.split("/")[2] in progress.as_dict()["phase"]
            with pytest.raises(errors.ImageWriteError, match="failed 4 times in a row at byte 0"):
                work.result(20)
    progress.add(1)
    assert "Going on" not in progress.as_dict()["phase"]


def chunked_write(disk: Path, body: bytes, images: peers.Images) -> None:
    from ingot_agent import chunked, chunkmap

    source = transfer.Source(images.url("/i.raw"), timeout=1, attempts=3, first_pause=0.01)
    with blockdev.opened(str(disk)) as device:
        chunked.write(device, chunkmap.parse(peers.chunk_map(body, CHUNK)), source, commands.Progress())


def test_second_look_at_a_damaged_chunk_may_break_off_too(tmp_path: Path, dirty: Path) -> None:
    body = os.urandom(CHUNK)
    with peers.Images({"/i.raw": body}, breaks=1, break_after=1000) as images:
        images.state["spoils"] = 1
        chunked_write(dirty, body, images)
        assert (images.state["spoils"], images.state["breaks"], len(images.ranges)) == (0, 0, 3)
    assert dirty.read_bytes()[:CHUNK] == body


def test_a_chunk_that_is_damaged_only_among_others_ends_patience(tmp_path: Path, dirty: Path) -> None:
    body = os.urandom(2 * CHUNK)
    with peers.Images({"/i.raw": body}) as images:
        images.state |= {"spoils": 1000, "spoil_beyond": CHUNK}
        with pytest.raises(errors.ImageWriteError, match=r"failed 3 times in a row at byte 0.*not at its source"):
            chunked_write(dirty, body, images)


@pytest.mark.parametrize("mapped", [True, False])
def test_an_image_that_changes_on_the_server_is_not_mixed_with_the_old_one(
    tmp_path: Path, dirty: Path, mapped: bool
) -> None:
    body, other = os.urandom(8 * CHUNK), os.urandom(8 * CHUNK)
    chunks = peers.chunk_map(body, CHUNK)
    with peers.Images({"/i.raw": body, "/i.map": chunks}, breaks=1, break_after=5 * CHUNK) as images:

        def change() -> None:
            peers.wait_until(lambda: images.state["breaks"] == 0, 20, "the break")
            images.files["/i.raw"] = other

        with (
            concurrent.futures.ThreadPoolExecutor(1) as pool,
            pytest.raises(errors.ImageWriteError, match=r"was changed while it was written\. Deploy again"),
        ):
            pool.submit(change)
            write(dirty, info_for(images, body, chunks if mapped else None), tmp_path)


def test_a_part_of_another_place_is_not_written(tmp_path: Path, dirty: Path) -> None:
    """The transfer breaks off; the server (or a proxy before it) goes on elsewhere and says so."""
    body = os.urandom(8 * CHUNK)
    with peers.Images({"/i.raw": body}, breaks=1, break_after=5 * CHUNK) as images:
        images.state["misplaced"] = 4096
        with pytest.raises(errors.ImageWriteError, match=r"was asked for byte \d+ and gave 'bytes \d+-\d+/\d+'\. Use"):
            write(dirty, info_for(images, body, None), tmp_path)


def test_an_address_is_named_without_its_password() -> None:
    with pytest.raises(errors.InvalidCommandParams) as caught:
        wire.parse_url("ftp://jane:s3cret@images/i.raw?signature=s3cret")
    assert "s3cret" not in caught.value.message
    assert "images/i.raw" in caught.value.message


def test_missing_image_is_a_sentence(tmp_path: Path, dirty: Path) -> None:
    with peers.Images({}) as images, pytest.raises(errors.ImageWriteError, match=r"answered 404 for /i\.raw"):
        write(dirty, info_for(images, b"x", None), tmp_path)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"urls": []}, "urls"),
        ({"disk_format": "vmdk"}, "vmdk"),
        ({"os_hash_value": ""}, "no checksum"),
        ({"os_hash_algo": "sha257"}, "checksum 'sha257'"),
        ({"os_hash_algo": "shake_128"}, "checksum 'shake_128'"),
        ({"urls": "x"}, "urls"),
    ],
)
def test_bad_orders(change: dict[str, Any], word: str) -> None:
    info = {"urls": ["http://h/x"], "os_hash_algo": "sha256", "os_hash_value": "0" * 64} | change
    with pytest.raises(errors.InvalidCommandParams, match=word):
        image.order(info, "")


def test_whole_step_on_the_hinted_disk(tmp_path: Path) -> None:
    roots = machines.make(tmp_path / "machine")
    machines.add_disk(roots, "sda", 64 * MIB, serial="no")
    wanted = machines.add_disk(roots, "sdb", 256 * MIB, serial="yes")
    source = tmp_path / "image"
    with source.open("wb") as file:
        file.truncate(32 * MIB)
    subprocess.run(["sgdisk", "-n", "1:2048:0", str(source)], check=True, capture_output=True)
    body = source.read_bytes()
    chunks = peers.chunk_map(body, CHUNK)
    with peers.Images({"/i.raw": body, "/i.map": chunks}) as images:
        order = image.order(info_for(images, body, chunks), "")
        node = {"properties": {"root_device": {"serial": "yes"}}}
        text = image.write(order, node, settings.Settings(http_timeout=5), roots, commands.Progress())
    assert "i.raw" in text
    assert str(wanted) in text
    check = subprocess.run(["sgdisk", "-v", str(wanted)], capture_output=True, text=True, check=True)
    assert "No problems found" in check.stdout


def test_a_whole_disk_image_on_an_array_is_refused_where_it_could_not_start(tmp_path: Path) -> None:
    """By BIOS; nothing is fetched and nothing written."""
    roots = machines.make(tmp_path / "machine")
    machines.add_disk(roots, "sda", 64 * MIB, sda1__size="8")
    array = machines.add_disk(roots, "md0", 5 << 30, slaves__sda1="")
    links = Path(roots.sys) / "class/block"
    links.mkdir(parents=True, exist_ok=True)
    (links / "sda1").symlink_to(Path(roots.sys) / "block/sda/sda1")
    info = {"urls": ["http://127.0.0.1:1/i.raw"], "os_hash_algo": "sha256", "os_hash_value": "0" * 64}
    with pytest.raises(errors.ImageWriteError, match=r"array \S+md0 of \S+sda: a machine that starts by BIOS"):
        image.write(image.order(info, ""), {}, settings.Settings(), roots, commands.Progress())
    with array.open("rb") as file:  # all of it would be 5 GiB in memory
        assert not any(file.read(MIB))
