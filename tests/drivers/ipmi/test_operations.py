"""What the ipmi driver does beyond power: boot device and mode, sensors, event log, lamp, raw commands, bridging."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from drivers import place
from drivers.ipmi.single import Single
from ingot.domain import errors, power
from ingot.interfaces.context import Context
from ingot.interfaces.management import BootChoice, BootDevice, IndicatorState
from ingot.store import nodes
from ingot_rack import bmc as bmcs
from ingot_rack import simulated
from ingot_rack.hardware import BootDevice as Device
from ingot_rack.hardware import BootMode, PowerAction
from rack.tools import run

DISK_ALWAYS = {"persistent_boot_device": "disk"}


@pytest.mark.parametrize(
    ("fields", "mode"),
    [
        ({"properties": {"capabilities": "cpu_vt:true,boot_mode:uefi"}}, BootMode.UEFI),
        ({"instance_info": {"capabilities": {"boot_mode": "uefi"}}}, BootMode.UEFI),
        ({"instance_info": {"capabilities": '{"boot_mode": "uefi"}'}}, BootMode.UEFI),
        ({"instance_info": {"capabilities": {"secure_boot": "true"}}}, BootMode.UEFI),
        ({"properties": {"capabilities": "boot_mode:uefi"}, "boot_mode": "bios"}, BootMode.BIOS),
        ({}, BootMode.BIOS),
    ],
)
async def test_boot_flags_follow_the_boot_mode(
    site: place.Place, one: Single, fields: dict[str, Any], mode: BootMode
) -> None:
    ctx = await site.context("ipmi", one.info(), **fields)
    await ctx.management.set_boot_device(ctx, BootDevice.PXE, persistent=False)
    assert one.machine.boot.mode is mode


async def test_boot_mode(ctx: Context, one: Single) -> None:
    """Set with the device that is held; a cleared flag is not read as "bios", for many BMCs do not know it."""
    assert await ctx.management.get_boot_mode(ctx) is None
    await ctx.management.set_boot_device(ctx, BootDevice.DISK, persistent=False)
    await ctx.management.set_boot_mode(ctx, "uefi")
    assert await ctx.management.get_boot_mode(ctx) == "uefi"
    assert (one.machine.boot.device, one.machine.boot.persistent) == (Device.DISK, False)
    await ctx.management.set_boot_mode(ctx, "bios")
    assert one.machine.boot.mode is BootMode.BIOS
    assert await ctx.management.get_boot_mode(ctx) is None
    one.break_it(boot_forgotten=True)
    assert await place.refusal(ctx.management.set_boot_mode(ctx, "uefi")) == (
        f"BMC {one.name} took the boot mode uefi but does not keep it. Set it in the machine's firmware."
    )


async def test_a_boot_device_that_is_not_kept(site: place.Place, one: Single) -> None:
    one.break_it(boot_forgotten=True)
    ctx = await site.context("ipmi", one.info())
    assert await place.refusal(ctx.management.set_boot_device(ctx, BootDevice.PXE, persistent=False)) == (
        f"BMC {one.name} accepted the boot device pxe but says that it holds none. Update or reset the BMC; if the "
        "machine boots right all the same, set driver_info ipmi_verify_boot_device to false."
    )
    trusting = await site.context("ipmi", one.info(ipmi_verify_boot_device="false"))
    await trusting.management.set_boot_device(trusting, BootDevice.PXE, persistent=False)


async def test_supermicro_boots_a_uefi_disk_by_its_own_selector(site: place.Place, one: Single) -> None:
    one.bmc.maker = 10876
    ctx = await site.context("ipmi", one.info(), boot_mode="uefi")
    await ctx.management.set_boot_device(ctx, BootDevice.DISK, persistent=True)
    assert one.machine.boot.device is Device.DISK
    told_otherwise = await site.context("ipmi", one.info(), boot_mode="uefi", properties={"vendor": "acme"})
    with pytest.raises(errors.Misbehaved, match="holds none"):
        await told_otherwise.management.set_boot_device(told_otherwise, BootDevice.DISK, persistent=True)


async def test_a_forgetful_bmc_is_told_before_each_power_on(site: place.Place, one: Single) -> None:
    """ipmi_force_boot_device: "always" is our own memory, the BMC is told each time; "once" comes in between."""
    ctx = await site.context("ipmi", one.info(ipmi_force_boot_device="true"))
    await ctx.management.set_boot_device(ctx, BootDevice.CDROM, persistent=True)
    assert not one.machine.boot.persistent
    assert await ctx.management.get_boot_device(ctx) == BootChoice(BootDevice.CDROM, True)
    started: list[str] = []
    for _ in range(2):
        ctx = await site.again(ctx)
        await ctx.power.set(ctx, power.Target.REBOOT, 10)
        started.append(one.fleet.effects.all[-1].detail)
    await ctx.management.set_boot_device(ctx, BootDevice.PXE, persistent=False)
    for _ in range(2):
        ctx = await site.again(ctx)
        await ctx.power.set(ctx, power.Target.REBOOT, 10)
        started.append(one.fleet.effects.all[-1].detail)
    assert started == [Device.CD, Device.CD, Device.NETWORK, Device.CD]


async def test_a_node_that_must_not_be_off_is_reset(site: place.Place, one: Single) -> None:
    ctx = await site.context("ipmi", one.info(), disable_power_off=True)
    await ctx.power.set(ctx, power.Target.REBOOT, 10)
    await ctx.power.set(ctx, power.Target.REBOOT, 10)
    assert one.machine.history == [PowerAction.ON, PowerAction.RESET]
    with pytest.raises(errors.NotSupported, match="no soft reboot"):
        await ctx.power.set(ctx, power.Target.SOFT_REBOOT, 10)


def as_ironic_parses(output: str) -> dict[str, dict[str, dict[str, str]]]:
    """What Ironic makes of ``ipmitool sdr -v``: a mapping per sensor, by the first word of its type, then by its id."""
    found: dict[str, dict[str, dict[str, str]]] = {}
    for block in output.split("\n\n"):
        pairs = [line.split(":") for line in block.splitlines()]
        one = {pair[0].strip(): pair[1].strip() for pair in pairs if len(pair) == 2}
        kinds = [one[key] for key in ("Sensor Type (Discrete)", "Sensor Type (Threshold)") if key in one]
        if "Sensor Reading" in one and kinds:
            found.setdefault(kinds[0].split(" ", 1)[0], {})[one["Sensor ID"]] = one
    return found


async def test_sensors_are_those_of_ironic_with_ipmitool(ctx: Context, one: Single) -> None:
    await ctx.power.set(ctx, power.Target.ON, 10)
    ours = await ctx.management.get_sensors(ctx)
    where = ("-H", one.address, "-p", str(one.port), "-U", "admin", "-P", one.fleet.plan.password)
    code, output = await run("ipmitool", "-I", "lanplus", *where, "sdr", "-v")
    assert code == 0
    theirs = as_ironic_parses(output)
    compared = 0
    for kind, group in theirs.items():
        for ident, their in group.items():
            if "No Reading" in their["Sensor Reading"] or "Drive" in ident:
                continue  # ours leaves out what has no reading, and counts the three drives of the shared record
            our = ours[kind][ident]
            assert our["Entity ID"] == their["Entity ID"]
            if "Sensor Type (Threshold)" in their:
                reading, unit = their["Sensor Reading"].split(" ", 1)[0], their["Sensor Reading"].split(") ")[-1]
                assert our["Sensor Reading"].removesuffix(" per minute") == f"{reading} {unit}"
                limits = [key for key in their if key.startswith(("Upper ", "Lower "))]
                assert {key: our.get(key) for key in limits} == {key: their[key] for key in limits}
            compared += 1
    assert compared == 16
    assert ours["Temperature"]["Inlet Temp (0x2)"]["Status"] == "lower non-critical"
    assert ours["Power"]["PS1 Status (0xe)"]["States Asserted"] == "present"
    assert {"Drive 1 (0x11)", "Drive 2 (0x12)", "Drive 3 (0x13)"} == set(ours["Drive"])


async def test_event_log(ctx: Context, one: Single) -> None:
    await ctx.management.clear_events(ctx)
    await ctx.power.set(ctx, power.Target.ON, 10)
    raw = "0x0a 0x44 0 0 0x02 0 0 0 0 0x20 0 0x04 {} 0xff 0xff"
    for event in ("0x01 0x01 0x01 0x59", "0x01 0x01 0x81 0x59", "0x08 0x0e 0x6f 0x01"):
        answer = await ctx.interface("vendor").call(ctx, "query_raw", {"raw_bytes": raw.format(event)})
        assert answer["completion_code"] == "0x00", answer
    entries = await ctx.management.list_events(ctx)
    assert [(one.id, one.severity, one.source, one.message) for one in entries] == [
        ("1", None, "Power Unit sensor 0x70", "no longer: power off"),
        ("2", "Critical", "Temperature CPU Temp", "above the upper critical limit"),
        ("3", "OK", "Temperature CPU Temp", "no longer above the upper critical limit"),
        ("4", None, "Power Supply PS1 Status", "failure"),
    ]
    assert all(one.at and one.at.startswith("20") for one in entries)
    await ctx.management.clear_events(ctx)
    assert await ctx.management.list_events(ctx) == []


async def test_identify_lamp(ctx: Context) -> None:
    assert set(await ctx.management.list_indicators(ctx)) == {"chassis"}
    for state in (IndicatorState.ON, IndicatorState.OFF):
        await ctx.management.set_indicator(ctx, "chassis", "identify", state)
        assert await ctx.management.get_indicator(ctx, "chassis", "identify") == state
    with pytest.raises(errors.Invalid, match="cannot be blinking"):
        await ctx.management.set_indicator(ctx, "chassis", "identify", IndicatorState.BLINKING)
    with pytest.raises(errors.NotFound, match="no indicator led@disk"):
        await ctx.management.get_indicator(ctx, "disk", "led")


async def test_raw_commands(ctx: Context) -> None:
    vendor = ctx.interface("vendor")
    assert {name: (told.waits, told.http_methods) for name, told in vendor.methods.items()} == {
        "send_raw": (False, ("POST",)),
        "bmc_reset": (False, ("POST",)),
        "query_raw": (True, ("POST",)),
    }
    assert await vendor.call(ctx, "query_raw", {"raw_bytes": "0x00 0x01"}) == {
        "completion_code": "0x00",
        "meaning": "success",
        "data": "0x00 0x00 0x40 0x00",
    }
    answer = await vendor.call(ctx, "query_raw", {"raw_bytes": [0x30, 1]})
    assert answer == {"completion_code": "0xc1", "meaning": "the BMC does not know this command", "data": ""}
    assert await vendor.call(ctx, "send_raw", {"raw_bytes": "0x00 0x02 0x01"}) is None
    assert await ctx.power.get(ctx) == power.Power.ON
    with pytest.raises(errors.NotSupported, match="code C1"):
        await vendor.call(ctx, "send_raw", {"raw_bytes": "0x30 0x01"})
    for bad in ({}, {"raw_bytes": "0x00"}, {"raw_bytes": "0x01 0x02"}, {"raw_bytes": "six"}, {"raw_bytes": [6, 256]}):
        with pytest.raises(errors.Invalid, match="raw_bytes"):
            await vendor.call(ctx, "send_raw", bad)


@pytest.mark.parametrize(("body", "command"), [({}, 3), ({"warm": True}, 3), ({"warm": "False"}, 2)])
async def test_bmc_reset(ctx: Context, one: Single, body: dict[str, Any], command: int) -> None:
    """It is sent once, and the driver logs in again when the BMC is back after two seconds."""
    await ctx.interface("vendor").call(ctx, "bmc_reset", body)
    assert await ctx.power.get(ctx) == power.Power.OFF
    assert one.bmc.resets == [command]


async def test_a_node_behind_the_bmc(site: place.Place, one: Single) -> None:
    """Two nodes of one enclosure: the BMC itself, and a controller behind it; they share the BMC's session."""
    facts = dataclasses.replace(one.machine.facts, name="blade")
    blade = bmcs.Bmc(simulated.Simulated(facts), "not", "used")
    one.bmc.satellites[6, 0x72] = blade
    way = {"ipmi_bridging": "single", "ipmi_target_channel": "6", "ipmi_target_address": "0x72"}
    front, behind = await site.context("ipmi", one.info()), await site.context("ipmi", one.info(**way))
    await behind.power.set(behind, power.Target.ON, 10)
    assert (await front.power.get(front), await behind.power.get(behind)) == (power.Power.OFF, power.Power.ON)
    await behind.management.set_boot_device(behind, BootDevice.PXE, persistent=True)
    assert (one.machine.boot.device, blade.hardware.boot.device) == (Device.NONE, Device.NETWORK)
    assert front.kit.ipmi.kept_sessions == 1


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"ipmi_protocol_version": "1"}, "Invalid IPMI protocol version '1' in driver_info. "
         'It can be "2.0", or "1.5" for a BMC that has nothing better.'),
        ({"ipmi_protocol_version": "1.5", "ipmi_password": "seventeen letters"}, "The IPMI password for 127.61.0.1 is "
         "longer than 16 bytes, all that IPMI 1.5 has. Give the user a shorter password on the BMC, or use IPMI 2.0."),
        ({"ipmi_bridging": "triple"}, "Invalid value for ipmi_bridging: 'triple'. One of: "
         '"no", "single", "dual".'),
        ({"ipmi_bridging": "dual", "ipmi_target_channel": 0, "ipmi_target_address": "0x20"},
         "['ipmi_transit_channel', 'ipmi_transit_address'] not provided. ipmi_bridging \"dual\" needs them."),
        ({"ipmi_bridging": "single", "ipmi_target_channel": 16, "ipmi_target_address": 0},
         "An IPMI bridging channel is over 15, or an address is over 255. Change the request and send it again."),
        ({"ipmi_force_boot_device": "perhaps"}, "driver_info ipmi_force_boot_device must be true or false, not "
         "'perhaps'. Correct it: ingot node set NODE driver_info.ipmi_force_boot_device=... ."),
        ({"ipmi_address": "under the desk"}, 'Invalid IPMI address "under the desk" for node {uuid}. Must be a valid '
         "IP address or hostname. Set it: ingot node set NODE driver_info.ipmi_address=... ."),
    ],
)  # fmt: skip
async def test_bad_values(site: place.Place, one: Single, changes: dict[str, Any], sentence: str) -> None:
    ctx = await site.context("ipmi", one.info(**changes))
    assert await place.refusal(ctx.management.validate(ctx)) == sentence.format(uuid=ctx.node.uuid)


