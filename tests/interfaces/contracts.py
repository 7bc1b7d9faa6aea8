"""The contract suites: what every implementation of an interface must do, whatever hardware is behind it.

A driver's tests derive from the classes here in ``tests/drivers/<name>/`` and give them a fixture ``stage``: a node of
that driver with a live peer. An implementation's own tests add its quirks; these are the promises all of them share.
"""

from __future__ import annotations

import asyncio
import inspect
from abc import ABC
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from ingot.conductor.calls import Calls
from ingot.deps import Deps
from ingot.domain import errors, ids, node, power, runs
from ingot.interfaces import contract, hardware, steps
from ingot.interfaces.boot import BootInterface
from ingot.interfaces.context import Context
from ingot.interfaces.deploy import DeployInterface
from ingot.interfaces.inspect import InspectInterface
from ingot.interfaces.management import BootChoice, BootDevice, ManagementInterface
from ingot.interfaces.network import NetworkInterface
from ingot.interfaces.power import PowerInterface
from ingot.store import nodes, portgroups, ports

TIMEOUT = 30.0
KINDS: dict[str, type[contract.Interface]] = {
    "power": PowerInterface,
    "management": ManagementInterface,
    "boot": BootInterface,
    "deploy": DeployInterface,
    "network": NetworkInterface,
    "inspect": InspectInterface,
    "console": hardware.ConsoleInterface,
    "raid": hardware.RaidInterface,
    "bios": hardware.BiosInterface,
    "firmware": hardware.FirmwareInterface,
    "rescue": hardware.RescueInterface,
    "storage": hardware.StorageInterface,
    "vendor": hardware.VendorInterface,
}


async def nothing() -> None:
    """The default of a stage's hooks."""


@dataclass
class Stage:
    """A node with its peer. ``seen_power``: what the peer itself says; None where it cannot be asked.

    ``incomplete``: driver_info that lacks something required, None where the driver requires nothing;
    ``break_peer``: make the peer silent, None where that is not possible.
    """

    deps: Deps
    calls: Calls
    uuid: str
    settle: Callable[[], Awaitable[None]] = nothing
    seen_power: Callable[[], str] | None = None
    incomplete: dict[str, Any] | None = None
    break_peer: Callable[[], Awaitable[None]] | None = None
    extra: dict[str, Any] = field(default_factory=dict[str, Any])

    async def context(self) -> Context:
        """The node as drivers see it, read anew."""
        return await self.calls.context(self.uuid)

    async def store_power(self, seen: power.Power) -> None:
        """What a flow does after every change of power."""
        await self.deps.store.run(nodes.change, self.uuid, power_state=seen.value)


class InterfaceContract(ABC):
    """What holds for every implementation of every interface."""

    kind: str

    async def test_it_is_what_its_manifest_says(self, stage: Stage) -> None:
        ctx = await stage.context()
        found = ctx.interface(self.kind)
        assert isinstance(found, KINDS[self.kind])
        assert found is (await stage.context()).interface(self.kind), "one object serves every node"

    async def test_it_documents_what_it_reads(self, stage: Stage) -> None:
        ctx = await stage.context()
        manifest = stage.deps.registry.driver(ctx.node.driver)
        declared = {one.name for one in manifest.driver_info}
        for key, meaning in ctx.interface(self.kind).properties().items():
            assert meaning
            assert key in declared, f"driver_info key {key} is missing in driver.toml"

    async def test_a_complete_node_is_valid_and_an_incomplete_one_is_told_why(self, stage: Stage) -> None:
        ctx = await stage.context()
        await ctx.interface(self.kind).validate(ctx)
        if stage.incomplete is not None:
            ctx.driver_info = stage.incomplete
            with pytest.raises(errors.Invalid) as refused:
                await ctx.interface(self.kind).validate(ctx)
            assert refused.value.sentence().endswith(".")

    async def test_its_steps_are_declared_whole(self, stage: Stage) -> None:
        owner = (await stage.context()).interface(self.kind)
        for info in steps.list_all(owner):
            assert inspect.iscoroutinefunction(getattr(owner, info.name))
            assert info.undo is None or inspect.iscoroutinefunction(getattr(owner, info.undo)), info
            assert (info.probe is not None) == (info.resume == runs.Resume.CHECK), info
            assert info.probe is None or inspect.iscoroutinefunction(getattr(owner, info.probe)), info
            assert (getattr(owner, info.name).__doc__ or "").strip(), f"{info.name} does not say what it does"


