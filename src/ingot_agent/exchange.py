"""Hand chunks of an image on to other machines that get it too, and fetch theirs.

One chunk per connection: 32 letters of the giver's token and the chunk's number (4 bytes, big-endian) one way; the
chunk's length (4 bytes, 0: not to be had) and its bytes back. Why not HTTP: a deadline holds for every byte here, and
the whole of it is a screenful. May not: judge what came (sharing.py does). Invariants: only who knows the token is
served; a giver keeps no more in memory than ``room``, and no stranger holds one of its threads for long.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
import time
from collections import OrderedDict
from collections.abc import Generator

from ingot_agent import blockdev, chunkmap, errors, guard, log

_TOKEN = 32
_ASK = struct.Struct(">32sI")
_LENGTH = struct.Struct(">I")
_PLACES = 8
_CONNECT = 2.0  # the machines are neighbours; where they are kept apart this must not take long
_PATIENCE = 5.0  # for a request to come
_SEND = 30.0


class Shelf:
    """What this machine can hand on: the latest chunks from memory, and all of them from a disk that does not seek.

    A disk that seeks would write slower if it were read meanwhile.
    """

    def __init__(self, device: blockdev.Device, plan: chunkmap.ChunkMap, room: int, *, seeks: bool) -> None:
        self._device, self._extents = device, plan.extents
        self._room, self._seeks = room, seeks
        self._kept: OrderedDict[int, bytes] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()
        self._closed = False
        self.offer = 0

    def close(self) -> None:
        """Hand on nothing more: the device may be closed from now on."""
        with self._lock:
            self._closed, self.offer = True, 0

    def put(self, number: int, view: memoryview) -> None:
        """Take a chunk that is on the disk now."""
        with self._lock:
            if len(view) <= self._room or not self._seeks:
                self.offer |= 1 << number
            self._kept[number] = bytes(view)
            self._size += len(view)
            while self._size > self._room:
                gone, data = self._kept.popitem(last=False)
                self._size -= len(data)
                if self._seeks:
                    self.offer &= ~(1 << gone)

    def send(self, number: int, client: socket.socket, end: float) -> None:
        """Send length and bytes of a chunk until ``end``, a time.monotonic(). Raises OSError."""
        with self._lock:
            offered, data = not self._closed and self.offer >> number & 1, self._kept.get(number)
            # A descriptor of its own: the device's number may be another file's while this still sends.
            source = os.dup(self._device.buffered) if offered and data is None else -1
        if not offered:
            _send_all(client, _LENGTH.pack(0), end)
        elif data is not None:
            _send_all(client, _LENGTH.pack(len(data)), end)
            _send_all(client, data, end)
        else:
            try:
                self._send_stored(number, source, client, end)
            finally:
                os.close(source)

    def _send_stored(self, number: int, source: int, client: socket.socket, end: float) -> None:
        extent = self._extents[number]
        _send_all(client, _LENGTH.pack(extent.length), end)
        at, last = self._device.base + extent.offset, self._device.base + extent.offset + extent.length
        while at < last and not self._closed and (count := _send_file(client, source, at, last - at, end)):
            at += count


class Giver:
    """Listens on one address from construction on until ``close``, for those who know the token."""

    def __init__(self, host: str, shelf: Shelf) -> None:
        self.token = os.urandom(_TOKEN // 2).hex()
        self._shelf = shelf
        self._places = threading.BoundedSemaphore(_PLACES)
        self._clients: dict[int, socket.socket] = {}
        self._gone = threading.Condition()
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, 0), family=family, backlog=64)
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, name="giver", daemon=True).start()

    def close(self) -> None:
        """Answer nobody any more; hang up on who is being answered, and give the disk back."""
        self._shelf.close()
        with contextlib.suppress(OSError):  # it did not listen any more
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._gone:
            for client in self._clients.values():
                with contextlib.suppress(OSError):  # it has gone by itself
                    client.shutdown(socket.SHUT_RDWR)
            self._gone.wait_for(lambda: not self._clients, _PATIENCE)

    def _accept(self) -> None:
        while True:
            self._places.acquire()
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), name="giving", daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            with client, self._counted(client):
                error = guard.outcome(lambda: self._give(client))[1]
            if error is not None and not isinstance(error, OSError):  # a taker that hangs up is no news
                log.line(f"bug while handing on a chunk: {error!r}")
        finally:
            self._places.release()

    @contextlib.contextmanager
    def _counted(self, client: socket.socket) -> Generator[None]:
        number = client.fileno()
        with self._gone:
            self._clients[number] = client
        try:
            yield
        finally:
            with self._gone:
                del self._clients[number]
                self._gone.notify_all()

    def _give(self, client: socket.socket) -> None:
        asked = bytearray(_ASK.size)
        _receive(client, memoryview(asked), time.monotonic() + _PATIENCE)
        token, number = _ASK.unpack(asked)
        import hmac  # OpenSSL is loaded by now, for the digests

        if hmac.compare_digest(token, self.token.encode()):
            self._shelf.send(number, client, time.monotonic() + _SEND)


def fetch(giver: str, number: int, view: memoryview, end: float) -> None:
    """Fill ``view`` with a chunk of a giver (``host port-token``) by ``end``, a time.monotonic().

    Raises Unreachable.
    """
    host, _, rest = giver.partition(" ")
    port, _, token = rest.partition("-")
    try:
        with socket.create_connection((host, int(port)), min(_CONNECT, max(0.1, end - time.monotonic()))) as server:
            server.settimeout(None)
            _send_all(server, _ASK.pack(token.encode(), number), end)
            head = bytearray(_LENGTH.size)
            _receive(server, memoryview(head), end)
            (length,) = _LENGTH.unpack(head)
            if length != len(view):
                raise OSError("it has not got the chunk")
            _receive(server, view, end)
    except (OSError, ValueError) as error:
        raise errors.Unreachable(f"The machine {host} did not hand on chunk {number}: {error}.") from error


def _limit(connected: socket.socket, option: int, end: float) -> None:
    """Let the kernel watch the deadline: it counts the whole of one call, however slowly bytes drip."""
    left = end - time.monotonic()
    if left <= 0:
        raise TimeoutError("it took too long")
    connected.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", int(left), int(left % 1 * 1_000_000) or 1))


def _receive(connected: socket.socket, view: memoryview, end: float) -> None:
    while view:
        _limit(connected, socket.SO_RCVTIMEO, end)
        try:
            count = connected.recv_into(view, 0, socket.MSG_WAITALL)
        except BlockingIOError:
            raise TimeoutError("it took too long") from None
        if not count:
            raise OSError("it hung up")
        view = view[count:]


def _send_all(connected: socket.socket, data: bytes, end: float) -> None:
    view = memoryview(data)
    while view:
        _limit(connected, socket.SO_SNDTIMEO, end)
        view = view[connected.send(view) :]


def _send_file(connected: socket.socket, source: int, offset: int, count: int, end: float) -> int:
    _limit(connected, socket.SO_SNDTIMEO, end)
    return os.sendfile(connected.fileno(), source, offset, count)
