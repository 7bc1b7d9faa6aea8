"""A server that exists in memory only: power, boot device and media with settable delays.

Why: ten thousand of them fit into one process, so BMC servers and their clients can be tried at scale.
May not: start programs or touch files. Invariant: `power` changes by what a BMC asks, in that order, or
by what the system inside does.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from pathlib import Path

from ingot_rack import errors, hardware
from ingot_rack.hardware import BootDevice, BootOverride, PowerAction, PowerState

BootHook = Callable[[BootDevice], None]
"""Called with the device at every start of the machine, and with NONE when it stops."""


class Simulated:
    """A machine in memory. `on_boot` is told of each start (its device) and each stop (NONE)."""

    __slots__ = ("_boot", "_facts", "_lines", "_media", "_power", "delay", "history", "on_boot", "order")

    def __init__(self, facts: hardware.Facts, *, delay: float = 0.0) -> None:
        self._facts = facts
        self._power = PowerState.OFF
        self._boot = BootOverride()
        self._media: Path | None = None
        self.delay = delay
        self.on_boot: BootHook | None = None
        self.order = BootDevice.DISK
        self.history: list[PowerAction] = []
        self._lines: set[asyncio.Task[None]] = set()

    @property
    def facts(self) -> hardware.Facts:
        """The description given."""
        return self._facts

    @property
    def power(self) -> PowerState:
        """The present power state."""
        return self._power

    @property
    def boot(self) -> BootOverride:
        """The override for the next boot."""
        return self._boot

    @property
    def media(self) -> Path | None:
        """The inserted image, or None."""
        return self._media

    async def set_power(self, action: PowerAction) -> None:
        """Change the power after `delay` seconds, and remember the action in `history`."""
        needs_power = action in {PowerAction.RESET, PowerAction.CYCLE, PowerAction.NMI}
        if needs_power and self._power is PowerState.OFF:
            raise errors.NotNow(f"{self._facts.name} is off, so it cannot {action}", hint="Power it on first.")
        if self.delay:
            await asyncio.sleep(self.delay)
        self.history.append(action)
        match action:
            case PowerAction.ON:
                if self._power is PowerState.OFF:
                    self._start()
            case PowerAction.OFF | PowerAction.SOFT_OFF:
                self._stop()
            case PowerAction.RESET | PowerAction.CYCLE:
                self._stop()
                self._start()
            case PowerAction.NMI:
                pass

    def reboot_from_inside(self) -> None:
        """Restart as the running system would: same power, next boot device."""
        if self._power is PowerState.ON:
            self._stop()
            self._start()

    def poweroff_from_inside(self) -> None:
        """Switch off as the running system would."""
        self._stop()

    async def set_boot(self, override: BootOverride) -> None:
        """Choose the next boot's device."""
        self._boot = override

    async def insert_media(self, image: Path) -> None:
        """Remember the image."""
        self._media = image

    async def eject_media(self) -> None:
        """Forget the image."""
        self._media = None

    async def open_console(self) -> hardware.Console:
        """A serial line behind which a login prompt echoes what is typed; it ends when the machine goes off."""
        ours, theirs = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=theirs)
        task = asyncio.create_task(_echo(reader, writer, f"\r\n{self._facts.name} login: ".encode()))
        self._lines.add(task)
        task.add_done_callback(self._lines.discard)
        return await asyncio.open_connection(sock=ours)

    def _start(self) -> None:
        self._power = PowerState.ON
        device = self.order if self._boot.device is BootDevice.NONE else self._boot.device
        if not self._boot.persistent and self._boot.device is not BootDevice.NONE:
            self._boot = BootOverride()
        if self.on_boot:
            self.on_boot(device)

    def _stop(self) -> None:
        was_on = self._power is PowerState.ON
        self._power = PowerState.OFF
        for line in self._lines if was_on else ():
            line.cancel()
        if was_on and self.on_boot:
            self.on_boot(BootDevice.NONE)


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, greeting: bytes) -> None:
    try:
        with contextlib.suppress(ConnectionError):
            writer.write(greeting)
            while data := await reader.read(4096):
                writer.write(data)
                await writer.drain()
    finally:
        writer.close()
