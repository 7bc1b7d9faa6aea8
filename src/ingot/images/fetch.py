"""Brings an image from wherever its address points to a local file, checking its checksum on the way.

May not: convert or interpret the content. Invariant: ``fetch`` returns only when the file's bytes have the expected
checksum.
"""

from __future__ import annotations

import asyncio
import io
from pathlib import Path
from urllib.parse import unquote

import aiohttp

from ingot.domain import errors
from ingot.images import checksums, download, localfile, urls

_CHECKSUM_FILE_LIMIT = 4 * 1024 * 1024


async def fetch(
    wanted: download.Wanted, target: Path, limits: download.Limits, progress: download.Progress | None = None
) -> int:
    """Write what ``wanted`` names to ``target`` and return its size; ``progress(done, total or None)`` in bytes.

    Raises Invalid (checksum, URL), Forbidden (outside ``limits.file_roots``), NotFound, Unreachable, TooLarge.
    """
    tell = progress or _silent
    if urls.scheme(wanted.url) == "file":
        source = await asyncio.to_thread(localfile.open_allowed, wanted.url, limits.file_roots)
        return await asyncio.to_thread(localfile.copy, source, target, wanted.checksum, limits.space, tell)
    urls.check_http(wanted.url)
    run = download.Download(wanted, target, limits, tell)
    try:
        await run.run()
        wanted.checksum.verify(run.hash.hexdigest(), urls.shown(wanted.url))
    except BaseException:
        await asyncio.to_thread(target.unlink, missing_ok=True)
        raise
    return run.done


async def resolve_checksum(
    url: str, algo: str | None, value: str | None, limits: download.Limits
) -> checksums.Checksum:
    """Return the checksum an image must have; ``value`` is hex or the URL of a checksum file.

    Raises Invalid when there is none, it is weak, or the file does not list the image.
    """
    if value is None or not checksums.is_url(value):
        return checksums.parse(algo, value, weak=limits.weak)
    if urls.scheme(value) == "file":
        source = await asyncio.to_thread(localfile.open_allowed, value, limits.file_roots)
        text = await asyncio.to_thread(_read_small, source)
    else:
        text = await _get_small(value.strip(), limits)
    return checksums.find_in_list(text, Path(unquote(urls.split(url).path)).name, algo, weak=limits.weak)


def _read_small(source: io.BufferedReader) -> str:
    with source as file:
        return file.read(_CHECKSUM_FILE_LIMIT).decode("utf-8", "replace")


async def _get_small(url: str, limits: download.Limits) -> str:
    hint = "Check the checksum file's URL, or give the digest itself."
    where = urls.shown(url)
    try:
        async with (
            asyncio.timeout(limits.stall),
            aiohttp.ClientSession() as session,
            session.get(url) as answer,
        ):
            if answer.status != 200:
                raise errors.Invalid(f"The checksum file {where} answered {answer.status}.", hint=hint)
            body = bytearray()
            async for block in answer.content.iter_chunked(65536):
                body += block
                if len(body) > _CHECKSUM_FILE_LIMIT:
                    raise errors.TooLarge(f"The checksum file {where} is larger than 4 MiB.", hint=hint)
            return body.decode("utf-8", "replace")
    except TimeoutError as error:
        raise errors.TimedOut(f"The checksum file {where} did not come in {limits.stall:g} s.", hint=hint) from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        why = urls.in_words(error)
        raise errors.Unreachable(f"The checksum file {where} cannot be read: {why}.", hint=hint) from error


def _silent(done: int, total: int | None) -> None:
    """Tell nobody."""
