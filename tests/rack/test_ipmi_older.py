"""The BMC with IPMI 1.5, as programs we did not write see it."""

from __future__ import annotations

import asyncio

import pytest

from ingot_rack import bmc
from ingot_rack.hardware import BootDevice, PowerState
from ingot_rack.ipmi import clear, wire
from rack.tools import PASSWORD, USER, Tool, run

pytestmark = pytest.mark.peer
NONE, MD5, STRAIGHT = 0, 2, 4


@pytest.fixture(autouse=True)
def older(front: bmc.Bmc) -> None:
    front.versions = frozenset({"1.5"})


@pytest.fixture
def lan(ipmi_port: int) -> Tool:
    async def call(*words: str, password: str = PASSWORD) -> tuple[int, str]:
        where = ("-I", "lan", "-H", "127.0.0.1", "-p", str(ipmi_port), "-U", USER, "-E", "-N", "1", "-R", "3")
        return await run("ipmitool", *where, *words, env={"IPMI_PASSWORD": password})

    return call


@pytest.mark.parametrize(("word", "code"), [("MD5", MD5), ("PASSWORD", STRAIGHT), ("NONE", NONE)])
async def test_ipmitool_drives_the_machine(lan: Tool, front: bmc.Bmc, word: str, code: int) -> None:
    front.codes = (code,)
    assert await lan("-A", word, "power", "status") == (0, "Chassis Power is off\n")
    assert (await lan("-A", word, "power", "on"))[0] == 0
    assert front.hardware.power is PowerState.ON
    await lan("-A", word, "chassis", "bootdev", "pxe")
    assert front.hardware.boot.device is BootDevice.NETWORK
    _, output = await lan("-A", word, "mc", "info")
    assert "IPMI Version              : 1.5" in output
    code, output = await lan("-A", word, "sdr", "list", "all")
    assert (code, "BMC n0" in output) == (0, True), output


async def test_ipmitool_goes_without_codes_after_the_login(lan: Tool, front: bmc.Bmc) -> None:
    front.vouched = False
    assert await lan("power", "status") == (0, "Chassis Power is off\n")


async def test_ipmitool_is_refused(lan: Tool, ipmitool: Tool, front: bmc.Bmc) -> None:
    code, output = await lan("power", "status", password="wrong")
    assert (code, "Activate Session" in output) == (1, True), output
    assert (await ipmitool("power", "status"))[0] == 1, "RMCP+ is not there"
    front.faults.sessions_full = True
    code, output = await lan("power", "status")
    assert (code, "Activate Session" in output) == (1, True), output
    front.faults.sessions_full, front.faults.lockout_after = False, 1
    await lan("power", "status", password="wrong")
    assert front.locked_out
    assert (await lan("power", "status"))[0] == 1


async def test_freeipmi_agrees(ipmi_port: int, front: bmc.Bmc) -> None:
    """It looks at every number and code that comes back."""
    where = ("-D", "LAN", "-h", f"127.0.0.1:{ipmi_port}", "-u", USER, "-p", PASSWORD)
    for words, codes in (("MD5", (MD5,)), ("STRAIGHT_PASSWORD_KEY", (STRAIGHT,)), ("NONE", (NONE,))):
        front.codes = codes
        code, output = await run("ipmi-chassis", *where, "-a", words, "--get-chassis-status")
        assert (code, "System Power                        : off" in output) == (0, True), output
    front.codes = (MD5, STRAIGHT)
    assert await run("ipmipower", *where, "-l", "ADMIN", "--on", "--wait-until-on") == (0, "127.0.0.1: ok\n")
    assert front.hardware.power is PowerState.ON
    code, output = await run("bmc-info", *where)
    assert (code, "IPMI Version          : 1.5" in output) == (0, True), output
    soon = ("--session-timeout", "2000", "--retransmission-timeout", "500")
    code, output = await run("ipmi-chassis", *where[:-1], "wrong", *soon, "--get-chassis-status")
    assert (code, "password" in output) == (1, True), output


async def test_both_versions_at_once(lan: Tool, ipmitool: Tool, front: bmc.Bmc) -> None:
    front.versions = frozenset({"1.5", "2.0"})
    both = await asyncio.gather(lan("power", "status"), ipmitool("power", "status"))
    assert both == [(0, "Chassis Power is off\n")] * 2


def test_the_window_of_a_session() -> None:
    one = clear.ClearSession(bmc_id=1, auth=MD5, key=bytes(16))
    seen = [one.fresh(number) for number in (1, 3, 2, 3, 12, 11, 21, 20, 4)]
    assert seen == [True, True, True, False, False, True, False, False, True], "8 ahead at most"


def test_a_changed_packet_is_dropped() -> None:
    one = clear.ClearSession(bmc_id=1, auth=MD5, key=b"k" * 16)
    packet = wire.parse_v15(one.seal(b"a message"))
    one.check(packet)
    other = wire.Clear(packet.auth, packet.sequence + 1, packet.session_id, packet.code, packet.message)
    with pytest.raises(wire.Malformed):
        one.check(other)
