"""Between HTTP and handlers: requests as handlers read them, answers as clients read them.

May not: know a resource or the database; say how an error looks to a client (refusals.py).
"""

from __future__ import annotations

import asyncio
import urllib.parse
from collections.abc import AsyncGenerator, Awaitable, Callable, MutableMapping
from typing import Any

import msgspec

from ingot.domain import errors

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Scope = MutableMapping[str, Any]

_DEPTH = 25
_PATIENCE = 60.0
"""Seconds until the next piece of a body has to be there."""
_SLOWEST = 1024
"""Bytes a second that have to come after that on the average: else a byte a minute would hold a connection for ever."""
JSON = (b"content-type", b"application/json")


class Gone(Exception):
    """The client hung up before it was answered."""


class Answer(msgspec.Struct, frozen=True):
    """What goes back: status, body and headers beyond the common ones.

    ``early``: made before a resource was reached; such an answer has no version headers.
    """

    status: int
    body: bytes = b""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    early: bool = False


class Stream(Answer, frozen=True, kw_only=True):
    """An answer without an end: ``chunks`` are sent as they come, until they end or the client hangs up."""

    chunks: AsyncGenerator[bytes]


class Caller(msgspec.Struct, frozen=True):
    """Who asks. ``name``: None without authentication; ``roles``: all that are held, implied ones included.

    ``system``: the scope is the whole system; else it is ``project`` (an id), or nothing at all when that is None.
    ``elevated``: a program of the cloud, in the project whose programs may what the system's members may.
    """

    name: str | None
    roles: frozenset[str]
    system: bool = False
    project: str | None = None
    elevated: bool = False


class Request(msgspec.Struct, frozen=True):
    """One request as handlers see it. ``base``: scheme and host for links; ``version``: N of microversion 1.N.

    ``client``: the address it came from.
    """

    method: str
    base: str
    query: tuple[tuple[str, str], ...]
    body: bytes
    version: int
    caller: Caller
    headers: dict[str, str]
    request_id: str
    args: dict[str, str] = {}
    path: str = ""
    client: str = ""

    def json(self) -> Any:
        """The body as JSON; an empty body reads as None. Raises errors.Invalid."""
        return None if not self.body.strip() else decode(self.body)

    def object(self, what: str) -> dict[str, Any]:
        """The body as a JSON object, {} when empty. Raises errors.Invalid naming ``what`` it should describe."""
        found = self.json()
        if found is None:
            return {}
        if not isinstance(found, dict):
            raise errors.Invalid(
                f"Schema error for {what}: {_brief(found)} is not of type 'object'", hint="Send a JSON object."
            )
        return found  # pyright: ignore[reportUnknownVariableType] # JSON keys are always text

    def href(self, *parts: str) -> str:
        """An absolute URL below this API."""
        return "/".join((self.base, *(urllib.parse.quote(part, safe="~") for part in parts)))

    def links(self, *parts: str) -> list[dict[str, str]]:
        """The two links that Ironic shows of a resource: with the API's version, and without."""
        return [{"href": self.href("v1", *parts), "rel": "self"}, {"href": self.href(*parts), "rel": "bookmark"}]


class Unreadable(errors.Refused):
    """The request cannot be read, or names something that nothing can be called; refused before a resource sees it."""


class NoToken(errors.Refused):
    """The request you have made requires authentication. ``keystone``: the URL that gives out tokens."""

    default_hint = "Send a valid token of Keystone's."

    def __init__(self, keystone: str) -> None:
        super().__init__()
        self.keystone = keystone


class BadCredentials(errors.Refused):
    """The Authorization header is no header that names anybody."""

    default_hint = "Send a user name and password (HTTP basic), or a token."


class TooDeep(errors.Refused):
    """Request body JSON is nested too deeply."""

    default_hint = f"At most {_DEPTH} levels are read."


