"""One HTTP download that goes on where it broke off.

Why: image servers break off, stall and lie. May not: interpret the content. Invariant: bytes of two versions of a
file are never mixed where the server tells versions apart: going on names the version (If-Range).
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import aiohttp
import msgspec

from ingot.domain import errors
from ingot.images import checksums, sparse, urls

Progress = Callable[[int, int | None], None]
_OUR_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)  # asking again cannot help
_BLOCK = 1024 * 1024
_PROGRESS = 65536  # bytes that are new: a server that sends less before it falls silent is no better than a silent one
_FROM_ZERO = {"Accept-Encoding": "identity"}


class Limits(msgspec.Struct, frozen=True):
    """How long to try: ``stall`` seconds without a byte end an attempt, ``patience`` without progress end it all.

    ``pause`` comes before the second attempt and grows. Together they let a failure be known within a minute.

    ``max_size`` bounds the bytes of a file, ``space`` what it may take on the disk, zeros left out. ``file_roots`` are
    the folders for ``file://``; ``weak`` allows md5; ``plain_registries`` are spoken to without TLS; ``registry_auth``
    is a file with credentials as container tools keep it.
    """

    stall: float = 20
    patience: float = 30
    pause: float = 1
    max_size: int = 1 << 42
    space: int = 1 << 62
    file_roots: tuple[Path, ...] = ()
    weak: bool = False
    plain_registries: tuple[str, ...] = ()
    registry_auth: Path | None = None


class Wanted(msgspec.Struct, frozen=True):
    """What to fetch: ``url``, the ``checksum`` it must have, ``headers`` to send (credentials)."""

    url: str
    checksum: checksums.Checksum
    headers: Mapping[str, str] = {}


class Download:
    """State of one download; ``done`` bytes are in the file and in the hash."""

    def __init__(self, wanted: Wanted, target: Path, limits: Limits, progress: Progress) -> None:
        self.url, self.headers = wanted.url, wanted.headers
        self.target, self.limits, self.progress = target, limits, progress
        self.hash = wanted.checksum.new()
        self.done = 0
        self.furthest, self.progressed = 0, time.monotonic()
        self.total: int | None = None
        self.validator: str | None = None

    async def run(self) -> None:
        """Fetch the whole body, resuming until ``limits.patience`` seconds brought no progress."""
        pause = self.limits.pause
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=self.limits.stall, sock_read=self.limits.stall)
        async with aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as session:
            while True:
                try:
                    await self._attempt(session)
                    return
                except (urls.BrokenError, aiohttp.ClientError, TimeoutError, OSError) as error:
                    if isinstance(error, aiohttp.InvalidURL):
                        text = f"{urls.shown(self.url)} is not a URL."
                        raise errors.Invalid(text, hint="Correct image_source.") from error
                    if isinstance(error, OSError) and error.errno in _OUR_DISK:
                        raise
                    waited = time.monotonic() - self.progressed
                    if waited + pause > self.limits.patience:
                        raise self._gave_up(error, waited) from error
                await asyncio.sleep(pause)
                pause = min(pause * 2, self.limits.pause * 8)

    async def _attempt(self, session: aiohttp.ClientSession) -> None:
        headers = {**_FROM_ZERO, **self.headers}
        if self.done:
            headers["Range"] = f"bytes={self.done}-"
            if self.validator:
                headers["If-Range"] = self.validator
        async with session.get(self.url, headers=headers) as answer:
            self._begin(answer)
            with self.target.open("r+b" if self.done else "wb") as file:
                async for block in answer.content.iter_chunked(_BLOCK):
                    if self.done + len(block) > self.limits.max_size:
                        raise self._too_large(self.done + len(block))
                    await asyncio.to_thread(self._take, file.fileno(), block)
                    self.progress(self.done, self.total)
                file.truncate(self.done)
        if self.total is not None and self.done != self.total:
            raise urls.BrokenError(f"the server closed the connection after {self.done} of {self.total} bytes")

    def _begin(self, answer: aiohttp.ClientResponse) -> None:
        self._check_status(answer.status)
        length = answer.content_length
        begins = answer.headers.get("Content-Range", "").startswith(f"bytes {self.done}-")
        if self.done and not (answer.status == 206 and begins):
            self._restart(answer.status)
        self.total = None if length is None else self.done + length
        if self.total is not None and self.total > self.limits.max_size:
            raise self._too_large(self.total)
        etag = answer.headers.get("ETag", "")
        self.validator = etag if etag.startswith('"') else answer.headers.get("Last-Modified")

    def _check_status(self, status: int) -> None:
        where = urls.shown(self.url)
        if status in (408, 425, 429) or status >= 500:
            raise urls.BrokenError(f"the server answered {status}")
        if status in (404, 410):
            raise errors.NotFound(f"There is no image at {where} ({status}).", hint="Correct image_source.")
        if status not in (200, 206):
            raise errors.Invalid(
                f"The image server answered {status} for {where}.", hint="Check the URL and its access rights."
            )

    def _restart(self, status: int) -> None:
        """Begin anew: the server cannot resume, or the file there is another one now."""
        self.done = 0
        self.hash = hashlib.new(self.hash.name)
        if status == 206:  # its body is the rest of what was just thrown away
            self.validator = None
            raise urls.BrokenError("the server sent a part of another version")

    def _take(self, fd: int, block: bytes) -> None:
        sparse.write(fd, self.done, block)
        self.hash.update(block)
        self.done += len(block)
        if self.done - self.furthest >= _PROGRESS or self.done == self.total:
            self.furthest, self.progressed = self.done, time.monotonic()
        if os.fstat(fd).st_blocks * 512 > self.limits.space:
            raise out_of_space(f"The image {urls.shown(self.url)}", self.limits.space)

    def _gave_up(self, error: BaseException, waited: float) -> errors.Unreachable:
        stalled = isinstance(error, TimeoutError)
        why = f"no byte came for {self.limits.stall:g} s" if stalled else urls.in_words(error)
        total = f" of {self.total}" if self.total else ""
        kind = errors.TimedOut if stalled else errors.Unreachable
        return kind(
            f"The image {urls.shown(self.url)} could not be fetched: {why} ({self.done}{total} bytes had come, "
            f"and no more in {waited:.0f} s).",
            hint="Check the image server and the conductor's route to it, then deploy again.",
        )

    def _too_large(self, size: int) -> errors.TooLarge:
        return errors.TooLarge(
            f"The image {urls.shown(self.url)} has {size} bytes or more; {self.limits.max_size} are allowed.",
            hint="Use a smaller image.",
        )


def out_of_space(what: str, space: int) -> errors.TooLarge:
    """The error for an image that alone is larger than the cache may be."""
    return errors.TooLarge(
        f"{what} takes more than the {space} bytes that the image cache may hold.",
        hint="Use a smaller image, or raise the setting image_cache_size.",
    )
