"""The image cache: each image fetched, checked, converted and mapped once, then shared by all deployments.

Why: a rack deploying one image must cost one download. May not: hand out an entry that is not whole.
Invariant: of all that want one image at once, in this and other processes, one builds it and the others wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import os
import shutil
from collections.abc import AsyncGenerator, Callable
from enum import StrEnum
from pathlib import Path

import msgspec

from ingot.domain import errors
from ingot.images import child, chunks, convert, download, entries, evict, fetch, formats, locate

_FULL = (errno.ENOSPC, errno.EDQUOT)
MILLS = max(1, min(8, (os.cpu_count() or 1) // 2))
"""Images that are unpacked, mapped and hashed at once: that keeps two processors busy each, and two of the threads for
all that blocks (``app.py``), of which there are no more on a host with many processors."""


class Phase(StrEnum):
    """What the cache is doing for a caller."""

    WAIT = "wait"
    DOWNLOAD = "download"
    CONVERT = "convert"
    MAP = "map"


Progress = Callable[[Phase, int, int | None], None]


class ImageCache:
    """Images below ``root``, at most about ``cap`` bytes on disk; the least recently used go first.

    Entries used within ``keep`` seconds are never removed: machines may be reading them.
    """

    def __init__(
        self,
        root: Path,
        cap: int,
        *,
        fetching: download.Limits | None = None,
        converting: child.Limits | None = None,
        keep: float = 3600,
    ) -> None:
        self.root, self.cap, self.keep = root, cap, keep
        self.fetching = msgspec.structs.replace(fetching or download.Limits(), space=cap)
        self.converting = msgspec.structs.replace(converting or child.Limits(), space=cap)
        self.lock_deadline = 2 * 3600.0
        self._mills = asyncio.Semaphore(MILLS)
        with contextlib.suppress(FileNotFoundError):
            evict.remove_leftovers(self.root)

    async def fetch(self, source: locate.ImageSource, progress: Progress | None = None) -> entries.CachedImage:
        """Return the raw image of ``source``, from the cache or by download.

        Raises Invalid, Forbidden, NotFound, TooLarge, QuotaExceeded (disk full), Unreachable, TimedOut.
        """
        tell = progress or _silent
        wanted = await locate.locate(source, self.fetching)
        key = f"{wanted.checksum.algo}-{wanted.checksum.value}"
        async with self._locked(key, tell) as found:
            entry = found or await self._make(key, wanted, source.disk_format, tell)
        if source.disk_format is not None:
            formats.check_declared(entry.found, source.disk_format)
        entries.touch(self.root, key)
        return entries.cached(self.root, key, entry)

    async def find(self, key: str) -> entries.CachedImage | None:
        """Return the entry ``key`` if it is there and whole."""
        if not entries.is_key(key):
            return None
        entry = await asyncio.to_thread(entries.load, self.root, key)
        return entries.cached(self.root, key, entry) if entry else None

    async def find_file(self, key: str, name: str) -> Path | None:
        """The path of the entry's "raw" data or "chunks" map, None if there is no such entry or file."""
        image = await self.find(key)
        if image is None:
            return None
        entries.touch(self.root, key)
        return {"raw": image.path, "chunks": image.chunks_path}.get(name)

    async def doubt(self, key: str) -> bool:
        """Read an entry that somebody found damaged, and remove it if it is; whether it was removed."""
        if not entries.is_key(key) or await asyncio.to_thread(entries.is_sound, self.root, key):
            return False
        return await asyncio.to_thread(evict.remove, self.root, key)

    async def _make(self, key: str, wanted: download.Wanted, declared: str | None, tell: Progress) -> entries.Entry:
        """Build the entry; when the disk is full, once more after removing what nobody uses."""
        try:
            return await self._make_once(key, wanted, declared, tell)
        except OSError as error:
            if error.errno not in _FULL:
                raise
            if not await asyncio.to_thread(evict.shrink, self.root, 0, self.keep):
                raise self._disk_full() from error
        try:
            return await self._make_once(key, wanted, declared, tell)
        except OSError as error:
            if error.errno not in _FULL:
                raise
            raise self._disk_full() from error

    async def _make_once(
        self, key: str, wanted: download.Wanted, declared: str | None, tell: Progress
    ) -> entries.Entry:
        part = self.root / f"{entries.PART}{key}"
        await asyncio.to_thread(entries.renew, part)
        try:
            entry = await self._build(part, wanted, declared, tell)
            await asyncio.to_thread(entries.publish, part, self.root, key)
            await asyncio.to_thread(evict.shrink, self.root, self.cap, self.keep, key)
        finally:
            await asyncio.to_thread(shutil.rmtree, part, True)
        return entry

    def _disk_full(self) -> errors.QuotaExceeded:
        free = shutil.disk_usage(self.root).free
        return errors.QuotaExceeded(
            f"No space is left in {self.root} for the image ({free} bytes are free).",
            hint="Free space or move the image cache, then deploy again.",
        )

    async def _build(self, part: Path, wanted: download.Wanted, declared: str | None, tell: Progress) -> entries.Entry:
        def downloaded(done: int, total: int | None) -> None:
            tell(Phase.DOWNLOAD, done, total)

        await fetch.fetch(wanted, part / "download", self.fetching, downloaded)
        if self._mills.locked():
            tell(Phase.WAIT, 0, None)
        async with self._mills:
            return await self._mill(part, wanted, declared, tell)

    async def _mill(self, part: Path, wanted: download.Wanted, declared: str | None, tell: Progress) -> entries.Entry:
        """Check, unpack and map what was downloaded: the work of processors, of which there are few."""
        packed, raw = part / "download", part / "disk.raw"
        found = await asyncio.to_thread(formats.check, packed, declared)
        size = packed.stat().st_size
        tell(Phase.CONVERT, 0, size)
        await convert.to_raw(packed, raw, declared, self.converting)
        tell(Phase.CONVERT, size, size)
        unchanged = found is not formats.Format.QCOW2 and not formats.is_compressed(found)
        known = wanted.checksum.value if unchanged and wanted.checksum.algo == "sha256" else None
        return await self._map(part, found, known, tell)

    async def _map(self, part: Path, found: formats.Format, known: str | None, tell: Progress) -> entries.Entry:
        """Write chunk map and ``entry.json``; ``known``: the raw file's sha256 if somebody has computed it."""
        raw = part / "disk.raw"

        def mapped(done: int, total: int) -> None:
            tell(Phase.MAP, done, total)

        async with asyncio.TaskGroup() as group:
            mapping = group.create_task(asyncio.to_thread(chunks.build, raw, mapped))
            hashing = group.create_task(asyncio.to_thread(_sha256, raw, known))
        (part / "chunks.json").write_bytes(mapping.result())
        info = raw.stat()
        digest = chunks.digest(mapping.result())
        entry = entries.Entry(info.st_size, info.st_mtime_ns, digest, hashing.result(), found)
        (part / "entry.json").write_bytes(msgspec.json.encode(entry))
        return entry

    @contextlib.asynccontextmanager
    async def _locked(self, key: str, tell: Progress) -> AsyncGenerator[entries.Entry | None]:
        """Hold the lock of ``key`` against other tasks and processes, or yield the entry that makes it needless."""
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / f"{key}.lock").open("w") as lock:
            try:
                async with asyncio.timeout(self.lock_deadline):
                    found = await self._lock_or_find(lock.fileno(), key, tell)
            except TimeoutError as error:
                raise errors.TimedOut(
                    f"Another task held the image {key} for {self.lock_deadline:g} s.",
                    hint="Look for a process that hangs while it builds this image.",
                ) from error
            yield found

    async def _lock_or_find(self, fd: int, key: str, tell: Progress) -> entries.Entry | None:
        pause = 0.02
        while True:
            locked = evict.try_lock(fd)
            found = await asyncio.to_thread(entries.load, self.root, key)
            if found or locked:
                return found
            tell(Phase.WAIT, 0, None)
            await asyncio.sleep(pause)
            pause = min(0.5, pause * 1.5)


def _sha256(raw: Path, known: str | None) -> str:
    if known:
        return known
    with raw.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _silent(phase: Phase, done: int, total: int | None) -> None:
    """Tell nobody."""
