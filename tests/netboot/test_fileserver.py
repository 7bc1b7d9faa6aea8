from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path

import aiohttp
import pytest
import structlog
import uvloop

from ingot.domain import errors
from ingot.netboot import fileserver
from ingot.netboot.connection import Deadlines
from ingot.netboot.fileserver import FileServer
from ingot.netboot.httpwire import BytesAnswer, FileAnswer


async def raw_exchange(port: int, data: bytes, timeout: float = 10) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        async with asyncio.timeout(timeout):
            return await reader.read()
    finally:
        writer.close()


async def drain(peer: socket.socket) -> int:
    """Count the bytes until the end or the reset of a connection."""
    received = 0
    loop = asyncio.get_running_loop()
    with contextlib.suppress(ConnectionResetError):
        async with asyncio.timeout(10):
            while piece := await loop.sock_recv(peer, 1 << 20):
                received += len(piece)
    return received


class Running:
    """A server on a folder."""

    def __init__(self, folder: Path, deadlines: Deadlines | None = None) -> None:
        self.server = FileServer(deadlines)
        self.folder = folder
        self.server.mount("/files", self.resolve)
        self.server.mount("/boot", self.script)

    def resolve(self, path: str, request: fileserver.Request) -> FileAnswer | None:
        found = self.folder / path
        return FileAnswer(found) if found.is_file() else None

    async def script(self, path: str, request: fileserver.Request) -> BytesAnswer | None:
        await asyncio.sleep(0)
        if path == "refused":
            raise errors.NotFound("No node has this port")
        return BytesAnswer(f"#!ipxe {path} for {request.client}\n".encode(), "text/plain")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    made = Running(tmp_path)
    await made.server.start("127.0.0.1", 0)
    yield made
    await made.server.stop()


async def test_whole_files_and_ranges_equal_the_file(running: Running) -> None:
    data = os.urandom(5_000_000)
    (running.folder / "image").write_bytes(data)
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{running.url}/files/image") as answer:
            assert (answer.status, await answer.read()) == (200, data)
            etag = answer.headers["ETag"]
        for header, start, end in (
            ("bytes=0-0", 0, 1),
            ("bytes=1048575-2097152", 1048575, 2097153),
            ("bytes=4999999-", 4999999, 5_000_000),
            ("bytes=-7", 4_999_993, 5_000_000),
            ("bytes=4000000-9999999", 4_000_000, 5_000_000),
        ):
            async with session.get(f"{running.url}/files/image", headers={"Range": header}) as answer:
                assert answer.status == 206
                assert answer.headers["Content-Range"] == f"bytes {start}-{end - 1}/5000000"
                assert await answer.read() == data[start:end]
        async with session.get(f"{running.url}/files/image", headers={"Range": "bytes=5000000-"}) as answer:
            assert answer.status == 416
            assert answer.headers["Content-Range"] == "bytes */5000000"
        async with session.get(f"{running.url}/files/image", headers={"If-None-Match": etag}) as answer:
            assert answer.status == 304
        endless = {"Range": f"bytes={'9' * 5000}-"}  # more digits than Python reads; as good as no range
        async with session.get(f"{running.url}/files/image", headers=endless) as answer:
            assert answer.status == 200
        stale = {"Range": "bytes=0-9", "If-Range": '"other"'}
        async with session.get(f"{running.url}/files/image", headers=stale) as answer:
            assert (answer.status, len(await answer.read())) == (200, 5_000_000)
        async with session.head(f"{running.url}/files/image") as answer:
            assert (answer.status, answer.content_length) == (200, 5_000_000)


async def test_async_resolvers_and_their_errors(running: Running) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{running.url}/boot/ipxe/52:54:00:00:00:01") as answer:
            assert await answer.text() == "#!ipxe ipxe/52:54:00:00:00:01 for 127.0.0.1\n"
        async with session.get(f"{running.url}/boot/refused") as answer:
            assert (answer.status, "No node has this port" in await answer.text()) == (404, True)
        async with session.get(f"{running.url}/elsewhere") as answer:
            assert answer.status == 404
        async with session.post(f"{running.url}/boot/x") as answer:
            assert answer.status == 405


@pytest.mark.parametrize(
    "path", ["/files/../secret", "/files/%2e%2e/secret", "/files/a/..%2fsecret", "/files/%00", "/files/..\\x"]
)
async def test_paths_cannot_leave_their_prefix(running: Running, path: str) -> None:
    answer = await raw_exchange(running.server.port, f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 403 ")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET / HTTP/2.0\r\n\r\n", b"505"),
        (b"GET //[ HTTP/1.1\r\n\r\n", b"400"),
        (b"GET http://[ HTTP/1.1\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nbad header\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 20000, b"431"),
    ],
)
async def test_malformed_requests_are_refused(running: Running, sent: bytes, status: bytes) -> None:
    answer = await raw_exchange(running.server.port, sent)
    assert answer.split(b" ")[1] == status


