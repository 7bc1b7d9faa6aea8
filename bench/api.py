"""What one API request costs the service: its CPU, the rate, and how long clients wait, at 1 and 8 connections.

Run: ./ingot bench api [--nodes N] [--requests N]      Speaks only the wire, to a service on loopback with SQLite.
CPU is the service process's own (user and system) per request; the clients run in a process of their own.
"""

from __future__ import annotations

import argparse
import http.client
import json
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import NamedTuple

import service

HEADERS = {"X-OpenStack-Ironic-API-Version": "1.95", "Content-Type": "application/json"}
CONNECTIONS = (1, 8)


class Request(NamedTuple):
    method: str
    path: str
    body: object = None


class Kind(NamedTuple):
    """One kind of request: how each is made from its number, and how many of them make a measurement."""

    name: str
    make: Callable[[int], Request]
    requests: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--requests", type=int, default=2000)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, service.served(Path(folder)) as (pid, port):
        fill(port, wanted.nodes)
        rows = [
            measure(pid, port, kind, lanes) for kind in kinds(wanted.nodes, wanted.requests) for lanes in CONNECTIONS
        ]
    print(json.dumps({"nodes": wanted.nodes, "requests": rows}, indent=2))


def fill(port: int, nodes: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    for number in range(nodes):
        body = {"driver": "fake-hardware", "name": f"n{number}", "properties": {"cpus": 8, "memory_mb": 65536}}
        send(connection, Request("POST", "/v1/nodes", body))


def kinds(nodes: int, requests: int) -> list[Kind]:
    new = count()

    def got(number: int) -> Request:
        return Request("GET", f"/v1/nodes/n{number % nodes}")

    def patched(number: int) -> Request:
        change = {"op": "add", "path": "/extra/rack", "value": f"r{number}"}
        return Request("PATCH", f"/v1/nodes/n{number % nodes}", [change])

    def created(_: int) -> Request:
        return Request("POST", "/v1/nodes", {"driver": "fake-hardware", "name": f"x{next(new)}"})

    few = max(20, requests // 50)
    return [
        Kind("get one", got, requests),
        Kind("patch", patched, requests),
        Kind("list, 1,000 a page", page("/v1/nodes?limit=1000"), few),
        Kind("list, two fields", page("/v1/nodes?limit=1000&fields=uuid,name"), few),
        Kind("list, detail", page("/v1/nodes/detail?limit=1000"), few),
        Kind("create", created, requests),
    ]


def page(path: str) -> Callable[[int], Request]:
    return lambda _: Request("GET", path)


def measure(pid: int, port: int, kind: Kind, lanes: int) -> dict[str, object]:
    """``kind.requests`` requests over ``lanes`` connections, after a short warm-up."""
    waits: list[float] = []

    def lane(first: int, step: int, last: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        for number in range(first, last, step):
            begun = time.perf_counter()
            send(connection, kind.make(number))
            waits.append(time.perf_counter() - begun)
        connection.close()

    lane(0, 1, 10)
    waits.clear()
    threads = [threading.Thread(target=lane, args=(first, lanes, kind.requests)) for first in range(lanes)]
    before, begun = service.cpu(pid), time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wall, spent = time.perf_counter() - begun, service.cpu(pid) - before
    ordered = sorted(waits)
    return {
        "request": kind.name,
        "connections": lanes,
        "CPU, ms": round(spent / len(waits) * 1000, 2),
        "rate, 1/s": round(len(waits) / wall),
        "p50, ms": round(statistics.median(ordered) * 1000, 2),
        "p99, ms": round(ordered[int(len(ordered) * 0.99)] * 1000, 2),
    }


def send(connection: http.client.HTTPConnection, request: Request) -> None:
    body = None if request.body is None else json.dumps(request.body)
    connection.request(request.method, request.path, body, HEADERS)
    answer = connection.getresponse()
    text = answer.read()
    if answer.status >= 300:
        raise SystemExit(f"{request.method} {request.path}: {answer.status} {text[:300]!r}")


if __name__ == "__main__":
    main()
