"""Real HTTP servers for the agent's tests: a small Ironic API and an image server with ranges and faults.

May not: be used by the product. Invariant: everything they saw is kept, for the tests to look at.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import ssl
import threading
import time
import urllib.parse
import urllib.request
import zlib
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, Self

TOKEN = "t" * 40
NODE = "1be26c0b-03f2-4d2e-ae87-c02d7f33c123"


@dataclass
class Seen:
    lookups: list[str] = field(default_factory=list)
    heartbeats: list[dict[str, Any]] = field(default_factory=list)
    inspections: list[dict[str, Any]] = field(default_factory=list)
    versions: list[str] = field(default_factory=list)
    at: list[float] = field(default_factory=list)


class Served:
    """A threaded server on a free port; closes by ``with``."""

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05})

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


class Ironic(Served):
    """Lookup, heartbeat and inspection; ``lookup_answers`` are statuses given before the first 200."""

    def __init__(
        self,
        token: str = TOKEN,
        lookup_answers: list[int] | None = None,
        timeout: int = 300,
        newest: str = "1.115",
    ) -> None:
        seen = self.seen = Seen()
        answers = list(lookup_answers or [])
        self.node: dict[str, Any] = {"uuid": NODE, "properties": {}, "instance_info": {}}
        node = self.node
        self.heartbeat_statuses: list[int] = []
        statuses = self.heartbeat_statuses
        self.inspection_statuses: list[int] = []
        inspections = self.inspection_statuses

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def answer(self, status: int, body: object = None) -> None:
                raw = json.dumps(body).encode() if body is not None else b""
                self.send_response(status)
                self.send_header("Content-Length", str(len(raw)))
                self.send_header("X-OpenStack-Ironic-API-Maximum-Version", newest)
                self.end_headers()
                self.wfile.write(raw)

            def do_GET(self) -> None:
                seen.lookups.append(self.path)
                seen.versions.append(self.headers.get("X-OpenStack-Ironic-API-Version", ""))
                if answers:
                    self.answer(answers.pop(0), {"error_message": "no"})
                    return
                config = {"heartbeat_timeout": timeout, "agent_token": token, "agent_token_required": True}
                self.answer(200, {"node": node, "config": config})

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                seen.versions.append(self.headers.get("X-OpenStack-Ironic-API-Version", ""))
                if "continue_inspection" in self.path:
                    seen.inspections.append(body)
                    self.answer(inspections.pop(0) if inspections else 202, {"uuid": NODE})
                    return
                seen.heartbeats.append(body | {"path": self.path})
                seen.at.append(time.monotonic())
                self.answer(statuses.pop(0) if statuses else 202)

        super().__init__(Handler)


class Images(Served):
    """Serves bytes by path with Range; ``breaks`` closes that many answers after ``break_after`` bytes.

    ``pace``: bytes a second of an answer. ``state["spoils"]`` answers longer than ``state["spoil_beyond"]`` bytes begin
    with a wrong byte, before any breaks. ``state["refusals"]``: that many requests get a 503.
    ``state["misplaced"]``: a part that does not begin the file begins that many bytes later than asked.
    ``any_query``: bodies by path, whatever query follows it; ``asked``: paths without it, as they were asked for.
    """

    def __init__(self, files: dict[str, bytes], *, breaks: int = 0, break_after: int = 1 << 20, pace: int = 0) -> None:
        self.files = files
        self.ranges: list[str] = []
        self.any_query: dict[str, bytes] = {}
        self.asked: list[str] = []
        any_query, asked = self.any_query, self.asked
        self.connections: set[tuple[str, int]] = set()
        ranges, connections = self.ranges, self.connections
        state = {"breaks": breaks, "spoils": 0, "spoil_beyond": 0, "refusals": 0, "misplaced": 0}
        self.state = state

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            extra: ClassVar[dict[str, str]] = {}

            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                connections.add(self.client_address)
                asked.append(self.path.partition("?")[0])
                body = files.get(self.path) or any_query.get(asked[-1])
                if body is None or state["refusals"]:
                    self.send_response(404 if body is None else 503)
                    state["refusals"] -= body is not None
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                wanted = self.headers.get("Range", "")
                first, last = 0, len(body) - 1
                etag = f'"{len(body)}-{zlib.crc32(body[:65536])}"'
                wanted = wanted if self.headers.get("If-Range", etag) == etag else ""
                if wanted:
                    ranges.append(wanted)
                    first, last = _asked(wanted, last)
                    first += state["misplaced"] * bool(first)
                part = memoryview(body)[first : last + 1]
                self.send_response(206 if wanted else 200)
                self.send_header("Content-Length", str(len(part)))
                self.send_header("ETag", etag)
                self.send_header("Content-Range", f"bytes {first}-{last}/{len(body)}")  # of a 200 it says nothing
                self.end_headers()
                if state["spoils"] and self.path.endswith(".raw") and len(part) > state["spoil_beyond"]:
                    state["spoils"] -= 1
                    part = memoryview(bytes([part[0] ^ 1]) + bytes(part[1:]))
                elif state["breaks"] and self.path.endswith(".raw"):
                    state["breaks"] -= 1
                    part, self.close_connection = part[:break_after], True
                with contextlib.suppress(ConnectionError):  # a client that refuses the image hangs up
                    self.send_paced(part)

            def send_paced(self, part: memoryview) -> None:
                begun, step = time.monotonic(), 256 << 10 if pace else len(part) or 1
                for at in range(0, len(part), step):
                    self.wfile.write(part[at : at + step])
                    if pace:
                        threading.Event().wait(max(0.0, begun + (at + step) / pace - time.monotonic()))

        super().__init__(Handler)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"


def _asked(wanted: str, last: int) -> tuple[int, int]:
    """The first and last byte that a Range header names; ``last`` is the file's."""
    start, _, end = wanted.removeprefix("bytes=").partition("-")
    return int(start), int(end) if end else last


