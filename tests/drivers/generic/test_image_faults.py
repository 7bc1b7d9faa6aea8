"""Every way an image can be wrong, through the real API: the node's error names the true cause within a minute."""

from __future__ import annotations

import gzip
import hashlib
import os
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from drivers import world
from faults import catalogue
from images.imageserver import ImageServer

MIB = 1 << 20
MINUTE = 60.0


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[world.World]:
    """One machine, available; the image cache holds at most three MiB and lies on a disk of its own."""
    cache = tmp_path / "data" / "images"
    cache.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=5m", "tmpfs", str(cache)], check=True)
    try:
        settings = {"automated_clean": "false", "image_cache_size": 3 * MIB}
        async with world.opened(tmp_path, {"ipmi": 1, "first": "127.68.0.1"}, **settings) as opened:
            await opened.bring(await opened.enrol(), "manage", "provide")
            yield opened
    finally:
        subprocess.run(["umount", str(cache)], check=True)


@pytest.fixture
async def server() -> AsyncIterator[ImageServer]:
    made = ImageServer()
    async with made.running():
        yield made


async def fault(place: world.World, server: ImageServer, body: bytes, **changes: Any) -> str:
    """Why a deployment of ``body`` fails; no agent may have been told to write."""
    name = place.fleet.nodes()[0]["name"]
    server.files["/image"] = body
    digest = hashlib.sha256(body).hexdigest()
    info = {"image_source": f"{server.url}/image", "image_os_hash_value": digest, **changes}
    await place.choose_image(name, **info)
    begun = time.monotonic()
    await place.order(name, "active")
    node = await place.rests(name, MINUTE)
    assert time.monotonic() - begun < MINUTE
    assert node["provision_state"] == "deploy failed"
    assert not [one for one in place.fleet.effects.all if one.kind == "write_image"]
    told = str(node["last_error"])
    assert told.startswith("deploy.write_image: ")
    return told.removeprefix("deploy.write_image: ")


async def test_wrong_and_lying_images(place: world.World, server: ImageServer, tmp_path: Path) -> None:
    told = await fault(place, server, b"x" * MIB, image_os_hash_value="0" * 64)
    assert f"is wrong: expected sha256 {'0' * 64}, got {hashlib.sha256(b'x' * MIB).hexdigest()}." in told
    catalogue.told("image-checksum", told)
    qcow2 = tmp_path / "image"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(qcow2), "1M"], check=True)
    told = await fault(place, server, qcow2.read_bytes(), image_disk_format="raw")
    assert told.startswith("The image was declared as raw, but its content is qcow2. Set image_disk_format to qcow2")
    catalogue.told("image-wrong-format", told)
    backing = ["-b", "/etc/shadow", "-F", "raw"]
    subprocess.run(["qemu-img", "rebase", "-u", "-f", "qcow2", *backing, str(qcow2)], check=True)
    told = await fault(place, server, qcow2.read_bytes(), image_disk_format="qcow2")
    assert told.startswith("The qcow2 image has a backing file, another file it would read on this host.")
    catalogue.told("image-backing-file", told)


async def test_truncated_images(place: world.World, server: ImageServer, tmp_path: Path) -> None:
    packed = gzip.compress(os.urandom(MIB))
    told = await fault(place, server, packed[:-1000], image_disk_format="raw")
    assert told.startswith("The gzip image cannot be unpacked: Compressed file ended before")
    catalogue.told("image-gzip-cut", told)
    (tmp_path / "in").write_bytes(os.urandom(2 * MIB))
    qcow2 = tmp_path / "image"
    subprocess.run(["qemu-img", "convert", "-O", "qcow2", str(tmp_path / "in"), str(qcow2)], check=True)
    told = await fault(place, server, qcow2.read_bytes()[: MIB + 1234], image_disk_format="qcow2")
    assert told.startswith("The qcow2 image is damaged or cut off: ")
    catalogue.told("image-qcow2-cut", told)


@pytest.mark.slow
async def test_servers_that_are_gone(place: world.World, server: ImageServer) -> None:
    catalogue.told("image-missing", await fault(place, server, b"z", image_source=f"{server.url}/other"))
    told = await fault(place, server, b"x", image_source="http://127.0.0.1:1/image")
    assert told.startswith("The image http://127.0.0.1:1/image could not be fetched: ")
    assert "Check the image server and the conductor's route to it, then deploy again." in told
    catalogue.told("image-server-down", told)


@pytest.mark.long
async def test_a_server_that_falls_silent(place: world.World, server: ImageServer) -> None:
    server.stall_after = 1000
    told = await fault(place, server, b"y" * MIB)
    assert "could not be fetched: no byte came for 20 s (" in told


async def test_images_too_large_and_full_disks(place: world.World, server: ImageServer) -> None:
    told = await fault(place, server, os.urandom(4 * MIB))
    assert "takes more than the 3145728 bytes that the image cache may hold. Use a smaller image, or raise" in told
    catalogue.told("image-too-large", told)
    ballast = place.folder / "data/images/ballast"
    ballast.write_bytes(bytes(4 * MIB))
    told = await fault(place, server, os.urandom(2 * MIB))
    assert told.startswith(f"No space is left in {place.folder}/data/images for the image (")
    assert told.endswith("Free space or move the image cache, then deploy again.")
    catalogue.told("image-cache-full", told)
    ballast.unlink()
    name = place.fleet.nodes()[0]["name"]
    await place.order(name, "active")
    node = await place.rests(name)
    assert (node["provision_state"], node["last_error"]) == ("active", None), "room was made, so the same order works"


async def test_an_image_that_rots_in_the_cache_is_fetched_anew(tmp_path: Path, server: ImageServer) -> None:
    body = os.urandom(2 * MIB)
    server.files["/image"] = body
    info = {"image_source": f"{server.url}/image", "image_os_hash_value": hashlib.sha256(body).hexdigest()}
    plan = {"ipmi": 1, "first": "127.69.0.1", "step_seconds": 3.0}
    async with world.opened(tmp_path, plan, automated_clean="false") as place:
        name = await place.enrol()
        await place.bring(name, "manage", "provide")
        await place.choose_image(name, **info)
        await place.order(name, "active")
        command = await place.running(name, "execute_deploy_step")
        (raw,) = (tmp_path / "data/images").glob("*/disk.raw")
        times = raw.stat()
        with raw.open("r+b") as file:
            file.write(b"rot")
        os.utime(raw, ns=(times.st_atime_ns, times.st_mtime_ns))
        words = "The image's data at byte 0 has the wrong checksum: expected 0, got 1."
        command.update(command_status="FAILED", command_error={"type": "ImageChecksumError", "details": words})
        node = await place.rests(name)
        assert node["provision_state"] == "deploy failed"
        assert words in node["last_error"]
        assert "The image was damaged in the image cache and is removed from it. Deploy again:" in node["last_error"]
        catalogue.told("image-rotten", node["last_error"])
        await place.order(name, "active")
        node = await place.rests(name)
        assert (node["provision_state"], node["last_error"]) == ("active", None)
        assert len(server.requests) == 2
        (raw,) = (tmp_path / "data/images").glob("*/disk.raw")
        assert raw.read_bytes() == body