def decode(body: bytes) -> Any:
    """JSON text as a value. Raises errors.Invalid (malformed), Unreadable (bad UTF-8), TooDeep."""
    try:
        found = msgspec.json.decode(body)
    except RecursionError as error:
        raise TooDeep() from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        _check_text(body)
        text = f"The request body is not valid JSON: {error}"
        raise errors.Invalid(text, hint="Correct it and send again.") from error
    if body.count(b"{") + body.count(b"[") > _DEPTH and _too_deep(found):
        raise TooDeep()
    return found


def _check_text(body: bytes) -> None:
    try:
        body.decode()
    except UnicodeDecodeError as error:
        raise Unreadable("The request body is not valid UTF-8.") from error


def _too_deep(value: Any) -> bool:
    level: list[Any] = [value]
    for _ in range(_DEPTH):
        below: list[Any] = []
        for item in level:
            below.extend(item.values() if isinstance(item, dict) else item)  # pyright: ignore[reportUnknownArgumentType] # any JSON
        level = [item for item in below if isinstance(item, dict | list)]
        if not level:
            return False
    return True


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


async def read_body(receive: Receive, headers: dict[str, str], limit: int, patience: float = _PATIENCE) -> bytes:
    """The whole request body. Raises errors.TooLarge over ``limit`` bytes, errors.Invalid, Gone."""
    announced = headers.get("content-length", "0")
    if not announced.isascii() or not announced.isdigit():
        raise errors.Invalid("The header Content-Length is not a number.")
    if int(announced) > limit:
        raise errors.TooLarge(f"Request body is too large: {announced} bytes, at most {limit} are read.")
    chunks: list[bytes] = []
    size = 0
    now = asyncio.get_running_loop().time
    began = now()
    while True:
        try:
            async with asyncio.timeout_at(patience + min(now(), began + size / _SLOWEST)):
                message = await receive()
        except TimeoutError as error:
            text = f"The request body stopped coming, or comes at less than {_SLOWEST} bytes a second."
            raise errors.Invalid(text, hint="Send it whole.") from error
        if message["type"] == "http.disconnect":
            raise Gone()
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise errors.TooLarge(f"Request body is too large: at most {limit} bytes are read.")
        chunks.append(chunk)
        if not message.get("more_body"):
            return b"".join(chunks)


def parse_query(text: bytes) -> tuple[tuple[str, str], ...]:
    """The query string as pairs. Raises errors.Invalid."""
    if not text:
        return ()
    try:
        pairs = urllib.parse.parse_qsl(text.decode("ascii"), True, errors="strict", max_num_fields=256)
    except ValueError as error:
        hint = "Encode it as UTF-8 and percent signs."
        raise errors.Invalid("The query string cannot be read.", hint=hint) from error
    return tuple(pairs)


def accepts_json(accept: str) -> bool:
    """Whether a client with this Accept header takes JSON; an empty one takes everything."""
    kinds = [part.partition(";")[0].strip().lower() for part in accept.split(",")]
    return not accept.strip() or any(kind in {"*/*", "*", "application/*", "application/json"} for kind in kinds)


def ok(value: Any, status: int = 200, *headers: tuple[bytes, bytes]) -> Answer:
    """An answer with a JSON body."""
    return Answer(status, msgspec.json.encode(value), (JSON, *headers))


def ready(body: bytes) -> Answer:
    """An answer whose body is JSON text already."""
    return Answer(200, body, (JSON,))


def listing(name: str, items: bytes, more: dict[str, Any]) -> Answer:
    """An answer with the JSON texts ``items``, parted by commas, as the list ``name``, and ``more`` beside it."""
    rest = b"," + msgspec.json.encode(more)[1:] if more else b"}"
    return ready(b'{"%b":[%b]%b' % (name.encode(), items, rest))


def created(value: Any, location: str) -> Answer:
    """201 with the new object and where it is."""
    return ok(value, 201, (b"location", location.encode()))


def accepted(location: str | None = None) -> Answer:
    """202: it will be done."""
    return Answer(202, b"", () if location is None else ((b"location", location.encode()),))


NO_CONTENT = Answer(204)
