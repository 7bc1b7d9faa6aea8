"""The chunk map of an image: which ranges hold data, and the digest of each.

May not: fetch image data. Invariant: a map that passed ``parse`` has sorted, separate, non-empty extents
inside the image.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from ingot_agent import errors, wire

_RUN_LIMIT = 256 << 20
_CHUNK_LIMIT = 64 << 20


@dataclass(frozen=True)
class Extent:
    """A range of the image in bytes, with the blake2b-256 digest of its data."""

    offset: int
    length: int
    digest: bytes


@dataclass(frozen=True)
class ChunkMap:
    """All data of an image of ``size`` bytes; what no extent covers is zero."""

    size: int
    chunk_size: int
    extents: tuple[Extent, ...]

    def holes(self) -> list[tuple[int, int]]:
        """Offset and length of every range that must read as zeros."""
        found: list[tuple[int, int]] = []
        at = 0
        for extent in self.extents:
            if extent.offset > at:
                found.append((at, extent.offset - at))
            at = extent.offset + extent.length
        return [*found, (at, self.size - at)] if at < self.size else found

    def runs(self) -> list[tuple[Extent, ...]]:
        """Extents joined where they touch, so that one request fetches many."""
        found: list[list[Extent]] = []
        for extent in self.extents:
            last = found[-1] if found else None
            if last and _end(last[-1]) == extent.offset and _end(extent) - last[0].offset <= _RUN_LIMIT:
                last.append(extent)
            else:
                found.append([extent])
        return [tuple(run) for run in found]


def _end(extent: Extent) -> int:
    return extent.offset + extent.length


def _extent(entry: Any, size: int, limit: int, after: int) -> Extent:
    offset, length, digest = int(entry[0]), int(entry[1]), bytes.fromhex(entry[2])
    if offset < after or not 0 < length <= limit or offset + length > size or len(digest) != 32:
        raise ValueError(f"the extent at {offset} is out of order or out of range")
    return Extent(offset, length, digest)


def parse(raw: bytes) -> ChunkMap:
    """Read a map. Raises ImageWriteError when it makes no sense."""
    try:
        body = json.loads(raw)
        if body["version"] != 1 or body["hash"] != "blake2b-256":
            raise ValueError(f"version {body['version']} with {body['hash']} is not known to this agent")
        size, chunk_size = int(body["size"]), int(body["chunk_size"])
        if not 4096 <= chunk_size <= _CHUNK_LIMIT or size <= 0:
            raise ValueError("sizes are out of range")
        extents: list[Extent] = []
        for entry in body["extents"]:
            extents.append(_extent(entry, size, chunk_size, _end(extents[-1]) if extents else 0))
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise errors.ImageWriteError(f"The image's chunk map is not usable: {error}. Import the image again.") from None
    return ChunkMap(size, chunk_size, tuple(extents))


def fetch(info: dict[str, Any], timeout: float, insecure: bool) -> ChunkMap:
    """Get the map that ``{"url":..., "digest":...}`` names and check it.

    Raises Unreachable, ImageChecksumError, ImageWriteError, InvalidCommandParams.
    """
    url, wanted = info.get("url"), info.get("digest")
    if not isinstance(url, str) or not isinstance(wanted, str):
        raise errors.InvalidCommandParams("ingot_chunks lacks url or digest. Send both.")
    import hashlib  # loads OpenSSL: only when wanted

    raw = wire.fetch(url, timeout=timeout, insecure=insecure)
    own = hashlib.blake2b(raw, digest_size=32).hexdigest()
    if own != wanted.lower():
        raise errors.ImageChecksumError(
            f"The image's chunk map has the wrong checksum: expected {wanted}, got {own}. Import the image again."
        )
    return parse(raw)