async def test_one_connection_serves_many_requests(running: Running) -> None:
    (running.folder / "a").write_bytes(b"first")
    wire = b"GET /files/a HTTP/1.1\r\n\r\n" * 3 + b"GET /files/a HTTP/1.1\r\nConnection: close\r\n\r\n"
    answer = await raw_exchange(running.server.port, wire)
    assert answer.count(b"HTTP/1.1 200 OK") == 4
    assert answer.count(b"first") == 4
    old = await raw_exchange(running.server.port, b"GET /files/a HTTP/1.0\r\n\r\n")
    assert b"Connection: close" in old


async def test_slow_peers_are_cut_off_and_delay_nobody(tmp_path: Path) -> None:
    made = Running(tmp_path, Deadlines(head=0.3, stall=0.3))
    (tmp_path / "big").write_bytes(bytes(64_000_000))
    (tmp_path / "small").write_bytes(b"quick")
    await made.server.start("127.0.0.1", 0)
    loop = asyncio.get_running_loop()
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.setblocking(False)
        await loop.sock_connect(slow, ("127.0.0.1", made.server.port))
        await loop.sock_sendall(slow, b"GET /files/big HTTP/1.1\r\n\r\n")
        answer = await raw_exchange(made.server.port, b"GET /files/small HTTP/1.0\r\n\r\n")
        assert answer.endswith(b"quick")
        half = await raw_exchange(made.server.port, b"GET /files/sm")
        assert b" 408 " in half
        async with asyncio.timeout(20):
            while made.server.connections:
                await asyncio.sleep(0.02)
        # Woken after its deadline, the slow peer gets what was buffered, then the end.
        received = await drain(slow)
        assert received < 64_000_000
    await made.server.stop()


async def test_a_taken_port_is_one_clear_sentence(running: Running) -> None:
    second = FileServer()
    with pytest.raises(errors.Conflict) as caught:
        await second.start("127.0.0.1", running.server.port)
    assert f"Port {running.server.port} on 127.0.0.1 is taken" in caught.value.sentence()
    with pytest.raises(errors.Invalid, match=r"no address 203\.0\.113\.9"):
        await second.start("203.0.113.9", 0)


def listener_of(port: int) -> socket.socket:
    """Another handle on the listening socket of this process."""
    for entry in list(Path("/proc/self/fd").iterdir()):
        if not entry.is_socket():
            continue
        found = socket.socket(fileno=os.dup(int(entry.name)))
        if found.family == socket.AF_INET and found.getsockname()[1] == port:
            return found
        found.close()
    raise AssertionError(port)


async def test_a_listener_that_fails_is_asked_again(tmp_path: Path) -> None:
    made = Running(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    await made.server.start("127.0.0.1", port)
    (tmp_path / "a").write_bytes(b"served")
    with listener_of(port) as listener, structlog.testing.capture_logs() as logs:
        listener.shutdown(socket.SHUT_RDWR)  # accept() gives EINVAL from now on
        async with asyncio.timeout(10):
            while not logs:
                await asyncio.sleep(0.02)
        listener.listen(10)
    assert (await raw_exchange(port, b"GET /files/a HTTP/1.0\r\n\r\n")).endswith(b"served")
    assert {entry["event"] for entry in logs} == {"file_server_accept_failed"}
    await made.server.stop()


def test_sendfile_works_under_uvloop(tmp_path: Path) -> None:
    data = os.urandom(9_000_000)
    (tmp_path / "image").write_bytes(data)

    async def fetch_many() -> None:
        made = Running(tmp_path)
        await made.server.start("127.0.0.1", 0)
        async with aiohttp.ClientSession() as session:

            async def one(start: int) -> None:
                header = {"Range": f"bytes={start}-"}
                async with session.get(f"{made.url}/files/image", headers=header) as answer:
                    assert await answer.read() == data[start:]

            async with asyncio.TaskGroup() as group:
                for index in range(12):
                    group.create_task(one(index * 100_003))
        await made.server.stop()

    run: Coroutine[None, None, None] = fetch_many()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run)


async def test_stop_ends_transfers(running: Running) -> None:
    (running.folder / "big").write_bytes(bytes(64_000_000))
    reader, writer = await asyncio.open_connection("127.0.0.1", running.server.port, limit=1024)
    writer.write(b"GET /files/big HTTP/1.1\r\n\r\n")
    assert await reader.readexactly(15) == b"HTTP/1.1 200 OK"
    await running.server.stop()
    writer.close()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", running.server.port)