def chunk_map(image: bytes, chunk_size: int = 4 << 20) -> bytes:
    """The map of an image: whole chunks that are not all zero."""
    extents: list[list[object]] = []
    for offset in range(0, len(image), chunk_size):
        part = image[offset : offset + chunk_size]
        if any(part):
            extents.append([offset, len(part), hashlib.blake2b(part, digest_size=32).hexdigest()])
    return json.dumps(
        {"version": 1, "size": len(image), "chunk_size": chunk_size, "hash": "blake2b-256", "extents": extents}
    ).encode()


def digest(raw: bytes) -> str:
    return hashlib.blake2b(raw, digest_size=32).hexdigest()


def wait_until(condition: Any, timeout: float, what: str) -> None:
    """Wait for a condition with a deadline."""
    end = time.monotonic() + timeout
    pause = threading.Event()
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"not within {timeout} s: {what}")
        pause.wait(0.02)


@dataclass(frozen=True)
class AgentClient:
    """Posts commands as a conductor does; ``ca``: the certificate the agent sent, ``named``: it must name the host."""

    base: str
    token: str = TOKEN
    ca: str = ""
    named: bool = True

    def _context(self) -> ssl.SSLContext | None:
        if not self.ca:
            return None
        context = ssl.create_default_context(cadata=self.ca)
        context.verify_flags |= ssl.VERIFY_X509_STRICT  # as newer Pythons do by themselves
        context.check_hostname = self.named
        return context

    def call(self, method: str, path: str, body: object = None, timeout: float = 60) -> tuple[int, Any]:
        raw = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self.base + path, data=raw, method=method)
        try:
            with urllib.request.urlopen(request, timeout=timeout, context=self._context()) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def post(self, name: str, params: dict[str, Any] | None = None, *, wait: bool = True) -> tuple[int, Any]:
        path = f"/v1/commands/?wait={'true' if wait else 'false'}&agent_token={urllib.parse.quote(self.token)}"
        return self.call("POST", path, {"name": name, "params": params or {}}, timeout=600)

    def result(self, ident: str, *, wait: bool = False) -> Any:
        status, body = self.call("GET", f"/v1/commands/{ident}?agent_token={self.token}{'&wait=true' if wait else ''}")
        assert status == 200, body
        return body
