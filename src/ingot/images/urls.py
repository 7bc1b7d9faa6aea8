"""Image and checksum addresses: taking them apart, and showing them without their secrets.

May not: touch the network. Invariant: what ``shown`` and ``in_words`` give holds no user name, password or query.
"""

from __future__ import annotations

import os
from urllib.parse import SplitResult, urlsplit

import aiohttp

from ingot.domain import errors


class BrokenError(Exception):
    """A transfer broke off and may be resumed; the text says how."""


def split(url: str) -> SplitResult:
    """The parts of ``url``. Raises Invalid when it is none."""
    try:
        return urlsplit(url)
    except ValueError as error:
        raise errors.Invalid("The image or checksum source is not a URL.", hint="Correct image_source.") from error


def scheme(url: str) -> str:
    """The scheme in small letters, "" without one. Raises Invalid."""
    return split(url).scheme.lower()


def check_http(url: str) -> None:
    """Raise Invalid unless ``url`` is an http or https address."""
    if scheme(url) not in ("http", "https") or not split(url).netloc:
        raise errors.Invalid(
            f"The image source {shown(url)} is not an http, https, oci or file URL.", hint="Correct image_source."
        )


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
        case BrokenError():
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
