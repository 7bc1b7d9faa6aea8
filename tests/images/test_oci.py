"""Images from OCI registries: what a reference names, which artifact is chosen, and proving who we are."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from faults import catalogue
from images.ociregistry import Registry
from ingot.domain import errors
from ingot.images import download, locate, oci, source
from ingot.images.cache import ImageCache

DISK = hashlib.sha256(b"disk").digest() * 32768
ARM = hashlib.sha256(b"arm").digest() * 32768
SECRETS = ["me:geheim", base64.b64encode(b"me:geheim").decode()]


@pytest.fixture
async def registry() -> AsyncIterator[Registry]:
    made = Registry()
    async with made.running():
        yield made


def limits(registry: Registry, auth: Path | None = None) -> download.Limits:
    return download.Limits(stall=2, patience=1, pause=0.01, plain_registries=(registry.host,), registry_auth=auth)


def wanted(registry: Registry, reference: str, **more: str | None) -> locate.ImageSource:
    return locate.ImageSource(f"oci://{registry.host}/team/os{reference}", **more)


async def bring(registry: Registry, folder: Path, one: locate.ImageSource, auth: Path | None = None) -> bytes:
    cache = ImageCache(folder / "cache", 1 << 30, fetching=limits(registry, auth))
    return (await cache.fetch(one)).path.read_bytes()


async def test_a_tag_names_the_disk_of_the_processor(registry: Registry, tmp_path: Path) -> None:
    other = registry.add_manifest([b"a container"], kind="application/vnd.oci.image.layer.v1.tar+gzip")
    entries = [
        (other, "amd64", "applehv"),
        (registry.add_manifest([ARM]), "arm64", "raw"),
        (registry.add_manifest([DISK]), "amd64", "raw"),
        (other, "amd64", "wsl"),
    ]
    index = registry.add_index(entries, "5.3")
    assert await bring(registry, tmp_path, wanted(registry, ":5.3", cpu_arch="x86_64")) == DISK
    assert await bring(registry, tmp_path, wanted(registry, ":5.3", cpu_arch="aarch64")) == ARM
    assert await bring(registry, tmp_path, wanted(registry, f"@{index}", cpu_arch="x86_64")) == DISK
    blobs = [path for path in registry.asked if "/blobs/" in path]
    assert len(blobs) == 2, "the third came from the cache"
    with pytest.raises(
        errors.NotFound, match=r"no disk image for the processor ppc64le; it has amd64/applehv"
    ) as caught:
        await bring(registry, tmp_path, wanted(registry, ":5.3", cpu_arch="ppc64le"))
    catalogue.told("registry-processor", caught.value.sentence())
    with pytest.raises(errors.Invalid, match="several processors"):
        await bring(registry, tmp_path, wanted(registry, ":5.3"))


async def test_a_plain_manifest_will_do(registry: Registry, tmp_path: Path) -> None:
    digest = registry.add_manifest([DISK], "latest")
    assert await bring(registry, tmp_path, wanted(registry, "")) == DISK
    assert await bring(registry, tmp_path, wanted(registry, f":any@{digest}", disk_format="raw")) == DISK
    right = hashlib.sha512(DISK).hexdigest()
    assert await bring(registry, tmp_path, wanted(registry, "", checksum=right)) == DISK
    with pytest.raises(errors.Invalid, match=f"wrong: expected sha256 {'0' * 64}"):
        await bring(registry, tmp_path, wanted(registry, "", checksum="0" * 64))
    with pytest.raises(errors.Invalid, match="declared as qcow2"):
        await bring(registry, tmp_path, wanted(registry, "", disk_format="qcow2"))


@pytest.mark.parametrize("auth", ["token", "basic"])
@pytest.mark.parametrize("secret", SECRETS)
async def test_who_we_are_is_proved(registry: Registry, tmp_path: Path, auth: str, secret: str) -> None:
    registry.auth = auth
    registry.add_manifest([DISK], "1")
    assert await bring(registry, tmp_path, wanted(registry, ":1", pull_secret=secret)) == DISK
    file = tmp_path / "auth.json"
    file.write_text(json.dumps({"auths": {registry.host: {"auth": SECRETS[1]}}}))
    assert await bring(registry, tmp_path, wanted(registry, ":1"), file) == DISK
    for bad in (None, "me:falsch"):
        with pytest.raises(errors.Forbidden, match="does not let us read team/os") as caught:
            await bring(registry, tmp_path, wanted(registry, ":1", pull_secret=bad))
        catalogue.told("registry-forbidden", caught.value.sentence())
    file.write_text("[]")
    with pytest.raises(errors.Invalid, match="oci_auth_file cannot be used"):
        await bring(registry, tmp_path, wanted(registry, ":1"), file)


async def test_what_is_no_disk_image_is_refused(registry: Registry, tmp_path: Path) -> None:
    registry.add_manifest([DISK, ARM], "two")
    registry.add_manifest([], "none")
    registry.add_manifest([DISK], "box", kind="application/vnd.oci.image.layer.v1.tar")
    for tag in ("two", "none", "box"):
        with pytest.raises(errors.Invalid, match="is not a disk image") as caught:
            await bring(registry, tmp_path, wanted(registry, f":{tag}"))
    catalogue.told("registry-not-a-disk", caught.value.sentence())
    with pytest.raises(errors.NotFound, match="has no team/os with missing") as absent:
        await bring(registry, tmp_path, wanted(registry, ":missing"))
    catalogue.told("registry-no-such-tag", absent.value.sentence())


async def test_a_registry_that_lies_is_found_out(registry: Registry, tmp_path: Path) -> None:
    digest = registry.add_manifest([DISK])
    registry.things[f"manifests/{digest}"] = registry.things[f"manifests/{registry.add_manifest([ARM])}"]
    with pytest.raises(errors.Invalid, match=f"sent another manifest than {digest}") as caught:
        await bring(registry, tmp_path, wanted(registry, f"@{digest}"))
    catalogue.told("registry-lies", caught.value.sentence())
    blob = registry.add_blob(DISK)
    registry.add_manifest([DISK], "1")
    registry.things[f"blobs/{blob}"] = ("x", ARM)
    with pytest.raises(errors.Invalid, match=r"The checksum of .* is wrong"):
        await bring(registry, tmp_path, wanted(registry, ":1"))
    registry.things["manifests/1"] = ("x", b"<html>")
    with pytest.raises(errors.Misbehaved, match="makes no sense"):
        await bring(registry, tmp_path, wanted(registry, ":1"))


async def test_a_busy_registry_is_asked_again(registry: Registry, tmp_path: Path) -> None:
    registry.add_manifest([DISK], "1")
    registry.busy = 1
    assert await bring(registry, tmp_path, wanted(registry, ":1")) == DISK
    registry.busy = 100
    with pytest.raises(errors.Unreachable, match=f"The registry {registry.host} answered 503 for team/os") as caught:
        await bring(registry, tmp_path, wanted(registry, ":1"))
    catalogue.told("registry-down", caught.value.sentence())
    assert registry.busy == 97


async def test_a_registry_that_is_not_there(tmp_path: Path) -> None:
    gone = Registry()
    async with gone.running():
        pass
    with pytest.raises(
        errors.Unreachable, match=r"http://127.* cannot be read: Connect call failed|Connection refused"
    ):
        await bring(gone, tmp_path, wanted(gone, ":1"))
    with pytest.raises(errors.Unreachable, match=r"https://127\.0\.0\.1:1/"):
        await ImageCache(tmp_path, 1 << 30).fetch(locate.ImageSource("oci://127.0.0.1:1/a:b"))


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("oci://host/a", ("host", "a", "latest")),
        ("oci://host:5000/a/b-c/d:1.0", ("host:5000", "a/b-c/d", "1.0")),
        (f"oci://host/a@sha256:{'0' * 64}", ("host", "a", "sha256:" + "0" * 64)),
        (f"oci://host/a:tag@sha256:{'0' * 64}", ("host", "a", "sha256:" + "0" * 64)),
    ],
)
def test_references(url: str, parts: tuple[str, str, str]) -> None:
    assert oci.parse(url) == oci.Reference(*parts)
    assert source.from_instance_info({"image_source": url}).checksum is None


@pytest.mark.parametrize(
    "url", ["oci://", "oci://host", "oci://host/A", "oci://me:geheim@host/a", "oci://host/a@md5:0"]
)
def test_bad_references(url: str) -> None:
    with pytest.raises(errors.Invalid, match="is not an OCI reference") as caught:
        source.from_instance_info({"image_source": url})
    assert "geheim" not in caught.value.sentence()
