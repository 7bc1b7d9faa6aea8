"""A network of its own for a real DHCP server and its clients: two namespaces joined by a cable."""

from __future__ import annotations

import asyncio
import ctypes
import os
import subprocess
from pathlib import Path


def sh(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def enter(descriptor: int) -> None:
    """Move this thread, and so the children it starts, into a network namespace (os.setns needs Python 3.12)."""
    if ctypes.CDLL(None, use_errno=True).setns(descriptor, 0x40000000):
        raise OSError(ctypes.get_errno(), "setns")


class Lan:
    """A namespace pair: this thread sits in the server's end, clients run in the other."""

    def __init__(self) -> None:
        self.tag = f"nb{os.getpid() % 100000}"
        self.client_ns = f"{self.tag}c"
        self.server_ns = f"{self.tag}s"

    def __enter__(self) -> Lan:
        for name in (self.client_ns, self.server_ns):
            sh("ip", "netns", "add", name)
        sh(
            "ip",
            "-n",
            self.server_ns,
            "link",
            "add",
            "srv",
            "type",
            "veth",
            "peer",
            "name",
            "cli",
            "netns",
            self.client_ns,
        )
        sh("ip", "-n", self.server_ns, "addr", "add", "172.22.9.1/24", "dev", "srv")
        sh("ip", "-n", self.server_ns, "link", "set", "srv", "up")
        sh("ip", "-n", self.server_ns, "link", "set", "lo", "up")
        sh("ip", "-n", self.client_ns, "link", "set", "cli", "up")
        self.home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        inside = os.open(f"/run/netns/{self.server_ns}", os.O_RDONLY)
        enter(inside)
        os.close(inside)
        return self

    def __exit__(self, *_: object) -> None:
        enter(self.home)
        os.close(self.home)
        for name in (self.client_ns, self.server_ns):
            subprocess.run(["ip", "netns", "del", name], check=False)

    async def ask(self, mac: str, *options: str, seconds: int = 1, tries: int = 2) -> str | None:
        """Ask for an address with BusyBox's udhcpc as ``mac``; return what its script was told."""
        sh("ip", "-n", self.client_ns, "link", "set", "cli", "address", mac)
        program = ["busybox", "udhcpc", "-i", "cli", "-n", "-q", "-f", "-t", str(tries), "-T", str(seconds), "-A", "1"]
        script = Path(f"/tmp/{self.tag}.sh")
        script.write_text(
            '#!/bin/sh\n[ "$1" = bound ] && echo "ip=$ip boot_file=$boot_file siaddr=$siaddr router=$router"\nexit 0\n'
        )
        script.chmod(0o755)
        child = await asyncio.create_subprocess_exec(
            *("ip", "netns", "exec", self.client_ns, *program, "-s", str(script), *options),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        async with asyncio.timeout(30):
            out, _ = await child.communicate()
        script.unlink()
        lines = [line for line in out.decode().splitlines() if line.startswith("ip=")]
        return lines[0] if lines else None

    async def tftp(self, name: str, address: str) -> bytes:
        sh("ip", "-n", self.client_ns, "addr", "flush", "dev", "cli")  # or it would go on under an earlier address
        sh("ip", "-n", self.client_ns, "addr", "replace", f"{address}/24", "dev", "cli")
        child = await asyncio.create_subprocess_exec(
            *("ip", "netns", "exec", self.client_ns, "busybox", "tftp", "-g", "-r", name, "-l", "-", "172.22.9.1"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        async with asyncio.timeout(30):
            out, _ = await child.communicate()
        return out
