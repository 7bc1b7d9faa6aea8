"""Upstream's own service (packaging/upstream.txt) with a virtual rack, set up as its guide for standalone use says.

Why: its conductor has to be able to drive ingot's agent, and its deployments are what ingot's are measured against.
One process with SQLite, no authentication, dnsmasq and a web server beside it, all inside the rack's network.
Invariant: leaving the context ends every process it started.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import programs
from ingot.cli import client as api
from ingot.cli import deployment
from ingot.cli.demo import artifacts, children, door, proof, world
from ingot.domain import errors
from ingot_rack import rack as racks
from upstream import configuration

PORT = 6385
FILES = 8088
_READY = 120.0

_WITHOUT = ("inspect", "raid", "bios", "firmware", "vendor", "console")
_DNSMASQ = """port=0
interface={bridge}
bind-interfaces
dhcp-authoritative
no-ping
log-dhcp
log-facility=-
user=root
dhcp-range={first},{last},1h
dhcp-leasefile={folder}/leases
dhcp-match=set:ipxe,175
dhcp-match=set:efi,option:client-arch,7
dhcp-match=set:efi,option:client-arch,9
dhcp-boot=tag:ipxe,http://{address}:{files}/boot.ipxe
dhcp-boot=tag:!ipxe,tag:efi,snponly.efi
dhcp-boot=tag:!ipxe,tag:!efi,undionly.kpxe
enable-tftp
tftp-root={folder}/tftp
tftp-no-blocksize
"""


class Upstream:
    """Use as ``async with Upstream(blueprint, artifacts) as upstream``; only the ramdisk is taken from them."""

    def __init__(self, blueprint: world.Blueprint, made: artifacts.Artifacts, *, fast_track: bool = False) -> None:
        self.folder = blueprint.folder
        self.machines: list[world.Machine] = []
        self._blueprint = blueprint
        self._fast_track = fast_track
        self.artifacts = made
        self._stack = contextlib.AsyncExitStack()
        self._client: api.Client | None = None
        self._prefix: list[str] = []

    async def __aenter__(self) -> Upstream:
        try:
            await self._enter()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @property
    def prefix(self) -> list[str]:
        """The argument list that runs a command inside the rack's network."""
        return self._prefix

    @property
    def log(self) -> str:
        """What the service wrote."""
        path = self.folder / "ironic.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def cpu_seconds(self) -> float:
        """Processor time of the service and its workers so far."""
        pid = int((self.folder / "ironic.pid").read_text())
        return sum(_cpu(one) for one in _family(pid))

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        """One request to its API."""
        assert self._client is not None
        return await asyncio.to_thread(self._client.call, method, path, body)

    def publish(self, path: Path) -> str:
        """The URL at which its web server gives out this file."""
        target = self.folder / "http" / path.name
        if not target.exists():
            os.link(path, target) if path.stat().st_dev == target.parent.stat().st_dev else shutil.copy(path, target)
        return f"http://{world.ADDRESS}:{FILES}/{path.name}"

    async def enrol(self, machine: world.Machine) -> None:
        """Make the node and its port, and have its BMC verified."""
        info = {
            **machine.driver_info,
            "deploy_kernel": self.publish(self.artifacts.ramdisk / "vmlinuz"),
            "deploy_ramdisk": self.publish(self.artifacts.ramdisk / "initrd"),
        }
        capabilities = {"capabilities": f"boot_mode:{machine.firmware}"}
        node = {"name": machine.name, "driver": machine.driver, "driver_info": info, "properties": capabilities}
        made = await self.call("POST", "/v1/nodes", node)
        await self.call("POST", "/v1/ports", {"node_uuid": made["uuid"], "address": machine.mac})
        await self.ask(machine, "manage")
        await self.reach(machine, "manageable", 180)

    async def deploy(self, machine: world.Machine, key: proof.Key) -> None:
        """Ask for the artifacts' image, raw or qcow2, with host name, key and address; wait until active."""
        path = Path(self.artifacts.image.source.removeprefix("file://"))
        told = {"image_type": "whole-disk", "image_disk_format": "qcow2" if path.suffix == ".qcow2" else "raw"}
        info = {**self.artifacts.image.instance_info(), **told, "image_source": self.publish(path)}
        change = {"op": "add", "path": "/instance_info", "value": info}
        await self.call("PATCH", f"/v1/nodes/{machine.name}", [change])
        network = deployment.network(f"{machine.address}/{world.PREFIX}", machine.mac)
        drive = deployment.Drive(machine.name, [key.public], network)
        await self.ask(machine, "active", configdrive=drive.configdrive())
        await self.reach(machine, "active", 900)

    async def ask(self, machine: world.Machine, verb: str, **body: Any) -> None:
        """Ask for a provision verb."""
        await self.call("PUT", f"/v1/nodes/{machine.name}/states/provision", {"target": verb, **body})

    async def reach(self, machine: world.Machine, state: str, within: float) -> None:
        """Wait until the node is in this state; raises AssertionError when it fails or takes too long."""
        deadline = time.monotonic() + within
        while True:
            node = await self.call("GET", f"/v1/nodes/{machine.name}?fields=provision_state,last_error")
            found, reason = node["provision_state"], node["last_error"]
            if found == state:
                return
            if found.endswith("failed") or (reason and found == "enroll") or time.monotonic() > deadline:
                raise AssertionError(f"{machine.name}: {found}, not {state}: {reason}\n{self.log[-3000:]}")
            await asyncio.sleep(0.5)

    async def _enter(self) -> None:
        await asyncio.to_thread(shutil.rmtree, self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True, mode=0o700)
        name = self._blueprint.name
        await racks.down(name, purge=True)
        spec = self.folder / "rack.json"
        spec.write_text(json.dumps(self._blueprint.rack()))
        self._stack.push_async_callback(racks.down, name, purge=True)
        state: dict[str, Any] = await racks.start(spec)
        self._prefix = list(state["prefix"])
        self.machines = [world.machine(index, one) for index, one in enumerate(state["machines"])]
        await self._start_programs(state)
        way = door.Door(name, state["namespace"], ("127.0.0.1", PORT))
        self._stack.push_async_callback(way.close)
        self._client = api.Client(f"http://127.0.0.1:{await way.open(0)}", None, None, 30.0)
        await self._wait_ready()

    async def _start_programs(self, state: dict[str, Any]) -> None:
        start = world.ADDRESS
        values = {"folder": self.folder, "address": start, "files": FILES, "bridge": state["bridge"]}
        values |= {"first": f"{start}00", "last": f"{start}99"}
        dnsmasq = self.folder / "dnsmasq.conf"
        dnsmasq.write_text(_DNSMASQ.format(**values))
        chosen = f"--config-file={configuration.write(self.folder, start, PORT, self._wanted())}"
        for name in ("snponly.efi", "undionly.kpxe"):
            shutil.copy(Path("/usr/lib/ipxe") / name, self.folder / "tftp" / name)
        made = [programs.upstream("ironic-dbsync"), chosen, "create_schema"]
        code, _, complaints = await children.capture(made, 120)
        assert code == 0, complaints[-1500:]
        await self._start("dnsmasq", programs.system("dnsmasq"), "--keep-in-foreground", f"--conf-file={dnsmasq}")
        web = ["-m", "http.server", str(FILES), "--directory", str(self.folder / "http")]
        await self._start("web", programs.upstream("python"), *web)
        await self._start("ironic", programs.upstream("ironic"), chosen)

    def _wanted(self) -> configuration.Sections:
        """What a guide's reader sets, and no more, but for three things that favour upstream: the ramdisk is not
        unpacked by the conductor, disks are erased by their metadata only, and the image needs no detour over another
        service."""
        hardware = {
            "force_raw_images": "false",
            "enabled_hardware_types": "ipmi,redfish",
            "enabled_boot_interfaces": "ipxe",
            "enabled_deploy_interfaces": "direct",
            "enabled_management_interfaces": "ipmitool,redfish",
            "enabled_power_interfaces": "ipmitool,redfish",
            "enabled_network_interfaces": "noop",
            **{f"enabled_{kind}_interfaces": f"no-{kind}" for kind in _WITHOUT},
        }
        return {
            "DEFAULT": hardware,
            "api": {"host_ip": "0.0.0.0"},
            "deploy": {
                "http_url": f"http://{world.ADDRESS}:{FILES}",
                "erase_devices_priority": 0,
                "fast_track": str(self._fast_track).lower(),
            },
            "pxe": {"kernel_append_params": "nofb vga=normal console=ttyS0,115200n8 ipa-insecure=1"},
        }

    async def _start(self, name: str, *argv: str) -> None:
        with (self.folder / f"{name}.out").open("wb") as output:
            process = await children.start([*self._prefix, *argv], output=output, complaints=output)
        (self.folder / f"{name}.pid").write_text(str(process.pid))
        self._stack.push_async_callback(children.end, process)

    async def _wait_ready(self) -> None:
        """Ready means that its conductor has told the database which drivers it has."""
        deadline = time.monotonic() + _READY
        while True:
            with contextlib.suppress(errors.IngotError):
                if len((await self.call("GET", "/v1/drivers"))["drivers"]) == 2:
                    return
            if time.monotonic() > deadline:
                output = (self.folder / "ironic.out").read_text(errors="replace")
                raise AssertionError(f"Upstream's service did not start\n{output[-1500:]}\n{self.log[-1500:]}")
            await asyncio.sleep(0.5)


async def with_raw_image(made: artifacts.Artifacts, folder: Path) -> artifacts.Artifacts:
    """The same artifacts, with the image as a raw file in ``folder``."""
    raw = folder / "image.raw"
    source = made.image.source.removeprefix("file://")
    code, _, complaints = await children.capture(["qemu-img", "convert", "-O", "raw", source, str(raw)], 300)
    assert code == 0, complaints
    image = await asyncio.to_thread(deployment.image, str(raw), None)
    return replace(made, image=image, image_folder=folder)


def _family(pid: int) -> list[int]:
    """The process and all below it."""
    found = [pid]
    for one in found:
        with contextlib.suppress(OSError):
            found += [int(text) for text in Path(f"/proc/{one}/task/{one}/children").read_text().split()]
    return found


def _cpu(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
