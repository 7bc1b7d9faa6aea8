"""Sick BMCs under the real service: the node's record names the illness within a minute; work survives what it can."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from drivers import world
from faults import catalogue
from ingot_rack.hardware import PowerState

pytestmark = pytest.mark.slow
SOON = 60.0


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[world.World]:
    plan = {"ipmi": 3, "first": "127.62.0.1", "step_seconds": 1.0}
    async with world.opened(tmp_path, plan, power_timeout=5, automated_clean="false") as opened:
        yield opened


def bmc(site: world.World, name: str) -> str:
    return f"{site.fleet.addresses[name]}:{site.fleet.ports['ipmi']}"


def break_it(site: world.World, name: str, **faults: Any) -> None:
    site.fleet.bmcs[name].faults.change(faults)


async def last_error(site: world.World, name: str) -> str:
    """What the record says once the present order has failed; it must not take longer than a minute."""
    found = (await site.rests(name, SOON))["last_error"]
    assert found
    return str(found)


async def change_password(site: world.World, name: str, password: str) -> None:
    patch = [{"op": "replace", "path": "/driver_info/ipmi_password", "value": password}]
    await site.call("PATCH", f"/v1/nodes/{name}", patch)


async def switch(site: world.World, name: str, target: str) -> dict[str, Any]:
    await site.call("PUT", f"/v1/nodes/{name}/states/power", {"target": target})

    async def done() -> dict[str, Any] | None:
        node = await site.node(name)
        return node if node["target_power_state"] is None and node["reservation"] is None else None

    return await site.until(done, SOON)


async def waits(site: world.World, name: str, within: float = SOON) -> dict[str, Any]:
    """What the node's run waits for, once it waits for something whose reason is known."""

    async def known() -> dict[str, Any] | None:
        run = await site.call("GET", f"/ingot/v1/nodes/{name}/run")
        return run["wait"] if run["wait"] and run["wait"]["why"] else None

    return await site.until(known, within)


async def test_dead_slow_and_full(site: world.World) -> None:
    """Three nodes at once, since each takes half a minute to tell."""
    dead, slow, full = [await site.enrol(number) for number in range(3)]
    break_it(site, dead, drop_rate=1.0)
    break_it(site, slow, delay=20.0)
    break_it(site, full, sessions_full=True)
    for name in (dead, slow, full):
        await site.order(name, "manage")
    said = await asyncio.gather(*(last_error(site, name) for name in (dead, slow, full)))
    assert said == [
        f"flow.read_power: No IPMI answer from {bmc(site, dead)} in 25 s. Check the address, that IPMI over LAN is "
        "enabled on the BMC, and that no firewall blocks its UDP port.",
        f"flow.read_power: BMC {bmc(site, slow)} is too slow: its answer took 20 s, and after 8 s it counts as lost. "
        "Restart the BMC, end other programs that ask it, and look at its network.",
        f"flow.read_power: BMC {bmc(site, full)} refused the IPMI login: no free session (status 01). Close other IPMI "
        "sessions (a BMC often has only four), or reset the BMC.",
    ]
    catalogue.told("ipmi-silent", said[0])
    catalogue.told("ipmi-slow", said[1])
    catalogue.told("ipmi-sessions-full", said[2])
    began = time.monotonic()
    await site.order(dead, "manage")
    assert "in 8 s" in await last_error(site, dead), "what is known to be silent is not listened to for so long"
    assert time.monotonic() - began < 20
    for name in (dead, slow, full):
        break_it(site, name, drop_rate=0.0, delay=0.0, sessions_full=False)
        node = await site.bring(name, "manage")
        assert (node["provision_state"], node["last_error"]) == ("manageable", None)


