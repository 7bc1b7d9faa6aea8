"""The demo's world: a rack in a namespace, `ingot serve` beside it, and a door to its API; all ended as one.

Why: the demo and the end-to-end tests need the same world. May not: ask the API for anything but readiness.
Invariant: leaving the context ends every process, namespace, tap and port that entering it made.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from ingot.cli import client as api
from ingot.cli import rack as rack_command
from ingot.cli.demo import children, door, service
from ingot.cli.demo.artifacts import Artifacts
from ingot.domain import errors
from ingot_rack import control, places
from ingot_rack import rack as racks

API_PORT = 6385
ADDRESS = "192.0.2.1"
PREFIX = 24
USER = "demo"
_CLIENT_TIMEOUT = 20.0


@dataclass(frozen=True)
class Blueprint:
    """What to make. ``port``: of the host for the API, 0 for any; ``settings``: more settings of the service.

    ``hardware``: more of every machine's description (ingot_rack.specs); ``address``: of the host on the
    provisioning network, with prefix; version 6 is only for machines that no system is deployed to.
    """

    name: str = "demo"
    firmwares: tuple[str, ...] = ("bios", "uefi")
    memory_mb: int = 1024
    disk_gib: float = 8.0
    port: int = 0
    settings: Mapping[str, str] = field(default_factory=dict[str, str])
    hardware: Mapping[str, Any] = field(default_factory=dict[str, Any])
    address: str = f"{ADDRESS}/{PREFIX}"

    @property
    def folder(self) -> Path:
        """Where the world keeps its files."""
        return places.cache() / "demo" / self.name

    def rack(self) -> dict[str, Any]:
        """The rack's description: BIOS machines have an IPMI BMC, UEFI machines a Redfish one."""
        bmcs = {"bios": "ipmi", "uefi": "redfish"}
        size = {"memory_mb": self.memory_mb, "disk_gib": self.disk_gib, **self.hardware}
        machines = [
            {"name": f"{firmware}-{number}", "firmware": firmware, "bmc": bmcs[firmware], **size}
            for number, firmware in enumerate(self.firmwares, 1)
        ]
        return {"name": self.name, "address": self.address, "machines": machines}


@dataclass(frozen=True)
class Machine:
    """One server as its owner knows it: how to enrol it, and the address its system shall have."""

    name: str
    firmware: str
    mac: str
    driver: str
    driver_info: Mapping[str, Any]
    address: str
    serial_log: Path

    def __repr__(self) -> str:
        return f"Machine({self.name!r}, driver={self.driver!r})"  # driver_info holds a password


