"""A rack in this process: machines, their BMCs and their network, brought up and taken down as one.

Why: one object that the process of a rack (`rack.start` makes it) runs.
May not: know wire formats. Invariant: after `down` nothing of the rack runs; its disks stay for the next `up`.

The process that brings a rack up enters the rack's network namespace, so it should be a process of its own.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Protocol, cast

from ingot_rack import bmc as bmcs
from ingot_rack import control, errors, hardware, machine, network, places, rack, simulated, specs
from ingot_rack.ipmi import server as ipmi
from ingot_rack.redfish import server as redfish
from ingot_rack.redfish import tls, tree
from ingot_rack.specs import MachineSpec, Spec

Json = dict[str, object]


class _BmcServer(Protocol):
    async def start(self) -> int: ...

    async def close(self) -> None: ...


class Rack:
    """A rack running in this process."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.folder = places.rack(spec.name)
        self.network = _net(spec)
        self.machines: dict[str, hardware.Hardware] = {}
        self.bmcs: dict[str, bmcs.Bmc] = {}
        self.ports: dict[str, int] = {}
        self.stopping = asyncio.Event()
        self._servers: list[_BmcServer] = []
        self._control = control.Server(rack.control_socket(spec.name), self.dispatch)

    async def up(self) -> None:
        """Start the network, the BMCs and the control socket; the machines stay off."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        await rack.end_machines(self.folder)
        if self.network:
            await self.network.create()
            self.network.enter()
        for index, one in enumerate(self.spec.machines):
            await self._add(index, one)
        await self._control.start()
        await asyncio.to_thread(rack.write_state, self.folder, self.describe())

    async def down(self) -> None:
        """Power everything off and remove the network; disks and logs stay."""
        await self._control.close()
        for server in self._servers:
            await server.close()
        for one in self.bmcs.values():
            await one.close()
        for one in self.machines.values():
            if isinstance(one, machine.Machine):
                await one.close()
        if self.network:
            await self.network.remove()
        (self.folder / "state.json").unlink(missing_ok=True)

    def describe(self) -> Json:
        """The state file's content: how to reach everything, passwords included."""
        prefix = list(self.network.prefix()) if self.network else []
        return {
            "name": self.spec.name,
            "pid": os.getpid(),
            "namespace": self.spec.namespace,
            "prefix": prefix,
            "bridge": self.network.bridge if self.network else None,
            "address": self.spec.address if self.network else None,
            "control": str(rack.control_socket(self.spec.name)),
            "machines": [self._describe(one) for one in self.spec.machines],
        }

    async def dispatch(self, request: Json) -> object:
        """Answer one control request."""
        match request.get("do"):
            case "status":
                return {**self.describe(), "machines": [self._status(one) for one in self.spec.machines]}
            case "stop":
                self.stopping.set()
                return None
            case "faults":
                return self._set_faults(request)
            case "screenshot":
                return await self._screenshot(request)
            case "power":
                one = self._machine(request)
                await one.set_power(hardware.PowerAction(str(request.get("action"))))
                return one.power
            case "boot":
                device = hardware.BootDevice(str(request.get("device")))
                override = hardware.BootOverride(device, persistent=request.get("persistent") is True)
                await self._machine(request).set_boot(override)
                return None
            case "link":
                await self._real(request).set_link(up=request.get("up") is True)
                return None
            case _:
                raise errors.Invalid(f"Unknown request {request.get('do')!r}", hint="See ingot_rack.control.")

    async def _add(self, index: int, one: MachineSpec) -> None:
        if one.kind == "qemu":
            tap = self.network.tap(index) if self.network else ""
            made = machine.Machine(specs.hull(self.spec, one, tap), self._home(one))
            await made.prepare()
            self.machines[one.name] = made
        else:
            self.machines[one.name] = simulated.Simulated(_facts(self.spec, one))
        front = bmcs.Bmc(self.machines[one.name], one.user, one.password)
        front.versions = frozenset(one.ipmi_versions.split())
        self.bmcs[one.name] = front
        server = self._server(one, front)
        try:
            self.ports[one.name] = await server.start()
        except OSError as error:
            where = f"{one.bmc_address}:{one.bmc_port}"
            raise errors.RackError(f"The BMC of {one.name} cannot listen on {where}: {error}") from error
        self._servers.append(server)

    def _server(self, one: MachineSpec, front: bmcs.Bmc) -> _BmcServer:
        if one.bmc == "ipmi":
            return ipmi.Server({one.bmc_address: front}, one.bmc_port)
        media = self._home(one) / "media" if one.kind == "qemu" else None
        context = None
        if one.bmc_tls:
            context, pem = tls.context([one.bmc_address])
            self._home(one).mkdir(parents=True, exist_ok=True)
            (self._home(one) / "bmc.pem").write_bytes(pem)
        return redfish.Server({one.bmc_address: tree.Front(front, media)}, one.bmc_port, tls=context)

    def _home(self, one: MachineSpec) -> Path:
        return self.folder / "machines" / one.name

    def _describe(self, one: MachineSpec) -> Json:
        port = self.ports.get(one.name, one.bmc_port)
        scheme = "https" if one.bmc_tls else "http"
        url = f"{scheme}://{one.bmc_address}:{port}" if one.bmc == "redfish" else None
        made = self.machines.get(one.name)
        files: Json = {}
        if isinstance(made, machine.Machine):
            files = {
                "serial_log": str(made.files.serial_log),
                "serial_socket": str(made.files.serial),
                "vnc_socket": str(made.files.vnc),
                "disks": [str(made.files.disk(i, disk)) for i, disk in enumerate(made.hull.disks)],
            }
        about: Json = {key: getattr(one, key) for key in _TOLD}
        uuid = specs.machine_uuid(self.spec, one)
        return {
            **about,
            "uuid": uuid,
            "bmc_port": port,
            "bmc_url": url,
            "folder": str(self._home(one)),
            **files,
        }

    def _status(self, one: MachineSpec) -> Json:
        made = self.machines[one.name]
        boot: Json = {"device": made.boot.device, "persistent": made.boot.persistent}
        return {**self._describe(one), "power": made.power, "boot": boot, "media": str(made.media or "")}

    def _machine(self, request: Json) -> hardware.Hardware:
        name = str(request.get("machine"))
        if name not in self.machines:
            raise errors.Invalid(f"The rack has no machine {name!r}", hint=f"It has {', '.join(self.machines)}.")
        return self.machines[name]

    def _real(self, request: Json) -> machine.Machine:
        one = self._machine(request)
        if not isinstance(one, machine.Machine):
            raise errors.NotSupported(f"{one.facts.name} has no screen and no cables", hint="Ask a QEMU machine.")
        return one

    def _set_faults(self, request: Json) -> None:
        self._machine(request)
        wanted = request.get("set")
        if not isinstance(wanted, dict):
            raise errors.Invalid("faults needs an object in `set`", hint='For example {"drop_next": 2}.')
        self.bmcs[str(request["machine"])].faults.change(cast("Json", wanted))

    async def _screenshot(self, request: Json) -> str:
        one = self._real(request)
        return str(await one.screenshot(_absolute(request.get("path") or one.files.folder / "screen.png")))


_TOLD = (
    "name",
    "kind",
    "firmware",
    "processor",
    "mac",
    "memory_mb",
    "vcpus",
    "disk_gib",
    "bmc",
    "bmc_address",
    "user",
    "password",
)


def _net(spec: Spec) -> network.Network | None:
    """The network of a rack, or None when it has none."""
    if not spec.network:
        return None
    addresses = tuple(one.bmc_address for one in spec.machines)
    return network.Network(spec.name, spec.namespace or None, spec.address, addresses, len(spec.machines))


def _absolute(path: object) -> Path:
    return Path(str(path)).absolute()


def _facts(spec: Spec, one: MachineSpec) -> hardware.Facts:
    hull = specs.hull(spec, one, "")
    disks = tuple(hardware.DiskFacts(disk.serial, disk.size, disk.bus) for disk in hull.disks)
    size = (one.vcpus, one.memory_mb)
    return hardware.Facts(
        one.name, hull.uuid, one.name, one.firmware, *size, (one.mac,), disks, processor=one.processor
    )