class PowerContract(InterfaceContract):
    """Reading and changing power, as the peer itself sees it."""

    kind = "power"

    async def change(self, stage: Stage, target: power.Target) -> None:
        ctx = await stage.context()
        await ctx.power.set(ctx, target, TIMEOUT)
        await stage.store_power(target.result())
        again = await stage.context()
        assert await again.power.get(again) == target.result(), f"set({target}) returned too early"
        if stage.seen_power is not None:
            assert stage.seen_power() == target.result()

    async def test_on_off_and_both_again(self, stage: Stage) -> None:
        """Asking for what is already so is no error: a step may be repeated."""
        for target in (power.Target.ON, power.Target.ON, power.Target.OFF, power.Target.OFF):
            await self.change(stage, target)

    async def test_every_target_it_claims(self, stage: Stage) -> None:
        ctx = await stage.context()
        assert {power.Target.ON, power.Target.OFF, power.Target.REBOOT} <= set(ctx.power.targets)
        for target in ctx.power.targets:
            await self.change(stage, power.Target.ON)
            await self.change(stage, target)

    async def test_rebooting_a_machine_that_is_off_switches_it_on(self, stage: Stage) -> None:
        await self.change(stage, power.Target.OFF)
        await self.change(stage, power.Target.REBOOT)

    async def test_a_silent_peer_is_unreachable_within_the_timeout(self, stage: Stage) -> None:
        if stage.break_peer is None:
            pytest.skip("this peer cannot fall silent")
        await stage.break_peer()
        ctx = await stage.context()
        async with asyncio.timeout(TIMEOUT):
            with pytest.raises((errors.Unreachable, errors.Misbehaved)) as refused:
                await ctx.power.get(ctx)
        assert refused.value.hint


class ManagementContract(InterfaceContract):
    """Boot devices."""

    kind = "management"

    async def test_a_boot_device_set_is_the_one_read(self, stage: Stage) -> None:
        ctx = await stage.context()
        assert ctx.management.boot_devices
        for device in ctx.management.boot_devices:
            await ctx.management.set_boot_device(ctx, device, persistent=False)
            assert (await ctx.management.get_boot_device(ctx)).boot_device == device

    async def test_persistence_is_kept_where_it_can_be_read(self, stage: Stage) -> None:
        ctx = await stage.context()
        await ctx.management.set_boot_device(ctx, BootDevice.DISK, persistent=True)
        found = await ctx.management.get_boot_device(ctx)
        assert found in (BootChoice(BootDevice.DISK, True), BootChoice(BootDevice.DISK, None))

    async def test_the_boot_mode_is_a_word_or_unknown(self, stage: Stage) -> None:
        ctx = await stage.context()
        assert await ctx.management.get_boot_mode(ctx) in {"uefi", "bios", None}


