"""The image cache: each image fetched, checked, converted and mapped once, then shared by all deployments.

Why: a rack deploying one image must cost one download. May not: hand out an entry that is not whole.
Invariant: an entry is a directory that appeared by one rename under its key's lock, with ``entry.json``
inside; what does not match its own ``entry.json`` is rebuilt.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import AsyncGenerator, Callable
from enum import StrEnum
from pathlib import Path

import msgspec

from ingot.domain import errors
from ingot.images import checksums, chunks, convert, fetch, formats

_PART = "part-"


class Phase(StrEnum):
    """What the cache is doing for a caller."""

    WAIT = "wait"
    DOWNLOAD = "download"
    CONVERT = "convert"
    MAP = "map"


Progress = Callable[[Phase, int, int | None], None]


class ImageSource(msgspec.Struct, frozen=True):
    """An image as a user names it: ``checksum`` is hex or the URL of a checksum file, None is refused."""

    url: str
    algo: str | None = None
    checksum: str | None = None
    disk_format: str | None = None


class CachedImage(msgspec.Struct, frozen=True):
    """A raw image ready to serve: ``size`` in bytes, ``sha256`` of the raw bytes, its chunk map."""

    key: str
    path: Path
    size: int
    chunks_path: Path
    chunks_digest: str
    sha256: str


class _Entry(msgspec.Struct, frozen=True):
    size: int
    mtime_ns: int
    chunks_digest: str
    sha256: str
    found: formats.Format


class ImageCache:
    """Images below ``root``, at most about ``cap`` bytes on disk; the least recently used go first.

    Entries used within ``keep`` seconds are never removed: machines may be reading them.
    """

    def __init__(
        self,
        root: Path,
        cap: int,
        *,
        fetching: fetch.Limits | None = None,
        converting: convert.Limits | None = None,
        keep: float = 3600,
    ) -> None:
        self.root, self.cap, self.keep = root, cap, keep
        self.fetching = fetching or fetch.Limits()
        self.converting = converting or convert.Limits()
        self.lock_deadline = 2 * 3600.0
        with contextlib.suppress(FileNotFoundError):
            self._remove_leftovers()

    async def fetch(self, source: ImageSource, progress: Progress | None = None) -> CachedImage:
        """Return the raw image of ``source``, from the cache or by download.

        Raises Invalid, Forbidden, NotFound, TooLarge, QuotaExceeded (disk full), Unreachable, TimedOut.
        """
        tell = progress or _silent
        checksum = await fetch.resolve_checksum(source.url, source.algo, source.checksum, self.fetching)
        key = f"{checksum.algo}-{checksum.value}"
        async with self._locked(key, tell) as found:
            entry = found or await self._make(key, source, checksum, tell)
        if source.disk_format is not None:
            formats.check_declared(entry.found, source.disk_format)
        self.touch(key)
        return self._cached(key, entry)

    def touch(self, key: str) -> None:
        """Note that ``key`` is being used now, so that it is not removed."""
        with contextlib.suppress(OSError):
            os.utime(self.root / key / "entry.json")

    async def find(self, key: str) -> CachedImage | None:
        """Return the entry ``key`` if it is there and whole."""
        if not _is_key(key):
            return None
        entry = await asyncio.to_thread(self._load, key)
        return self._cached(key, entry) if entry else None

    async def find_file(self, key: str, name: str) -> Path | None:
        """The path of the entry's "raw" data or "chunks" map, None if there is no such entry or file."""
        image = await self.find(key)
        if image is None:
            return None
        self.touch(key)
        return {"raw": image.path, "chunks": image.chunks_path}.get(name)

    def _cached(self, key: str, entry: _Entry) -> CachedImage:
        folder = self.root / key
        return CachedImage(
            key, folder / "disk.raw", entry.size, folder / "chunks.json", entry.chunks_digest, entry.sha256
        )

    def _load(self, key: str) -> _Entry | None:
        folder = self.root / key
        try:
            entry = msgspec.json.decode((folder / "entry.json").read_bytes(), type=_Entry)
            info = (folder / "disk.raw").stat()
            whole = (info.st_size, info.st_mtime_ns) == (entry.size, entry.mtime_ns)
            same_map = chunks.digest((folder / "chunks.json").read_bytes()) == entry.chunks_digest
        except (OSError, msgspec.DecodeError):
            return None
        return entry if whole and same_map else None

    async def _make(self, key: str, source: ImageSource, checksum: checksums.Checksum, tell: Progress) -> _Entry:
        part = self.root / f"{_PART}{key}"
        await asyncio.to_thread(_renew, part)
        try:
            entry = await self._build(part, source, checksum, tell)
            await asyncio.to_thread(self._publish, part, key)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise errors.QuotaExceeded(
                f"No space is left in {self.root} for the image.", hint="Free space or move the image cache."
            ) from error
        finally:
            await asyncio.to_thread(shutil.rmtree, part, True)
        return entry

    async def _build(self, part: Path, source: ImageSource, checksum: checksums.Checksum, tell: Progress) -> _Entry:
        download, raw = part / "download", part / "disk.raw"

        def downloaded(done: int, total: int | None) -> None:
            tell(Phase.DOWNLOAD, done, total)

        await fetch.fetch(source.url, download, checksum, self.fetching, downloaded)
        found = await asyncio.to_thread(formats.check, download, source.disk_format)
        size = download.stat().st_size
        tell(Phase.CONVERT, 0, size)
        await convert.to_raw(download, raw, source.disk_format, self.converting)
        tell(Phase.CONVERT, size, size)
        unchanged = found is not formats.Format.QCOW2 and not formats.is_compressed(found)
        known = checksum.value if unchanged and checksum.algo == "sha256" else None

        def mapped(done: int, total: int) -> None:
            tell(Phase.MAP, done, total)

        async with asyncio.TaskGroup() as group:
            mapping = group.create_task(asyncio.to_thread(chunks.build, raw, mapped))
            hashing = group.create_task(asyncio.to_thread(_sha256, raw, known))
        (part / "chunks.json").write_bytes(mapping.result())
        info = raw.stat()
        entry = _Entry(info.st_size, info.st_mtime_ns, chunks.digest(mapping.result()), hashing.result(), found)
        (part / "entry.json").write_bytes(msgspec.json.encode(entry))
        return entry

    def _publish(self, part: Path, key: str) -> None:
        folder = self.root / key
        shutil.rmtree(folder, ignore_errors=True)
        for path in part.iterdir():
            with path.open("rb") as file:
                os.fsync(file.fileno())
        part.rename(folder)
        self._shrink(key)

    def _shrink(self, newest: str) -> None:
        """Remove leftovers, and the least recently used entries until the cap holds."""
        self._remove_leftovers()
        entries: list[tuple[float, int, Path]] = []
        for path in self.root.iterdir():
            with contextlib.suppress(OSError):
                if _is_key(path.name):
                    blocks = sum(inner.stat().st_blocks for inner in path.iterdir())
                    entries.append((path.joinpath("entry.json").stat().st_mtime, blocks * 512, path))
        total = sum(size for _, size, _ in entries)
        for used, size, path in sorted(entries):
            if total <= self.cap:
                return
            if path.name != newest and time.time() - used > self.keep and self._remove_unlocked(path.name, path):
                total -= size

    def _remove_leftovers(self) -> None:
        """Remove what killed processes were building; what is being built now is locked."""
        for path in list(self.root.iterdir()):
            key = path.name.removeprefix(_PART)
            if key != path.name and _is_key(key):
                self._remove_unlocked(key, path)

    def _remove_unlocked(self, key: str, folder: Path) -> bool:
        with (self.root / f"{key}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return False
            shutil.rmtree(folder, ignore_errors=True)
        return True

    @contextlib.asynccontextmanager
    async def _locked(self, key: str, tell: Progress) -> AsyncGenerator[_Entry | None]:
        """Hold the lock of ``key`` against other tasks and processes, or yield the entry that makes it needless.

        The lock dies with its holder.
        """
        if not _is_key(key):
            raise errors.NotFound(f"The image cache has no entry {key[:80]!r}.")
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

    async def _lock_or_find(self, fd: int, key: str, tell: Progress) -> _Entry | None:
        pause = 0.02
        while True:
            locked = _try_lock(fd)
            found = await asyncio.to_thread(self._load, key)
            if found or locked:
                return found
            tell(Phase.WAIT, 0, None)
            await asyncio.sleep(pause)
            pause = min(0.5, pause * 1.5)


def _is_key(name: str) -> bool:
    algo, _, value = name.partition("-")
    return algo in ("sha256", "sha384", "sha512") and len(value) in (64, 96, 128) and value.isalnum()


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _renew(part: Path) -> None:
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)


def _sha256(raw: Path, known: str | None) -> str:
    if known:
        return known
    with raw.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _silent(phase: Phase, done: int, total: int | None) -> None:
    """Tell nobody."""
