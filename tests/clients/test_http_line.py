"""The kept connection of one HTTP server, against servers that send exactly the bytes of a test."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import msgspec
import pytest

from ingot.clients.http import answer, client, line, trust
from ingot.domain import errors

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
SMALL = 1000
TRAILER = b"X: " + b"y" * SMALL + b"\r\n"


class Scripted:
    """A server that answers the n-th request with the n-th piece of its script; None hangs up instead.

    After a piece that ends in ``HANG_UP`` it hangs up, too.
    """

    HANG_UP = b"<hang up>"

    def __init__(self, *script: bytes | None) -> None:
        self.url = ""
        self.requests: list[bytes] = []
        self.connections = 0
        self._script = list(script)
        self.held = asyncio.Event()
        self._serving: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[Scripted]:
        server = await asyncio.start_server(self._take, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with server:
            yield self
            self.held.set()
            async with asyncio.timeout(5):
                await asyncio.gather(*self._serving)

    def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._serving.add(asyncio.create_task(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while self._script:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
                self.requests.append(head + await reader.readexactly(length))
                piece = self._script.pop(0)
                if piece is None:
                    break
                writer.write(piece.removesuffix(self.HANG_UP))
                await writer.drain()
                if piece.endswith(self.HANG_UP):
                    break
            else:
                await self.held.wait()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def call(server: Scripted, path: str = "/x", method: str = "GET", body: bytes | None = None) -> client.Call:
    return client.Call(method, server.url + path, "The peer", {"X-Thing": "1"}, body, timeout=5)


async def test_one_connection_serves_request_after_request() -> None:
    async with Scripted(OK, OK, OK).running() as server:
        one = line.Line(trust.Contexts())
        assert [(await one.send(call(server))).body for _ in range(2)] == [b"hi", b"hi"]
        reply = await one.send(call(server, "/y?a=b#c", "POST", b"{}"))
        assert (reply.status, reply.headers["content-length"], server.connections) == (200, "2", 1)
        one.close()
    host = server.url.removeprefix("http://").encode()
    assert server.requests[0] == b"GET /x HTTP/1.1\r\nHost: " + host + b"\r\nX-Thing: 1\r\n\r\n"
    assert server.requests[2].startswith(b"POST /y?a=b HTTP/1.1\r\n")
    assert server.requests[2].endswith(b"Content-Length: 2\r\n\r\n{}")


async def test_an_answer_that_comes_too_late_is_of_a_request_that_was_sent() -> None:
    """Who ordered something has to look whether it was done; not where there was no connection yet."""
    async with Scripted(b"").running() as server:
        one = line.Line(trust.Contexts())
        with pytest.raises(errors.TimedOut) as caught:
            await one.send(msgspec.structs.replace(call(server, method="POST", body=b"{}"), timeout=0.3))
        assert caught.value.sent
        assert len(server.requests) == 1
        one.close()
    full = socket.create_server(("127.0.0.1", 0), backlog=0)
    address = full.getsockname()
    waiting = [socket.socket() for _ in range(3)]
    for each in waiting:  # until the queue of connections is full
        each.setblocking(False)
        each.connect_ex(address)
    one = line.Line(trust.Contexts())
    with pytest.raises(errors.Unreachable) as unopened:
        await one.send(client.Call("POST", f"http://127.0.0.1:{address[1]}/", "The peer", {}, b"{}", timeout=0.3))
    assert not unopened.value.sent
    one.close()
    for each in (full, *waiting):
        each.close()


@pytest.mark.parametrize(
    ("sent", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nh\r\n1\r\ni\r\n0\r\n\r\n", b"hi"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, b"hi"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.0 200 OK\r\n\r\nuntil the end" + Scripted.HANG_UP, b"until the end"),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi", b"hi"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 22\r\n\r\n" + gzip.compress(b"hi", mtime=0),
            b"hi",
        ),
    ],
    ids=["chunked", "100", "204", "no length", "close", "gzip"],
)
async def test_every_way_to_end_an_answer(sent: bytes, body: bytes) -> None:
    async with Scripted(sent, OK).running() as server:
        one = line.Line(trust.Contexts())
        assert (await one.send(call(server))).body == body
        assert (await one.send(call(server))).body == b"hi", "the next one is not disturbed"
        one.close()


async def test_a_kept_connection_that_the_server_gave_up_costs_only_a_new_one() -> None:
    async with Scripted(OK, None, OK, OK, None, OK).running() as server:
        one = line.Line(trust.Contexts())
        for _ in range(3):
            assert (await one.send(call(server))).body == b"hi"
        assert server.connections == 2
        with pytest.raises(errors.Unreachable, match="closed the connection before"):
            await one.send(call(server, method="POST", body=b"act once"))
        assert (await one.send(call(server))).body == b"hi"
        one.close()
    assert sum(b"act once" in request for request in server.requests) == 1


async def test_an_abandoned_answer_reaches_nobody_else() -> None:
    late = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nla"  # and the rest never comes
    async with Scripted(late, OK).running() as server:
        one = line.Line(trust.Contexts())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await one.send(call(server))
        assert (await one.send(call(server))).body == b"hi"
        assert server.connections == 2
        one.close()


@pytest.mark.parametrize("more", [OK, b"HTTP/1.1 500 Oh\r\nX: ", b"HTTP/1.1 404"], ids=["whole", "head", "status"])
async def test_what_nobody_asked_for_ends_the_connection(more: bytes) -> None:
    async with Scripted(OK + more, OK).running() as server:
        one = line.Line(trust.Contexts())
        first = await one.send(call(server))
        assert (first.status, first.body) == (200, b"hi"), "nothing of the second answer gets into the first"
        assert (await one.send(call(server))).body == b"hi"
        assert server.connections == 2
        one.close()


def bomb() -> bytes:
    packed = gzip.compress(bytes(client.LARGEST_BODY + SMALL), 9)
    return b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed) + packed


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (lambda: b"ODATA/9 what?\r\n\r\n", "broke the HTTP protocol"),
        (
            lambda: b"HTTP/1.1 200 OK\r\nX: " + b"x" * 2 * answer.LARGEST_HEAD,
            "headers larger than 64",
        ),
        (lambda: b"HTTP/1.1 200 OK\r\n\r\n" + bytes(client.LARGEST_BODY + SMALL), "an answer larger than 32 MiB"),
        (bomb, "an answer larger than 32 MiB"),
        (
            lambda: (
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + TRAILER * (client.LARGEST_BODY // SMALL)
            ),
            "an answer larger than 32 MiB",
        ),
        (lambda: b"HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", "goes on in another protocol"),
        (lambda: b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nhi", "broke the HTTP"),
    ],
    ids=["no HTTP", "head", "body", "bomb", "trailers", "upgrade", "no gzip"],
)
async def test_nonsense_and_excess_are_refused(sent: Callable[[], bytes], words: str) -> None:
    async with Scripted(sent(), OK).running() as server:
        one = line.Line(trust.Contexts())
        with pytest.raises(errors.Misbehaved, match=words):
            await one.send(call(server))
        assert (await one.send(call(server))).body == b"hi"
        one.close()


@pytest.mark.parametrize("path", ["/x y", "/x\r\nX-More: 1", "/ü"], ids=["space", "header", "umlaut"])
async def test_nothing_can_be_smuggled_into_a_request(path: str) -> None:
    async with Scripted(OK).running() as server:
        one = line.Line(trust.Contexts())
        with pytest.raises(errors.Invalid, match="URL of The peer is not valid"):
            await one.send(call(server, path))
        asked = call(server)
        evil = client.Call("GET", asked.url, asked.peer, {"X-Auth-Token": "a\r\nX-More: 1"})
        with pytest.raises(errors.Invalid):
            await one.send(evil)
        assert server.connections == 0


async def test_a_name_that_cannot_be_one() -> None:
    with pytest.raises(errors.Unreachable, match="The name of The peer cannot be resolved"):
        await line.Line(trust.Contexts()).send(client.Call("GET", "http://bmc..invalid/", "The peer"))


async def test_nobody_there() -> None:
    async with Scripted(OK).running() as server:
        pass
    with pytest.raises(errors.Unreachable, match="The peer cannot be reached: Connection refused"):
        await line.Line(trust.Contexts()).send(call(server))


async def test_what_must_not_be_sent_twice_goes_by_no_connection_that_was_idle() -> None:
    async with Scripted(OK, OK).running() as server:
        one = line.Line(trust.Contexts())
        await one.send(call(server))
        await asyncio.sleep(line.WARM + 0.1)
        await one.send(call(server, method="POST", body=b"{}"))
        assert server.connections == 2
        one.close()
