"""A real dnsmasq in a network namespace of its own, asked by BusyBox's udhcpc and tftp."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import socket
import time
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import pytest

from ingot.domain import errors
from ingot.netboot import dhcp
from ingot.netboot.dnsmasq import Dnsmasq, Health
from ingot.netboot.trace import Stage, Trace
from netboot.lan import ForeignDhcp, Lan

KNOWN, OTHER = "52:54:00:ee:00:01", "52:54:00:ee:00:02"


class Served:
    """A running dnsmasq with all its reports on health."""

    def __init__(self, lan: Lan, state: Path) -> None:
        self.lan = lan
        self.reports: list[Health] = []
        self.net = dhcp.plan("srv", "172.22.9.1/24", gateway="172.22.9.1")
        self.dnsmasq = Dnsmasq(self.net, state, "http://172.22.9.1:6385", self.reports.append)

    @contextlib.asynccontextmanager
    async def running(self, *macs: str) -> AsyncGenerator[Dnsmasq]:
        self.dnsmasq.prepare(macs)
        task = asyncio.create_task(self.dnsmasq.run())
        try:
            await self.dnsmasq.wait_ready()
            yield self.dnsmasq
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def until(true: Callable[[], bool], seconds: float = 15) -> None:
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.02)


@pytest.fixture
def served(lan: Lan, tmp_path: Path) -> Served:
    return Served(lan, tmp_path / "dnsmasq")


async def test_known_machines_get_an_address_and_their_loader(served: Served) -> None:
    began = time.time()
    async with served.running(KNOWN) as dnsmasq:
        assert "no DHCP request seen from" in dnsmasq.trace.sentence(KNOWN, began)
        bios = await served.lan.ask(KNOWN, "-V", "PXEClient:Arch:00000", "-x", "0x5d:0000")
        assert bios is not None
        assert "boot_file=bios.pxe" in bios
        assert "siaddr=172.22.9.1" in bios
        assert "router=172.22.9.1" in bios
        uefi = await served.lan.ask(KNOWN, "-V", "PXEClient:Arch:00007", "-x", "0x5d:0007")
        assert uefi is not None
        assert "boot_file=x64.efi" in uefi
        http = await served.lan.ask(KNOWN, "-V", "HTTPClient:Arch:00016", "-x", "0x5d:0010")
        assert http is not None
        assert "boot_file=http://172.22.9.1:6385/boot/files/x64.efi" in http
        again = await served.lan.ask(KNOWN, "-x", "0x5d:0007", "-x", "0xaf:b10104")
        assert again is not None
        assert "boot_file=boot.ipxe" in again
        event = dnsmasq.trace.find(KNOWN)
        assert event is not None
        assert event.stage is Stage.IPXE
        assert event.address == again.split()[0].removeprefix("ip=")


async def test_the_trace_follows_a_boot(served: Served) -> None:
    began = time.time()
    async with served.running(KNOWN) as dnsmasq:
        lease = await served.lan.ask(KNOWN, "-x", "0x5d:0000")
        assert lease is not None
        address = lease.split()[0].removeprefix("ip=")
        assert f"{KNOWN} got the address {address}, but did not load its boot program" in dnsmasq.trace.sentence(
            KNOWN, began
        )
        loader = await served.lan.tftp("bios.pxe", address)
        assert loader == (dnsmasq.tftp_root / "bios.pxe").read_bytes()
        await until(lambda: "loaded bios.pxe" in dnsmasq.trace.sentence(KNOWN, began))
        script = await served.lan.tftp("boot.ipxe", address)
        assert b"http://172.22.9.1:6385/boot/ipxe/${netX/mac}" in script
        await until(lambda: "first iPXE script" in dnsmasq.trace.sentence(KNOWN, began))


async def test_unknown_machines_are_not_answered_until_added_nor_after_removal(served: Served) -> None:
    async with served.running(KNOWN) as dnsmasq:
        assert await served.lan.ask(OTHER) is None
        event = dnsmasq.trace.find(OTHER)
        assert event is not None
        assert event.stage is Stage.IGNORED
        assert dnsmasq.trace.refused(event.at) == [OTHER]
        assert dnsmasq.trace.refused(event.at + 1) == []
        dnsmasq.add(OTHER)
        assert await served.lan.ask(OTHER, tries=4) is not None
        await dnsmasq.remove([OTHER])
        await dnsmasq.wait_ready()
        assert await served.lan.ask(OTHER) is None
        assert await served.lan.ask(KNOWN) is not None
    assert [health.running for health in served.reports] == [True, False]


async def test_a_killed_dnsmasq_comes_back_and_is_reported(served: Served) -> None:
    async with served.running(KNOWN) as dnsmasq:
        for _ in range(3):
            pid = dnsmasq.pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            await until(lambda before=pid: dnsmasq.pid not in (None, before) and dnsmasq.health.running)
        assert await served.lan.ask(KNOWN) is not None
    deaths = [health.reason for health in served.reports if not health.running][:-1]
    assert len(deaths) == 3
    assert all("dnsmasq ended" in reason for reason in deaths)


async def test_a_host_that_can_start_no_program_for_a_while_is_asked_again(served: Served) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with served.running(KNOWN) as dnsmasq:
        assert dnsmasq.pid is not None
        os.kill(dnsmasq.pid, signal.SIGKILL)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        try:
            await until(lambda: "dnsmasq cannot be started: Too many open files" in dnsmasq.health.reason)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        await until(lambda: dnsmasq.health.running)
        assert await served.lan.ask(KNOWN) is not None


async def test_a_predecessor_left_by_a_killed_service_is_ended(served: Served) -> None:
    served.dnsmasq.prepare([KNOWN])
    orphan = await asyncio.create_subprocess_exec(
        *("dnsmasq", "--keep-in-foreground", f"--conf-file={served.dnsmasq.state}/dnsmasq.conf"),
        stderr=asyncio.subprocess.DEVNULL,
    )
    await until((served.dnsmasq.state / "dnsmasq.pid").exists)
    async with served.running(KNOWN):
        assert await orphan.wait() == -signal.SIGKILL
        assert await served.lan.ask(KNOWN) is not None


async def test_a_taken_port_is_one_clear_sentence(served: Served) -> None:
    served.dnsmasq.prepare()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("0.0.0.0", 67))
        with pytest.raises(errors.Conflict) as caught:
            async with asyncio.timeout(20):
                await served.dnsmasq.run()
    assert "DHCP or TFTP on srv is taken by another program" in caught.value.sentence()
    assert "Stop the other DHCP server" in caught.value.sentence()


async def test_a_wrong_interface_is_one_clear_sentence(lan: Lan, tmp_path: Path) -> None:
    dnsmasq = Dnsmasq(dhcp.plan("nosuch0", "172.22.9.1/24"), tmp_path, "http://172.22.9.1:6385")
    dnsmasq.prepare()
    with pytest.raises(errors.Invalid, match="no network interface nosuch0"):
        async with asyncio.timeout(20):
            await dnsmasq.run()


async def test_a_foreign_dhcp_server_that_answers_first_is_seen(served: Served, tmp_path: Path) -> None:
    began = time.time()
    async with ForeignDhcp(served.lan, tmp_path), served.running(KNOWN) as dnsmasq:
        assert dnsmasq.pid is not None
        os.kill(dnsmasq.pid, signal.SIGSTOP)  # so that the other one is the first for certain
        lease = await served.lan.ask(KNOWN, "-x", "0x5d:0000")
        os.kill(dnsmasq.pid, signal.SIGCONT)
        assert lease is not None
        address = lease.split()[0].removeprefix("ip=")
        assert address.startswith("172.22.9.2")
        words = f"{KNOWN} took the address {address} from another DHCP server of this network"
        await until(lambda: words in dnsmasq.trace.sentence(KNOWN, began))


def test_ten_thousand_machines_do_not_grow_the_trace_without_bound() -> None:
    trace = Trace()
    for number in range(25_000):
        mac = f"52:54:{number >> 24:02x}:{number >> 16 & 255:02x}:{number >> 8 & 255:02x}:{number & 255:02x}"
        trace.feed(f"dnsmasq-dhcp: {number} DHCPDISCOVER(br0) {mac} ", float(number))
    assert trace.find("52:54:00:00:00:00") is None
    assert trace.find("52:54:00:00:61:a7") is not None


def test_foreign_lines_are_passed_over() -> None:
    trace = Trace()
    for line in ("", "dnsmasq: started", "DHCPACK(", "x tags: ipxe", "dnsmasq-tftp: sent /a to 10.0.0.1"):
        assert trace.feed(line, 1.0) is None
