"""A small HTTP client over one kept connection.

Why: http.client pulls in the e-mail library, a second of start-up in an emulated machine. May not: know
Ironic. Invariant: every wait has the connection's timeout; every failure of the network is
``errors.Unreachable``.
"""

from __future__ import annotations

import io
import socket
import struct
import threading
from dataclasses import dataclass, field
from typing import Any

from ingot_agent import errors, log, tls

_HEAD_LIMIT = 65536
_BUFFER = 65536
_PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)  # as long as for an image (transfer.py)
_PASSING = (408, 429)  # and all from 500 on


class Refused(errors.Unreachable):
    """The server answered, and asking again would not change that."""

    kind = "Unreachable"


@dataclass(frozen=True)
class Url:
    """An http or https address; ``path`` holds the query too."""

    scheme: str
    host: str
    port: int
    path: str


def parse_url(text: str) -> Url:
    """Split an address. Raises InvalidCommandParams when it is not http or https."""
    scheme, mark, rest = text.partition("://")
    scheme = scheme.lower()
    if not mark or scheme not in ("http", "https"):
        shown = (text.rpartition("@")[2] if "@" in text else text).partition("?")[0]  # a password, a signature
        raise errors.InvalidCommandParams(f"The address {shown!r} is not http:// or https://. Give such an address.")
    slash = min((at for at in (rest.find("/"), rest.find("?")) if at >= 0), default=len(rest))
    host, path = rest[:slash].rpartition("@")[2], rest[slash:].partition("#")[0]
    name, _, port = host.rpartition(":") if not host.endswith("]") else (host, "", "")
    if not name:
        name, port = host, ""
    number = int(port) if port.isdigit() else (443 if scheme == "https" else 80)
    return Url(scheme, name.strip("[]"), number, path if path.startswith("/") else "/" + path)


@dataclass
class Response:
    """An answer whose body is still on the wire.

    ``left`` is None when only the end of the connection tells.
    """

    status: int
    headers: dict[str, str]
    stream: io.BufferedReader
    left: int | None
    chunked: bool = False
    _in_chunk: int = field(default=0, repr=False)

    def readinto(self, view: memoryview) -> int:
        """Fill ``view`` as far as the body goes; fewer bytes only at the end.

        Raises Unreachable when it breaks off.
        """
        filled = 0
        while filled < len(view):
            count = self._some(view[filled:])
            if count == 0:
                break
            filled += count
        return filled

    def _some(self, view: memoryview) -> int:
        if self.chunked:
            return self._some_chunked(view)
        wanted = len(view) if self.left is None else min(len(view), self.left)
        if wanted == 0:
            return 0
        try:
            count = self.stream.readinto(view[:wanted])
        except OSError as error:
            raise errors.Unreachable(f"The transfer broke off: {error}.") from error
        if self.left is not None:
            self.left -= count
            if count == 0:
                raise errors.Unreachable(f"The server closed the connection {self.left} bytes too early.")
        return count

    def _some_chunked(self, view: memoryview) -> int:
        try:
            if self._in_chunk == 0:
                size = int(self.stream.readline(100).split(b";")[0].strip() or b"-1", 16)
                if size == 0:
                    while self.stream.readline(1000).strip():
                        pass
                    self.chunked, self.left = False, 0
                    return 0
                self._in_chunk = size
            count = self.stream.readinto(view[: min(len(view), self._in_chunk)])
            self._in_chunk -= count
            if self._in_chunk == 0:
                self.stream.readline(10)
        except (OSError, ValueError) as error:
            raise errors.Unreachable(f"The transfer broke off: {error}.") from error
        if count == 0:
            raise errors.Unreachable("The server closed the connection in the middle of a chunk.")
        return count

    def read(self, limit: int = 16 << 20) -> bytes:
        """Give the rest of the body. Raises Unreachable when it is longer than ``limit``."""
        body = bytearray()
        piece = memoryview(bytearray(65536))
        while count := self.readinto(piece):
            body += piece[:count]
            if len(body) > limit:
                raise Refused(f"The answer is longer than {limit} bytes. Check the server.")
        return bytes(body)


class _Raw(socket.SocketIO):
    """Reads of more than a buffer wait in the kernel until they are full: one call for megabytes, not for packets."""

    def __init__(self, connected: socket.socket) -> None:
        super().__init__(connected, "r")
        self._connected = connected

    def readinto(self, b: Any) -> int | None:
        """Fill ``b``; a big one whole unless the peer stops sending."""
        flags = socket.MSG_WAITALL if len(b) > _BUFFER else 0
        try:
            return self._connected.recv_into(b, 0, flags)
        except BlockingIOError:
            raise TimeoutError("nothing came in time") from None


def _kernel_timeout(connected: socket.socket, timeout: float) -> None:
    """Let the kernel watch the time: Python's own time-out makes the socket non-blocking, which cannot wait for all."""
    limit = struct.pack("ll", int(timeout), int(timeout % 1 * 1_000_000))
    connected.settimeout(None)
    for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        connected.setsockopt(socket.SOL_SOCKET, option, limit)


