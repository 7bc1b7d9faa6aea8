"""A simulated fleet: thousands of BMCs and agents in one process.

Why: how a cloud behaves with ten thousand machines must be seen before they are bought.
May not: start programs. Invariant: node i has address `first + i`, on which its BMC and its agent listen; three
sockets in all (IPMI, Redfish, agents), whatever the number of nodes.
"""

from __future__ import annotations

import asyncio
import dataclasses
import ipaddress
import time
import uuid
from pathlib import Path
from typing import cast

import aiohttp

from ingot_rack import agent_server, agents, bmc, control, effects, errors, hardware, simulated
from ingot_rack.hardware import BootDevice, BootMode
from ingot_rack.ipmi import server as ipmi
from ingot_rack.redfish import server as redfish
from ingot_rack.redfish import tls, tree

Json = dict[str, object]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to simulate. Ports 0 let the kernel choose; api "" means no agents."""

    ipmi: int = 0
    redfish: int = 0
    ipmi_port: int = 0
    redfish_port: int = 0
    redfish_tls: bool = False
    agent_port: int = 0
    first: str = "127.32.0.1"
    user: str = "admin"
    password: str = "fleet-password"  # noqa: S105  simulated machines on loopback have nothing to protect
    delay: float = 0.0
    api: str = ""
    boot_url: str = ""
    inspect: bool = False
    step_seconds: float = 0.0
    inject_priority: int = 0
    journal: Path | None = None
    control: Path | None = None


class Fleet:
    """Start it, read `nodes()`, break it by `bmcs[name].faults`, and look at `effects`.

    `hanging`: how many ramdisks of a machine, the next ones, hang when they have been told what to load.
    """

    def __init__(self, plan: Plan) -> None:
        if not 0 < plan.ipmi + plan.redfish <= 1_000_000:
            raise errors.Invalid("A fleet needs between 1 and a million BMCs", hint="Give --ipmi or --redfish.")
        self.plan = plan
        self.effects = effects.Effects(plan.journal)
        self.machines: dict[str, simulated.Simulated] = {}
        self.bmcs: dict[str, bmc.Bmc] = {}
        self.agents: dict[str, agents.Agent] = {}
        self.addresses: dict[str, str] = {}
        self.fronts: dict[str, tree.Front] = {}
        self.ports: dict[str, int] = {}
        self.hanging: dict[str, int] = {}
        self._around: agents.Surroundings | None = None
        self._servers: list[ipmi.Server | redfish.Server | agent_server.Server] = []
        self._closing: set[asyncio.Task[None]] = set()
        self._control = control.Server(plan.control, self.dispatch) if plan.control else None

    async def start(self) -> None:
        """Make all machines and listen; raises RackError when a port is taken."""
        start = int(ipaddress.ip_address(self.plan.first))
        fronts = {str(ipaddress.ip_address(start + i)): self._add(i, start + i) for i in range(self._count)}
        names = list(fronts)
        ipmi_fronts = {address: fronts[address] for address in names[: self.plan.ipmi]}
        self.fronts = {address: tree.Front(fronts[address]) for address in names[self.plan.ipmi :]}
        if ipmi_fronts:
            await self._listen("ipmi", ipmi.Server(ipmi_fronts, self.plan.ipmi_port))
        if self.fronts:
            context = tls.context(list(self.fronts))[0] if self.plan.redfish_tls else None
            await self._listen("redfish", redfish.Server(self.fronts, self.plan.redfish_port, tls=context))
        if self.plan.api:
            await self._start_agents()
        if self._control:
            await self._control.start()

    async def close(self) -> None:
        """End everything."""
        if self._control:
            await self._control.close()
        for server in self._servers:
            await server.close()
        for one in self.bmcs.values():
            await one.close()
        for agent in tuple(self.agents.values()):  # the last, for a machine that is started starts one
            await agent.close()
        await asyncio.gather(*self._closing, return_exceptions=True)
        if self._around:
            await self._around.client.close()
        self.effects.close()

    def nodes(self) -> list[Json]:
        """What to enrol: one object per machine, shaped like an Ironic create request with its ports."""
        return [self._node(name, one) for name, one in self.machines.items()]

    async def dispatch(self, request: Json) -> object:
        """Answer one control request: status, faults and power (one machine, a list of them, or all), effects."""
        match request.get("do"):
            case "status":
                on = sum(1 for one in self.machines.values() if one.power is hardware.PowerState.ON)
                return {
                    "machines": len(self.machines),
                    "on": on,
                    "agents": len(self.agents),
                    "ports": self.ports,
                    "messages": self.messages(),
                    "sessions": self.sessions(),
                    "cpu_seconds": time.process_time(),
                }
            case "faults":
                wanted = request.get("set")
                chosen = self._chosen(request)
                for name in chosen:
                    self.bmcs[name].faults.change(wanted if isinstance(wanted, dict) else {})  # pyright: ignore[reportUnknownArgumentType] - JSON
                return {"changed": len(chosen)}
            case "power":
                action = hardware.PowerAction(str(request.get("action")))
                chosen = self._chosen(request)
                for name in chosen:
                    await self.machines[name].set_power(action)
                return {"changed": len(chosen)}
            case "effects":
                return [dataclasses.asdict(one) for one in self.effects.all]
            case _:
                raise errors.Invalid(f"Unknown request {request.get('do')!r}", hint="status, faults, power or effects.")

    def messages(self) -> dict[str, int]:
        """How many packets the IPMI BMCs, and how many requests the Redfish BMCs, were sent so far."""
        found = {"ipmi": 0, "redfish": 0}
        for one in self._servers:
            if isinstance(one, ipmi.Server):
                found["ipmi"] += one.packets
            elif isinstance(one, redfish.Server):
                found["redfish"] += one.requests
        return found

    def sessions(self) -> dict[str, int]:
        """How many sessions are open on all BMCs together ("all"), and on the BMC that has most ("most")."""
        bmcs = [one for one in self._servers if isinstance(one, ipmi.Server | redfish.Server)]
        counts = [count for one in bmcs for count in one.sessions()]
        return {"all": sum(counts), "most": max(counts, default=0)}

    def tokens(self) -> list[str]:
        """The tokens of the sessions that are open on the Redfish BMCs."""
        return [token for one in self._servers if isinstance(one, redfish.Server) for token in one.tokens()]

    def _chosen(self, request: Json) -> list[str]:
        """The machines that a request is for; raises Invalid for one that is not here."""
        wanted = cast("str | list[str] | None", request.get("machine"))
        names = list(self.machines) if wanted is None else wanted if isinstance(wanted, list) else [wanted]
        unknown = [name for name in names if name not in self.machines]
        if unknown:
            raise errors.Invalid(f"There is no machine {unknown[0]!r}", hint="See the file that --write made.")
        return names

    @property
    def _count(self) -> int:
        return self.plan.ipmi + self.plan.redfish

    def _add(self, index: int, number: int) -> bmc.Bmc:
        name = f"sim-{index:05d}"
        mac = "52:5a:" + number.to_bytes(4, "big").hex(":")
        disk = hardware.DiskFacts(f"SIM{index:05d}", 500 << 30, "virtio")
        ident = str(uuid.uuid5(uuid.NAMESPACE_URL, f"ingot-fleet:{number}"))
        facts = hardware.Facts(name, ident, name, BootMode.UEFI, 8, 65536, (mac,), (disk,))
        machine = simulated.Simulated(facts, delay=self.plan.delay)
        address = str(ipaddress.ip_address(number))

        def booted(device: BootDevice) -> None:
            self._booted(name, device)

        machine.on_boot = booted
        self.machines[name] = machine
        self.addresses[name] = address
        self.bmcs[name] = bmc.Bmc(machine, self.plan.user, self.plan.password)
        return self.bmcs[name]

    async def _listen(self, kind: str, server: ipmi.Server | redfish.Server | agent_server.Server) -> None:
        try:
            self.ports[kind] = await server.start()
        except OSError as error:
            raise errors.RackError(f"The {kind} port cannot be used: {error}", hint="Choose another port.") from error
        self._servers.append(server)

    async def _start_agents(self) -> None:
        await self._listen("agent", agent_server.Server(self.agents, self.plan.agent_port))
        client = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=60), connector=aiohttp.TCPConnector(limit=200)
        )
        self._around = agents.Surroundings(
            api=self.plan.api.rstrip("/"),
            boot_url=self.plan.boot_url,
            port=self.ports["agent"],
            client=client,
            effects=self.effects,
            step_seconds=self.plan.step_seconds,
            inject_priority=self.plan.inject_priority,
            inspect=self.plan.inspect,
        )

    def _booted(self, name: str, device: BootDevice) -> None:
        """A machine started from `device`, or stopped (NONE)."""
        self.effects.note(name, "stop" if device is BootDevice.NONE else "start", device)
        address = self.addresses[name]
        old = self.agents.pop(address, None)
        if old:
            task = asyncio.get_running_loop().create_task(old.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
        if device in {BootDevice.NETWORK, BootDevice.HTTP, BootDevice.CD} and self._around:
            left = self.hanging.get(name, 0)
            if left:
                self.hanging[name] = left - 1
            self.agents[address] = agents.Agent(self._around, self.machines[name], address, hangs=left > 0)
            self.agents[address].start()

    def _node(self, name: str, one: simulated.Simulated) -> Json:
        address, facts = self.addresses[name], one.facts
        index = int(name.removeprefix("sim-"))
        user, password = self.plan.user, self.plan.password
        driver, info = "ipmi", {}
        if index < self.plan.ipmi:
            info = {"address": address, "port": self.ports["ipmi"], "username": user, "password": password}
        else:
            url = f"{'https' if self.plan.redfish_tls else 'http'}://{address}:{self.ports['redfish']}"
            driver, info = "redfish", {"address": url, "username": user, "password": password}
            info["system_id"] = tree.SYSTEM
            if self.plan.redfish_tls:
                info["verify_ca"] = "false"
        return {
            "name": name,
            "driver": driver,
            "driver_info": {f"{driver}_{key}": value for key, value in info.items()},
            "properties": {
                "cpus": facts.vcpus,
                "memory_mb": facts.memory_mb,
                "cpu_arch": "x86_64",
                "local_gb": 499,
            },
            "ports": [{"address": facts.macs[0]}],
        }
