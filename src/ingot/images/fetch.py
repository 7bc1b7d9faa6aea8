"""Brings an image from its URL to a local file, checking its checksum on the way.

Why: image servers break off, stall and lie. May not: convert or interpret the content.
Invariant: the function returns only when the file's bytes have the expected checksum.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

import aiohttp
import msgspec

from ingot.domain import errors
from ingot.images import checksums, sparse

Progress = Callable[[int, int | None], None]
_OUR_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)  # asking again cannot help
_BLOCK = 1024 * 1024
_CHECKSUM_FILE_LIMIT = 4 * _BLOCK


class Limits(msgspec.Struct, frozen=True):
    """How long and how often to try: ``stall`` seconds without a byte, ``attempts`` without any progress."""

    stall: float = 60
    attempts: int = 5
    pause: float = 2
    max_size: int = 1 << 42
    file_roots: tuple[Path, ...] = ()


class _BrokenError(Exception):
    """A transfer broke off and may be resumed; the text says how."""


async def fetch(
    url: str, target: Path, checksum: checksums.Checksum, limits: Limits, progress: Progress | None = None
) -> int:
    """Write what ``url`` names to ``target`` and return its size; ``progress(done, total or None)`` in bytes.

    Raises Invalid (checksum, URL), Forbidden (outside ``limits.file_roots``), NotFound, Unreachable, TimedOut.
    """
    tell = progress or _silent
    if _split(url).scheme.lower() == "file":
        source = local_path(url, limits.file_roots)
        return await asyncio.to_thread(_copy, source, target, checksum, tell)
    _check_scheme(url)
    download = _Download(url, target, checksum.new(), limits, tell)
    try:
        await download.run()
        checksum.verify(download.hash.hexdigest(), shown(url))
    except BaseException:
        await asyncio.to_thread(target.unlink, missing_ok=True)
        raise
    return download.done


async def resolve_checksum(url: str, algo: str | None, value: str | None, limits: Limits) -> checksums.Checksum:
    """Return the checksum an image must have; ``value`` is hex or the URL of a checksum file.

    Raises Invalid when there is none, it is weak, or the file does not list the image.
    """
    if value is None or not checksums.is_url(value):
        return checksums.parse(algo, value)
    if _split(value).scheme.lower() == "file":
        path = local_path(value, limits.file_roots)
        text = await asyncio.to_thread(_read_small, path)
    else:
        text = await _get_small(value.strip(), limits)
    return checksums.find_in_list(text, Path(unquote(_split(url).path)).name, algo)


def local_path(url: str, roots: tuple[Path, ...]) -> Path:
    """Return the file behind a ``file://`` URL, links resolved, if it lies below one of ``roots``.

    Raises Forbidden, NotFound or Invalid.
    """
    parts = _split(url)
    if parts.netloc not in ("", "localhost"):
        raise errors.Invalid(
            f"The image URL names the host {parts.netloc.rpartition('@')[2]}.",
            hint="Write file:///path (three slashes).",
        )
    real = Path(unquote(parts.path)).resolve()
    if not any(real.is_relative_to(root.resolve()) for root in roots):
        allowed = ", ".join(map(str, roots)) or "none"
        raise errors.Forbidden(
            f"The file {parts.path} is outside the directories images may come from ({allowed}).",
            hint="Put the image into an allowed directory, or add its directory to the setting.",
        )
    if not real.is_file():
        raise errors.NotFound(f"There is no image file {parts.path} on the conductor.", hint="Check the path.")
    return real


def shown(url: str) -> str:
    """Return ``url`` fit for logs and errors: without user name, password and query."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "(not a URL)"
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}" if parts.scheme else parts.path


def in_words(error: BaseException) -> str:
    """Why a transfer broke off; the HTTP library's own text names its classes and repeats the URL."""
    match error:
        case _BrokenError():
            return str(error)
        case aiohttp.InvalidURL():
            return "it is not a URL"
        case aiohttp.ClientSSLError():
            return "no trusted TLS connection to the server can be made"
        case aiohttp.ClientPayloadError():
            return "the server closed the connection in the middle"
        case aiohttp.ServerDisconnectedError():
            return "the server hung up without an answer"
        case aiohttp.ClientConnectorDNSError():
            return "the name of the server cannot be resolved"
        case OSError() if error.errno:
            return os.strerror(error.errno)
        case _:
            return "the server's answer is not proper HTTP"


