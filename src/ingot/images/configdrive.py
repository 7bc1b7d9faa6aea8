"""Config drives: what a deployed machine reads on its first boot (host name, keys, network, user data).

Why: clients send a config drive as JSON, as base64 gzip text or as a URL; the agent wants one form, base64 of
a gzipped disc image. May not: log the content, which may hold passwords. Invariant: what leaves this module
decodes to a file system of at most 64 MiB, the size of the partition the agent makes for it.

Layout: OpenStack "config drive version 2": volume ``config-2``, ``openstack/<version>/meta_data.json``.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import gzip
import json
import zlib
from collections.abc import Mapping
from typing import cast

import aiohttp

from ingot.domain import errors
from ingot.images import iso9660, urls

LIMIT = 64 * 1024 * 1024
LABEL = "config-2"
_VERSIONS = ("2018-08-27", "latest")
_KEYS = ("meta_data", "network_data", "user_data", "vendor_data")
_HINT = "Send a JSON object with meta_data, network_data, user_data or vendor_data, base64 of a gzipped ISO, or a URL."

Json = Mapping[str, object]


async def payload(value: str | Json, defaults: Json, *, timeout: float = 60) -> str:
    """Return ``value`` in the agent's form: base64 text of a gzipped ISO.

    ``defaults`` fill meta_data keys the caller left out (uuid, name, hostname). A URL is fetched within
    ``timeout`` seconds. Raises Invalid, TooLarge, Unreachable.
    """
    validate(value)
    if isinstance(value, str):
        if _is_url(value):
            value = await _fetch(value, timeout)
        await asyncio.to_thread(decode, value)
        return value.strip()
    return await asyncio.to_thread(lambda: encode(build(value, defaults)))


def validate(value: object) -> None:
    """Check the shape of a config drive as an API client sends it, without fetching or unpacking it.

    Raises Invalid or TooLarge.
    """
    match value:
        case str() if _is_url(value):
            return
        case str():
            _check_text(value)
        case Mapping():
            _check_object(cast(Json, value))
        case _:
            raise errors.Invalid(f"A config drive cannot be {type(value).__name__}.", hint=_HINT)


def build(parts: Json, defaults: Json) -> bytes:
    """Return the ISO image for ``parts`` (see ``_KEYS``); ``defaults`` complete its meta_data.

    Raises Invalid or TooLarge.
    """
    _check_object(parts)
    meta = dict(defaults) | dict(cast(Json, parts.get("meta_data") or {}))
    files = {"meta_data.json": _json(meta, "meta_data")}
    if parts.get("network_data"):
        files["network_data.json"] = _json(parts["network_data"], "network_data")
    if parts.get("vendor_data"):
        files["vendor_data2.json"] = _json(parts["vendor_data"], "vendor_data")
    user_data = parts.get("user_data")
    if user_data:
        files["user_data"] = user_data.encode() if isinstance(user_data, str) else _json(user_data, "user_data")
    if sum(map(len, files.values())) * len(_VERSIONS) > LIMIT:
        raise _too_large()
    image = iso9660.build({"openstack": dict.fromkeys(_VERSIONS, files)}, LABEL)
    if len(image) > LIMIT:
        raise _too_large()
    return image


def encode(image: bytes) -> str:
    """Return ``image`` as the agent takes it: gzipped, then base64. The same image gives the same text."""
    return base64.b64encode(gzip.compress(image, 6, mtime=0)).decode()


def decode(text: str) -> bytes:
    """Return the disc image in base64 gzip ``text``. Raises Invalid or TooLarge; unpacks at most 64 MiB."""
    try:
        packed = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise errors.Invalid(f"The config drive is not base64: {error}.", hint=_HINT) from error
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        image = unpacker.decompress(packed, LIMIT + 1)
    except zlib.error as error:
        raise errors.Invalid("The config drive is base64, but not of gzip data.", hint=_HINT) from error
    if len(image) > LIMIT:
        raise _too_large()
    if not unpacker.eof:
        raise errors.Invalid("The config drive's gzip data is cut off.", hint="Send it again, whole.")
    return image


def _check_text(value: str) -> None:
    if len(value) > LIMIT * 4 // 3 + 4:
        raise _too_large()
    head = "".join(value[:64].split())
    if len(head) < 4:
        raise errors.Invalid("The config drive is neither a URL nor base64 text.", hint=_HINT)
    try:
        packed = base64.b64decode(head[: len(head) // 4 * 4], validate=True)
    except (binascii.Error, ValueError) as error:
        raise errors.Invalid("The config drive is neither a URL nor base64 text.", hint=_HINT) from error
    if not packed.startswith(b"\x1f\x8b"):
        raise errors.Invalid("The config drive is base64, but not of gzip data.", hint=_HINT)


def _check_object(value: Json) -> None:
    unknown = sorted(str(key) for key in value if key not in _KEYS)
    if unknown:
        raise errors.Invalid(f"A config drive has no key {', '.join(unknown)}.", hint=_HINT)
    for key in ("meta_data", "network_data", "vendor_data"):
        if not isinstance(value.get(key) or {}, Mapping):
            raise errors.Invalid(f"The config drive's {key} must be a JSON object.", hint=_HINT)
    if not isinstance(value.get("user_data") or "", str | Mapping | list):
        raise errors.Invalid("The config drive's user_data must be text, an object or a list.", hint=_HINT)


def _json(value: object, key: str) -> bytes:
    try:
        return json.dumps(value, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise errors.Invalid(f"The config drive's {key} is not JSON: {error}.", hint=_HINT) from error


def _is_url(value: str) -> bool:
    return value.strip().lower().startswith(("http://", "https://"))


def _too_large() -> errors.TooLarge:
    return errors.TooLarge(
        f"The config drive is larger than {LIMIT // 1024 // 1024} MiB.",
        hint="Keep large data on a web server and let user_data fetch it.",
    )


async def _fetch(url: str, timeout: float) -> str:
    hint = "Check that the URL can be reached from the conductor."
    try:
        async with (
            asyncio.timeout(timeout),
            aiohttp.ClientSession() as session,
            session.get(url.strip()) as answer,
        ):
            if answer.status != 200:
                raise errors.Unreachable(f"The config drive's URL answered {answer.status}.", hint=hint)
            body = bytearray()
            async for block in answer.content.iter_chunked(65536):
                body += block
                if len(body) > LIMIT * 4 // 3 + 4:
                    raise _too_large()
    except TimeoutError as error:
        raise errors.TimedOut(f"The config drive's URL gave no whole answer in {timeout:g} s.", hint=hint) from error
    except (aiohttp.ClientError, OSError) as error:
        why = urls.in_words(error)
        raise errors.Unreachable(f"The config drive's URL cannot be read: {why}.", hint=hint) from error
    except ValueError as error:
        raise errors.Invalid("The config drive's URL is not valid.", hint=_HINT) from error
    try:
        return body.decode("ascii")
    except UnicodeDecodeError as error:
        raise errors.Invalid("The config drive behind the URL is not base64 text.", hint=_HINT) from error
