"""A network of its own for a real DHCP server and its clients: namespaces joined by a bridge."""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import subprocess
import sys
from pathlib import Path


def sh(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def enter(descriptor: int) -> None:
    """Move this thread, and so the children it starts, into a network namespace (os.setns needs Python 3.12)."""
    if ctypes.CDLL(None, use_errno=True).setns(descriptor, 0x40000000):
        raise OSError(ctypes.get_errno(), "setns")


class Lan:
    """Namespaces joined by a bridge: this thread sits in the server's, clients run in another."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses or ("172.22.9.1/24",)
        self.joined: list[str] = []
        self.tag = f"nb{os.getpid() % 100000}"
        self.client_ns = f"{self.tag}c"
        self.server_ns = f"{self.tag}s"

    def __enter__(self) -> Lan:
        sh("ip", "netns", "add", self.server_ns)
        sh("ip", "-n", self.server_ns, "link", "set", "lo", "up")
        self._bridge()
        self.join(self.client_ns, "cli")
        self.home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        inside = os.open(f"/run/netns/{self.server_ns}", os.O_RDONLY)
        enter(inside)
        os.close(inside)
        return self

    def __exit__(self, *_: object) -> None:
        enter(self.home)
        os.close(self.home)
        for name in (*self.joined, self.server_ns):
            subprocess.run(["ip", "netns", "del", name], check=False)

    def remake(self) -> None:
        """Delete the bridge and make another one of the same name."""
        sh("ip", "-n", self.server_ns, "link", "del", "srv")
        self._bridge()
        for number in range(len(self.joined)):
            sh("ip", "-n", self.server_ns, "link", "set", f"p{number}", "master", "srv", "up")

    def _bridge(self) -> None:
        sh("ip", "-n", self.server_ns, "link", "add", "srv", "type", "bridge", "forward_delay", "0")
        for address in self.addresses:
            sh("ip", "-n", self.server_ns, "addr", "add", address, "dev", "srv", "nodad")
        sh("ip", "-n", self.server_ns, "link", "set", "srv", "up")

    def join(self, namespace: str, card: str, address: str = "") -> None:
        """Put a host with one card onto the network, in a namespace of its own."""
        sh("ip", "netns", "add", namespace)
        port = f"p{len(self.joined)}"
        self.joined.append(namespace)
        peer = ("peer", "name", card, "netns", namespace)
        sh("ip", "-n", self.server_ns, "link", "add", port, "type", "veth", *peer)
        sh("ip", "-n", self.server_ns, "link", "set", port, "master", "srv", "up")
        sh("ip", "-n", namespace, "link", "set", card, "up")
        if address:
            sh("ip", "-n", namespace, "addr", "add", address, "dev", card)

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

    async def craft(self, version: int, mac: str, architecture: int, vendor: str, *more: str) -> list[dict[str, str]]:
        """Every answer to one request of firmware; ``version`` 4 or 6."""
        sh("ip", "-n", self.client_ns, "link", "set", "cli", "down")
        sh("ip", "-n", self.client_ns, "link", "set", "cli", "address", mac, "up")
        sh("ip", "-n", self.client_ns, "addr", "flush", "dev", "cli", "scope", "global")
        sh("ip", "-n", self.client_ns, "addr", "add", "172.22.9.99/24", "dev", "cli")  # else broadcasts are not heard
        if version == 6:  # the address of the link must have been found to be nobody else's
            while "tentative" in sh("ip", "-n", self.client_ns, "-6", "addr", "show", "dev", "cli"):
                await asyncio.sleep(0.1)
        script = Path(__file__).with_name("crafted.py")
        words = (sys.executable, str(script), str(version), "cli", mac, str(architecture), vendor, *more)
        child = await asyncio.create_subprocess_exec(
            "ip", "netns", "exec", self.client_ns, *words, stdout=asyncio.subprocess.PIPE
        )
        async with asyncio.timeout(30):
            out, _ = await child.communicate()
        return [json.loads(line) for line in out.decode().splitlines()]

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


class ForeignDhcp:
    """A DHCP server that somebody else runs on the same network, and that knows nothing of boot programs."""

    def __init__(self, lan: Lan, folder: Path) -> None:
        self._name = f"{lan.tag}f"
        lan.join(self._name, "oth", "172.22.9.2/24")
        words = ("port=0", "interface=oth", "bind-interfaces", "user=root", "log-facility=-", "no-ping", "log-dhcp")
        more = (f"dhcp-leasefile={folder / 'foreign'}", "dhcp-range=172.22.9.200,172.22.9.220,255.255.255.0,600")
        (folder / "foreign.conf").write_text("\n".join((*words, *more, f"pid-file={folder / 'foreign.pid'}")))
        self._command = ("dnsmasq", "--keep-in-foreground", f"--conf-file={folder / 'foreign.conf'}")

    async def __aenter__(self) -> ForeignDhcp:
        words = ("ip", "netns", "exec", self._name, *self._command)
        self._child = await asyncio.create_subprocess_exec(*words, stderr=asyncio.subprocess.PIPE)
        assert self._child.stderr is not None
        async with asyncio.timeout(20):
            while b"DHCP, IP range" not in await self._child.stderr.readline():
                pass
        return self

    async def __aexit__(self, *_: object) -> None:
        self._child.terminate()
        await self._child.communicate()