async def test_no_console_over_ipmi_1_5(site: place.Place, one: Single) -> None:
    ctx = await site.context("ipmi", one.info(ipmi_protocol_version="1.5"), console_interface="ipmi-sol")
    assert await place.refusal(ctx.interface("console").validate(ctx)) == (
        "Serial over LAN came with IPMI 2.0, and driver_info has ipmi_protocol_version 1.5. Choose the console "
        "interface no-console; or remove ipmi_protocol_version if the BMC has IPMI 2.0."
    )


async def test_good_values_of_an_ironic_record(site: place.Place, one: Single) -> None:
    """As Ironic's clients write them: numbers as text, interfaces by its names."""
    more = {"ipmi_protocol_version": "2.0", "ipmi_port": str(one.port), "ipmi_terminal_port": "10023"}
    more |= {"ipmi_hex_kg_key": "6b" * 20, "ipmi_bridging": "no", "ipmi_disable_boot_timeout": "False"}
    one.bmc.kg = b"k" * 20
    names = dict.fromkeys(("power_interface", "management_interface", "vendor_interface"), "ipmitool")
    ctx = await site.context("ipmi", one.info(**more), **names)
    for kind in (ctx.power, ctx.management, ctx.interface("vendor")):
        await kind.validate(ctx)
    assert await ctx.power.get(ctx) == power.Power.OFF
    row = await site.deps.store.read(nodes.get, ctx.node.uuid)
    assert "6b6b" not in str(row), "the Kg key is sealed"
    silent = await site.context("ipmi", one.info(), management_interface="noop")
    await silent.management.set_boot_device(silent, BootDevice.PXE, persistent=True)
    assert await silent.management.get_boot_device(silent) == BootChoice(None, None)