class NetworkContract(InterfaceContract):
    """Vifs: bookkeeping that every network implementation shares."""

    kind = "network"

    async def test_vifs_take_one_port_each_and_give_it_back(self, stage: Stage) -> None:
        ctx = await stage.context()
        assert ctx.network.list_vifs(ctx) == []
        port, info = ctx.network.choose_place(ctx, {"id": "v1"})
        assert info["tenant_vif_port_id"] == "v1"
        assert port in ctx.ports
        await stage.deps.bus.call("vif_attach", node_uuid=stage.uuid, vif={"id": "v1"})
        ctx = await stage.context()
        assert ctx.network.list_vifs(ctx) == ["v1"]
        with pytest.raises(errors.Conflict):
            ctx.network.choose_place(ctx, {"id": "v1"})
        await stage.deps.bus.call("vif_detach", node_uuid=stage.uuid, vif_id="v1")
        ctx = await stage.context()
        assert ctx.network.list_vifs(ctx) == []
        with pytest.raises(errors.Invalid):
            ctx.network.find_vif(ctx, "v1")

    async def test_a_vif_prefers_a_port_group_with_free_ports(self, stage: Stage) -> None:
        group = node.Portgroup(uuid=ids.new(), node_uuid=stage.uuid)
        await stage.deps.store.run(portgroups.create, group)
        ctx = await stage.context()
        assert ctx.network.choose_place(ctx, {"id": "v"})[0] in ctx.ports
        await stage.deps.store.run(ports.change, ctx.ports[-1].uuid, portgroup_uuid=group.uuid)
        await stage.deps.bus.call("vif_attach", node_uuid=stage.uuid, vif={"id": "v"})
        ctx = await stage.context()
        assert ctx.portgroups[0].internal_info == {"tenant_vif_port_id": "v"}
        assert ctx.network.list_vifs(ctx) == ["v"]
        with pytest.raises(errors.Invalid, match="not enough free physical ports"):
            ctx.network.choose_place(ctx, {"id": "w", "portgroup_uuid": group.uuid})
        await stage.deps.bus.call("vif_detach", node_uuid=stage.uuid, vif_id="v")
        await stage.deps.store.run(ports.change, ctx.ports[-1].uuid, internal_info={"tenant_vif_port_id": "x"})
        ctx = await stage.context()
        used = [port for port in ctx.ports if port.portgroup_uuid]
        assert len(used) == 1
        with pytest.raises(errors.Invalid, match="not enough free physical ports"):
            ctx.network.choose_place(ctx, {"id": "v", "portgroup_uuid": group.uuid})

    async def test_a_port_can_be_asked_for_by_its_uuid(self, stage: Stage) -> None:
        ctx = await stage.context()
        last = ctx.ports[-1]
        assert ctx.network.choose_place(ctx, {"id": "v", "port_uuid": last.uuid})[0] == last
        with pytest.raises(errors.Invalid, match="not enough free physical ports"):
            ctx.network.choose_place(ctx, {"id": "v", "port_uuid": "unknown"})


class FlowContract(InterfaceContract):
    """For interfaces that only act inside a run: the whole flow must go through. ``verb``, ``end`` say which."""

    verb: str
    begin: str
    end: str

    async def test_its_flow_goes_through(self, stage: Stage) -> None:
        from flows import stand
        from ingot.services import provisioning

        await stage.deps.store.run(nodes.change, stage.uuid, provision_state=self.begin)
        async with stand.conductor(stage.deps, tools=(await stage.context()).kit):
            await provisioning.request(stage.deps, stage.uuid, self.verb, {})
            run = await stand.ended(stage.deps, stage.uuid, 60)
        assert run.status == runs.Status.SUCCEEDED, run.reason
        assert (await stand.get_node(stage.deps, stage.uuid)).provision_state == self.end


class DeployContract(FlowContract):
    """Deploying."""

    kind, verb, begin, end = "deploy", "active", "available", "active"

    async def test_it_has_steps_and_the_destructive_ones_are_not_simply_repeated(self, stage: Stage) -> None:
        ctx = await stage.context()
        planned = steps.planned(ctx.deploy, "deploy", "deploy")
        assert planned == sorted(planned, key=lambda one: -one.priority)
        assert len({one.step for one in planned}) == len(planned) >= 2


class InspectContract(FlowContract):
    """Inspecting."""

    kind, verb, begin, end = "inspect", "inspect", "manageable", "manageable"


class BootContract(InterfaceContract):
    """Booting: what it says about a silent machine is words or nothing."""

    kind = "boot"

    async def test_it_may_explain_silence(self, stage: Stage) -> None:
        ctx = await stage.context()
        words = await ctx.boot.explain_silence(ctx, 0.0)
        assert words is None or words
