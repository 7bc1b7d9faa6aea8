"""One virtual server: a QEMU process while it is on, files while it is off.

Why: a real boot, with firmware, disks, network cards and a serial line, behind a BMC of our own.
May not: speak a BMC's protocol. Invariant: `power` is on exactly while this object's QEMU process lives.

QEMU fixes the boot order at start (`bootindex`). So when a once-only device was used, a reset (seen as the QMP event
RESET, also when the guest itself reboots) starts a new process with the next order; the guest sees a reboot.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, cast

from ingot_rack import accel, efivars, errors, hardware, places, processes, qemu, qmp
from ingot_rack.hardware import BootDevice, BootMode, BootOverride, PowerAction, PowerState

COM1 = 0x3F8
DEFAULT_ORDER = (BootDevice.DISK, BootDevice.NETWORK, BootDevice.CD)


class Machine:
    """A QEMU machine with the files in `folder`. Create it, then `prepare`, then power it on."""

    def __init__(self, hull: qemu.Hull, folder: Path) -> None:
        self.hull = hull
        self.files = qemu.Files(folder, places.sockets(folder))
        self._process: asyncio.subprocess.Process | None = None
        self._qmp: qmp.Qmp | None = None
        self._order: tuple[BootDevice, ...] = ()
        self._boot = self._read_settings()
        self._media: Path | None = None
        self._lock = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self.starts = 0

    @property
    def facts(self) -> hardware.Facts:
        """What the BMC tells about the hardware."""
        hull = self.hull
        disks = tuple(hardware.DiskFacts(disk.serial, disk.size, disk.bus) for disk in hull.disks)
        macs = tuple(nic.mac for nic in hull.nics)
        size = (hull.vcpus, hull.memory_mb)
        return hardware.Facts(
            hull.name, hull.uuid, hull.name, hull.firmware, *size, macs, disks, processor=hull.processor
        )

    @property
    def power(self) -> PowerState:
        """On while the process lives."""
        alive = self._process is not None and self._process.returncode is None
        return PowerState.ON if alive else PowerState.OFF

    @property
    def boot(self) -> BootOverride:
        """The override of the next boot."""
        return self._boot

    @property
    def media(self) -> Path | None:
        """The image in the CD drive."""
        return self._media

    async def prepare(self) -> None:
        """Make the disks and UEFI variables that do not exist yet, and end a left-over process."""
        self.files.folder.mkdir(parents=True, exist_ok=True)
        await self.end_leftover()
        for index, disk in enumerate(self.hull.disks):
            if not self.files.disk(index, disk).exists():
                await _make_disk(self.files.disk(index, disk), disk)
        self.files.serial_port.write_bytes(COM1.to_bytes(2, "little"))
        if self.hull.firmware is BootMode.UEFI and not self.files.variables.exists():
            shutil.copyfile(qemu.firmware_files(self.hull)[1], self.files.variables)

    async def end_leftover(self) -> bool:
        """End the QEMU of an earlier rack process; False when there was none."""
        if self.power is PowerState.ON:
            return False
        return await processes.end(self.files.pid, str(self.files.qmp))

    async def set_power(self, action: PowerAction) -> None:
        """Act on the power; raises NotNow when the machine is off and the action needs it on."""
        async with self._lock:
            if action is PowerAction.ON:
                if self.power is PowerState.OFF:
                    await self._start()
                return
            if action is PowerAction.OFF:
                await self._stop()
                return
            monitor = self._monitor(action)
            match action:
                case PowerAction.SOFT_OFF:
                    await monitor.execute("system_powerdown")
                case PowerAction.NMI:
                    await monitor.execute("inject-nmi")
                case PowerAction.RESET if self._boots_alike():
                    await monitor.execute("system_reset")
                    self._use_order()
                case PowerAction.RESET | PowerAction.CYCLE:
                    await self._stop()
                    await self._start()

    async def set_boot(self, override: BootOverride) -> None:
        """Choose the next boot device; a persistent one is kept on disk, until there shall be none."""
        self._boot = override
        kept = override.device if override.persistent else BootDevice.NONE
        mode = override.mode if override.persistent else None
        if override.persistent or override.device is BootDevice.NONE:
            await asyncio.to_thread(self.files.settings.write_text, json.dumps({"boot": kept, "mode": mode}))

    async def insert_media(self, image: Path) -> None:
        """Put an image into the CD drive, at once when the machine is on."""
        if self.hull.cd is qemu.CdSlot.NONE:
            raise errors.NotSupported(f"{self.hull.name} has no CD drive", hint="Give it one in the spec.")
        async with self._lock:
            if self._qmp and self.power is PowerState.ON:
                wanted: qmp.Message = {"id": "cddev", "filename": str(image), "format": "raw", "force": True}
                await self._qmp.execute("blockdev-change-medium", wanted)
            self._media = image

    async def eject_media(self) -> None:
        """Empty the CD drive."""
        async with self._lock:
            if self._media and self._qmp and self.power is PowerState.ON:
                await self._qmp.execute("eject", {"id": "cddev", "force": True})
            self._media = None

    async def open_console(self) -> hardware.Console:
        """Connect to the serial line (one client at a time); raises NotNow while the machine is off."""
        if self.power is PowerState.OFF:
            raise errors.NotNow(f"{self.hull.name} is off", hint="Power it on first.")
        return await asyncio.open_unix_connection(str(self.files.serial))

    async def screenshot(self, target: Path) -> Path:
        """Write what the screen shows as PNG; raises NotNow while the machine is off."""
        monitor = self._monitor("show its screen")
        await monitor.execute("screendump", {"filename": str(target), "format": "png"})
        return target

    async def set_link(self, *, up: bool) -> None:
        """Plug the cables of all its network cards in or out; raises NotNow while the machine is off."""
        monitor = self._monitor("lose its link")
        for index in range(len(self.hull.nics)):
            await monitor.execute("set_link", {"name": f"net{index}", "up": up})

    async def close(self) -> None:
        """Power off and end all tasks."""
        async with self._lock:
            await self._stop()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _monitor(self, action: str) -> qmp.Qmp:
        if self._qmp is None or self.power is PowerState.OFF:
            raise errors.NotNow(f"{self.hull.name} is off, so it cannot {action}", hint="Power it on first.")
        return self._qmp

    def _next_order(self) -> tuple[BootDevice, ...]:
        first = self._boot.device
        if first is BootDevice.NONE:
            return DEFAULT_ORDER
        return (first, *(device for device in DEFAULT_ORDER if device is not first))

    def _boots_alike(self) -> bool:
        """Whether the process that runs can do the next boot."""
        return self._next_order() == self._order and not self._boot.http_uri

    def _use_order(self) -> tuple[BootDevice, ...]:
        """The order of the boot that begins now; a once-only override is used up by this."""
        order = self._next_order()
        if not self._boot.persistent:
            self._boot = self._read_settings()
        return order

    async def _start(self) -> None:
        order = self._next_order()
        if self._boot.http_uri:
            await asyncio.to_thread(efivars.boot_from_uri, self.files.variables, self._boot.http_uri)
        accelerator = await accel.choose(self.hull.processor)
        argv = qemu.command(self.hull, self.files, order, accelerator, self._media)
        self.files.qmp.unlink(missing_ok=True)
        process = self._process = await self._launch(argv)
        self._spawn(self._watch(process))
        try:
            self._qmp = await self._connect(process)
        except errors.RackError:
            await _end(process)
            raise
        self._order = self._use_order()
        self.starts += 1

    async def _launch(self, argv: list[str]) -> asyncio.subprocess.Process:
        nothing = asyncio.subprocess.DEVNULL
        with self.files.errors_log.open("ab") as log:
            try:
                return await asyncio.create_subprocess_exec(
                    *argv, stdin=nothing, stdout=log, stderr=log, start_new_session=True
                )
            except FileNotFoundError as error:
                package = qemu.PACKAGES[self.hull.processor]
                raise errors.RackError(f"{argv[0]} was not found", hint=f"Install {package}.") from error

    async def _connect(self, process: asyncio.subprocess.Process) -> qmp.Qmp:
        """Connect to the new process, or tell why it ended."""
        ended = asyncio.ensure_future(process.wait())
        opened = asyncio.ensure_future(qmp.connect(self.files.qmp, self._heard))
        await asyncio.wait({ended, opened}, return_when=asyncio.FIRST_COMPLETED)
        if opened.done() and not opened.exception():
            ended.cancel()
            return opened.result()
        await asyncio.wait({ended}, timeout=5)  # a QEMU that fails late has opened its socket before
        for future in (ended, opened):
            future.cancel()
        await asyncio.gather(ended, opened, return_exceptions=True)
        tail = self.files.errors_log.read_text(errors="replace")[-600:].strip()
        raise errors.RackError(f"QEMU of {self.hull.name} did not start: {tail}", hint=f"See {self.files.errors_log}.")

    async def _stop(self) -> None:
        process, monitor = self._process, self._qmp
        self._process = self._qmp = None
        if monitor and process and process.returncode is None:
            with contextlib.suppress(errors.RackError):
                await monitor.execute("quit", seconds=5)
        if monitor:
            await monitor.close()
        if process:
            await _end(process)
            self.files.pid.unlink(missing_ok=True)

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        """Notice that the guest switched itself off (or that QEMU died)."""
        await process.wait()
        if self._process is process:
            monitor, self._qmp, self._process = self._qmp, None, None
            if monitor:
                await monitor.close()

    def _heard(self, event: str, data: qmp.Message) -> None:
        if event != "RESET" or data.get("guest") is not True or not self._process:
            return
        if self._boots_alike():
            self._use_order()
        else:
            self._spawn(self._respawn(self._process))

    async def _respawn(self, reset: asyncio.subprocess.Process) -> None:
        """Give the guest that has just reset its next boot order, unless another start has done so."""
        async with self._lock:
            if self._process is reset and self.power is PowerState.ON and not self._boots_alike():
                await self._stop()
                await self._start()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _read_settings(self) -> BootOverride:
        try:
            kept = cast("dict[str, str | None]", json.loads(self.files.settings.read_text()))
        except (OSError, ValueError):
            return BootOverride()
        device, mode = BootDevice(kept.get("boot") or "none"), kept.get("mode")
        if device is BootDevice.NONE:
            return BootOverride()
        return BootOverride(device, persistent=True, mode=BootMode(mode) if mode else None)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Wait for a process that was told to end; insist after 5 s."""
    for insist in (process.terminate, process.kill):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5):
                await process.wait()
                return
        with contextlib.suppress(ProcessLookupError):
            insist()
    await process.wait()


async def _make_disk(path: Path, disk: qemu.Disk) -> None:
    if disk.format == "raw":
        _make_sparse(path, disk.size)
        return
    process = await asyncio.create_subprocess_exec(
        "qemu-img", "create", "-q", "-f", disk.format, str(path), str(disk.size), stdout=asyncio.subprocess.DEVNULL
    )
    if await process.wait():
        raise errors.RackError(f"Cannot make the disk {path}", hint="Is there room, and is qemu-utils installed?")


def _make_sparse(path: Path, size: int) -> None:
    with path.open("wb") as image:
        image.truncate(size)
