"""A small synchronous client of the public API, for commands that make a handful of calls.

Why not aiohttp: it takes longer to import than these commands take to run. May not: retry, or keep a connection
between calls (threads may share a client). Invariant: every failure is an error with a sentence.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import ssl
import urllib.parse
from collections.abc import Callable, Iterable
from typing import Any

import click

from ingot.cli import exits, jsons
from ingot.domain import errors

VERSION = "1.115"
DEFAULT_URL = "http://127.0.0.1:6385"
_PAGE = 1000


class Client:
    """Calls one API. ``url`` without the trailing ``/v1``; ``timeout`` seconds per answer; ``ca``: file of the CA."""

    def __init__(
        self,
        url: str,
        user: str | None = None,
        password: str | None = None,
        timeout: float = 60.0,
        ca: str | None = None,
        token: str | None = None,
    ) -> None:
        parts = urllib.parse.urlsplit(url if "//" in url else f"http://{url}")
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise errors.Invalid(f'"{url}" is not the URL of an API', hint=f"Say it like {DEFAULT_URL}.")
        self.url = url.rstrip("/").removesuffix("/v1")
        self._parts = parts
        self._root = parts.path.rstrip("/").removesuffix("/v1")
        self._timeout = timeout
        self._ca = ca
        self._headers = {"X-OpenStack-Ironic-API-Version": VERSION, "Accept": "application/json"}
        if user is not None:
            encoded = base64.b64encode(f"{user}:{password or ''}".encode()).decode()
            self._headers["Authorization"] = f"Basic {encoded}"
        elif token:
            self._headers["X-Auth-Token"] = token

    def get(self, path: str, **query: Any) -> Any:
        """The JSON behind ``path`` (``/v1/...``); query values that are None are left out."""
        wanted = {key: value for key, value in query.items() if value is not None}
        return self.call("GET", f"{path}?{urllib.parse.urlencode(wanted)}" if wanted else path)

    def every(self, kind: str, limit: int | None = None, **query: Any) -> list[dict[str, Any]]:
        """All of ``/v1/<kind>`` that match, page by page; at most ``limit`` (None: no limit)."""
        found: list[dict[str, Any]] = []
        marker: str | None = None
        while limit is None or len(found) < limit:
            size = _PAGE if limit is None else min(_PAGE, limit - len(found))
            page: dict[str, Any] = self.get(f"/v1/{kind}", **query, limit=size, marker=marker)
            found += page[kind]
            if not page.get("next"):  # a service may give fewer at once than it was asked for
                break
            marker = found[-1]["uuid"]
        return found

    def find(self, path: str, **query: Any) -> Any | None:
        """As ``get``, but None when the API says that there is no such thing."""
        try:
            return self.get(path, **query)
        except exits.ApiRefused as error:
            if error.status == http.HTTPStatus.NOT_FOUND:
                return None
            raise

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Send one request; the answer's JSON, None when it has no body.

        Raises exits.ApiRefused (4xx), errors.Misbehaved (5xx or no JSON), errors.Unreachable, errors.TimedOut.
        """
        headers = dict(self._headers)
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        return _read(*self._exchange(method, path, data, headers))

    def text(self, path: str) -> str:
        """The text behind ``path``, for what is no JSON. Raises as ``call``."""
        status, body = self._exchange("GET", path, None, self._headers)
        if status >= http.HTTPStatus.BAD_REQUEST:
            _read(status, body)
        return body.decode(errors="replace")

    def tls(self) -> ssl.SSLContext | None:
        """How to trust this API's certificate; None where it speaks no TLS."""
        return ssl.create_default_context(cafile=self._ca) if self._parts.scheme == "https" else None

    def _exchange(self, method: str, path: str, data: bytes | None, headers: dict[str, str]) -> tuple[int, bytes]:
        connection = self._connect()
        try:
            connection.request(method, self._root + path, data, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except TimeoutError as error:
            text = f"{self.url} gave no answer in {self._timeout:g} s"
            raise errors.TimedOut(text, hint="Try again, or look at the service's log.") from error
        except ssl.SSLCertVerificationError as error:
            text = f"The certificate of {self.url} is not trusted: {error.verify_message}"
            hint = "Set INGOT_CACERT to a copy of tls/ca.pem from the service's data directory."
            raise errors.Unreachable(text, hint=hint) from error
        except ssl.SSLError as error:
            text = f"{self.url} speaks no TLS that we do ({error.reason})"
            raise errors.Unreachable(text, hint="Try it with http://.") from error
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            hint = 'Start one with "ingot serve", or name another with --url or INGOT_URL.'
            if isinstance(error, http.client.RemoteDisconnected) and self._parts.scheme == "http":
                hint = "Does it speak TLS? Try it with https://."
            raise errors.Unreachable(f"No ingot answers at {self.url} ({reason})", hint=hint) from error
        finally:
            connection.close()

    def _connect(self) -> http.client.HTTPConnection:
        host = self._parts.hostname or ""
        if self._parts.scheme == "https":
            return http.client.HTTPSConnection(host, self._parts.port, timeout=self._timeout, context=self.tls())
        return http.client.HTTPConnection(host, self._parts.port, timeout=self._timeout)


def from_environment(url: str | None = None) -> Client:
    """The client the user means: ``--url`` or INGOT_URL, with what INGOT_USER and INGOT_PASSWORD, or
    INGOT_TOKEN, and INGOT_CACERT say.
    """
    where = url or os.environ.get("INGOT_URL") or DEFAULT_URL
    ca = os.environ.get("INGOT_CACERT") or os.environ.get("OS_CACERT")
    if ca and not os.access(ca, os.R_OK):
        raise errors.Invalid(f"The CA file {ca} cannot be read", hint="Correct INGOT_CACERT.")
    user, password, token = (os.environ.get(f"INGOT_{name}") for name in ("USER", "PASSWORD", "TOKEN"))
    return Client(where, user, password, ca=ca or None, token=token)


def node_path(ident: str, *more: str) -> str:
    """The path of a node (name or UUID) or of something below it."""
    return "/".join(["/v1/nodes", urllib.parse.quote(ident, safe=""), *more])


def delete_each(url: str | None, names: Iterable[str], path: Callable[[str], str]) -> None:
    """Remove one after the other what stands at the ``path`` of each name, and say so of each."""
    client = from_environment(url)
    for name in names:
        client.call("DELETE", path(name))
        click.echo(f"deleted {name}")


def _read(status: int, body: bytes) -> Any:
    try:
        value: Any = json.loads(body) if body.strip() else None
    except ValueError as error:
        if status < http.HTTPStatus.BAD_REQUEST:
            raise errors.Misbehaved(
                "The answer is not JSON", hint="Is this really the URL of an ingot or Ironic API?"
            ) from error
        value = body.decode(errors="replace")[:500]
    if status < http.HTTPStatus.BAD_REQUEST:
        return value
    text = sentence(value) or f"The API answered with status {status}"
    if status >= http.HTTPStatus.INTERNAL_SERVER_ERROR:
        raise errors.Misbehaved(f"{text.rstrip('.')} (status {status})", hint="See the service's log.")
    if status == http.HTTPStatus.UNAUTHORIZED:
        text = f"{text.rstrip('.')}. Set INGOT_USER and INGOT_PASSWORD, or INGOT_TOKEN"
    raise exits.ApiRefused(text, status)


def sentence(body: Any) -> str:
    """The sentence inside an error body, whichever of Ironic's shapes it has; "" when there is none.

    The shapes: ``{"error_message": "<JSON text>"}`` around ``{"faultstring"}`` or ``{"title", "description"}``, the
    inner object alone, ``{"error": {"message"}}``, or plain text.
    """
    if isinstance(body, str):
        try:
            inner: Any = json.loads(body)
        except ValueError:
            return body.strip()
        return sentence(inner) if isinstance(inner, dict) else body.strip()
    found = jsons.table(body)
    for key in ("error", "error_message", "faultstring", "description", "message", "title"):
        if found.get(key):
            return sentence(found[key])
    return ""
