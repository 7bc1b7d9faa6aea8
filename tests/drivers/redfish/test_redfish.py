"""The redfish driver against the rack's BMC over http and TLS: contracts, settings, faults, exact sentences."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from drivers import place
from ingot.domain import power
from ingot.interfaces.context import Context
from ingot.interfaces.management import BootChoice, BootDevice
from ingot_rack import bmc, hardware, simulated
from ingot_rack import fleet as fleets
from ingot_rack.hardware import BootDevice as Device
from ingot_rack.hardware import BootMode, PowerAction, PowerState
from ingot_rack.redfish import server, tls, tree

PASSWORD = "rack-password"
WHERE = "127.62.0.1"


@pytest.fixture
async def fleet() -> AsyncIterator[fleets.Fleet]:
    one = fleets.Fleet(fleets.Plan(redfish=1, first=WHERE, password=PASSWORD))
    await one.start()
    yield one
    await one.close()


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[place.Place]:
    async with place.opened(tmp_path) as opened:
        yield opened


def info(fleet: fleets.Fleet, **changes: Any) -> dict[str, Any]:
    values = {
        "redfish_address": f"http://{WHERE}:{fleet.ports['redfish']}",
        "redfish_username": "admin",
        "redfish_password": PASSWORD,
    } | changes
    return {key: value for key, value in values.items() if value is not None}


def name(fleet: fleets.Fleet) -> str:
    return f"{WHERE}:{fleet.ports['redfish']}"


def machine(fleet: fleets.Fleet) -> Any:
    return fleet.machines["sim-00000"]


def faults(fleet: fleets.Fleet) -> Any:
    return fleet.bmcs["sim-00000"].faults


@pytest.fixture
async def ctx(site: place.Place, fleet: fleets.Fleet) -> Context:
    return await site.context("redfish", info(fleet))


@pytest.mark.parametrize("auth", [None, "session", "basic", "Basic"])
@pytest.mark.parametrize("system", [None, tree.SYSTEM, "1"])
async def test_ways_to_log_in_and_to_name_the_system(
    site: place.Place, fleet: fleets.Fleet, auth: str | None, system: str | None
) -> None:
    ctx = await site.context("redfish", info(fleet, redfish_auth_type=auth, redfish_system_id=system))
    await ctx.power.set(ctx, power.Target.ON, 10)
    assert machine(fleet).power == PowerState.ON
    assert await ctx.power.get(ctx) == power.Power.ON


async def test_tls_with_its_own_certificate(site: place.Place, tmp_path: Path) -> None:
    context, pem = tls.context([WHERE])
    ca = tmp_path / "ca.pem"
    ca.write_bytes(pem)
    facts = hardware.Facts("m", "u", "s", BootMode.UEFI, 1, 512, (place.MAC,), ())
    one = simulated.Simulated(facts)
    front = tree.Front(bmc.Bmc(one, "admin", PASSWORD))
    listening = server.Server({WHERE: front}, 0, tls=context)
    port = await listening.start()
    address = f"https://{WHERE}:{port}"
    login = {"redfish_address": address, "redfish_username": "admin", "redfish_password": PASSWORD}
    folder = tmp_path / "authorities"
    folder.mkdir()
    shutil.copy(ca, folder)
    subprocess.run(["openssl", "rehash", str(folder)], check=True)
    for verify in (str(ca), str(folder), "false", False):
        ctx = await site.context("redfish", {**login, "redfish_verify_ca": verify})
        for target in (power.Target.ON, power.Target.OFF):
            await ctx.power.set(ctx, target, 10)
            assert (one.power == PowerState.ON) is (target == power.Target.ON)
    for demand in ({"redfish_tls_minimum_version": "1.3"}, {"redfish_tls_ciphers": "ECDHE-ECDSA-AES256-GCM-SHA384"}):
        ctx = await site.context("redfish", {**login, "redfish_verify_ca": str(ca), **demand})
        assert await ctx.power.get(ctx) == power.Power.OFF
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    demand = {"redfish_tls_minimum_version": "1.3", "redfish_tls_ciphers": "ECDHE+AESGCM"}
    ctx = await site.context("redfish", {**login, "redfish_verify_ca": str(ca), **demand})
    assert "check that it offers the TLS versions" in await place.refusal(ctx.power.get(ctx))
    ctx = await site.context("redfish", login)
    assert await place.refusal(ctx.power.get(ctx)) == (
        f"The TLS certificate of Redfish service {WHERE}:{port} is not trusted: self-signed certificate. "
        "Give the CA that signed it as verify_ca, or put a trusted certificate on it."
    )
    await listening.close()


@pytest.mark.parametrize(("mode", "recorded"), [("uefi", BootMode.UEFI), (None, None)])
@pytest.mark.parametrize("persistent", [True, False])
async def test_boot_device_is_what_the_bmc_holds(
    site: place.Place, fleet: fleets.Fleet, mode: str | None, recorded: BootMode | None, persistent: bool
) -> None:
    ctx = await site.context("redfish", info(fleet), boot_mode=mode)
    await ctx.management.set_boot_device(ctx, BootDevice.PXE, persistent=persistent)
    held = machine(fleet).boot
    assert (held.device, held.persistent) == (Device.NETWORK, persistent)
    assert recorded is None or held.mode == recorded
    assert await ctx.management.get_boot_device(ctx) == BootChoice(BootDevice.PXE, persistent)


async def test_once_is_gone_after_a_boot(ctx: Context, fleet: fleets.Fleet) -> None:
    await ctx.management.set_boot_device(ctx, BootDevice.PXE, persistent=False)
    for wanted in (Device.NETWORK, Device.DISK):
        await ctx.power.set(ctx, power.Target.REBOOT, 10)
        assert fleet.effects.all[-1].detail == wanted


async def test_wrong_password_and_user(site: place.Place, fleet: fleets.Fleet) -> None:
    for changes in ({"redfish_password": "no"}, {"redfish_username": "nobody"}):
        ctx = await site.context("redfish", info(fleet, **changes))
        user = changes.get("redfish_username", "admin")
        assert await place.refusal(ctx.power.get(ctx)) == (
            f"Redfish service {name(fleet)} refuses the user '{user}' or the password (401). "
            "Correct redfish_username and redfish_password in driver_info; after several wrong ones a BMC may also "
            "lock the account for some minutes."
        )


async def test_wrong_address(site: place.Place, fleet: fleets.Fleet) -> None:
    ctx = await site.context("redfish", info(fleet, redfish_address="http://127.0.0.1:1"))
    assert await place.refusal(ctx.power.get(ctx)) == (
        "Redfish service 127.0.0.1:1 cannot be reached: Connection refused. Check address, cabling and firewall."
    )


async def test_wrong_system(site: place.Place, fleet: fleets.Fleet) -> None:
    ctx = await site.context("redfish", info(fleet, redfish_system_id="/redfish/v1/Systems/9"))
    said = await place.refusal(ctx.power.get(ctx))
    assert said.startswith(f"Redfish service {name(fleet)} answered 404 to GET /redfish/v1/Systems/9")
    assert said.endswith("Check redfish_system_id, or whether the firmware has this.")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"redfish_address": None}, "Missing required parameter redfish_address in driver_info of node {uuid}. "
         "Set it: ingot node set NODE driver_info.redfish_address=https://... ."),
        ({"redfish_address": "ftp://x"}, "The Redfish address is not a URL such as https://bmc.example.org. "
         "Correct redfish_address; user name and password have fields of their own."),
        ({"redfish_auth_type": "magic"}, "redfish_auth_type 'magic' is not valid. One of: auto, session, basic, none."),
        ({"redfish_verify_ca": "/no/such/file.pem"},
         "redfish_verify_ca names /no/such/file.pem, which does not exist on this conductor. "
         "Give the path of a CA file (PEM), true or false."),
        ({"redfish_tls_minimum_version": "9"},
         "redfish_tls_minimum_version '9' is not valid. One of: 1.1, 1.2, 1.3."),
        ({"redfish_system_id": 7}, "redfish_system_id 7 is not valid. A path, for example /redfish/v1/Systems/1."),
    ],
)  # fmt: skip
async def test_bad_values(site: place.Place, fleet: fleets.Fleet, changes: dict[str, Any], sentence: str) -> None:
    ctx = await site.context("redfish", info(fleet, **changes))
    wanted = sentence.format(uuid=ctx.node.uuid)
    for kind in (ctx.power, ctx.management):
        assert await place.refusal(kind.validate(ctx)) == wanted
    assert (await site.call("validate", ctx.node.uuid))["management"] == {"result": False, "reason": wanted}


@pytest.mark.parametrize("target", [power.Target.ON, power.Target.REBOOT])
async def test_a_slow_bmc_is_waited_for(ctx: Context, fleet: fleets.Fleet, target: power.Target) -> None:
    faults(fleet).change({"power_seconds": 1})
    began = time.monotonic()
    await ctx.power.set(ctx, target, 20)
    assert time.monotonic() - began >= 0.9
    assert machine(fleet).power == PowerState.ON


async def test_on_while_it_is_still_going_down(ctx: Context, fleet: fleets.Fleet) -> None:
    """PoweringOff is no "on" to be content with: the machine must be on in the end."""
    await ctx.power.set(ctx, power.Target.ON, 10)
    faults(fleet).change({"power_seconds": 1.5})
    await fleet.bmcs["sim-00000"].power(PowerAction.SOFT_OFF)
    assert await ctx.power.get(ctx) == power.Power.ON
    await ctx.power.set(ctx, power.Target.ON, 20)
    assert machine(fleet).power == PowerState.ON
    assert PowerAction.SOFT_OFF in machine(fleet).history
    assert not fleet.bmcs["sim-00000"].in_transition


async def test_off_while_it_is_still_coming_up(ctx: Context, fleet: fleets.Fleet) -> None:
    faults(fleet).change({"power_seconds": 1})
    await fleet.bmcs["sim-00000"].power(PowerAction.ON)
    await ctx.power.set(ctx, power.Target.OFF, 20)
    assert machine(fleet).power == PowerState.OFF
    assert not fleet.bmcs["sim-00000"].in_transition


async def test_a_bmc_that_lies(ctx: Context, fleet: fleets.Fleet) -> None:
    faults(fleet).change({"power_says": "off"})
    assert await place.refusal(ctx.power.set(ctx, power.Target.ON, 1)) == (
        f'The machine of Redfish service {name(fleet)} accepted the order but its power was not "power on" within 1 s. '
        "Look at the machine; a soft power off needs an operating system that obeys."
    )


async def test_soft_off(ctx: Context, fleet: fleets.Fleet) -> None:
    await ctx.power.set(ctx, power.Target.ON, 10)
    await ctx.power.set(ctx, power.Target.SOFT_OFF, 10)
    assert machine(fleet).history == [PowerAction.ON, PowerAction.SOFT_OFF]
    await ctx.power.set(ctx, power.Target.ON, 10)
    faults(fleet).change({"power_stuck": True})
    said = await place.refusal(ctx.power.set(ctx, power.Target.SOFT_OFF, 1))
    assert 'its power was not "power off" within 1 s. ' in said
    assert said.endswith("a soft power off needs an operating system that obeys.")


@pytest.mark.parametrize("target", [power.Target.REBOOT, power.Target.SOFT_REBOOT])
async def test_a_node_that_must_not_be_off_is_restarted(
    site: place.Place, fleet: fleets.Fleet, target: power.Target
) -> None:
    ctx = await site.context("redfish", info(fleet), disable_power_off=True)
    for _ in range(2):
        await ctx.power.set(ctx, target, 10)
    on, *then = machine(fleet).history
    assert on == PowerAction.ON
    assert len(then) == 1
    assert then[0] not in {PowerAction.OFF, PowerAction.SOFT_OFF}


async def test_nmi(ctx: Context, fleet: fleets.Fleet) -> None:
    await ctx.power.set(ctx, power.Target.ON, 10)
    await ctx.management.inject_nmi(ctx)
    assert machine(fleet).history[-1] == PowerAction.NMI


async def test_503_is_outwaited(ctx: Context, fleet: fleets.Fleet) -> None:
    faults(fleet).change({"unavailable_next": 2})
    assert await ctx.power.get(ctx) == power.Power.OFF


@pytest.mark.slow
async def test_503_for_ever(ctx: Context, fleet: fleets.Fleet) -> None:
    faults(fleet).change({"unavailable_next": 1000})
    said = await place.refusal(ctx.power.get(ctx))
    assert said.startswith(f"Redfish service {name(fleet)} answered 503 to ")
    assert said.endswith("The BMC is busy or starting; try again, or reset it.")


@pytest.mark.parametrize("target", [power.Target.ON, power.Target.OFF])
async def test_a_reset_connection_hides_an_order_that_was_carried_out(
    ctx: Context, fleet: fleets.Fleet, target: power.Target
) -> None:
    """The order is done but its answer is lost; the second sending must not turn it into a failure."""
    other = power.Target.OFF if target == power.Target.ON else power.Target.ON
    await ctx.power.set(ctx, other, 10)
    before = len(machine(fleet).history)
    faults(fleet).change({"reset_next": 2})
    await ctx.power.set(ctx, target, 20)
    assert (machine(fleet).power == PowerState.ON) is (target == power.Target.ON)
    assert len(machine(fleet).history) > before


@pytest.mark.parametrize("target", [power.Target.ON, power.Target.OFF])
async def test_an_order_whose_answer_is_lost_is_not_given_twice(
    ctx: Context, fleet: fleets.Fleet, target: power.Target
) -> None:
    other = power.Target.OFF if target == power.Target.ON else power.Target.ON
    await ctx.power.set(ctx, other, 10)
    before = len(machine(fleet).history)
    faults(fleet).change({"order_cut_next": 1})
    await ctx.power.set(ctx, target, 20)
    assert faults(fleet).order_cut_next == 0
    assert len(machine(fleet).history) == before + 1


async def test_a_boot_mode_the_machine_lacks(site: place.Place, fleet: fleets.Fleet) -> None:
    ctx = await site.context("redfish", info(fleet), boot_mode="bios")
    assert await place.refusal(ctx.management.set_boot_device(ctx, BootDevice.PXE, persistent=False)) == (
        f"Redfish service {name(fleet)} answered 400 to PATCH /redfish/v1/Systems/1: The value Legacy for the property "
        "BootSourceOverrideMode is not in the list of acceptable values. Check the peer's firmware and its own log."
    )


async def test_full_session_table(site: place.Place, fleet: fleets.Fleet) -> None:
    faults(fleet).change({"sessions_full": True})
    ctx = await site.context("redfish", info(fleet, redfish_auth_type="session"))
    assert await place.refusal(ctx.power.get(ctx)) == (
        f"Redfish service {name(fleet)} answered 503 to the session login: The session establishment failed: too many "
        "sessions are open at the same time. "
        "Close other sessions on the BMC, or set redfish_auth_type to auto or basic."
    )
    for auth in ("basic", "auto"):
        ctx = await site.context("redfish", info(fleet, redfish_auth_type=auth))
        assert await ctx.power.get(ctx) == power.Power.OFF
