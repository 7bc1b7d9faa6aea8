"""The same way for a fleet by upstream's service: every verb for all nodes at once, asked again where it has no worker.

Its nodes have no inspection and no cleaning (upstream_service.py), which favours it.
"""

from __future__ import annotations

import collections
import http.client
import json
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import report
import service
import upstream_service

PHASES = (("manage", "manageable"), ("provide", "available"), ("active", "active"), ("deleted", "available"))
LANES = 16
PATIENCE = 900.0
BUSY = (409, 503)
"""Its answers for a node that is locked, and for want of a free worker: clients ask again. So they do when it hangs up,
which it does now and then."""


@dataclass(frozen=True)
class Service:
    """Upstream's, as it is asked."""

    pid: int
    port: int
    version: str

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        """Status and body of the answer to one request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        heads = {"X-OpenStack-Ironic-API-Version": self.version, "Content-Type": "application/json"}
        connection.request(method, path, None if body is None else json.dumps(body), heads)
        response = connection.getresponse()
        answer = response.read()
        connection.close()
        return response.status, answer

    def persist(self, call: tuple[str, str, Any]) -> None:
        """Ask until it takes the call. Raises SystemExit for any answer but that it is busy."""
        end, cut = time.monotonic() + PATIENCE, False
        while time.monotonic() < end:
            try:
                status, answer = self.call(*call)
            except ConnectionError:
                cut = True
                continue
            if status < 300 or (cut and status == 409 and call[0] == "POST"):  # made before it hung up
                return
            if status not in BUSY:
                raise SystemExit(f"{call[:2]}: {status} {answer[:300]!r}")
            time.sleep(0.2)  # noqa: TID251  asking again
        raise SystemExit(f"{call[:2]}: busy for {PATIENCE:.0f} s")


def taken(nodes: int, version: str) -> list[report.Row]:
    """What each verb took for so many nodes."""
    with (
        tempfile.TemporaryDirectory() as folder,
        upstream_service.served(Path(folder)) as (pid, port),
        ThreadPoolExecutor(LANES) as lanes,
    ):
        asked = Service(pid, port, version)
        made = [("POST", "/v1/nodes", {"driver": "fake-hardware", "name": f"n{n}"}) for n in range(nodes)]
        list(lanes.map(asked.persist, made))
        return [_phase(asked, lanes, nodes, verb, goal) for verb, goal in PHASES]


def _phase(asked: Service, lanes: ThreadPoolExecutor, nodes: int, verb: str, goal: str) -> report.Row:
    before, begun = service.cpu(asked.pid), time.perf_counter()
    calls = [("PUT", f"/v1/nodes/n{number}/states/provision", {"target": verb}) for number in range(nodes)]
    list(lanes.map(asked.persist, calls))
    within = time.perf_counter() - begun
    reached = _reached(asked, goal, nodes, begun + PATIENCE)
    wall, spent = time.perf_counter() - begun, service.cpu(asked.pid) - before
    return {
        "nodes": nodes,
        "verb": f"upstream: {verb}",
        "wall, s": round(wall, 2),
        "asked within, s": round(within, 2),
        "reached their goal": reached,
        "per second": round(nodes / wall, 1),
        "CPU per transition, ms": round(spent / nodes * 1000, 2),
        "memory, MiB (PSS)": round(service.pss(asked.pid), 1),
    }


def _reached(asked: Service, goal: str, nodes: int, until: float) -> int:
    """How many nodes are where they were to go, once all are or the time is up."""
    while True:
        _, answer = asked.call("GET", "/v1/nodes?fields=provision_state&limit=1000")
        states = collections.Counter(one["provision_state"] for one in json.loads(answer)["nodes"])
        if states[goal] == nodes or time.perf_counter() > until:
            return states[goal]
        time.sleep(0.5)  # noqa: TID251  looking now and then
