"""qcow2 images made by qemu-img, written by the agent: the disk must be what qemu-img itself makes of them."""

from __future__ import annotations

import hashlib
import os
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from agent import peers
from ingot_agent import blockdev, commands, errors, image, settings

MIB = 1 << 20
DISK = 12 * MIB


def run(*words: object) -> None:
    subprocess.run([str(word) for word in words], check=True, capture_output=True)


def raw(folder: Path, size: int = 9 * MIB + 512) -> Path:
    """Data that packs and data that does not, holes, and a tail that ends in the middle of a cluster."""
    body = bytearray(size)
    for offset in (0, 2 * MIB, 2 * MIB + 70_000, 7 * MIB):
        body[offset : offset + 300_000] = os.urandom(300_000)
    body[4 * MIB : 6 * MIB] = (b"ingot writes " * MIB)[: 2 * MIB]
    body[-700:] = os.urandom(700)
    path = folder / "raw"
    path.write_bytes(bytes(body))
    return path


def qcow2(folder: Path, *words: str, source: Path | None = None) -> Path:
    path = folder / "i.qcow2"
    run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", *words, source or raw(folder), path)
    return path


def write(folder: Path, images: peers.Images, body: bytes, disk_size: int = DISK, **info: str) -> bytes:
    """What the disk, full of something else before, holds afterwards."""
    disk = folder / "disk"
    disk.write_bytes(os.urandom(disk_size))
    told: dict[str, Any] = {"id": "i", "urls": [images.url("/i.raw")], "disk_format": "qcow2"}
    told |= {"os_hash_algo": "sha256", "os_hash_value": hashlib.sha256(body).hexdigest(), **info}
    config, roots = settings.Settings(http_timeout=5), settings.Roots(str(folder / "nosys"))
    progress = commands.Progress()
    with blockdev.opened(str(disk)) as device:
        size = image.write_to(device, image.order(told, ""), config, roots, progress)
        device.flush()
    assert progress.done == progress.total == len(body)
    return disk.read_bytes()[:size]


