"""Provisioning networks that are not plain IPv4 with our own DHCP: IPv6, a foreign DHCP server beside us, ARM64."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

import pytest

from ingot.domain import errors
from ingot.netboot import dhcp
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


async def test_ipxe_is_told_that_no_proxy_will_answer(lan: Lan, tmp_path: Path) -> None:
    """It waits for one otherwise; what other firmware does not know it is not told."""
    async with serving(dhcp.plan("srv", "172.22.9.1/24"), tmp_path, KNOWN):
        (ipxe,) = await lan.craft(4, KNOWN, 7, "PXEClient:Arch:00007:UNDI:003016", "ipxe")
        assert (ipxe["file"], ipxe["ipxe"][:6]) == ("boot.ipxe", "b00101")
        (firmware,) = await lan.craft(4, KNOWN, 7, "PXEClient:Arch:00007:UNDI:003016")
        assert firmware["ipxe"] == ""


def files(answers: list[dict[str, str]]) -> set[str]:
    return {answer["file"] for answer in answers if answer["file"]}


async def test_beside_a_foreign_dhcp_server(lan: Lan, tmp_path: Path) -> None:
    net = dhcp.plan("srv", "172.22.9.1/24", proxy=True)
    async with ForeignDhcp(lan, tmp_path), serving(net, tmp_path / "own", KNOWN) as dnsmasq:
        answers = await lan.craft(4, KNOWN, 0, "PXEClient:Arch:00000:UNDI:002001")
        assert files(answers) == {"bios.pxe"}
        offered = {one["server"]: one["address"] for one in answers[:2]}
        assert offered["172.22.9.1"] == "0.0.0.0", "the address is the other server's to give"
        assert offered["172.22.9.2"].startswith("172.22.9.2")
        assert "was told its boot program, but did not load it" in dnsmasq.trace.sentence(KNOWN, 0)
        assert files(await lan.craft(4, KNOWN, 7, "PXEClient:Arch:00007:UNDI:003016")) == {"x64.efi"}
        answers = await lan.craft(4, KNOWN, 7, "PXEClient:Arch:00007:UNDI:003016", "ipxe")
        assert files(answers) == {"boot.ipxe"}
        assert {one["ipxe"] for one in answers} == {""}, "it has to wait for the proxy that we are"
        assert files(await lan.craft(4, KNOWN, 11, "PXEClient:Arch:00011:UNDI:003016")) == {"arm64.efi"}
        assert await lan.tftp("bios.pxe", "172.22.9.205") != b""
        async with asyncio.timeout(20):  # dnsmasq logs it in its own time
            while "loaded bios.pxe as 172.22.9.205" not in dnsmasq.trace.sentence(KNOWN, 0):
                await asyncio.sleep(0.02)
        answers = await lan.craft(4, OTHER, 7, "PXEClient:Arch:00007:UNDI:003016")
        assert {one["server"] for one in answers} == {"172.22.9.2"}, "an unknown machine is not answered by us"
        assert dnsmasq.trace.refused(0) == [OTHER]


def test_ipv6_knows_no_proxy() -> None:
    with pytest.raises(errors.Invalid, match="DHCPv6 knows no proxy"):
        dhcp.plan("srv", "fd00:22:9::1/64", proxy=True)


async def test_over_ipv6(lan6: Lan, tmp_path: Path) -> None:
    net = dhcp.plan("srv", "fd00:22:9::1/64")
    url = "http://[fd00:22:9::1]:6386/boot/files"
    async with serving(net, tmp_path, KNOWN) as dnsmasq:
        (pxe,) = await lan6.craft(6, KNOWN, 7, "PXEClient:Arch:00007:UNDI:003016")
        assert pxe["file"] == "tftp://[fd00:22:9::1]/x64.efi"
        assert pxe["address"].startswith("fd00:22:9::1")
        assert f"{KNOWN} was offered {pxe['address']}" in dnsmasq.trace.sentence(KNOWN, 0)
        (http,) = await lan6.craft(6, KNOWN, 16, "HTTPClient:Arch:00016:UNDI:003016")
        assert http["file"] == f"{url}/x64.efi"
        # What UEFI firmware looks for, twelve digits in: the length of the class and the class (RFC 8415, 21.16).
        assert bytes.fromhex(http["class"])[4:] == b"\0\x0aHTTPClient"
        (arm64,) = await lan6.craft(6, KNOWN, 11, "PXEClient:Arch:00011:UNDI:003016")
        assert arm64["file"] == "tftp://[fd00:22:9::1]/arm64.efi"
        (ipxe,) = await lan6.craft(6, KNOWN, 7, "PXEClient:Arch:00007:UNDI:003016", "ipxe")
        assert ipxe["file"] == f"{url}/boot.ipxe"
        assert await lan6.craft(6, OTHER, 7, "PXEClient:Arch:00007:UNDI:003016") == []
        assert dnsmasq.trace.refused(0) == [OTHER]


def test_networks_of_ipv6_are_planned_around_the_host() -> None:
    net = dhcp.plan("br0", "fd00::1/64")
    assert (net.first, net.last, net.host, net.version) == ("fd00::1000", "fd00::1fff", "fd00::1", 6)
    assert dhcp.plan("br0", "fd00::1234/64").first == "fd00::2000", "beside the host's own address"
    with pytest.raises(errors.Invalid, match="cannot give machines their addresses"):
        dhcp.plan("br0", "fd00::1/120")
