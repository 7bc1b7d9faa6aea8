"""A small threaded HTTP server: the socket, the parsing, the limits.

Why: Python's own server imports a second's worth of modules in an emulated machine. May not: know commands
or tokens. Invariant: whatever a client sends, it gets an HTTP answer or a closed connection; the server
goes on.
"""

from __future__ import annotations

import contextlib
import io
import json
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass

from ingot_agent import errors, guard, log

_HEAD_LINE = 16384
_BODY_LIMIT = 160 << 20  # a 64 MiB config drive in base64 with room
_IDLE = 300.0


@dataclass(frozen=True)
class Request:
    """A parsed request; ``query`` holds the last value of each name."""

    method: str
    path: str
    query: dict[str, str]
    body: bytes


Answer = tuple[int, object]


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


def _read_request(stream: io.BufferedReader[socket.SocketIO]) -> Request | None:
    """Give the next request; None when the client is done. Raises ValueError for anything malformed."""
    first = stream.readline(_HEAD_LINE)
    if not first:
        return None
    words = first.decode("latin-1").split()
    if len(words) != 3:
        raise ValueError("the request line is malformed")
    length = 0
    for _ in range(200):
        entry = stream.readline(_HEAD_LINE).decode("latin-1").strip()
        if not entry:
            break
        name, _, value = entry.partition(":")
        if name.lower() == "content-length":
            length = int(value)
    if not 0 <= length <= _BODY_LIMIT:
        raise ValueError(f"the body is longer than {_BODY_LIMIT} bytes")
    body = stream.read(length)
    if len(body) < length:
        return None
    path, query = parse_target(words[1])
    return Request(words[0], path, query, body)


def _fault(error: errors.AgentError) -> Answer:
    return error.code, {"faultcode": "Client" if error.code < 500 else "Server", "faultstring": error.message}


def _encode(answer: Answer) -> bytes:
    status, value = answer
    body = json.dumps(value).encode()
    head = f"HTTP/1.1 {status} -\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class Server:
    """Listens from construction on; ``start`` answers in threads, ``close`` stops listening."""

    def __init__(self, host: str, port: int, answer: Callable[[Request], Answer]) -> None:
        self._answer = answer
        self._listener = socket.create_server((host, port), reuse_port=False)
        self.port = int(self._listener.getsockname()[1])

    def start(self) -> None:
        """Accept connections in a thread of its own."""
        threading.Thread(target=self._accept, name="server", daemon=True).start()

    def close(self) -> None:
        """Stop listening; running answers are finished."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), name="client", daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        client.settimeout(_IDLE)
        try:
            with client, io.BufferedReader(socket.SocketIO(client, "r"), 65536) as stream:
                self._converse(client, stream)
        except OSError:
            return

    def _converse(self, client: socket.socket, stream: io.BufferedReader[socket.SocketIO]) -> None:
        try:
            while (request := _read_request(stream)) is not None:
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