class _Download:
    """One HTTP download that goes on where it broke off."""

    def __init__(self, url: str, target: Path, digest: checksums.Hash, limits: Limits, progress: Progress) -> None:
        self.url, self.target, self.hash, self.limits, self.progress = url, target, digest, limits, progress
        self.done = 0
        self.furthest = 0
        self.total: int | None = None
        self.validator: str | None = None

    async def run(self) -> None:
        """Fetch the whole body, resuming up to ``limits.attempts`` times in a row without progress."""
        failures = 0
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=self.limits.stall, sock_read=self.limits.stall)
        async with aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as session:
            while True:
                try:
                    await self._attempt(session)
                    return
                except (_BrokenError, aiohttp.ClientError, TimeoutError, OSError) as error:
                    if isinstance(error, aiohttp.InvalidURL):
                        raise errors.Invalid(
                            f"{shown(self.url)} is not a URL.", hint="Correct image_source."
                        ) from error
                    if isinstance(error, OSError) and error.errno in _OUR_DISK:
                        raise
                    failures = 1 if self.done > self.furthest else failures + 1
                    self.furthest = max(self.furthest, self.done)
                    if failures >= self.limits.attempts:
                        raise self._gave_up(error, failures) from error
                await asyncio.sleep(self.limits.pause)

    async def _attempt(self, session: aiohttp.ClientSession) -> None:
        headers = {"Accept-Encoding": "identity"}
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
            raise _BrokenError(f"the server closed the connection after {self.done} of {self.total} bytes")

    def _begin(self, answer: aiohttp.ClientResponse) -> None:
        status = answer.status
        if status in (408, 425, 429) or status >= 500:
            raise _BrokenError(f"the server answered {status}")
        if status in (404, 410):
            raise errors.NotFound(f"There is no image at {shown(self.url)} ({status}).", hint="Correct image_source.")
        if status not in (200, 206):
            raise errors.Invalid(
                f"The image server answered {status} for {shown(self.url)}.",
                hint="Check the URL and its access rights.",
            )
        length = answer.content_length
        resumed = status == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {self.done}-")
        if self.done and not resumed:
            self._restart()
        self.total = None if length is None else self.done + length
        if self.total is not None and self.total > self.limits.max_size:
            raise self._too_large(self.total)
        etag = answer.headers.get("ETag", "")
        self.validator = etag if etag.startswith('"') else answer.headers.get("Last-Modified")

    def _restart(self) -> None:
        """Begin anew: the server cannot resume, or the file there is another one now."""
        self.done = 0
        self.hash = hashlib.new(self.hash.name)

    def _take(self, fd: int, block: bytes) -> None:
        sparse.write(fd, self.done, block)
        self.hash.update(block)
        self.done += len(block)

    def _gave_up(self, error: BaseException, failures: int) -> errors.Unreachable:
        stalled = isinstance(error, TimeoutError)
        why = f"no byte came for {self.limits.stall:g} s" if stalled else in_words(error)
        total = f" of {self.total}" if self.total else ""
        kind = errors.TimedOut if stalled else errors.Unreachable
        return kind(
            f"The image {shown(self.url)} could not be fetched: {why} ({self.done}{total} bytes had come, "
            f"{failures} attempts in a row failed).",
            hint="Check the image server and the conductor's route to it, then deploy again.",
        )

    def _too_large(self, size: int) -> errors.TooLarge:
        return errors.TooLarge(
            f"The image {shown(self.url)} has {size} bytes or more; {self.limits.max_size} are allowed.",
            hint="Use a smaller image or raise the limit.",
        )


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError as error:
        raise errors.Invalid("The image or checksum source is not a URL.", hint="Correct image_source.") from error


def _check_scheme(url: str) -> None:
    parts = _split(url)
    if parts.scheme.lower() not in ("http", "https") or not parts.netloc:
        raise errors.Invalid(
            f"The image source {shown(url)} is not an http, https or file URL.", hint="Correct image_source."
        )


def _copy(source: Path, target: Path, checksum: checksums.Checksum, progress: Progress) -> int:
    digest, done, total = checksum.new(), 0, source.stat().st_size
    with source.open("rb") as origin, target.open("wb") as file:
        while block := origin.read(_BLOCK):
            digest.update(block)
            sparse.write(file.fileno(), done, block)
            done += len(block)
            progress(done, total)
        file.truncate(done)
    checksum.verify(digest.hexdigest(), source.name)
    return done


def _read_small(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(_CHECKSUM_FILE_LIMIT).decode("utf-8", "replace")


async def _get_small(url: str, limits: Limits) -> str:
    hint = "Check the checksum file's URL, or give the digest itself."
    try:
        async with (
            asyncio.timeout(limits.stall),
            aiohttp.ClientSession() as session,
            session.get(url) as answer,
        ):
            if answer.status != 200:
                raise errors.Invalid(f"The checksum file {shown(url)} answered {answer.status}.", hint=hint)
            body = bytearray()
            async for block in answer.content.iter_chunked(65536):
                body += block
                if len(body) > _CHECKSUM_FILE_LIMIT:
                    raise errors.TooLarge(f"The checksum file {shown(url)} is larger than 4 MiB.", hint=hint)
            return body.decode("utf-8", "replace")
    except TimeoutError as error:
        raise errors.TimedOut(
            f"The checksum file {shown(url)} did not come in {limits.stall:g} s.", hint=hint
        ) from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise errors.Unreachable(
            f"The checksum file {shown(url)} cannot be read: {in_words(error)}.", hint=hint
        ) from error


def _silent(done: int, total: int | None) -> None:
    """Tell nobody."""
