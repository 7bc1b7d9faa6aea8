from __future__ import annotations

import asyncio
import contextlib
import fcntl
import gzip
import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from images.imageserver import ImageServer
from ingot.domain import errors
from ingot.images import chunks, download
from ingot.images.cache import MILLS, ImageCache, Phase
from ingot.images.entries import CachedImage
from ingot.images.locate import ImageSource

MIB = 1024 * 1024


def disk(seed: int, size: int = 4 * MIB) -> bytes:
    return hashlib.sha256(bytes([seed])).digest() * (MIB // 32) + bytes(size - MIB)


@pytest.fixture
async def server() -> AsyncIterator[ImageServer]:
    made = ImageServer()
    made.files = {f"/{number}.raw": disk(number) for number in range(6)}
    async with made.running():
        yield made


def source(server: ImageServer, number: int, disk_format: str | None = None) -> ImageSource:
    value = hashlib.sha256(server.files[f"/{number}.raw"]).hexdigest()
    return ImageSource(f"{server.url}/{number}.raw", None, value, disk_format)


def cache(root: Path, cap: int = 1 << 30, keep: float = 3600) -> ImageCache:
    return ImageCache(root, cap, fetching=download.Limits(stall=2, patience=1, pause=0.01), keep=keep)


def whole(image: CachedImage, data: bytes) -> None:
    assert image.path.read_bytes() == data
    assert image.size == len(data)
    assert image.sha256 == hashlib.sha256(data).hexdigest()
    map_bytes = image.chunks_path.read_bytes()
    assert image.chunks_digest == chunks.digest(map_bytes)
    assert chunks.parse(map_bytes).size == len(data)


async def test_an_image_is_fetched_once_and_then_served(server: ImageServer, tmp_path: Path) -> None:
    told: list[tuple[Phase, int, int | None]] = []
    made = cache(tmp_path)
    image = await made.fetch(source(server, 1), lambda phase, done, total: told.append((phase, done, total)))
    whole(image, disk(1))
    assert {phase for phase, _, _ in told} == {Phase.DOWNLOAD, Phase.CONVERT, Phase.MAP}
    assert await made.fetch(source(server, 1)) == image
    assert await cache(tmp_path).fetch(source(server, 1)) == image
    assert await made.find(image.key) == image
    assert len(server.requests) == 1
    with pytest.raises(errors.Invalid, match="declared as qcow2"):
        await made.fetch(source(server, 1, "qcow2"))


async def test_qcow2_is_kept_as_raw(server: ImageServer, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(disk(7))
    subprocess.run(["qemu-img", "convert", "-O", "qcow2", str(tmp_path / "in"), str(tmp_path / "out")], check=True)
    server.files["/7.raw"] = (tmp_path / "out").read_bytes()
    whole(await cache(tmp_path / "cache").fetch(source(server, 7, "qcow2")), disk(7))


async def test_many_at_once_cost_one_download(server: ImageServer, tmp_path: Path) -> None:
    made = [cache(tmp_path), cache(tmp_path)]
    images = await asyncio.gather(*(made[index % 2].fetch(source(server, 2)) for index in range(20)))
    assert len(set(map(repr, images))) == 1
    assert len(server.requests) == 1


async def test_images_wait_for_a_processor_and_not_for_a_download(server: ImageServer, tmp_path: Path) -> None:
    made, seen = cache(tmp_path), set[int]()
    server.files |= {f"/{number}.raw": disk(number) for number in range(12)}

    def told(_phase: Phase, _done: int, _total: int | None) -> None:
        raws = [path for path in tmp_path.glob("part-*/disk.raw") if not (path.parent / "entry.json").exists()]
        seen.add(len(raws))

    await asyncio.gather(*(made.fetch(source(server, number), told) for number in range(12)))
    assert 1 <= max(seen) <= MILLS <= 8, "more would take all threads for what blocks, of which there are 32"


FETCHER = """
import asyncio, sys
from pathlib import Path
from ingot.images.cache import ImageCache
from ingot.images.locate import ImageSource
print(asyncio.run(ImageCache(Path(sys.argv[1]), 1 << 30).fetch(ImageSource(sys.argv[2], None, sys.argv[3]))).path)
"""


async def run_fetcher(root: Path, wanted: ImageSource) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", FETCHER, str(root), wanted.url, str(wanted.checksum)), stdout=asyncio.subprocess.PIPE
    )


async def test_two_processes_cost_one_download(server: ImageServer, tmp_path: Path) -> None:
    wanted = source(server, 3)
    children = [await run_fetcher(tmp_path, wanted) for _ in range(2)]
    outs = [(await child.communicate())[0] for child in children]
    assert outs[0] == outs[1]
    assert len(server.requests) == 1


async def test_a_killed_fetch_leaves_nothing_in_the_way(server: ImageServer, tmp_path: Path) -> None:
    wanted = source(server, 4)
    server.stall_after = MIB
    child = await run_fetcher(tmp_path, wanted)
    async with asyncio.timeout(20):
        while not list(tmp_path.glob("part-*/download")):
            await asyncio.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    await child.wait()
    server.stall_after = None
    whole(await cache(tmp_path).fetch(wanted), disk(4))
    assert not list(tmp_path.glob("part-*"))


async def test_what_killed_fetches_left_goes_and_what_is_being_built_stays(server: ImageServer, tmp_path: Path) -> None:
    made = cache(tmp_path)
    left, busy = (tmp_path / f"part-sha256-{letter * 64}" for letter in "ab")
    for folder in (left, busy):
        folder.mkdir()
        (folder / "download").write_bytes(b"half")
    with (tmp_path / f"sha256-{'b' * 64}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        await made.fetch(source(server, 1))
        assert (left.exists(), busy.exists()) == (False, True)
        cache(tmp_path)
        assert busy.exists()
    cache(tmp_path)
    assert not busy.exists()


async def test_damaged_entries_are_rebuilt(server: ImageServer, tmp_path: Path) -> None:
    made = cache(tmp_path)
    image = await made.fetch(source(server, 1))
    image.path.write_bytes(b"overwritten")
    whole(await made.fetch(source(server, 1)), disk(1))
    image.chunks_path.write_bytes(b"{}")
    whole(await made.fetch(source(server, 1)), disk(1))
    (image.path.parent / "entry.json").write_text("{")
    whole(await made.fetch(source(server, 1)), disk(1))
    assert len(server.requests) == 4


async def test_the_least_recently_used_go_first(server: ImageServer, tmp_path: Path) -> None:
    made = cache(tmp_path, cap=int(2.5 * MIB), keep=0)
    first, second = await made.fetch(source(server, 1)), await made.fetch(source(server, 2))
    long_ago = time.time() - 100
    os.utime(second.path.parent / "entry.json", (long_ago, long_ago))
    third = await made.fetch(source(server, 3))
    assert [await made.find(image.key) is not None for image in (first, second, third)] == [True, False, True]


async def test_images_in_use_stay_whatever_the_cap(server: ImageServer, tmp_path: Path) -> None:
    made = cache(tmp_path, cap=int(1.5 * MIB))
    images = [await made.fetch(source(server, number)) for number in (1, 2)]
    for image in images:
        assert image.path.exists()


async def test_an_image_without_checksum_is_refused(server: ImageServer, tmp_path: Path) -> None:
    with pytest.raises(errors.Invalid, match="has no checksum") as caught:
        await cache(tmp_path).fetch(ImageSource(f"{server.url}/1.raw"))
    assert "sha256sum FILE" in caught.value.sentence()
    assert server.requests == []


async def test_a_full_disk_is_one_clear_sentence(server: ImageServer, tmp_path: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(tmp_path)], check=True)
    try:
        with pytest.raises(errors.QuotaExceeded, match="No space is left"):
            await cache(tmp_path).fetch(source(server, 1))
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


async def test_keys_cannot_leave_the_cache(tmp_path: Path) -> None:
    for key in ("../x", "sha256-../../etc", "", "sha256-" + "a" * 63):
        assert await cache(tmp_path).find(key) is None
        assert await cache(tmp_path).find_file(key, "raw") is None


@contextlib.contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


async def test_a_disk_that_fills_up_while_an_image_is_converted(server: ImageServer, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(os.urandom(3 * MIB))
    run = ["qemu-img", "convert", "-O", "qcow2", str(tmp_path / "in"), str(tmp_path / "out")]
    subprocess.run(run, check=True)
    server.files |= {"/1.raw": (tmp_path / "out").read_bytes(), "/2.raw": gzip.compress((tmp_path / "in").read_bytes())}
    (tmp_path / "cache").mkdir()
    with small_disk(tmp_path / "cache", "5m"):
        for number in (1, 2):
            with pytest.raises(errors.QuotaExceeded, match=r"No space is left in .* bytes are free"):
                await cache(tmp_path / "cache").fetch(source(server, number))
        assert not list((tmp_path / "cache").glob("part-*"))


async def test_what_nobody_uses_makes_room_on_a_full_disk(server: ImageServer, tmp_path: Path) -> None:
    with small_disk(tmp_path, "2200k"):
        made = cache(tmp_path, keep=0)
        old = await made.fetch(source(server, 1))
        await made.fetch(source(server, 2))
        assert await made.find(old.key) is not None
        newest = await made.fetch(source(server, 3))
        whole(newest, disk(3))
        assert await made.find(old.key) is None


async def test_an_image_larger_than_the_cache_is_refused(server: ImageServer, tmp_path: Path) -> None:
    server.files["/1.raw"] = os.urandom(4 * MIB)
    (tmp_path / "local").write_bytes(server.files["/1.raw"])
    server.files["/2.raw"] = gzip.compress(b"ab" * (4 * MIB))
    limits = download.Limits(stall=2, patience=1, pause=0.01, file_roots=(tmp_path,))
    made = ImageCache(tmp_path / "cache", 3 * MIB, fetching=limits)
    local = ImageSource((tmp_path / "local").as_uri(), None, source(server, 1).checksum)
    for wanted in (source(server, 1), local, source(server, 2)):
        with pytest.raises(
            errors.TooLarge, match=f"more than the {3 * MIB} bytes that the image cache may hold"
        ) as told:
            await made.fetch(wanted)
        assert "image_cache_size" in told.value.sentence()
    assert not list((tmp_path / "cache").glob("*/disk.raw"))


async def test_bytes_that_rot_in_the_cache_are_found_when_somebody_doubts(server: ImageServer, tmp_path: Path) -> None:
    made = cache(tmp_path)
    image = await made.fetch(source(server, 1))
    assert not await made.doubt(image.key)
    times = image.path.stat()
    with image.path.open("r+b") as file:
        file.write(b"rotten")
    os.utime(image.path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert await made.find(image.key) is not None, "size and time are as they were"
    assert await made.doubt(image.key)
    assert await made.find(image.key) is None
    whole(await made.fetch(source(server, 1)), disk(1))
    assert not await made.doubt("../x")


async def test_md5_counts_only_where_it_is_allowed(server: ImageServer, tmp_path: Path) -> None:
    value = hashlib.md5(disk(1)).hexdigest()
    wanted = ImageSource(f"{server.url}/1.raw", None, value)
    with pytest.raises(errors.Invalid, match="md5, which can be forged"):
        await cache(tmp_path).fetch(wanted)
    lenient = ImageCache(tmp_path, 1 << 30, fetching=download.Limits(weak=True))
    image = await lenient.fetch(wanted)
    whole(image, disk(1))
    assert image.key == f"md5-{value}"
    assert await lenient.find_file(image.key, "raw") == image.path
