"""Sending one scenario to one side: a plain HTTP client that adds nothing and hides nothing.

May not: judge an answer. Invariant: both sides get the same bytes, Host header included, so links are comparable.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from upstream.call import Call

HOST = "api.example:6385"
_VERSION = "X-OpenStack-Ironic-API-Version"
_SETTLED = 40.0
ALLOCATIONS = "allocations"
"""What ``Call.until`` says to wait for the search for nodes."""
_MOVING = {"verifying", "cleaning", "deploying", "inspecting", "rescuing", "unrescuing", "deleting", "adopting"}
_MOVING |= {"rebuild", "undeploying", "servicing"}


@dataclass(frozen=True)
class Answer:
    """Status, headers by lower-case name, raw body."""

    status: int
    headers: Mapping[str, str]
    raw: bytes

    def __str__(self) -> str:
        return f"{self.status} {self.raw[:400].decode(errors='replace')}"


class Side:
    """One of the two services, at a port of loopback.

    ``headers``: of every call that has none of that name; ``tokens``: by the words for callers that stand for them in
    X-Auth-Token and X-Service-Token.
    """

    def __init__(
        self, name: str, port: int, headers: Mapping[str, str] | None = None, tokens: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self._tokens = tokens or {}
        self._headers = headers or {}
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    def run(self, calls: list[Call]) -> list[Answer]:
        """All answers, in order; then remove what the calls made."""
        answers: list[Answer] = []
        for call in calls:
            answers.append(self.send(call))
            if call.until:
                self.settle(call.until)
        self._sweep()
        return answers

    def send(self, call: Call) -> Answer:
        """One answer; the connection is opened anew when the service closed it."""
        try:
            return self._send(call)
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
            self._connection.close()
            return self._send(call)

    def _send(self, call: Call) -> Answer:
        body = call.payload()
        headers = {"Host": HOST, "Accept": "application/json", **self._headers, **call.headers}
        if call.version is not None:
            headers.setdefault(_VERSION, call.version)
        if body is not None:
            headers.setdefault("Content-Type", "application/json")
        path = call.path.replace(" ", "%20")
        given = {name: self._tokens.get(value, value) for name, value in headers.items() if value}
        # A body that is too large is refused, and the connection closed, before all of it was sent.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._connection.request(call.method, path, body=body, headers=given)
        reply = self._connection.getresponse()
        raw = reply.read()
        if reply.will_close:
            self._connection.close()
        return Answer(reply.status, {name.lower(): value for name, value in reply.getheaders()}, raw)

    def settle(self, node: str) -> None:
        """Wait until nothing works on the node, and no allocation looks for one any more."""
        deadline = time.monotonic() + _SETTLED
        pause = threading.Event()
        while node == ALLOCATIONS:
            if not self._listed("allocations?state=allocating"):
                return
            assert time.monotonic() < deadline, f"{self.name}: an allocation is still waiting for a node"
            pause.wait(0.05)
        fields = "provision_state,reservation,target_power_state"
        while True:
            found = json.loads(self.send(Call("GET", f"/v1/nodes/{node}?fields={fields}")).raw)
            busy = found.get("reservation") or found.get("target_power_state")
            if not busy and found.get("provision_state") not in _MOVING:
                return
            assert time.monotonic() < deadline, f"{self.name}: {node} is still busy: {found}"
            pause.wait(0.03)

    def _sweep(self) -> None:
        """Leave nothing behind for the next scenario."""
        for plural in ("allocations", "deploy_templates", "runbooks", "inspection_rules"):
            for one in self._listed(plural):
                self.send(Call("DELETE", f"/v1/{plural}/{one['uuid']}"))
        for one in self._listed("nodes?include_children=true"):
            path = f"/v1/nodes/{one['uuid']}"
            off = [{"op": "replace", "path": f"/{name}", "value": False} for name in ("protected", "retired")]
            self.send(Call("PATCH", path, off))
            self.send(Call("PUT", f"{path}/maintenance", {"reason": "gone"}))
            gone = self.send(Call("DELETE", path))
            assert gone.status in {204, 404}, f"{self.name}: {gone}"
        for one in self._listed("chassis"):
            self.send(Call("DELETE", f"/v1/chassis/{one['uuid']}"))

    def _listed(self, plural: str) -> list[dict[str, Any]]:
        answer = self.send(Call("GET", f"/v1/{plural}"))
        return json.loads(answer.raw)[plural.partition("?")[0]] if answer.status == 200 else []
