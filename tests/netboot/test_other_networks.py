"""Provisioning networks that are not plain IPv4 with our own DHCP: IPv6, another DHCP server beside us, ARM64 machines."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

import pytest

from ingot.domain import errors
from ingot.netboot import dhcp, neighbours
from ingot.netboot.dnsmasq import Dnsmasq
from netboot.lan import ForeignDhcp, Lan

KNOWN, OTHER = "52:54:00:ee:04:01", "52:54:00:ee:04:02"
ARM64 = ("-V", "PXEClient:Arch:00011", "-x", "0x5d:000b")


@contextlib.asynccontextmanager
async def serving(net: dhcp.Network, state: Path, *macs: str) -> AsyncGenerator[Dnsmasq]:
    dnsmasq = Dnsmasq(net, state, f"http://{dhcp.url_host(net.host)}:6386")
    dnsmasq.prepare(macs)
    task = asyncio.create_task(dnsmasq.run())
    try:
        await dnsmasq.wait_ready()
        yield dnsmasq
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.fixture
def lan6() -> Iterator[Lan]:
    with Lan("172.22.9.1/24", "fd00:22:9::1/64") as made:
        yield made


async def test_arm64_machines_are_told_their_own_program(lan: Lan, tmp_path: Path) -> None:
    async with serving(dhcp.plan("srv", "172.22.9.1/24"), tmp_path, KNOWN):
        assert "boot_file=arm64.efi" in str(await lan.ask(KNOWN, *ARM64, tries=4))
        http = str(await lan.ask(KNOWN, "-V", "HTTPClient:Arch:00019", "-x", "0x5d:0013", tries=4))
        assert "boot_file=http://172.22.9.1:6386/boot/files/arm64.efi" in http


async def test_beside_a_foreign_dhcp_server(lan: Lan, tmp_path: Path) -> None:
    net = dhcp.plan("srv", "172.22.9.1/24", proxy=True)
    async with ForeignDhcp(lan, tmp_path), serving(net, tmp_path / "own", KNOWN) as dnsmasq:
        for arch, more in ((0, ()), (7, ()), (7, ("x",)), (16, ())):
            found = await lan.craft(4, KNOWN, arch, f"PXEClient:Arch:{arch:05}:UNDI:003016", *more)
            print(arch, more, found)
        print(await lan.craft(4, OTHER, 7, f"PXEClient:Arch:00007:UNDI:003016"))
        print("\n".join(dnsmasq._last_lines))
        assert 0


async def test_over_ipv6(lan6: Lan, tmp_path: Path) -> None:
    net = dhcp.plan("srv", "fd00:22:9::1/64")
    async with serving(net, tmp_path, KNOWN) as dnsmasq:
        for arch, vendor, more in (
            (7, "PXEClient", ()),
            (7, "PXEClient", ("x",)),
            (16, "HTTPClient", ()),
            (11, "PXEClient", ()),
        ):
            found = await lan6.craft(6, KNOWN, arch, f"{vendor}:Arch:{arch:05}:UNDI:003016", *more)
            print(arch, more, found)
        print(await lan6.craft(6, OTHER, 7, f"PXEClient:Arch:00007:UNDI:003016"))
        print("\n".join(dnsmasq._last_lines))
        assert 0
