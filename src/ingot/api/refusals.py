"""Errors as clients read them: for each error a status and a body.

May not: know a resource or the database. Invariants: whatever a handler raises becomes an answer, and an unforeseen
error tells the client nothing of its inside. The bodies are Ironic's own, JSON inside JSON included.
"""

from __future__ import annotations

from collections.abc import Awaitable

import msgspec
import structlog

from ingot.api import wire
from ingot.domain import errors

_log = structlog.get_logger("ingot.api")
_TITLES = {
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
}
_STATUS: tuple[tuple[type[errors.IngotError], int], ...] = (
    # most special first
    (errors.Conflict, 409),
    (errors.NotFound, 404),
    (errors.NotAcceptable, 406),
    (errors.Forbidden, 403),
    (errors.QuotaExceeded, 503),
    (errors.Refused, 400),
    (errors.Unreachable, 503),
    (errors.Misbehaved, 500),
    (errors.IngotError, 500),
)


def fault(status: int, text: str) -> wire.Answer:
    """The body of what a resource refuses: faultcode, faultstring, debuginfo as JSON text inside JSON."""
    inner = {"faultcode": "Client" if status < 500 else "Server", "faultstring": text, "debuginfo": None}
    return wire.ok({"error_message": msgspec.json.encode(inner).decode()}, status)


def refusal(status: int, text: str = "", *headers: tuple[bytes, bytes]) -> wire.Answer:
    """The body of what never reached a resource (no such path, no such version): code, title, description."""
    inner = {"code": status, "title": _TITLES[status], "description": text}
    body = msgspec.json.encode({"error_message": msgspec.json.encode(inner).decode()})
    return wire.Answer(status, body, (wire.JSON, *headers), early=True)


def _unknown(status: int, text: str, *headers: tuple[bytes, bytes], **more: str) -> wire.Answer:
    """The body of what is refused because it is not known who asks."""
    body = msgspec.json.encode({"error": {"message": text, "code": status, **more}})
    return wire.Answer(status, body, (wire.JSON, *headers), early=True)


def _bare(status: int, text: str) -> wire.Answer:
    """The body of what is refused before it is read; this one is not wrapped."""
    body = msgspec.json.encode({"faultcode": "Client", "faultstring": text})
    return wire.Answer(status, body, (wire.JSON, (b"connection", b"close")), early=True)


def failure(error: errors.IngotError) -> wire.Answer:
    """An error of the tree as an answer."""
    match error:
        case errors.TooLarge():
            return _bare(413, error.sentence())
        case wire.TooDeep():
            return _bare(400, error.sentence())
        case wire.Unreadable():
            return refusal(400, error.sentence())
        case wire.NoToken():
            challenge = (b"www-authenticate", f'Keystone uri="{error.keystone}"'.encode())
            return _unknown(401, error.sentence(), challenge, title="Unauthorized")
        case errors.Unauthorized():
            return _unknown(401, error.sentence(), (b"www-authenticate", b'Basic realm="Baremetal API"'))
        case wire.BadCredentials():
            return _unknown(400, error.sentence())
        case errors.TooMany():
            answer = fault(429, error.sentence())
            return wire.Answer(429, answer.body, (*answer.headers, (b"retry-after", str(error.retry_after).encode())))
        case _:
            status = next(status for kind, status in _STATUS if isinstance(error, kind))
            return fault(status, error.sentence())


async def guard(call: Awaitable[wire.Answer], request_id: str) -> wire.Answer:
    """The answer of ``call``; whatever it raises becomes an answer too."""
    try:
        return await call
    except wire.Gone:
        raise
    except errors.IngotError as error:
        return failure(error)
    except Exception:
        _log.exception("request failed", request_id=request_id)
        text = f"Something unforeseen happened while answering request {request_id}. See the log of the API."
        return fault(500, text)