class Connection:
    """One connection to one server, opened when first needed and again after ``close``; ``api``: it is ingot's API."""

    def __init__(self, url: Url, *, timeout: float, insecure: bool = False, api: bool = False) -> None:
        self._url = url
        self._timeout = timeout
        self._insecure = insecure
        self._api = api
        self._socket: socket.socket | None = None
        self._stream: io.BufferedReader | None = None
        self.local_address = ""

    def _open(self) -> io.BufferedReader:
        if self._stream is not None:
            return self._stream
        where = f"{self._url.host}:{self._url.port}"
        try:
            host = self._url.host.encode("ascii" if self._url.host.isascii() else "idna")
            where_to: Any = (host, self._url.port)  # bytes, which no stub allows, keep the slow idna codec unloaded
            plain = socket.create_connection(where_to, self._timeout)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.local_address = str(plain.getsockname()[0])
            if self._url.scheme == "https":
                self._socket = self._secured(plain)
                raw = socket.SocketIO(self._socket, "r")
            else:
                _kernel_timeout(plain, self._timeout)
                self._socket, raw = plain, _Raw(plain)
        except OSError as error:
            raise errors.Unreachable(f"No connection to {where}: {tls.explain(error)}.") from error
        stream = self._stream = io.BufferedReader(raw, _BUFFER)
        return stream

    def _secured(self, plain: socket.socket) -> socket.socket:
        context = tls.client_context(insecure=self._insecure, api=self._api)
        return context.wrap_socket(plain, server_hostname=self._url.host)

    def connect(self) -> str:
        """Open the connection; this machine's own address on it. Raises Unreachable."""
        self._open()
        return self.local_address

    def close(self) -> None:
        """Drop the connection; the next request opens a new one."""
        for one in (self._stream, self._socket):
            if one is not None:
                one.close()
        self._stream = self._socket = None

    def request(self, method: str, path: str, headers: dict[str, str] | None = None, body: bytes = b"") -> Response:
        """Send a request and give the answer with its body unread. Raises Unreachable."""
        stream = self._open()
        host = f"[{self._url.host}]" if ":" in self._url.host else self._url.host
        lines = [f"{method} {path} HTTP/1.1", f"Host: {host}:{self._url.port}", "User-Agent: ingot-agent"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        if body or method == "POST":
            lines.append(f"Content-Length: {len(body)}")
        assert self._socket is not None
        try:
            self._socket.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
            return self._answer(stream, method)
        except (OSError, ValueError, IndexError) as error:
            self.close()
            raise errors.Unreachable(f"{method} to {host}:{self._url.port} failed: {error or 'no answer'}.") from error

    def _answer(self, stream: io.BufferedReader, method: str) -> Response:
        first = stream.readline(_HEAD_LIMIT)
        if not first.startswith(b"HTTP/1."):
            raise ValueError("the server closed the connection" if not first else "the answer is not HTTP")
        status = int(first.split()[1])
        headers: dict[str, str] = {}
        while len(headers) < 200 and (entry := stream.readline(_HEAD_LIMIT).decode("latin-1").strip()):
            name, _, value = entry.partition(":")
            headers[name.lower()] = value.strip()
        length = headers.get("content-length", "")
        left = 0 if method == "HEAD" or status in (204, 304) else int(length) if length else None
        return Response(status, headers, stream, left, "chunked" in headers.get("transfer-encoding", "").lower())


def fetch(
    url: str, *, timeout: float, insecure: bool = False, limit: int = 64 << 20, pauses: tuple[float, ...] = _PAUSES
) -> bytes:
    """Get a whole small body; follows five redirects, and asks again after each pause while the server fails.

    Raises Unreachable, also for any status but 200.
    """
    for pause in pauses:
        try:
            return _fetch_once(url, timeout, insecure, limit)
        except Refused:
            raise
        except errors.Unreachable as error:
            log.line(f"{error.message} Asking again in {pause:.1f} s")
        threading.Event().wait(pause)
    try:
        return _fetch_once(url, timeout, insecure, limit)
    except Refused:
        raise
    except errors.Unreachable as error:
        raise errors.Unreachable(
            f"{error.message} That was attempt {len(pauses) + 1}, the last. Check that the server runs and that this "
            "machine reaches it, then deploy again."
        ) from error


def _fetch_once(url: str, timeout: float, insecure: bool, limit: int) -> bytes:
    address = url
    for _ in range(6):
        target = parse_url(address)
        connection = Connection(target, timeout=timeout, insecure=insecure)
        try:
            response = connection.request("GET", target.path)
            if response.status in (301, 302, 303, 307, 308):
                address = join(address, response.headers.get("location", ""))
                continue
            if response.status == 200:
                return response.read(limit)
            kind = errors.Unreachable if response.status >= 500 or response.status in _PASSING else Refused
            raise kind(f"The server answered {response.status} for {_shown(target)}. Check the address.")
        finally:
            connection.close()
    raise Refused(f"The address {_shown(parse_url(url))} redirects without end. Check the server.")


def _shown(url: Url) -> str:
    """The path without its query, which may hold a signature."""
    return url.path.partition("?")[0]


def join(base: str, location: str) -> str:
    """Give the address a redirect names, which may be a mere path."""
    if "://" in location:
        return location
    url = parse_url(base)
    return f"{url.scheme}://{url.host}:{url.port}{location if location.startswith('/') else '/' + location}"
