"""What a BMC can do wrong, each in a real run: the sentence that people read, and that it is there within a minute."""

from __future__ import annotations

import asyncio
import datetime
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from drivers import place
from drivers.redfish import peer
from faults import catalogue
from flows import stand
from ingot.domain import power, runs, states
from ingot.flows import waits
from ingot.interfaces.context import Context
from ingot.interfaces.management import BootDevice
from ingot.services import provisioning
from ingot.store import runs as run_store
from ingot_rack.hardware import PowerState
from ingot_rack.redfish import server, tls

MINUTE = 60.0


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[place.Place]:
    async with place.opened(tmp_path, power_timeout=3.0) as opened:
        yield opened


async def order_power(site: place.Place, ctx: Context) -> runs.Run:
    """Ask for "power on" as the API does; the run once it has ended, within a minute."""
    async with stand.conductor(site.deps, tools=site.kit):
        await provisioning.request_power(site.deps, ctx.node.uuid, power.Target.ON)
        return await stand.ended(site.deps, ctx.node.uuid, MINUTE)


async def reason(site: place.Place, ctx: Context) -> str:
    run = await order_power(site, ctx)
    assert run.status == runs.Status.FAILED
    shown = (await stand.get_node(site.deps, ctx.node.uuid)).last_error or ""
    assert run.reason and run.reason in shown, "the node says what the run says"
    return shown


async def said_meanwhile(site: place.Place, ctx: Context, words: str) -> str:
    """What the open run tells of itself, once it holds ``words``."""

    async def told() -> str | None:
        run = await site.deps.store.read(run_store.find_open, ctx.node.uuid)
        phase = str((run.progress or {}).get("phase", "")) if run else ""
        return phase if words in phase else None

    return await stand.until(told, MINUTE)


async def parked(site: place.Place, ctx: Context) -> runs.Wait:
    """What the open run waits for, once it is a row that waits."""

    async def found() -> runs.Wait | None:
        run = await site.deps.store.read(run_store.find_open, ctx.node.uuid)
        return run.wait if run and run.wait and run.owner is None else None

    return await stand.until(found, MINUTE)


async def test_wrong_password(site: place.Place) -> None:
    async with peer.running() as bmc:
        said = await reason(site, await site.context("redfish", bmc.info(redfish_password="no")))
        assert f"Redfish service {bmc.name} refuses the user 'admin' or the password (401). Correct" in said
        catalogue.told("redfish-wrong-password", said)


async def test_locked_out(site: place.Place) -> None:
    async with peer.running() as bmc:
        right = await site.context("redfish", bmc.info())
        assert (await order_power(site, right)).status == runs.Status.SUCCEEDED
        bmc.faults.change({"lockout_after": 1, "lockout_seconds": 600.0})
        never = await reason(site, await site.context("redfish", bmc.info(redfish_password="no")))
        assert "whom it let in" not in never, "this password was never let in"
        said = await reason(site, right)
        assert f"Redfish service {bmc.name} refuses the user 'admin' (401), whom it let in " in said
        assert str(bmc.info()["redfish_password"]) not in said
        catalogue.told("redfish-locked-out", said)


async def test_session_limit(site: place.Place) -> None:
    async with peer.running() as bmc:
        bmc.faults.change({"sessions_full": True})
        site_info = bmc.info(redfish_auth_type="session")
        async with asyncio.timeout(MINUTE):
            ctx = await site.context("redfish", site_info)
            said = await place.refusal(ctx.power.get(ctx))
        assert "too many sessions are open at the same time. Close other sessions on the BMC" in said
        catalogue.told("redfish-sessions-full", said)
        run = await order_power(site, await site.context("redfish", bmc.info()))
        assert run.status == runs.Status.SUCCEEDED, run.reason


async def test_certificate_expired(site: place.Place, tmp_path: Path) -> None:
    yesterday = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    context, pem = tls.context(["127.0.0.1"], until=yesterday)
    ca = tmp_path / "ca.pem"
    ca.write_bytes(pem)
    async with peer.running(tls=context) as bmc:
        said = await reason(site, await site.context("redfish", bmc.info(redfish_verify_ca=str(ca))))
        assert f"The TLS certificate of Redfish service {bmc.name} is not trusted: certificate has expired" in said
        catalogue.told("redfish-certificate", said)


async def test_accepts_power_on_and_stays_off(site: place.Place) -> None:
    async with peer.running() as bmc:
        bmc.faults.change({"power_stuck": True})
        said = await reason(site, await site.context("redfish", bmc.info()))
        assert 'accepted the order but its power was not "power on" within 3 s. Look at the machine' in said
        catalogue.told("redfish-power-stuck", said)


