from __future__ import annotations

import base64
import gzip
import json
import subprocess
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from images.imageserver import ImageServer
from ingot.domain import errors
from ingot.images import configdrive, iso9660

META: dict[str, object] = {"hostname": "node-1", "public_keys": {"me": "ssh-ed25519 AAAA"}}
PARTS: dict[str, object] = {
    "meta_data": META,
    "network_data": {"links": [], "networks": [], "services": []},
    "user_data": "#cloud-config\nruncmd: [[true]]\n",
    "vendor_data": {"rack": "r1"},
}
DEFAULTS = {"uuid": "0000", "hostname": "fallback"}


def isoinfo(path: Path, *arguments: str) -> bytes:
    return subprocess.run(["isoinfo", "-i", str(path), *arguments], check=True, capture_output=True).stdout


def read_drive(path: Path, name: str) -> bytes:
    return isoinfo(path, "-R", "-x", f"/openstack/latest/{name}")


@pytest.fixture
async def server() -> AsyncIterator[ImageServer]:
    made = ImageServer()
    async with made.running():
        yield made


async def test_json_becomes_a_config_drive_other_programs_read(tmp_path: Path) -> None:
    text = await configdrive.payload(PARTS, DEFAULTS)
    drive = tmp_path / "drive"
    drive.write_bytes(gzip.decompress(base64.b64decode(text)))
    assert json.loads(read_drive(drive, "meta_data.json")) == {**META, "uuid": "0000"}
    assert json.loads(read_drive(drive, "network_data.json")) == PARTS["network_data"]
    assert json.loads(read_drive(drive, "vendor_data2.json")) == {"rack": "r1"}
    assert read_drive(drive, "user_data").decode() == PARTS["user_data"]
    assert isoinfo(drive, "-J", "-x", "/openstack/latest/user_data;1").decode() == PARTS["user_data"]
    seen = subprocess.run(
        ["blkid", "-p", "-o", "export", str(drive)], check=True, capture_output=True, text=True
    ).stdout
    assert "LABEL=config-2" in seen
    assert "TYPE=iso9660" in seen
    assert await configdrive.payload(PARTS, DEFAULTS) == text


async def test_base64_and_urls_pass_through_checked(server: ImageServer) -> None:
    text = configdrive.encode(configdrive.build(PARTS, {}))
    assert await configdrive.payload(text, {}) == text
    server.files["/drive"] = f"{text}\n".encode()
    assert await configdrive.payload(f"{server.url}/drive", {}) == text
    server.files["/html"] = b"<html>"
    with pytest.raises(errors.Invalid, match="not base64"):
        await configdrive.payload(f"{server.url}/html", {})
    with pytest.raises(errors.Unreachable, match="answered 404"):
        await configdrive.payload(f"{server.url}/none", {})
    with pytest.raises(errors.Unreachable, match="cannot be read"):
        await configdrive.payload("http://127.0.0.1:1/x", {})
    server.stall_after = 3
    with pytest.raises(errors.TimedOut, match="no whole answer"):
        await configdrive.payload(f"{server.url}/drive", {}, timeout=0.3)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (7, "cannot be int"),
        ("§§", "neither a URL nor base64"),
        (base64.b64encode(b"plain text, not gzip").decode(), "not of gzip"),
        (base64.b64encode(gzip.compress(b"x" * 9999, mtime=0)[:-9]).decode(), "cut off"),
        ({"metadata": {}}, "has no key metadata"),
        ({"meta_data": []}, ""),
        ({"meta_data": "text"}, "meta_data must be a JSON object"),
        ({"network_data": [1]}, "network_data must be a JSON object"),
        ({"user_data": 5}, "user_data must be text"),
        ({"meta_data": {"a": float("nan")}}, "not JSON"),
    ],
)
async def test_wrong_values_are_refused(value: object, said: str) -> None:
    if not said:
        configdrive.validate(value)
        return
    with pytest.raises(errors.Invalid, match=said):
        configdrive.validate(value)
        await configdrive.payload(value, {})  # pyright: ignore[reportArgumentType] - wrong on purpose


async def test_nothing_larger_than_the_partition_comes_out() -> None:
    with pytest.raises(errors.TooLarge, match="larger than 64 MiB"):
        await configdrive.payload({"user_data": "x" * (33 << 20)}, {})
    bomb = base64.b64encode(gzip.compress(bytes(65 << 20))).decode()
    with pytest.raises(errors.TooLarge):
        await configdrive.payload(bomb, {})


@given(
    st.dictionaries(
        st.from_regex(r"[a-z0-9_-]{1,20}(\.[a-z]{1,5})?", fullmatch=True), st.binary(max_size=5000), max_size=90
    )
)
def test_any_files_come_back_through_isoinfo(files: dict[str, bytes]) -> None:
    try:
        image = iso9660.build({"d": files, "top": b"x"}, "label")
    except errors.Invalid:
        return  # two names that differ only in what ISO names can hold
    with tempfile.NamedTemporaryFile() as file:
        file.write(image)
        file.flush()
        listed = isoinfo(Path(file.name), "-R", "-f").decode().split()
        assert sorted(line for line in listed if line.startswith("/d/")) == sorted(f"/d/{name}" for name in files)
        for name in list(files)[:2]:
            assert isoinfo(Path(file.name), "-R", "-x", f"/d/{name}") == files[name]
