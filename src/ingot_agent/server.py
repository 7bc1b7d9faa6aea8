"""A small threaded HTTP server: the socket, the parsing, the limits.

Why: Python's own server imports a second's worth of modules in an emulated machine. May not: know commands
or tokens. Invariants: whatever a client sends, it gets an HTTP answer or a closed connection, and the server
goes on; a client that is not trusted costs one of few threads for a short time, and a few KiB.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ingot_agent import errors, guard, log

if TYPE_CHECKING:
    import ssl

_HEAD_LINE = 16384
_HEAD_LINES = 200
_BODY_LIMIT = 160 << 20  # a 64 MiB config drive in base64 with room
_STRANGERS_BODY_LIMIT = 4096
_IDLE = 300.0
_STRANGERS_TIME = 10.0
_CONNECTIONS = 16


@dataclass(frozen=True)
class Request:
    """A parsed request; ``query`` holds the last value of each name, ``base`` is how the client reached us."""

    method: str
    path: str
    query: dict[str, str]
    body: bytes
    base: str = ""


Answer = tuple[int, object]


@dataclass(frozen=True)
class _Head:
    """A request before its body, of ``length`` bytes, is read."""

    method: str
    path: str
    query: dict[str, str]
    length: int
    host: str


class _Incoming(socket.SocketIO):
    """What a client sends; every read ends at ``until``, a time.monotonic(), however slowly bytes drip."""

    def __init__(self, client: socket.socket, until: float) -> None:
        super().__init__(client, "r")
        self._client = client
        self.until = until

    def readinto(self, b: Any) -> int | None:
        """Fill the buffer with what there is. Raises TimeoutError."""
        left = self.until - time.monotonic()
        if left <= 0:
            raise TimeoutError("the client took too long")
        self._client.settimeout(min(left, _IDLE))
        return super().readinto(b)


def unquote(text: str) -> str:
    """Undo percent-encoding and ``+``."""
    parts = text.replace("+", " ").split("%")
    raw = parts[0].encode()
    for part in parts[1:]:
        try:
            raw += bytes([int(part[:2], 16)]) + part[2:].encode()
        except ValueError:
            raw += b"%" + part.encode()
    return raw.decode("utf-8", "replace")


def parse_target(target: str) -> tuple[str, dict[str, str]]:
    """Split a request target into its path and its query."""
    path, _, text = target.partition("?")
    pairs = (entry.partition("=") for entry in text.split("&") if entry)
    return unquote(path), {unquote(name): unquote(value) for name, _, value in pairs}


def _read_head(stream: io.BufferedReader[_Incoming]) -> _Head | None:
    """Give the next request's head; None when the client is done. Raises ValueError for anything malformed."""
    first = stream.readline(_HEAD_LINE)
    if not first:
        return None
    words = first.decode("latin-1").split()
    if len(words) != 3:
        raise ValueError("the request line is malformed")
    length, host = 0, ""
    for _ in range(_HEAD_LINES):
        entry = stream.readline(_HEAD_LINE).decode("latin-1").strip()
        if not entry:
            break
        name, _, value = entry.partition(":")
        if name.lower() == "content-length":
            length = int(value)
        elif name.lower() == "host":
            host = value.strip()
    else:
        raise ValueError(f"it has {_HEAD_LINES} header lines or more")
    if not 0 <= length <= _BODY_LIMIT:
        raise ValueError(f"the body is longer than {_BODY_LIMIT} bytes")
    return _Head(words[0], *parse_target(words[1]), length, host)


def _fault(error: errors.AgentError) -> Answer:
    return error.code, {"faultcode": "Client" if error.code < 500 else "Server", "faultstring": error.message}


def _encode(answer: Answer) -> bytes:
    status, value = answer
    body = json.dumps(value).encode()
    head = f"HTTP/1.1 {status} -\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _listen(host: str, port: int) -> socket.socket:
    """A listener on one address; without one on all, those of IPv6 too where the kernel has it."""
    if not host and socket.has_dualstack_ipv6():
        return socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)


class Server:
    """Listens from construction on; ``start`` answers in threads, ``close`` stops listening.

    ``trusts`` judges a request's query before its body is read. A client that never passed it has
    ``strangers_time`` in all; beyond 16 connections the next one waits until one ends.
    """

    def __init__(
        self,
        host: str,
        port: int,
        answer: Callable[[Request], Answer],
        trusts: Callable[[dict[str, str]], bool],
        strangers_time: float = _STRANGERS_TIME,
    ) -> None:  # the context comes with start, when this machine's address is known
        self._answer = answer
        self._trusts = trusts
        self._strangers_time = strangers_time
        self._places = threading.BoundedSemaphore(_CONNECTIONS)
        self._closed = threading.Event()
        self._listener = _listen(host, port)
        self.port = int(self._listener.getsockname()[1])

    def start(self, secure: Callable[[], ssl.SSLContext] | None = None) -> None:
        """Accept connections in a thread of its own, which first makes the TLS context (None: plain HTTP)."""
        threading.Thread(target=self._accept, args=(secure,), name="server", daemon=True).start()

    def close(self) -> None:
        """Stop listening; running answers are finished."""
        self._closed.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self, secure: Callable[[], ssl.SSLContext] | None) -> None:
        context = secure() if secure is not None else None
        while not self._closed.is_set():
            self._places.acquire()
            try:
                client, _ = self._listener.accept()
            except OSError as error:
                self._places.release()
                if not self._closed.is_set():  # one connection's failure (accept(2)) must not end the server
                    log.line(f"no connection could be taken: {error}. Going on")
                    self._closed.wait(0.5)
                continue
            threading.Thread(target=self._serve, args=(client, context), name="client", daemon=True).start()

    def _serve(self, client: socket.socket, context: ssl.SSLContext | None) -> None:
        until = time.monotonic() + self._strangers_time
        try:
            client.settimeout(self._strangers_time)
            if context is not None:
                client = context.wrap_socket(client, server_side=True)
            incoming = _Incoming(client, until)
            with client, io.BufferedReader(incoming, 65536) as stream:
                self._converse(client, incoming, stream)
        except OSError:
            return
        finally:
            self._places.release()

    def _converse(self, client: socket.socket, incoming: _Incoming, stream: io.BufferedReader[_Incoming]) -> None:
        try:
            while (head := _read_head(stream)) is not None:
                if self._trusts(head.query):
                    incoming.until = math.inf
                elif head.length > _STRANGERS_BODY_LIMIT:
                    text = "The agent token is absent or wrong, so the body was not read. Send the token."
                    client.sendall(_encode(_fault(errors.Unauthorized(text))))
                    return
                body = stream.read(head.length)
                if len(body) < head.length:
                    return
                scheme = "https" if hasattr(client, "cipher") else "http"
                request = Request(head.method, head.path, head.query, body, f"{scheme}://{head.host}")
                client.sendall(_encode(self._guarded(request)))
        except ValueError as error:
            reason = f"The request is not usable: {error}. Send a smaller, well-formed one."
            client.sendall(_encode(_fault(errors.InvalidCommandParams(reason))))

    def _guarded(self, request: Request) -> Answer:
        answer, error = guard.outcome(lambda: self._answer(request))
        if answer is not None:
            return answer
        if isinstance(error, errors.AgentError):
            return _fault(error)
        log.line(f"bug while answering {request.method} {request.path}: {error!r}")
        return _fault(errors.CommandExecutionError(f"The agent failed: {error!r}. Read its log."))
