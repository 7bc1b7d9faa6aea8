"""The rack's network: a bridge with the machines' taps, in a namespace of its own or on the host.

Why: DHCP and network boot must be tried without touching any real network.
May not: start machines. Invariant: all names are derived from the rack's name, so a later `remove` finds what a
killed process left behind.
"""

from __future__ import annotations

import asyncio
import ctypes
import dataclasses
import functools
import os
import shutil
import subprocess
from pathlib import Path

from ingot_rack import errors, places

CLONE_NEWNET = 0x40000000
NAMESPACES = Path("/run/netns")
_SECONDS = 60.0  # that one call of ip may take


@dataclasses.dataclass(frozen=True, slots=True)
class Network:
    """A rack's network.

    `namespace` None means the host's own network. `address` is the provisioning address with its prefix length, put
    on the bridge; `bmc_addresses` become /32 on `lo`; `taps` is the number of machine ports.
    """

    name: str
    namespace: str | None
    address: str = "192.0.2.1/24"
    bmc_addresses: tuple[str, ...] = ()
    taps: int = 0

    @property
    def bridge(self) -> str:
        """The bridge's name."""
        return places.short(self.name, "br")

    def tap(self, index: int) -> str:
        """The name of the tap of a machine port."""
        return places.short(self.name, f"t{index}")

    def prefix(self) -> tuple[str, ...]:
        """The argument list that runs a command inside this network; empty on the host."""
        return ("ip", "netns", "exec", self.namespace) if self.namespace else ()

    async def create(self) -> None:
        """Make everything, after removing what an earlier rack of this name left."""
        check_rights()
        await self.remove()
        if self.namespace:
            await _ip("netns", "add", self.namespace)
        await self._batch(self._plan())

    async def remove(self) -> None:
        """Remove everything this rack's name stands for; nothing there is fine."""
        if self.namespace:
            if (NAMESPACES / self.namespace).exists():
                await _ip("netns", "del", self.namespace)
            return
        known = set(await asyncio.to_thread(os.listdir, "/sys/class/net"))
        stem = places.short(self.name, "")
        ours = sorted(one for one in known if one.startswith((f"{stem}t", f"{stem}br")))
        lines = [f"link del {one}" for one in ours]
        present = await _ip("-o", "-4", "addr", "show", "dev", "lo")
        lines += [f"addr del {one}/32 dev lo" for one in self.bmc_addresses if f" {one}/32 " in present]
        if lines:
            await self._batch(lines)

    def enter(self) -> None:
        """Move the calling thread (and what it starts later) into the namespace; for a process of its own."""
        if not self.namespace:
            return
        handle = os.open(NAMESPACES / self.namespace, os.O_RDONLY)
        try:
            if ctypes.CDLL(None, use_errno=True).setns(handle, CLONE_NEWNET):
                code = ctypes.get_errno()
                raise errors.RackError(f"Cannot enter {self.namespace}: {os.strerror(code)}", hint="Run it as root.")
        finally:
            os.close(handle)

    def _plan(self) -> list[str]:
        # the bridge keeps a fixed address of its own: else it takes the lowest of its taps' and changes with them
        lines = ["link set lo up"] if self.namespace else []
        lines += [
            f"link add {self.bridge} type bridge stp_state 0 forward_delay 0",
            f"link set {self.bridge} up",
        ]
        lines += [f"addr add {self.address} dev {self.bridge}{' nodad' if ':' in self.address else ''}"]
        lines += [f"addr add {one}/32 dev lo" for one in self.bmc_addresses if not one.startswith("127.")]
        for index in range(self.taps):
            tap = self.tap(index)
            lines += [
                f"tuntap add dev {tap} mode tap",
                f"link set {tap} master {self.bridge}",
                f"link set {tap} up",
            ]
        return lines

    async def _batch(self, lines: list[str]) -> None:
        where = ("-n", self.namespace) if self.namespace else ()
        await _ip(*where, "-batch", "-", text="\n".join(lines) + "\n")


def check_rights() -> None:
    """Raise RackError unless this process can make networks."""
    if os.geteuid() != 0:
        raise errors.RackError("Making bridges and taps needs root", hint="Run it with sudo, or set network = false.")
    if shutil.which("ip") is None:
        raise errors.RackError("The program ip was not found", hint="Install the package iproute2.")
    if not Path("/dev/net/tun").exists():
        raise errors.RackError("/dev/net/tun is missing", hint="Load the kernel module tun (modprobe tun).")


async def _ip(*arguments: str, text: str = "") -> str:
    # In a thread: asyncio's pipes outlive their process by a turn of the loop, and this may be the loop's last turn.
    run = functools.partial(subprocess.run, capture_output=True, text=True, check=False, timeout=_SECONDS)
    try:
        done = await asyncio.to_thread(run, ["ip", *arguments], input=text)
    except subprocess.TimeoutExpired as error:
        raise errors.RackError(f"ip {' '.join(arguments)} did not end in {_SECONDS:g} s") from error
    if done.returncode:
        raise errors.RackError(f"ip {' '.join(arguments)} failed: {done.stderr.strip()}")
    return done.stdout
