"""Images in OCI registries: takes an ``oci://`` reference apart and chooses the artifact that fits a machine.

May not: do HTTP itself. Invariant: what is chosen is one blob, named by its digest.

Forms: ``oci://HOST/NAME:TAG``, ``oci://HOST/NAME@sha256:HEX`` (a manifest or an index). An index says per entry
for which processor it is (``platform.architecture``) and, by the annotation ``disktype``, which kind of disk.
"""

from __future__ import annotations

import asyncio
import re

import msgspec

from ingot.domain import errors
from ingot.images import checksums, download, registry, urls

_REFERENCE = re.compile(
    r"([a-z0-9]+(?:(?:\.|_|__|-+|/)[a-z0-9]+)*)(?::([\w][\w.-]{0,127}))?(?:@(sha(?:256|512):[0-9a-f]+))?"
)
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_DISK_TYPES = ("qcow2", "qemu", "raw", "applehv")  # best first: a qcow2 file is smaller, and we convert it
_CONTAINER = "vnd.oci.image.layer"


class Reference(msgspec.Struct, frozen=True):
    """A parsed reference; ``version`` is a tag or a digest."""

    host: str
    name: str
    version: str


def parse(url: str) -> Reference:
    """Take an ``oci://`` reference apart. Raises Invalid."""
    parts = urls.split(url)
    found = _REFERENCE.fullmatch(parts.path.strip("/"))
    if not parts.netloc or "@" in parts.netloc or found is None:
        raise errors.Invalid(
            f"{urls.shown(url)} is not an OCI reference.",
            hint="Write oci://HOST/NAME:TAG or oci://HOST/NAME@sha256:DIGEST; credentials go to image_pull_secret.",
        )
    return Reference(parts.netloc, found[1], found[3] or found[2] or "latest")


async def locate(url: str, cpu_arch: str | None, secret: str | None, limits: download.Limits) -> download.Wanted:
    """The blob with the disk image a reference names, for a processor.

    Raises Invalid, Forbidden, NotFound, Unreachable, Misbehaved.
    """
    reference = parse(url)
    found = await asyncio.to_thread(registry.secret_for, reference.host, secret, limits)
    plain = reference.host in limits.plain_registries
    repository = registry.Repository(reference.host, reference.name, plain, found)
    session = registry.Session(repository, limits.stall)
    manifest = await session.manifest(reference.version)
    if manifest.manifests is not None:
        chosen = choose(manifest.manifests, cpu_arch, urls.shown(url))
        manifest = await session.manifest(_digest(chosen, url))
    layer = _layer(manifest, url)
    algo, _, value = _digest(layer, url).partition(":")
    checksum = checksums.parse(algo, value)
    return download.Wanted(repository.url("blobs", f"{algo}:{value}"), checksum, dict(session.headers))


def choose(manifests: list[registry.Described], cpu_arch: str | None, where: str) -> registry.Described:
    """The index's entry for a processor (None: any), the best kind of disk first. Raises NotFound, Invalid."""
    wanted = _ARCHITECTURES.get(cpu_arch or "", cpu_arch)
    fitting = [one for one in manifests if wanted is None or _architecture(one) in (wanted, cpu_arch, None)]
    ranked = [one for one in fitting if _disk_type(one) is None or _disk_type(one) in _DISK_TYPES]
    if not ranked:
        there = ", ".join(sorted({f"{_architecture(one) or '?'}/{_disk_type(one) or '?'}" for one in manifests}))
        raise errors.NotFound(
            f"{where} has no disk image for the processor {cpu_arch or '(any)'}; it has {there or 'nothing'}.",
            hint="Choose another image, or correct properties cpu_arch of the node.",
        )
    if wanted is None and len({_architecture(one) for one in ranked}) > 1:
        hint = "Set properties cpu_arch of the node, for example x86_64."
        raise errors.Invalid(f"{where} has images for several processors.", hint=hint)
    return min(ranked, key=_rank)


def _rank(described: registry.Described) -> int:
    kind = _disk_type(described)
    return _DISK_TYPES.index(kind) if kind in _DISK_TYPES else len(_DISK_TYPES)


def _architecture(described: registry.Described) -> str | None:
    found = described.platform.architecture if described.platform else None
    return _ARCHITECTURES.get(found or "", found)


def _disk_type(described: registry.Described) -> str | None:
    found = (described.annotations or {}).get("disktype")
    return found.lower() if found else None


def _layer(manifest: registry.Manifest, url: str) -> registry.Described:
    layers = manifest.layers or []
    if len(layers) != 1 or _CONTAINER in layers[0].media_type:
        what = "a container's file system" if layers else "nothing"
        raise errors.Invalid(
            f"{urls.shown(url)} is not a disk image: it has {len(layers)} layers, {what}.",
            hint="Name an artifact whose only layer is a disk image (raw, qcow2, or compressed raw).",
        )
    return layers[0]


def _digest(described: registry.Described, url: str) -> str:
    if not re.fullmatch(r"sha(256:[0-9a-f]{64}|512:[0-9a-f]{128})", described.digest):
        raise errors.Misbehaved(f"{urls.shown(url)} names a blob without a usable digest.", hint="Publish it again.")
    return described.digest