class World:
    """Use as ``async with World(blueprint, artifacts) as world``."""

    def __init__(self, blueprint: Blueprint, artifacts: Artifacts, tell: Callable[[str], None] | None = None) -> None:
        self.blueprint = blueprint
        self.folder = blueprint.folder
        self.artifacts = artifacts
        self.machines: list[Machine] = []
        self.seconds: dict[str, float] = {}
        self.keep_files = False
        self._tell = tell or _silent
        self._state: dict[str, Any] = {}
        self._stack = contextlib.AsyncExitStack()
        self._service: service.Service | None = None
        self._client: api.Client | None = None

    async def __aenter__(self) -> World:
        try:
            await self._enter()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            self._tell("ending what was started")
        finally:  # also when the terminal is gone
            await self._stack.aclose()

    @property
    def service(self) -> service.Service:
        """The running `ingot serve`."""
        assert self._service is not None, "the world is not open"
        return self._service

    @property
    def client(self) -> api.Client:
        """A client of its API, usable on the host and from threads."""
        assert self._client is not None, "the world is not open"
        return self._client

    @property
    def url(self) -> str:
        """The API's URL on the host."""
        return self.client.url

    @property
    def access(self) -> Path:
        """A shell file that tells ingot's commands where the API is and who may call it."""
        return self.folder / "access.sh"

    @property
    def prefix(self) -> list[str]:
        """The argument list that runs a command inside the world's network."""
        return list(self._state["prefix"])

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        """One request to the API, without blocking the event loop."""
        return await asyncio.to_thread(self.client.call, method, path, body)

    async def restart(self) -> float:
        """Start `ingot serve` again after ``service.kill()`` or ``service.stop()``; seconds until ready."""
        await self.service.start()
        return await self.service.wait_ready(self.client)

    async def rack(self, **request: Any) -> Any:
        """Send a request to the rack's control socket (see ingot_rack.control)."""
        with rack_command.rack_errors():
            return await control.call(racks.control_socket(self.blueprint.name), request)

    async def screenshot(self, machine: Machine) -> Path:
        """The machine's screen as a PNG file. Raises errors.IngotError while it is off."""
        target = self.folder / "screens" / f"{machine.name}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        await self.rack(do="screenshot", machine=machine.name, path=str(target))
        return target

    def save_console(self, machine: Machine) -> Path | None:
        """A copy of the machine's serial console that outlives the world; None when it said nothing."""
        if not machine.serial_log.exists():
            return None
        target = self.folder / "consoles" / f"{machine.name}.log"
        target.parent.mkdir(parents=True, exist_ok=True)
        return Path(shutil.copyfile(machine.serial_log, target))

    async def run_inside(self, *argv: str, limit: float = 60.0) -> tuple[int, str, str]:
        """Run a program inside the world's network: exit code, output, complaints."""
        return await children.capture([*self.prefix, *argv], limit)

    async def _enter(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._stack.push_async_callback(asyncio.to_thread, self._lock().close)
        await self._start_rack()
        await self._start_service()

    def _lock(self) -> IO[str]:
        """Only one world of a name at a time."""
        lock = (self.folder / "lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.close()
            text = f'A demo called "{self.blueprint.name}" is running already'
            raise errors.Conflict(text, hint="End it with Ctrl-C first.") from error
        return lock

    async def _start_rack(self) -> None:
        self._tell("starting the rack")
        name = self.blueprint.name
        began = asyncio.get_running_loop().time()
        with rack_command.rack_errors():
            await racks.down(name, purge=True)  # what a killed demo left: its disks must not be taken for blank
            spec = self.folder / "rack.json"
            spec.write_text(json.dumps(self.blueprint.rack()))
            self._stack.push_async_callback(self._end_rack)
            self._state = await racks.start(spec)
        self.machines = [machine(index, one) for index, one in enumerate(self._state["machines"])]
        self.seconds["rack"] = asyncio.get_running_loop().time() - began

    async def _end_rack(self) -> None:
        await racks.down(self.blueprint.name, purge=not self.keep_files)
        await children.wait_gone(int(self._state.get("pid") or 0))

    async def _start_service(self) -> None:
        self._tell("starting ingot serve")
        way = door.Door(self.blueprint.name, self._state["namespace"], ("127.0.0.1", API_PORT))
        self._stack.push_async_callback(way.close)
        port = await way.open(self.blueprint.port)
        self._service = service.Service(self.folder, self.prefix, self._settings())
        await self._service.end_leftover()
        await asyncio.to_thread(_empty, self._service.data)
        self._service.log.unlink(missing_ok=True)
        password = await self._service.add_user(USER)
        self._client = api.Client(f"http://127.0.0.1:{port}", USER, password, _CLIENT_TIMEOUT)
        self._write_access(password)
        self._stack.push_async_callback(self._service.stop)
        await self._service.start()
        self.seconds["service"] = await self._service.wait_ready(self._client)

    def _write_access(self, password: str) -> None:
        lines = {"INGOT_URL": self.url, "INGOT_USER": USER, "INGOT_PASSWORD": password}
        self.access.touch(mode=0o600)
        self.access.write_text("".join(f"export {name}={value}\n" for name, value in lines.items()))

    def _settings(self) -> dict[str, str]:
        """The API listens on the namespace's loopback; on the provisioning network only agents are answered."""
        return {
            "host": "127.0.0.1",
            "port": str(API_PORT),
            "provision_interface": self._state["bridge"],
            "provision_address": self.blueprint.address,
            **({"provision_range": f"{ADDRESS}00-{ADDRESS}99"} if ":" not in self.blueprint.address else {}),
            "ramdisk_dir": str(self.artifacts.ramdisk),
            "image_dirs": str(self.artifacts.image_folder),
            **self.blueprint.settings,
        }


def machine(index: int, told: dict[str, Any]) -> Machine:
    """A machine from the rack's state; addresses of deployed systems are outside the DHCP range."""
    access: dict[str, Any]
    if told["bmc"] == "ipmi":
        access = {"ipmi_address": told["bmc_address"], "ipmi_port": told["bmc_port"]}
        access |= {"ipmi_username": told["user"], "ipmi_password": told["password"]}
    else:
        access = {"redfish_address": told["bmc_url"], "redfish_username": told["user"]}
        access |= {"redfish_password": told["password"]}
    address = f"{ADDRESS.rpartition('.')[0]}.{11 + index}"
    log = Path(told["serial_log"])
    return Machine(told["name"], told["firmware"], told["mac"], told["bmc"], access, address, log)


def _silent(_: str) -> None:
    """Tell nobody."""


def _empty(data: Path) -> None:
    """Forget an earlier demo's nodes, but keep its images: they are a cache."""
    for path in data.iterdir() if data.exists() else ():
        if path.is_dir() and path.name != "images":
            shutil.rmtree(path)
        elif not path.is_dir():
            path.unlink()