async def test_boot_override_forgotten(site: place.Place) -> None:
    async with peer.running() as bmc:
        ctx = await site.context("redfish", bmc.info())
        bmc.faults.change({"boot_forgotten": True})
        began = time.monotonic()
        said = await place.refusal(ctx.management.set_boot_device(ctx, BootDevice.PXE, persistent=False))
        assert said.startswith(
            f"Redfish service {bmc.name} accepted booting from Pxe, but 8 s later its override is None. Update"
        )
        catalogue.told("redfish-boot-forgotten", said)
        assert time.monotonic() - began < MINUTE


async def test_virtual_media_refused(site: place.Place) -> None:
    async with peer.running() as bmc:
        ctx = await site.context("redfish", bmc.info())
        bmc.faults.change({"media_refused": True})
        said = await place.refusal(ctx.management.attach_media(ctx, BootDevice.CDROM, "http://192.0.2.1/a.iso"))
        assert "answered 500 to the insertion of an image into /redfish/v1/Systems/1/VirtualMedia/Cd" in said
        catalogue.told("redfish-media-refused", said)


@pytest.mark.slow
async def test_dead(site: place.Place) -> None:
    """It takes connections and never answers."""
    async with peer.running() as bmc:
        ctx = await site.context("redfish", bmc.info())
        bmc.faults.change({"drop_rate": 1.0})
        began = time.monotonic()
        said = await reason(site, ctx)
        assert f"Redfish service {bmc.name} did not answer " in said
        catalogue.told("redfish-silent", said)
        assert time.monotonic() - began < MINUTE


@pytest.mark.slow
async def test_slow_by_twenty_seconds(site: place.Place) -> None:
    """The run says so while it waits, and goes on."""
    async with peer.running() as bmc:
        ctx = await site.context("redfish", bmc.info())
        bmc.faults.change({"delay": 20.0})
        async with stand.conductor(site.deps, tools=site.kit):
            await provisioning.request_power(site.deps, ctx.node.uuid, power.Target.ON)
            said = await said_meanwhile(site, ctx, "takes long")
            assert said.startswith(f"Redfish service {bmc.name} takes long: no answer to ")
            catalogue.told("redfish-slow", said)
            bmc.faults.change({"delay": 0.0})
            run = await stand.ended(site.deps, ctx.node.uuid, MINUTE)
        assert run.status == runs.Status.SUCCEEDED, run.reason
        assert bmc.machine.power is PowerState.ON


async def test_dies_in_the_middle_and_returns(site: place.Place) -> None:
    """The port is closed when the inspection comes; the run waits as a row, and ends well once the BMC is back."""
    async with peer.running() as bmc:
        manageable: dict[str, Any] = {"provision_state": states.State.MANAGEABLE, "inspect_interface": "redfish"}
        ctx = await site.context("redfish", bmc.info(), **manageable)
        port = int(bmc.name.rpartition(":")[2])
        await bmc.server.close()
        async with stand.conductor(site.deps, tools=site.kit):
            await provisioning.request(site.deps, ctx.node.uuid, "inspect", {})
            said = await said_meanwhile(site, ctx, "trying again")
            assert said.startswith(f"Redfish service {bmc.name} cannot be reached: Connection refused; trying again")
            wait = await parked(site, ctx)
            assert wait.what == f"Redfish service {bmc.name} to answer again"
            said = f"Redfish service {bmc.name} cannot be reached: Connection refused."
            assert wait.why == f"{said} Check address, cabling and firewall."
            catalogue.told("redfish-gone-in-a-run", wait.why)
            back: Any = server.Server({"127.0.0.1": bmc.front}, port)
            await back.start()
            run = await stand.ended(site.deps, ctx.node.uuid, MINUTE)
        await back.close()
        assert run.status == runs.Status.SUCCEEDED, run.reason


async def test_stays_away(site: place.Place) -> None:
    async with peer.running() as bmc:
        manageable: dict[str, Any] = {"provision_state": states.State.MANAGEABLE, "inspect_interface": "redfish"}
        ctx = await site.context("redfish", bmc.info(), **manageable)
        await bmc.server.close()
        ahead = [0.0]
        later = stand.with_clock(site.deps, lambda: time.time() + ahead[0])
        async with stand.conductor(later, tools=site.kit):
            await provisioning.request(later, ctx.node.uuid, "inspect", {})
            await parked(site, ctx)
            ahead[0] = waits.BMC_AWAY + 1
            run = await stand.ended(later, ctx.node.uuid, MINUTE)
        assert run.status == runs.Status.FAILED
        assert f"s for Redfish service {bmc.name} to answer again (usual 120 s): " in (run.reason or "")
        assert "cannot be reached: Connection refused" in (run.reason or "")
        catalogue.told("redfish-stays-away", run.reason)


async def test_a_power_request_does_not_outwait_an_absent_bmc(site: place.Place) -> None:
    async with peer.running() as bmc:
        ctx = await site.context("redfish", bmc.info())
        await bmc.server.close()
        began = time.monotonic()
        said = await reason(site, ctx)
        assert f"Redfish service {bmc.name} cannot be reached: Connection refused." in said
        catalogue.told("redfish-refused", said)
        assert time.monotonic() - began < MINUTE / 2
