"""Finds out what to fetch for an image as a user names it: the address, the checksum it must have, the credentials.

May not: fetch the image. Invariant: what leaves this module has a checksum.
"""

from __future__ import annotations

import msgspec

from ingot.images import download, fetch, oci, urls


class ImageSource(msgspec.Struct, frozen=True):
    """An image as a user names it: ``checksum`` is hex or the URL of a checksum file; None only with ``oci://``.

    ``cpu_arch`` (x86_64, aarch64) chooses among what a registry has; ``pull_secret`` proves us to it.
    """

    url: str
    algo: str | None = None
    checksum: str | None = None
    disk_format: str | None = None
    cpu_arch: str | None = None
    pull_secret: str | None = None


async def locate(source: ImageSource, limits: download.Limits) -> download.Wanted:
    """Return what to fetch. Raises Invalid, Forbidden, NotFound, Unreachable, TimedOut."""
    if urls.scheme(source.url) != "oci":
        checksum = await fetch.resolve_checksum(source.url, source.algo, source.checksum, limits)
        return download.Wanted(source.url, checksum)
    found = await oci.locate(source.url, source.cpu_arch, source.pull_secret, limits)
    if source.checksum is None:
        return found
    checksum = await fetch.resolve_checksum(source.url, source.algo, source.checksum, limits)
    if checksum.algo == found.checksum.algo:
        checksum.verify(found.checksum.value, urls.shown(source.url))
    return msgspec.structs.replace(found, checksum=checksum)
