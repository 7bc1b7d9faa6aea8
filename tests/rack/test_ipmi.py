"""The IPMI BMC, as programs we did not write see it, and its faults."""

from __future__ import annotations

import asyncio
import time

import pytest

import programs
from ingot_rack import bmc, hardware, simulated
from ingot_rack.hardware import BootDevice, BootMode, BootOverride, PowerState
from ingot_rack.ipmi import server as ipmi
from ingot_rack.ipmi import suites, wire
from rack.tools import PASSWORD, USER, Tool, run, until

pytestmark = pytest.mark.peer


@pytest.mark.parametrize("suite", ["3", "17"])
async def test_ipmitool_drives_the_power(ipmitool: Tool, front: bmc.Bmc, suite: str) -> None:
    assert await ipmitool("-C", suite, "power", "status") == (0, "Chassis Power is off\n")
    assert (await ipmitool("-C", suite, "power", "on"))[0] == 0
    assert front.hardware.power is PowerState.ON
    assert await ipmitool("-C", suite, "power", "status") == (0, "Chassis Power is on\n")
    for word in ("reset", "cycle", "diag", "soft"):
        code, output = await ipmitool("-C", suite, "power", word)
        assert code == 0, output
    assert front.hardware.power is PowerState.OFF


@pytest.mark.parametrize("suite", ["1", "2", "15", "16"])
async def test_ipmitool_goes_without_what_a_suite_lacks(ipmitool: Tool, front: bmc.Bmc, suite: str) -> None:
    code, output = await ipmitool("-C", suite, "power", "status")
    assert code != 0, "a BMC does not offer it unless told to"
    assert "no matching cipher suite" in output
    front.suites = frozenset({int(suite)})
    assert await ipmitool("-C", suite, "power", "status") == (0, "Chassis Power is off\n")
    assert (await ipmitool("-C", suite, "power", "on"))[0] == 0
    assert front.hardware.power is PowerState.ON
    assert (await ipmitool("-C", suite, "power", "status", password="wrong"))[0] != 0


async def test_ipmitool_needs_no_cipher_suite_given(ipmitool: Tool) -> None:
    began = time.monotonic()
    code, output = await ipmitool("chassis", "status")
    assert (code, "System Power         : off" in output) == (0, True)
    assert time.monotonic() - began < 5, "the cipher suite query went unanswered: ipmitool waits 10 s then"


async def test_suite_0_is_refused(ipmitool: Tool) -> None:
    code, output = await ipmitool("-C", "0", "power", "status")
    assert code != 0
    assert "no matching cipher suite" in output


@pytest.mark.parametrize("word", ["diag", "reset", "cycle"])
async def test_what_needs_power_is_refused_without_it(ipmitool: Tool, word: str) -> None:
    code, output = await ipmitool("power", word)
    assert code != 0
    assert "not supported in present state" in output


async def test_boot_device_once_and_persistent(ipmitool: Tool, front: bmc.Bmc) -> None:
    await ipmitool("chassis", "bootdev", "pxe", "options=efiboot")
    assert front.hardware.boot == BootOverride(BootDevice.NETWORK, persistent=False, mode=BootMode.UEFI)
    _, output = await ipmitool("chassis", "bootparam", "get", "5")
    assert "Force PXE" in output
    assert "only next boot" in output
    await ipmitool("power", "on")
    assert front.hardware.boot == BootOverride(), "a once-only device is used up by the boot"
    await ipmitool("chassis", "bootdev", "disk", "options=persistent")
    await ipmitool("power", "cycle")
    assert front.hardware.boot.device is BootDevice.DISK
    _, output = await ipmitool("chassis", "bootparam", "get", "5")
    assert "all future boots" in output


async def test_identity(ipmitool: Tool) -> None:
    _, output = await ipmitool("mc", "info")
    assert "IPMI Version              : 2.0" in output
    _, output = await ipmitool("mc", "guid")
    assert "7b0f4d8e-6c3a-4c55-9f1e-0d7e3a1b2c3d" in output
    code, output = await ipmitool("fru")
    assert (code, "SN-77" in output) == (0, True), output
    code, output = await ipmitool("sdr", "list", "all")
    assert (code, "BMC n0" in output) == (0, True), output
    code, output = await ipmitool("raw", "0x30", "0x01")
    assert (code, "rsp=0xc1" in output) == (1, True), "an unknown command has a completion code"


async def test_mc_reset_ends_sessions_and_comes_back(ipmitool: Tool) -> None:
    assert (await ipmitool("mc", "reset", "cold"))[0] == 0
    code, _ = await ipmitool("-R", "8", "power", "status")
    assert code == 0


_PYGHMI = """
import sys
from pyghmi.ipmi import command
where = dict(bmc="127.0.0.1", port=int(sys.argv[1]), userid=sys.argv[2], password=sys.argv[3], privlevel=4)
bmc = command.Command(**where)
assert bmc.get_power() == {"powerstate": "off"}
bmc.set_bootdev("network", uefiboot=True)
assert bmc.get_bootdev() == {"bootdev": "network", "persistent": False, "uefimode": True}
assert bmc.set_power("on", wait=10) == {"powerstate": "on"}
assert bmc.get_bootdev()["bootdev"] == "default"
assert dict(bmc.get_inventory())["System"]["Serial Number"] == "SN-77"
print("pyghmi is content")
"""


async def test_pyghmi_agrees(ipmi_port: int) -> None:
    code, output = await run(programs.peer(), "-W", "ignore", "-c", _PYGHMI, str(ipmi_port), USER, PASSWORD)
    assert (code, output) == (0, "pyghmi is content\n")


