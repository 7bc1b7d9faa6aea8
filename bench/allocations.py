"""How many nodes a second the service gives away: allocations asked for by 64 connections, over 10,000 nodes.

Run: ./ingot bench allocations [--nodes N] [--allocations N] [--connections N]     Speaks only the wire, on loopback.
Nodes are of 4 resource classes, and half of each have a trait. The rate counts from the first request until no
allocation is left without a node. CPU is the service process's own (user and system); the clients run in a process of
their own. "decision" is from an allocation's created_at to its updated_at.
"""

from __future__ import annotations

import asyncio
import datetime
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import report
import service

CLASSES = 4
OLD = "1.10"
"""Nodes that are made in this microversion are available at once."""
NEW = "1.80"


class Lane(asyncio.Protocol):
    """One connection that sends one request after another; ``waits``: seconds until each answer."""

    def __init__(self) -> None:
        self.waits: list[float] = []
        self._got = b""
        self._answered: asyncio.Future[bytes] | None = None
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._got += data
        head, found, body = self._got.partition(b"\r\n\r\n")
        if found and len(body) >= length(head) and self._answered is not None:
            self._got = b""
            if not self._answered.done():  # its caller may have been ended meanwhile
                self._answered.set_result(head[9:12] + body)

    async def call(self, method: str, path: str, body: Any = None, version: str = NEW) -> Any:
        """The parsed body of a successful answer to a GET."""
        answer = await self.text(method, path, body, version)
        return json.loads(answer) if method == "GET" else None

    async def text(self, method: str, path: str, body: Any = None, version: str = NEW) -> str:
        """The body of a successful answer."""
        assert self._transport is not None
        self._answered = asyncio.get_running_loop().create_future()
        begun = time.perf_counter()
        self._transport.write(request(method, path, body, version))
        async with asyncio.timeout(60):  # wait_for of Python 3.11 forgets an end that meets the answer
            answer = await self._answered
        self.waits.append(time.perf_counter() - begun)
        if not answer.startswith(b"2"):
            raise SystemExit(f"{method} {path}: {answer[:300]!r}")
        return answer[3:].decode()


def length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            return int(line[15:])
    return 0


def request(method: str, path: str, body: Any, version: str) -> bytes:
    data = b"" if body is None else json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nHost: bench\r\nX-OpenStack-Ironic-API-Version: {version}\r\n"
    return f"{head}Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data


async def over(port: int, lanes: int, calls: list[tuple[Any, ...]]) -> list[float]:
    """Send all calls over so many connections; the seconds each waited."""
    loop = asyncio.get_running_loop()
    made = [(await loop.create_connection(Lane, "127.0.0.1", port))[1] for _ in range(lanes)]
    waiting = iter(calls)

    async def work(lane: Lane) -> None:
        for call in waiting:
            await lane.call(*call)

    await asyncio.gather(*(work(lane) for lane in made))
    return [wait for lane in made for wait in lane.waits]


def send(port: int, lanes: int, calls: list[tuple[Any, ...]]) -> list[float]:
    return asyncio.run(over(port, lanes, calls))


def get(port: int, path: str) -> Any:
    async def once() -> Any:
        lane = (await asyncio.get_running_loop().create_connection(Lane, "127.0.0.1", port))[1]
        return await lane.call("GET", path)

    return asyncio.run(once())


def pages(port: int, path: str, key: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while True:
        marker = f"&marker={found[-1]['uuid']}" if found else ""
        page: list[dict[str, Any]] = get(port, f"{path}&limit=1000{marker}")[key]
        found += page
        if len(page) < 1000:
            return found


def fill(port: int, nodes: int) -> None:
    """Available nodes of several classes, half of them with a trait; then wait until their power is known."""
    named = [("POST", "/v1/nodes", {"driver": "fake-hardware", "name": f"n{number}"}, OLD) for number in range(nodes)]
    send(port, 32, named)
    classed = [{"op": "add", "path": "/resource_class", "value": f"c{number % CLASSES}"} for number in range(nodes)]
    send(port, 32, [("PATCH", f"/v1/nodes/n{number}", [change]) for number, change in enumerate(classed)])
    even = [("PUT", f"/v1/nodes/n{number}/traits", {"traits": ["CUSTOM_A"]}) for number in range(0, nodes, 8)]
    send(port, 32, even)
    wait_until(lambda: all(row["power_state"] for row in pages(port, "/v1/nodes?fields=uuid,power_state", "nodes")), 5)


def wait_until(condition: Callable[[], bool], every: float) -> None:
    deadline = time.monotonic() + 300
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit("the service did not get that far in 300 s")
        time.sleep(every)  # noqa: TID251  looking now and then


def plain(number: int) -> dict[str, Any]:
    return {"resource_class": f"c{number % CLASSES}"}


def picky(number: int) -> dict[str, Any]:
    """With a trait that half of the nodes of class c0 have."""
    return {"resource_class": "c0", "traits": ["CUSTOM_A"]}


def measure(pid: int, port: int, make: Callable[[int], dict[str, Any]], count: int, lanes: int) -> dict[str, Any]:
    calls = [("POST", "/v1/allocations", make(number)) for number in range(count)]
    with ProcessPoolExecutor(1) as load:
        load.submit(time.time).result()  # its process is there before the clock starts
        before, begun = service.cpu(pid), time.perf_counter()
        waits = sorted(load.submit(send, port, lanes, calls).result())
        wait_until(lambda: not get(port, "/v1/allocations?limit=1&state=allocating")["allocations"], 0.01)
    wall, spent = time.perf_counter() - begun, service.cpu(pid) - before
    made = pages(port, "/v1/allocations?state=active", "allocations")[-count:]
    if len(made) != count or len({one["node_uuid"] for one in made}) != count:
        raise SystemExit(f"{len(made)} of {count} allocations have a node of their own")
    taken = sorted(seconds(one["updated_at"]) - seconds(one["created_at"]) for one in made)
    return {
        "asked for": make.__name__,
        "connections": lanes,
        "placements, 1/s": round(count / wall),
        "CPU per placement, ms": round(spent / count * 1000, 2),
        "POST p50, ms": round(statistics.median(waits) * 1000, 1),
        "POST p99, ms": round(waits[int(len(waits) * 0.99)] * 1000, 1),
        "decision p50, ms": round(statistics.median(taken) * 1000, 1),
        "decision p99, ms": round(taken[int(len(taken) * 0.99)] * 1000, 1),
    }


def seconds(text: str) -> float:
    return datetime.datetime.fromisoformat(text).timestamp()


def main() -> None:
    parser = report.parser(__doc__)
    parser.add_argument("--nodes", type=int, default=10_000)
    parser.add_argument("--allocations", type=int, default=4_000)
    parser.add_argument("--connections", type=int, default=64)
    wanted = parser.parse_args()
    taking = report.Taking(wanted)
    with tempfile.TemporaryDirectory() as folder, service.served(Path(folder)) as (pid, port):
        fill(port, wanted.nodes)
        rows = [
            measure(pid, port, plain, wanted.allocations, wanted.connections),
            measure(pid, port, picky, wanted.nodes // 16, wanted.connections),
            measure(pid, port, plain, 200, 1),
        ]
    rate, spent = rows[0]["placements, 1/s"], rows[0]["CPU per placement, ms"]
    taking.tell(f"{rate} placements/s over {wanted.nodes} nodes, {spent} ms of CPU each", {"nodes": wanted.nodes}, rows)


if __name__ == "__main__":
    main()