async def test_wrong_password_then_locked_out(site: world.World) -> None:
    name = await site.enrol()
    await site.bring(name, "manage")
    break_it(site, name, lockout_after=1, lockout_seconds=600.0)
    await change_password(site, name, "a-wrong-one")
    said = (await switch(site, name, "power on"))["last_error"]
    assert said == (
        f"flow.change: BMC {bmc(site, name)} does not accept the password of the IPMI user 'admin'. "
        "Correct ipmi_password in driver_info (some BMCs say this for an unknown user, too)."
    )
    catalogue.told("ipmi-wrong-password", said)
    await change_password(site, name, site.fleet.plan.password)
    said = str((await switch(site, name, "power on"))["last_error"])
    assert said.startswith(f"flow.change: BMC {bmc(site, name)} says that it has no IPMI user 'admin', whom it let in ")
    assert said.endswith(
        " s ago: it has locked the account, or somebody has removed or disabled it. Wait until the lock ends, some "
        "minutes after the last wrong password, and look for who sends them."
    )
    catalogue.told("ipmi-locked-out", said)


async def test_a_bmc_of_ipmi_1_5(site: world.World) -> None:
    """Its node is deployed as any other; a wrong password is told from its silence."""
    front = site.fleet.bmcs["sim-00000"]
    front.versions = frozenset({"1.5"})
    known = site.fleet.nodes()[0]["driver_info"]
    assert isinstance(known, dict)
    name = await site.enrol(driver_info={**known, "ipmi_protocol_version": "1.5"})
    await site.bring(name, "manage", "provide")
    node = await site.deploy(name)
    assert (node["provision_state"], node["last_error"], node["power_state"]) == ("active", None, "power on")
    await change_password(site, name, "a-wrong-one")
    said = (await switch(site, name, "power off"))["last_error"]
    assert said == (
        f"flow.change: BMC {bmc(site, name)} gave no answer for 3.5 s to the password of the IPMI user 'admin', though "
        "it answers else: so BMCs of IPMI 1.5 treat a wrong one. Correct ipmi_password in driver_info."
    )
    catalogue.told("ipmi-1.5-wrong-password", said)


async def test_a_machine_that_stays_off(site: world.World) -> None:
    name = await site.enrol()
    await site.bring(name, "manage")
    break_it(site, name, power_stuck=True)
    said = (await switch(site, name, "power on"))["last_error"]
    assert said == (
        f"flow.change: The machine of BMC {bmc(site, name)} accepted the order but its power was not "
        '"power on" within 5 s. '
        "Look at the machine; a soft power off needs an operating system that obeys."
    )
    catalogue.told("ipmi-power-stuck", said)


async def test_a_boot_device_forgotten_by_the_bmc_or_ignored_by_the_machine(site: world.World) -> None:
    name = await site.enrol()
    await site.bring(name, "manage", "provide")
    await site.choose_image(name)
    break_it(site, name, boot_forgotten=True)
    await site.order(name, "active")
    said = await last_error(site, name)
    assert f"BMC {bmc(site, name)} accepted the boot device pxe but says that it holds none" in said
    catalogue.told("ipmi-boot-forgotten", said)
    break_it(site, name, boot_forgotten=False, boot_ignored=True)
    await site.order(name, "active")
    wait = await waits(site, name)
    assert wait["what"] == "the ramdisk's first call"
    assert "no DHCP request seen" in wait["why"]
    catalogue.told("ipmi-boot-ignored", wait["why"])
    assert site.fleet.machines[name].power is PowerState.ON


async def test_a_bmc_that_dies_in_mid_deploy_and_returns(site: world.World) -> None:
    """It goes while the image is written; the deploy waits at the next order, then goes on, and does each act once."""
    name = await site.enrol()
    await site.bring(name, "manage", "provide")
    await site.choose_image(name)
    await site.order(name, "active")
    await site.running(name, "execute_deploy_step")
    break_it(site, name, drop_rate=1.0)
    wait = await waits(site, name)
    assert wait["what"] == f"BMC {bmc(site, name)} to answer again"
    assert wait["why"].startswith(f"No IPMI answer from {bmc(site, name)} in ")
    catalogue.told("ipmi-gone-in-a-run", wait["why"])
    assert (await site.node(name))["provision_state"] in {"deploying", "wait call-back"}
    break_it(site, name, drop_rate=0.0)
    node = await site.rests(name, SOON)
    assert (node["provision_state"], node["last_error"], node["power_state"]) == ("active", None, "power on")
    acts = [one.kind for one in site.fleet.effects.all if one.node == name]
    assert acts == ["start", "write_image", "install_bootloader", "stop", "start"]
