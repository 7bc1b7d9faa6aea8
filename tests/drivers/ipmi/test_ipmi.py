"""The ipmi driver against the rack's BMC: contracts, settings, faults, and the sentence of each failure."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from drivers import place
from drivers.ipmi.single import Single
from ingot.domain import power
from ingot.interfaces.context import Context
from ingot.interfaces.management import BootDevice
from ingot_rack.hardware import BootDevice as Device
from ingot_rack.hardware import BootMode, PowerAction, PowerState


@pytest.mark.parametrize(("mode", "recorded"), [("uefi", BootMode.UEFI), ("bios", BootMode.BIOS)])
@pytest.mark.parametrize("persistent", [True, False])
async def test_boot_device_is_what_the_bmc_holds(
    site: place.Place, one: Single, mode: str, recorded: BootMode, persistent: bool
) -> None:
    ctx = await site.context("ipmi", one.info(), boot_mode=mode)
    for device, truth in ((BootDevice.PXE, Device.NETWORK), (BootDevice.DISK, Device.DISK)):
        await ctx.management.set_boot_device(ctx, device, persistent=persistent)
        held = one.machine.boot
        assert (held.device, held.persistent, held.mode) == (truth, persistent, recorded)


async def test_once_is_gone_after_a_boot(ctx: Context, one: Single) -> None:
    await ctx.management.set_boot_device(ctx, BootDevice.PXE, persistent=False)
    await ctx.power.set(ctx, power.Target.ON, 10)
    assert one.fleet.effects.all[-1].detail == Device.NETWORK
    await ctx.power.set(ctx, power.Target.REBOOT, 10)
    assert one.fleet.effects.all[-1].detail == Device.DISK


async def test_wrong_password(site: place.Place, one: Single) -> None:
    ctx = await site.context("ipmi", one.info(ipmi_password="not-the-password"))
    assert await place.refusal(ctx.power.get(ctx)) == (
        f"BMC {one.name} does not accept the password of the IPMI user 'admin'. "
        "Correct ipmi_password in driver_info (some BMCs say this for an unknown user, too)."
    )


async def test_wrong_user(site: place.Place, one: Single) -> None:
    ctx = await site.context("ipmi", one.info(ipmi_username="nobody"))
    assert await place.refusal(ctx.power.get(ctx)) == (
        f"BMC {one.name} says that it has no IPMI user 'nobody'. "
        "Check ipmi_username, and that this user is enabled for IPMI over LAN on the BMC; many BMCs say this of a user "
        "they have locked out after wrong passwords, too, for some minutes."
    )


async def test_wrong_address(site: place.Place, one: Single) -> None:
    """Nothing listens at this address of the same port: 127.61.0.200 is no BMC of the fleet."""
    ctx = await site.context("ipmi", one.info(ipmi_address="127.61.0.200"))
    began = time.monotonic()
    said = await place.refusal(ctx.power.get(ctx))
    assert said == (
        f"No IPMI answer from 127.61.0.200:{one.port} in 8 s. "
        "Check the address, that IPMI over LAN is enabled on the BMC, and that no firewall blocks its UDP port."
    )
    assert time.monotonic() - began < 15


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"ipmi_address": None}, "Missing the following IPMI credentials in node {uuid}'s driver_info: "
         "['ipmi_address']. Set it: ingot node set NODE driver_info.ipmi_address=... ."),
        ({"ipmi_port": "six"}, "driver_info ipmi_port must be a whole number, not 'six'. "
         "Correct it: ingot node set NODE driver_info.ipmi_port=... ."),
        ({"ipmi_port": 623.5}, "driver_info ipmi_port must be a whole number, not 623.5. "
         "Correct it: ingot node set NODE driver_info.ipmi_port=... ."),
        ({"ipmi_port": 70000}, "IPMI port 70000 is not between 1 and 65535. Change the request and send it again."),
        ({"ipmi_port": 0}, "IPMI port 0 is not between 1 and 65535. Change the request and send it again."),
        ({"ipmi_priv_level": "KING"}, "Invalid privilege level 'KING' in driver_info. "
         "One of: CALLBACK, USER, OPERATOR, ADMINISTRATOR."),
        ({"ipmi_hex_kg_key": "xyz"}, "driver_info ipmi_hex_kg_key is not hexadecimal. 40 hex digits."),
        ({"ipmi_hex_kg_key": "abcd"}, "The IPMI Kg key for 127.61.0.1 is not 20 bytes (40 hex digits). "
         "Change the request and send it again."),
        ({"ipmi_cipher_suite": 0}, "IPMI cipher suite 0 is not supported: it proves no password (0), encrypts by "
         "RC4, or is unknown. Use 17 or 3, by default the better one that the BMC has; known are 1, 2, 3, 6, 7, 8, 11, "
         "12, 15, 16, 17."),
        ({"ipmi_password": "x" * 21}, "The IPMI password for 127.61.0.1 is longer than 20 bytes. "
         "Change the request and send it again."),
    ],
)  # fmt: skip
async def test_bad_values(site: place.Place, one: Single, changes: dict[str, Any], sentence: str) -> None:
    ctx = await site.context("ipmi", one.info(**changes))
    wanted = sentence.format(uuid=ctx.node.uuid)
    for kind in (ctx.power, ctx.management):
        assert await place.refusal(kind.validate(ctx)) == wanted
    assert (await site.call("validate", ctx.node.uuid))["power"] == {"result": False, "reason": wanted}
    assert "x" * 21 not in wanted


async def test_privilege_in_small_letters(site: place.Place, one: Single) -> None:
    ctx = await site.context("ipmi", one.info(ipmi_priv_level="operator"))
    assert await ctx.power.get(ctx) == power.Power.OFF


async def test_a_slow_bmc_is_waited_for(ctx: Context, one: Single) -> None:
    one.break_it(power_seconds=2)
    began = time.monotonic()
    await ctx.power.set(ctx, power.Target.ON, 20)
    assert time.monotonic() - began >= 1.8
    assert one.machine.power == PowerState.ON


async def test_a_bmc_that_lies(ctx: Context, one: Single) -> None:
    """It says "off" for ever, so the order is given, and the wait ends with what to look at."""
    one.break_it(power_says="off")
    assert await place.refusal(ctx.power.set(ctx, power.Target.ON, 1)) == (
        f'The machine of BMC {one.name} accepted the order but its power was not "power on" within 1 s. '
        "Look at the machine; a soft power off needs an operating system that obeys."
    )
    assert one.machine.power == PowerState.ON


async def test_soft_off_of_a_stubborn_machine(ctx: Context, one: Single) -> None:
    await ctx.power.set(ctx, power.Target.ON, 10)
    one.break_it(power_stuck=True)
    assert await place.refusal(ctx.power.set(ctx, power.Target.SOFT_OFF, 1)) == (
        f'The machine of BMC {one.name} accepted the order but its power was not "power off" within 1 s. '
        "Look at the machine; a soft power off needs an operating system that obeys."
    )


async def test_soft_off_of_an_obedient_machine(ctx: Context, one: Single) -> None:
    await ctx.power.set(ctx, power.Target.ON, 10)
    await ctx.power.set(ctx, power.Target.SOFT_OFF, 10)
    assert one.machine.history == [PowerAction.ON, PowerAction.SOFT_OFF]


async def test_reboot_of_a_machine_that_is_off_starts_it(ctx: Context, one: Single) -> None:
    await ctx.power.set(ctx, power.Target.REBOOT, 10)
    assert one.machine.history == [PowerAction.ON]


async def test_nmi(ctx: Context, one: Single) -> None:
    said = await place.refusal(ctx.management.inject_nmi(ctx))
    assert said == (
        f"BMC {one.name} refused IPMI command 00/02 with code D5: the command is not possible in the present state. "
        "Check the peer's firmware and its own log."
    )
    await ctx.power.set(ctx, power.Target.ON, 10)
    await ctx.management.inject_nmi(ctx)
    assert one.machine.history[-1] == PowerAction.NMI


async def test_busy_answers_are_outwaited(ctx: Context, one: Single) -> None:
    assert await ctx.power.get(ctx) == power.Power.OFF
    one.break_it(busy_next=3)
    assert await ctx.power.get(ctx) == power.Power.OFF


async def test_lost_packets_are_sent_again(ctx: Context, one: Single) -> None:
    await ctx.power.get(ctx)
    one.break_it(drop_next=1)
    await ctx.power.set(ctx, power.Target.ON, 20)
    assert one.machine.history == [PowerAction.ON]


@pytest.mark.slow
async def test_full_session_table(site: place.Place, one: Single) -> None:
    one.break_it(sessions_full=True)
    ctx = await site.context("ipmi", one.info())
    assert await place.refusal(ctx.power.get(ctx)) == (
        f"BMC {one.name} refused the IPMI login: no free session (status 01). "
        "Close other IPMI sessions (a BMC often has only four), or reset the BMC."
    )
    one.break_it(sessions_full=False)
    assert await ctx.power.get(ctx) == power.Power.OFF


@pytest.mark.slow
async def test_a_silent_bmc_during_the_change(ctx: Context, one: Single) -> None:
    """It takes the order, then is deaf for longer than a login's patience, as some are while the power changes."""
    one.break_it(power_seconds=1)
    work = asyncio.create_task(ctx.power.set(ctx, power.Target.ON, 40))
    async with asyncio.timeout(10):
        while not one.bmc.in_transition:
            await asyncio.sleep(0.01)
    one.break_it(drop_rate=1.0)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(work), 13)
    one.break_it(drop_rate=0.0)
    await work
    assert one.machine.history == [PowerAction.ON]
