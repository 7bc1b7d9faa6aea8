"""`ingot serve` as a process on loopback with simulated machines: real BMC protocols, real agents' calls, no QEMU.

For faults that show the same with or without a real machine behind the BMC, in a fraction of the time.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from e2e import way
from ingot.cli import client as api
from ingot.cli.demo import service
from ingot.cli.demo.world import Machine
from ingot_rack import fleet

NOWHERE = Path("/nonexistent")
USER = "tester"


def free_port() -> int:
    """A TCP port of loopback that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Stand:
    """A running service and its fleet. ``bodies``: how to enrol each machine, by name."""

    service: service.Service
    client: api.Client
    machines: list[Machine]
    fleet: fleet.Fleet
    bodies: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        """One request to the API, without blocking the event loop."""
        return await asyncio.to_thread(self.client.call, method, path, body)

    async def enrol(self, machine: Machine, **access: Any) -> None:
        """Create node and port; ``access`` changes driver_info."""
        body = dict(self.bodies[machine.name])
        ports = body.pop("ports")
        body["driver_info"] = {**body["driver_info"], **access}
        node = await self.call("POST", "/v1/nodes", body)
        for port in ports:
            await self.call("POST", "/v1/ports", {"node_uuid": node["uuid"], **port})

    async def make_available(self, machine: Machine) -> None:
        """Enrol, verify, provide without cleaning."""
        await self.enrol(machine)
        patch = [{"op": "add", "path": "/automated_clean", "value": False}]
        await self.call("PATCH", f"/v1/nodes/{machine.name}", patch)
        for verb, state in (("manage", "manageable"), ("provide", "available")):
            await way.ask(self, machine, verb)
            await way.reach(self, machine, state, within=120)


@contextlib.asynccontextmanager
async def opened(
    folder: Path, *, pairs: int = 1, agents: bool = True, step_seconds: float = 0.0, **more: str
) -> AsyncGenerator[Stand]:
    """``pairs`` IPMI machines, then as many Redfish ones; ``agents``: whether their ramdisks ever call.

    ``more``: settings.
    """
    for name in ("vmlinuz", "initrd"):
        (folder / name).write_bytes(b"not booted here")
    port = free_port()
    settings = {"host": "127.0.0.1", "port": str(port), "provision_address": "127.0.0.1/8"}
    settings |= {"files_port": str(free_port()), "ramdisk_dir": str(folder), "image_dirs": str(folder), **more}
    running = service.Service(folder, [], settings)
    password = await running.add_user(USER)
    client = api.Client(f"http://127.0.0.1:{port}", USER, password, 60.0)
    plan = fleet.Plan(ipmi=pairs, redfish=pairs, step_seconds=step_seconds, api=client.url if agents else "")
    machines = fleet.Fleet(plan)
    await machines.start()
    try:
        await running.start()
        await running.wait_ready(client)
        bodies = {str(one["name"]): one for one in machines.nodes()}
        yield Stand(running, client, [_machine(one) for one in bodies.values()], machines, bodies)
    finally:
        await running.stop()
        await machines.close()


def _machine(body: Any) -> Machine:
    mac = str(body["ports"][0]["address"])
    return Machine(body["name"], "uefi", mac, body["driver"], body["driver_info"], "127.0.0.1", NOWHERE)