KINDS = {
    "plain": (),
    "version 2": ("-o", "compat=0.10"),
    "zlib": ("-c",),
    "zlib, version 2": ("-c", "-o", "compat=0.10"),
    "zstd": ("-c", "-o", "compression_type=zstd"),
    "extended L2": ("-o", "extended_l2=on"),
    "extended L2, zlib": ("-c", "-o", "extended_l2=on"),
    "512 bytes": ("-o", "cluster_size=512"),
    "2 MiB": ("-o", "cluster_size=2M"),
    "2 MiB, zlib": ("-c", "-o", "cluster_size=2M"),
    "2 MiB, extended L2": ("-o", "cluster_size=2M,extended_l2=on"),
    "preallocated": ("-o", "preallocation=full"),
    "lazy": ("-o", "lazy_refcounts=on,refcount_bits=1"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_gives_the_same_disk(tmp_path: Path, kind: str) -> None:
    body = qcow2(tmp_path, *KINDS[kind]).read_bytes()
    with peers.Images({"/i.raw": body}) as images:
        assert write(tmp_path, images, body) == (tmp_path / "raw").read_bytes()


def test_an_image_that_was_in_use(tmp_path: Path) -> None:
    """Rewritten in no order, with clusters that were zeroed and given back, and a snapshot beside it."""
    path = qcow2(tmp_path, "-c")
    run("qemu-img", "snapshot", "-c", "before", path)
    orders = [f"write -P {n + 1} {at} 70k" for n, at in enumerate(("8M", "1M", "5M", "6M", "3M"))]
    orders += ["write -z 2M 256k", "discard 7M 128k", "write -P 9 9M 512"]
    run("qemu-io", *(word for order in orders for word in ("-c", order)), path)
    run("qemu-img", "convert", "-O", "raw", path, tmp_path / "wanted")
    body = path.read_bytes()
    with peers.Images({"/i.raw": body}) as images:
        assert write(tmp_path, images, body) == (tmp_path / "wanted").read_bytes()


def test_subclusters_one_by_one(tmp_path: Path) -> None:
    path = tmp_path / "i.qcow2"
    run("qemu-img", "create", "-f", "qcow2", "-o", "extended_l2=on", path, "10M")
    orders = ["write -P 5 2k 6k", "write -P 6 64k 64k", "write -z 68k 4k", "write -P 7 1M 2k", "write -z 1M 64k"]
    run("qemu-io", *(word for order in orders for word in ("-c", order)), path)
    run("qemu-img", "convert", "-O", "raw", path, tmp_path / "wanted")
    body = path.read_bytes()
    with peers.Images({"/i.raw": body}) as images:
        assert write(tmp_path, images, body) == (tmp_path / "wanted").read_bytes()


def test_an_image_without_data_clears_the_disk(tmp_path: Path) -> None:
    path = tmp_path / "i.qcow2"
    run("qemu-img", "create", "-f", "qcow2", path, "10M")
    body = path.read_bytes()
    with peers.Images({"/i.raw": body}) as images:
        assert write(tmp_path, images, body) == bytes(10 * MIB)


@pytest.mark.parametrize("words", [(), ("-c",)])
def test_a_transfer_that_breaks_off_goes_on(tmp_path: Path, words: tuple[str, ...]) -> None:
    body = qcow2(tmp_path, *words).read_bytes()
    with peers.Images({"/i.raw": body}, breaks=3, break_after=100_001) as images:
        assert write(tmp_path, images, body) == (tmp_path / "raw").read_bytes()


class WholeOnly(peers.Served):
    """A server that knows no ranges."""

    def __init__(self, body: bytes) -> None:
        self.asked = 0
        lock = threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def do_GET(handler) -> None:  # noqa: N805 - self is the server
                with lock:
                    self.asked += 1
                handler.send_response(200)
                handler.send_header("Content-Length", str(len(body)))
                handler.send_header("ETag", '"1"')
                handler.end_headers()
                try:
                    handler.wfile.write(body)
                except OSError:
                    handler.close_connection = True

        super().__init__(Handler)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"


@pytest.mark.parametrize("words", [(), ("-c", "-o", "cluster_size=4k")])
def test_a_server_without_ranges_is_read_from_the_beginning(tmp_path: Path, words: tuple[str, ...]) -> None:
    body = qcow2(tmp_path, *words).read_bytes()
    with WholeOnly(body) as images:
        assert write(tmp_path, images, body) == (tmp_path / "raw").read_bytes()
        assert images.asked <= 6


def test_the_tables_come_by_ranges_and_the_data_once(tmp_path: Path) -> None:
    body = qcow2(tmp_path).read_bytes()
    with peers.Images({"/i.raw": body}) as images:
        write(tmp_path, images, body)
        fetched = sum(int(last) + 1 - int(first) for first, last in (one[6:].split("-") for one in images.ranges))
        assert fetched < 8192


def test_the_checksum_is_that_of_the_file(tmp_path: Path) -> None:
    body = qcow2(tmp_path).read_bytes()
    wrong = "0" * 64
    with (
        peers.Images({"/i.raw": body}) as images,
        pytest.raises(errors.ImageChecksumError, match=f"expected {wrong}, got {hashlib.sha256(body).hexdigest()}"),
    ):
        write(tmp_path, images, body, os_hash_value=wrong)


def test_larger_than_the_disk_writes_nothing(tmp_path: Path) -> None:
    body = qcow2(tmp_path).read_bytes()
    with (
        peers.Images({"/i.raw": body}) as images,
        pytest.raises(errors.ImageWriteError, match=rf"{9 * MIB + 512} bytes and the disk .* has {8 * MIB}"),
    ):
        write(tmp_path, images, body, disk_size=8 * MIB)
    assert len(images.ranges) == 1, "nothing but the header was asked for"


def patched(body: bytes, place: int, value: bytes) -> bytes:
    return body[:place] + value + body[place + len(value) :]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Iterator[bytes]:
    folder = tmp_path_factory.mktemp("good")
    small = folder / "small"
    small.write_bytes(os.urandom(MIB) * 2)
    yield qcow2(folder, "-c", source=small).read_bytes()


FEATURES_AT = 72
BROKEN = {
    "a backing file": (8, b"\0" * 7 + b"\x70", "has a backing file"),
    "encrypted": (32, b"\0\0\0\1", "is encrypted"),
    "a data file": (FEATURES_AT, b"\0" * 7 + b"\4", "keeps its data in another file"),
    "corrupt": (FEATURES_AT, b"\0" * 7 + b"\2", "is marked as corrupt"),
    "an unknown feature": (FEATURES_AT, b"\0" * 6 + b"\1\0", r"needs features .* \(bits 8\)"),
    "an unknown version": (4, b"\0\0\0\4", "is qcow version 4"),
    "strange clusters": (20, b"\0\0\0\x1f", r"clusters of 2\^31 bytes"),
    "an L1 table too small": (36, b"\0\0\0\0", "a table that does not fit its size"),
    "not qcow2": (0, b"QFI\0", "is not qcow2"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_cannot_be_trusted_is_refused_before_anything_is_written(tmp_path: Path, good: bytes, what: str) -> None:
    place, value, told = BROKEN[what]
    body = patched(good, place, value)
    disk = tmp_path / "disk"
    with peers.Images({"/i.raw": body}) as images, pytest.raises(errors.ImageWriteError, match=told):
        write(tmp_path, images, body)
    assert disk.read_bytes()[:64].strip(b"\0"), "what was there is still there"


def refuse(folder: Path, path: Path, told: str) -> None:
    body = path.read_bytes()
    with peers.Images({"/i.raw": body}) as images, pytest.raises(errors.ImageWriteError, match=told):
        write(folder, images, body)


def test_refused_is_what_qemu_img_itself_makes_so(tmp_path: Path) -> None:
    """A backing file, a data file, encryption and an image of snapshots alone, made by qemu-img."""
    made = {
        "has a backing file": ("-F", "raw", "-b", str(raw(tmp_path))),
        "keeps its data in another file": ("-o", f"data_file={tmp_path / 'data'}"),
        "is encrypted": (
            "--object",
            "secret,id=s,data=x",
            "-o",
            "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=50",
        ),
    }
    path = tmp_path / "i.qcow2"
    for told, words in made.items():
        for left in reversed(range(50)):
            try:
                run("qemu-img", "create", "-f", "qcow2", *words, path, "8M")
                break
            except subprocess.CalledProcessError as error:
                # where the clock is coarse it cannot time its key derivation
                if b"accurate CPU usage" not in error.stderr or not left:
                    raise
        refuse(tmp_path, path, told)
    run("qemu-img", "create", "-f", "qcow2", path, "8M")
    run("qemu-io", "-c", "write -P 1 0 1M", path)
    run("qemu-img", "snapshot", "-c", "only", path)
    run("qemu-io", "-c", "discard 0 1M", path)
    refuse(tmp_path, path, "nothing but snapshots")


def test_a_damaged_or_truncated_file_is_never_taken_for_whole(tmp_path: Path, good: bytes) -> None:
    cut = good[: len(good) - 70_000]
    with (
        peers.Images({"/i.raw": cut}) as images,
        pytest.raises(errors.ImageWriteError, match=r"lacks its data|unpacked"),
    ):
        write(tmp_path, images, cut)
    for size, told in ((40, "is not qcow2"), (100_000, "ends in its tables")):
        begun = good[:size]
        with peers.Images({"/i.raw": begun}) as images, pytest.raises(errors.ImageWriteError, match=told):
            write(tmp_path, images, begun)
