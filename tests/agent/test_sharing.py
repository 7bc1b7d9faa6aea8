"""Agents that hand an image on to each other: real agents, the real image server; givers that lie, hang, are gone."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent import peers, shaped, vm
from ingot_agent import blockdev, chunkmap, errors, exchange, settings, sharing, transfer

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")
MIB = 1 << 20


def image_of(folder: Path) -> Path:
    """An image of 96 chunks."""
    source = folder / "source" / "i.raw"
    source.parent.mkdir()
    shaped.make_image(source, 96)
    return source


@needs_root
@pytest.mark.slow
def test_four_machines_take_little_longer_than_one(tmp_path: Path) -> None:
    source = image_of(tmp_path)
    data, rate = 96 * shaped.PIECE, 24_000_000 / 8
    folder = tmp_path / "rack"
    folder.mkdir()
    with shaped.Rack(4, "24mbit") as rack:
        outcome = asyncio.run(shaped.deploy(folder, source, rack, within=100))
    assert outcome.sent < 2 * data, "without sharing it is more than four times"
    assert outcome.seconds < 2.5 * data / rate, "on a busy machine too; without sharing it is more than four times"
    assert all("chunks came from other machines" in report["log"] for report in outcome.reports)


@needs_root
@pytest.mark.slow
def test_machines_on_slow_links_hold_up_no_others(tmp_path: Path) -> None:
    """Four slow ones have all places of the controller when the others come; each chunk takes them eight seconds."""
    source = image_of(tmp_path)
    with shaped.Rack(7, "24mbit", slow=4, slow_rate="500kbit") as rack:
        seconds = asyncio.run(written_beside_slow(tmp_path, source, rack, 4))
    assert seconds < 60, "alone it takes them six; where slow machines keep their places, more than a hundred"


async def written_beside_slow(folder: Path, source: Path, rack: shaped.Rack, slow: int) -> float:
    """Seconds in which all machines but the first ``slow`` get the image, which those had begun to fetch."""
    async with shaped.controller(folder, source) as served:
        order = served.order(shared=True)
        machines = [shaped.Machine(name, folder / f"disk{n}", order) for n, name in enumerate(rack.names[1:])]
        first: list[asyncio.Task[dict[str, Any]]] = []
        try:
            await asyncio.gather(*(machine.start(served.image.size + MIB) for machine in machines))
            first = [asyncio.create_task(machine.write(600)) for machine in machines[:slow]]
            while rack.sent() < slow * shaped.PIECE:  # they are in the middle of their first chunks
                await asyncio.sleep(0.1)
            began = time.monotonic()
            reports = await asyncio.gather(*(machine.write(100) for machine in machines[slow:]))
            assert not [report for report in reports if "error" in report]
            assert not any(task.done() for task in first), "their links are slow in earnest"
            return time.monotonic() - began
        finally:
            for task in first:
                task.cancel()
            for machine in machines:
                machine.end()
            await asyncio.gather(*(machine.process.wait() for machine in machines))


class Rogue:
    """Says it has every chunk; ``serve`` is what it does with who comes for one."""

    def __init__(self, serve: Callable[[socket.socket], None]) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._serve, self.calls = serve, 0
        self.name = f"{self._listener.getsockname()[1]}-{'ab' * 16}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.calls += 1
                threading.Thread(target=self._one, args=(client,), daemon=True).start()

    def _one(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            self._serve(client)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def boast(self, sources: str, count: int) -> None:
        """Tell the image server of everything."""
        whole = f"{(1 << count) - 1:x}"
        query = f"of={count}&giver={self.name}&host=127.0.0.1&mine={whole}&offer={whole}"
        with urllib.request.urlopen(f"{sources}?{query}", timeout=10) as answer:
            assert answer.status == 200


def lie(client: socket.socket) -> None:
    client.recv(36)
    client.sendall(struct.pack(">I", shaped.PIECE) + bytes(shaped.PIECE))


def hang(client: socket.socket) -> None:
    client.settimeout(60)
    while client.recv(65536):
        pass


def drip(client: socket.socket) -> None:
    client.recv(36)
    client.sendall(struct.pack(">I", shaped.PIECE))
    for _ in range(600):
        client.sendall(b"x")
        threading.Event().wait(0.1)


def refuse(client: socket.socket) -> None:
    client.recv(36)
    client.sendall(bytes(4))


@pytest.mark.parametrize(
    ("serve", "words"),
    [(lie, "handed on wrong data"), (hang, "it took too long"), (drip, "it took too long"),
     (refuse, "it has not got the chunk"), (None, "Connection refused")],
    ids=["lying", "hanging", "dripping", "without", "gone"],
)  # fmt: skip
def test_a_bad_giver_costs_time_and_no_bytes(
    tmp_path: Path, serve: Callable[[socket.socket], None] | None, words: str
) -> None:
    source = tmp_path / "i.raw"
    shaped.make_image(source, 24)
    rogue = Rogue(serve or lie)
    if serve is None:
        rogue.close()
    report, disk = asyncio.run(written(tmp_path, source, rogue.boast))
    assert "error" not in report
    assert words in report["log"]
    assert rogue.calls <= 8, "it is left alone after its first failures"
    assert disk.read_bytes()[: source.stat().st_size] == source.read_bytes()


async def written(folder: Path, source: Path, before: Callable[[str, int], None]) -> tuple[dict[str, Any], Path]:
    """One agent writes the image from a real image server; what it reports, and its disk."""
    async with shaped.controller(folder, source, "127.0.0.1", vm.free_port()) as served:
        order = served.order(shared=True)
        count = len(chunkmap.parse(served.image.chunks_path.read_bytes()).extents)
        await asyncio.to_thread(before, order["ingot_chunks"]["sources"], count)
        machine = shaped.Machine("", folder / "disk", order, timeout=2)
        try:
            await machine.start(served.image.size + MIB)
            return await machine.write(60), machine.disk
        finally:
            machine.end()


@pytest.mark.parametrize(
    "answer", [b"[]", b"{", b'{"chunk": 99}', b'{"chunk": "x", "wait": "y"}', b'{"chunk": 0, "giver": 7}', None]
)
def test_without_a_usable_answer_the_image_comes_as_without_sharing(tmp_path: Path, answer: bytes | None) -> None:
    source = tmp_path / "i.raw"
    shaped.make_image(source, 6)
    body = source.read_bytes()
    chunks = peers.chunk_map(body, 1 << 20)
    with peers.Images({"/i.raw": body, "/i.map": chunks}) as images:
        told = {"url": images.url("/i.map"), "digest": peers.digest(chunks), "sources": images.url("/sources")}
        order = {"urls": [images.url("/i.raw")], "disk_format": "raw", "ingot_chunks": told}
        if answer is not None:
            images.any_query["/sources"] = answer
        machine = shaped.Machine("", tmp_path / "disk", order, timeout=2)
        report = asyncio.run(run(machine, len(body)))
    assert "error" not in report
    assert machine.disk.read_bytes()[: len(body)] == body


def test_a_server_that_stops_answering_is_not_waited_for(tmp_path: Path) -> None:
    """It said that others get the image, too, and nothing of what to fetch; then it knows of no sharing any more."""
    source = tmp_path / "i.raw"
    shaped.make_image(source, 6)
    body = source.read_bytes()
    chunks = peers.chunk_map(body, shaped.PIECE)
    with peers.Images({"/i.raw": body, "/i.map": chunks}) as images:
        told = {"url": images.url("/i.map"), "digest": peers.digest(chunks), "sources": images.url("/sources")}
        order = {"urls": [images.url("/i.raw")], "disk_format": "raw", "ingot_chunks": told}
        images.any_query["/sources"] = b'{"wait": 0.1}'
        machine = shaped.Machine("", tmp_path / "disk", order, timeout=2)
        report = asyncio.run(run(machine, len(body), lambda: forget(images), within=30))
    assert "error" not in report
    assert machine.disk.read_bytes()[: len(body)] == body


def forget(images: peers.Images) -> None:
    """Answer one question more about sources, and none after it."""
    end = time.monotonic() + 20
    while "/sources" not in images.asked:
        assert time.monotonic() < end, "nobody asked"
        threading.Event().wait(0.01)
    del images.any_query["/sources"]


def test_what_an_unheard_question_told_is_told_again(
    disk: tuple[blockdev.Device, chunkmap.ChunkMap, bytes], tmp_path: Path
) -> None:
    device, plan, _ = disk
    with peers.Images({}) as images:
        source, roots = transfer.Source(images.url("/i.raw"), 5), settings.Roots(str(tmp_path))
        together = sharing.Sharing(images.url("/sources"), source, plan, device, roots)
        state = together._state  # pyright: ignore[reportPrivateUsage] - what is to be told shows nowhere else
        state.done, state.bad = list(range(100)), ["giver"]
        for answer, left in ((b"[]", 64), (b'{"wait": 1}', 0)):
            images.any_query["/sources"] = answer
            together._ask()  # pyright: ignore[reportPrivateUsage] - as above
            assert state.done == list(range(100 - left, 100))
            assert state.bad == ["giver"] * bool(left)
        failed = sharing._Task(2, plan.extents[2:3], "giver")  # pyright: ignore[reportPrivateUsage] - as above
        state.mine, state.working = failed.bits, 1
        together._end(failed, None)  # pyright: ignore[reportPrivateUsage] - as above
        assert (state.mine, state.done, state.bad) == (0, [2], ["giver"]), "it holds no place, wherever it comes from"
        together.close()


async def run(
    machine: shaped.Machine, size: int, meanwhile: Callable[[], None] | None = None, within: float = 60
) -> dict[str, Any]:
    try:
        await machine.start(size + MIB)
        writing = asyncio.create_task(machine.write(within))
        if meanwhile:
            await asyncio.to_thread(meanwhile)
        return await writing
    finally:
        machine.end()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[tuple[blockdev.Device, chunkmap.ChunkMap, bytes]]:
    """A disk with four chunks of 1 MiB on it, and a byte before them."""
    body = os.urandom(4 * MIB)
    path = tmp_path / "disk"
    path.write_bytes(bytes(4096) + body)
    with blockdev.opened(str(path)) as device:
        yield device.part(4096, 4 * MIB), chunkmap.parse(peers.chunk_map(body, MIB)), body


def fetched(giver: exchange.Giver, number: int, token: str = "") -> bytes:
    buffer = bytearray(MIB)
    exchange.fetch(f"127.0.0.1 {giver.port}-{token or giver.token}", number, memoryview(buffer), time.monotonic() + 10)
    return bytes(buffer)


@pytest.mark.parametrize(("room", "seeks", "offered"), [(2 * MIB, False, 0b111), (2 * MIB, True, 0b110), (0, True, 0)])
def test_what_is_handed_on(
    disk: tuple[blockdev.Device, chunkmap.ChunkMap, bytes], room: int, seeks: bool, offered: int
) -> None:
    device, plan, body = disk
    shelf = exchange.Shelf(device, plan, room, seeks=seeks)
    for number in range(3):
        shelf.put(number, memoryview(body)[number * MIB : (number + 1) * MIB])
    assert shelf.offer == offered
    giver = exchange.Giver("127.0.0.1", shelf)
    for number in range(4):
        if offered >> number & 1:
            assert fetched(giver, number) == body[number * MIB : (number + 1) * MIB]
        else:
            with pytest.raises(errors.Unreachable, match="it has not got the chunk"):
                fetched(giver, number)
    giver.close()
    with pytest.raises(errors.Unreachable):
        fetched(giver, 1)


def test_a_giver_hangs_up_and_lets_go_of_the_disk(tmp_path: Path) -> None:
    """A taker that does not read holds the sending thread; the disk's number may be another file's afterwards."""
    path = tmp_path / "disk"
    path.write_bytes(bytes(64 * MIB))
    plan = chunkmap.ChunkMap(64 * MIB, MIB, (chunkmap.Extent(0, 64 * MIB, bytes(32)),))
    with blockdev.opened(str(path)) as device:
        shelf = exchange.Shelf(device, plan, 0, seeks=False)
        shelf.put(0, memoryview(bytes(64 * MIB)))
        giver = exchange.Giver("127.0.0.1", shelf)
        with socket.create_connection(("127.0.0.1", giver.port)) as taker:
            taker.sendall(struct.pack(">32sI", giver.token.encode(), 0))
            assert taker.recv(4, socket.MSG_WAITALL) == struct.pack(">I", 64 * MIB)
            device_alone = 2 if device.direct >= 0 else 1
            assert _times_open(path) == device_alone + 1, "it sends from a descriptor of its own"
            began = time.monotonic()
            giver.close()
            assert time.monotonic() - began < 4, "and does not wait for the taker"
            got = 4
            with contextlib.suppress(OSError):
                while piece := taker.recv(MIB):
                    got += len(piece)
            assert got < 64 * MIB
            assert _times_open(path) == device_alone


def _times_open(path: Path) -> int:
    held = list(Path("/proc/self/fd").iterdir())
    return [one.readlink() for one in held if one.is_symlink()].count(path)


def test_strangers_get_nothing_and_hold_nothing(disk: tuple[blockdev.Device, chunkmap.ChunkMap, bytes]) -> None:
    device, plan, body = disk
    shelf = exchange.Shelf(device, plan, 0, seeks=False)
    shelf.put(0, memoryview(body)[:MIB])
    giver = exchange.Giver("127.0.0.1", shelf)
    with pytest.raises(errors.Unreachable, match=r"hung up|reset"):
        fetched(giver, 0, "0" * 32)
    silent = [socket.create_connection(("127.0.0.1", giver.port)) for _ in range(8)]  # all its places
    assert fetched(giver, 0) == body[:MIB], "they are sent away, and the next one's turn comes"
    for one in silent:
        one.close()
    giver.close()
