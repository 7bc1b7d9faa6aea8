"""HTTP/1.1 as the provisioning network needs it: requests parsed, ranges worked out, heads written.

Why: the file server must know nothing but bytes and sockets. May not: do I/O. Invariant: a path that comes out
of ``parse_head`` holds no dot segment and no NUL, so it cannot leave the prefix it is served under.

Sources: RFC 9110 (ranges, conditions), RFC 9112 (message syntax).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

import msgspec

HEAD_LIMIT = 32 * 1024
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_REASONS = {
    200: "OK",
    206: "Partial Content",
    304: "Not Modified",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    416: "Range Not Satisfiable",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
    505: "HTTP Version Not Supported",
}


class Request(msgspec.Struct, frozen=True):
    """One request: ``path`` decoded, ``headers`` with lower-case names, ``client`` the peer's IP address."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    client: str
    keep_alive: bool


class FileAnswer(msgspec.Struct, frozen=True):
    """Answer with the file at ``path``."""

    path: Path
    content_type: str | None = None


class BytesAnswer(msgspec.Struct, frozen=True):
    """Answer with ``data``."""

    data: bytes
    content_type: str = "application/octet-stream"
    status: int = 200


Answer = FileAnswer | BytesAnswer | None


class BadRequestError(Exception):
    """The peer's bytes are no request we serve; ``status`` is the answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Span(msgspec.Struct, frozen=True):
    """Which bytes to send: ``status`` 200, 206, 304 or 416."""

    status: int
    start: int
    length: int


def parse_head(head: bytes, client: str) -> Request:
    """Return the request in ``head`` (all up to the empty line). Raises BadRequestError."""
    lines = head.decode("latin-1").split("\r\n")
    parts = lines[0].split(" ")
    if len(parts) != 3 or not _TOKEN.fullmatch(parts[0]):
        raise BadRequestError(400, "This is not an HTTP request.")
    method, target, version = parts
    if version not in ("HTTP/1.0", "HTTP/1.1"):
        raise BadRequestError(505, "Only HTTP/1.0 and HTTP/1.1 are served.")
    headers = _headers(lines[1:])
    wish = headers.get("connection", "").lower()
    keep = "keep-alive" in wish if version == "HTTP/1.0" else "close" not in wish
    # Bodies are never wanted; not reading one means the next request cannot be found.
    keep = keep and headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers
    try:
        url = urlsplit(target if target.startswith("/") else _origin_form(target))
    except ValueError as error:  # an opening bracket where a host may stand
        raise BadRequestError(400, "The request target is no address.") from error
    return Request(method, _clean_path(url.path), url.query, headers, client, keep)


def span(request: Request, size: int, etag: str) -> Span:
    """Work out which part of ``size`` bytes answers ``request``; several ranges count as none."""
    if etag in request.headers.get("if-none-match", "").split(", "):
        return Span(304, 0, 0)
    wanted = request.headers.get("range", "")
    condition = request.headers.get("if-range")
    found = _RANGE.fullmatch(wanted.replace(" ", ""))
    if not found or found[0] == "bytes=-" or (condition is not None and condition != etag):
        return Span(200, 0, size)
    if not found[1]:
        start, end = max(0, size - int(found[2])), size - 1
    else:
        start, end = int(found[1]), min(int(found[2] or size - 1), size - 1)
    if found[1] and found[2] and int(found[2]) < int(found[1]):
        return Span(200, 0, size)
    if start > end:
        return Span(416, 0, 0)
    return Span(206, start, end - start + 1)


def render_head(status: int, headers: Mapping[str, str | int], *, keep_alive: bool) -> bytes:
    """Return the answer's head, with the empty line."""
    lines = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Unknown')}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines.append(f"Connection: {'keep-alive' if keep_alive else 'close'}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _headers(lines: list[str]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        if not line:
            continue
        name, colon, value = line.partition(":")
        if not colon or not _TOKEN.fullmatch(name):
            raise BadRequestError(400, "A header line is malformed.")
        headers[name.lower()] = value.strip()
    return headers


def _origin_form(target: str) -> str:
    if not target.lower().startswith("http://"):
        raise BadRequestError(400, "The request target must be a path.")
    url = urlsplit(target)
    return (url.path or "/") + (f"?{url.query}" if url.query else "")


def _clean_path(raw: str) -> str:
    path = unquote(raw)
    if "\0" in path or "\\" in path or any(part in (".", "..") for part in path.split("/")):
        raise BadRequestError(403, "Dot segments are not allowed in a path.")
    return path