async def test_freeipmi_agrees(ipmi_port: int, front: bmc.Bmc) -> None:
    front.suites = frozenset(one.number for one in suites.SUITES)
    for suite in map(str, sorted(front.suites)):
        where = ("-D", "LAN_2_0", "-I", suite, "-h", f"127.0.0.1:{ipmi_port}", "-u", USER, "-p", PASSWORD)
        assert await run("ipmipower", *where, "-l", "ADMIN", "--on", "--wait-until-on") == (0, "127.0.0.1: ok\n")
        assert await run("ipmipower", *where, "--stat") == (0, "127.0.0.1: on\n")
        code, output = await run("ipmi-chassis", *where, "--get-chassis-status")
        assert (code, "System Power                        : on" in output) == (0, True)
        assert (await run("ipmipower", *where, "-l", "ADMIN", "--off"))[0] == 0
        assert front.hardware.power is PowerState.OFF


async def test_wrong_password_and_lockout(ipmitool: Tool, front: bmc.Bmc) -> None:
    front.faults.lockout_after = 2
    async with asyncio.timeout(20):
        while not front.locked_out:  # the BMC sees a failed login when the console has been silent for a second
            code, _ = await ipmitool("power", "status", password="wrong")
            assert code != 0
            await asyncio.sleep(0.5)
    code, output = await ipmitool("-v", "power", "status")
    assert code != 0, "the right password does not help while the account is locked"
    assert "unauthorized name" in output.lower()


async def test_lost_packets_are_survived(ipmitool: Tool, front: bmc.Bmc) -> None:
    front.faults.drop_next = 2
    code, output = await ipmitool("-R", "5", "power", "status")
    assert (code, output.endswith("is off\n")) == (0, True)
    assert front.faults.drop_next == 0


async def test_full_session_table(ipmitool: Tool, front: bmc.Bmc) -> None:
    front.faults.sessions_full = True
    code, output = await ipmitool("power", "status")
    assert code != 0
    assert "insufficient resources" in output


async def test_slow_stuck_and_lying_power(ipmitool: Tool, front: bmc.Bmc) -> None:
    front.faults.power_seconds = 0.5
    ordering = asyncio.create_task(ipmitool("power", "on"))
    await until(lambda: front.in_transition, what="the order")
    assert front.hardware.power is PowerState.OFF
    await until(lambda: front.hardware.power is PowerState.ON, what="the end of the slow power change")
    assert (await ordering)[0] == 0
    front.faults.change({"power_seconds": 0, "power_stuck": True})
    assert (await ipmitool("power", "off"))[0] == 0
    assert front.hardware.power is PowerState.ON
    front.faults.change({"power_says": "off"})
    assert (await ipmitool("power", "status"))[1] == "Chassis Power is off\n"


async def test_a_repeated_request_acts_once(facts: hardware.Facts) -> None:
    """A delayed answer makes the client repeat the command; the machine must be cycled once."""
    machine = simulated.Simulated(facts, delay=2.5)
    server = ipmi.Server({"127.0.0.1": bmc.Bmc(machine, USER, PASSWORD)}, 0)
    port = await server.start()
    where = ("-I", "lanplus", "-H", "127.0.0.1", "-p", str(port), "-U", USER, "-P", PASSWORD, "-N", "1", "-R", "4")
    code, output = await run("ipmitool", *where, "power", "on")
    assert code == 0, output
    await until(lambda: not server.busy, what="the end of all commands")
    assert server.packets > 10, "the command was repeated"
    assert len(machine.history) == 1
    await server.close()


def test_aes_payloads_round_trip_and_bad_pads_are_found() -> None:
    key = bytes(range(16))
    for length in range(40):
        assert suites.decrypt(key, suites.encrypt(key, bytes(length))) == bytes(length)
    with pytest.raises(suites.BadPadding):
        suites.decrypt(bytes(16), suites.encrypt(key, b"other key" * 5))


@pytest.mark.parametrize("junk", [b"", b"\x06\x00\xff\x07", b"\x06\x00\xff\x07\x06" + bytes(9), b"\xff" * 60])
async def test_junk_is_dropped_silently(ipmi_port: int, ipmitool: Tool, junk: bytes) -> None:
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        asyncio.DatagramProtocol, remote_addr=("127.0.0.1", ipmi_port)
    )
    transport.sendto(junk)
    transport.close()
    assert (await ipmitool("power", "status"))[0] == 0


def test_checksums_guard_messages() -> None:
    good = wire.build_response(wire.Request(6, 1, b""), 0)
    with pytest.raises(wire.Malformed):
        wire.parse_request(b"\x20" + good[1:-1] + b"\x00")


async def test_freeipmi_reads_the_inventory(ipmi_port: int) -> None:
    where = ("-D", "LAN_2_0", "-h", f"127.0.0.1:{ipmi_port}", "-u", USER, "-p", PASSWORD)
    code, output = await run("ipmi-fru", *where, "--sdr-cache-recreate", "--quiet-cache")
    assert (code, "SN-77" in output) == (0, True), output
    code, output = await run("bmc-info", *where)
    assert (code, "IPMI Version          : 2.0" in output) == (0, True), output
    code, output = await run("ipmi-sel", *where)
    assert code == 0, output
    code, output = await run("ipmi-chassis-config", *where, "-l", "ADMIN", "--checkout", "-S", "Chassis_Boot_Flags")
    assert (code, "Boot_Device" in output) == (0, True), output
