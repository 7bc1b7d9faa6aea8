"""Answers to the API calls that are synchronous by contract: validate, boot device, vifs.

May not: change a provision state. Invariant: a node that a run holds is not touched (errors.Locked).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Connection

from ingot.deps import Deps
from ingot.domain import errors, node, secrets
from ingot.interfaces.context import Context
from ingot.interfaces.contract import Interface
from ingot.interfaces.kit import Kit
from ingot.interfaces.management import BootDevice
from ingot.interfaces.network import Place
from ingot.store import contexts, nodes, portgroups, ports

T = TypeVar("T")
_Choice = tuple[Place, dict[str, Any]]
_VALIDATED = ("boot", "console", "deploy", "inspect", "management", "network", "power", "raid", "rescue", "storage")
_ABSENT = ("bios", "firmware")


class Calls:
    """Registers its answers on the bus."""

    def __init__(self, deps: Deps, kit: Kit) -> None:
        self._deps = deps
        self._kit = kit
        for verb in (
            "validate",
            "check_each",
            "get_boot_device",
            "set_boot_device",
            "supported_boot_devices",
            "vif_list",
            "vif_attach",
            "vif_detach",
            "inject_nmi",
        ):
            deps.bus.answer(verb, getattr(self, f"_{verb}"))

    async def context(self, node_uuid: str, *, free: bool = False) -> Context:
        """The node as drivers see it. Raises errors.Locked if it is to be ``free`` and a run holds it now.

        Nothing is held by that: a run may take the node up a moment later, and its steps bear a call beside them.
        """
        loaded = await self._deps.store.read(contexts.get, node_uuid)
        if free and loaded.node.reservation:
            raise errors.Locked(
                f"Node {node_uuid} is locked by host {loaded.node.reservation}, please retry after the current "
                "operation is completed."
            )
        return self.open(loaded)

    async def load(self, uuids: list[str]) -> dict[str, contexts.Loaded]:
        """What contexts of many nodes are made of, by uuid, read at once; nodes that are gone are absent."""
        return await self._deps.store.read(contexts.of_nodes, uuids)

    def open(self, loaded: contexts.Loaded) -> Context:
        """The context of a node, its secrets in clear. Raises errors.IngotError when they cannot be opened."""
        found = loaded.node
        opened: dict[str, Any] = self._deps.sealer.open(found.uuid, loaded.sealed) or {}
        return Context(
            node=found,
            ports=loaded.ports,
            portgroups=loaded.portgroups,
            driver_info=secrets.merge(found.driver_info, opened.get("driver_info", {})),
            instance_info=secrets.merge(found.instance_info, opened.get("instance_info", {})),
            agent_token=self._deps.sealer.open(found.uuid, loaded.token),
            kit=self._kit,
            registry=self._deps.registry,
            keep_internal=lambda values: self._deps.store.run(nodes.keep_internal, found.uuid, values),
        )

    async def _validate(self, node_uuid: str) -> dict[str, dict[str, Any]]:
        ctx = await self.context(node_uuid)
        verdicts: dict[str, dict[str, Any]] = {}
        for kind in (*_VALIDATED, *_ABSENT):
            verdicts[kind] = await self._verdict(ctx, kind)
        return verdicts

    async def _verdict(self, ctx: Context, kind: str) -> dict[str, Any]:
        try:
            await ctx.interface(kind).validate(ctx)
        except errors.NotSupported:
            return {
                "result": False,
                "reason": f"Driver {ctx.node.driver} does not support {kind} (disabled or absent).",
            }
        except errors.IngotError as error:
            return {"result": False, "reason": error.sentence()}
        return {"result": True}

    async def _check_each(self, node_uuid: str, kinds: list[str]) -> None:
        """Raise the refusal of the first interface that cannot work. Frequent, so it reads no more than they need."""
        found, sealed, token = await self._deps.store.peek(nodes.get_sealed, node_uuid)
        ctx = self.open(contexts.Loaded(found, [], [], sealed, token))  # no power goes by network cards
        whole = False
        for kind in kinds:
            try:
                judge = ctx.interface(kind)
            except errors.NotSupported as error:
                raise errors.NotSupported(
                    f"Driver {ctx.node.driver} does not support {kind} (disabled or not implemented)", hint=error.hint
                ) from error
            if type(judge).validate is Interface.validate:
                continue
            if not whole and kind != "power":
                ctx, whole = await self.context(node_uuid), True
            await judge.validate(ctx)

    async def _get_boot_device(self, node_uuid: str) -> dict[str, Any]:
        ctx = await self.context(node_uuid, free=True)
        choice = await ctx.management.get_boot_device(ctx)
        return {"boot_device": choice.boot_device, "persistent": choice.persistent}

    async def _set_boot_device(self, node_uuid: str, device: str, persistent: bool) -> None:
        ctx = await self.context(node_uuid, free=True)
        allowed = ctx.management.boot_devices
        if device not in allowed:
            raise errors.Invalid(
                f"Invalid boot device {device} specified.", hint=f"Supported here: {', '.join(allowed)}."
            )
        await ctx.management.set_boot_device(ctx, BootDevice(device), persistent=persistent)

    async def _supported_boot_devices(self, node_uuid: str) -> list[str]:
        ctx = await self.context(node_uuid)
        return [device.value for device in ctx.management.boot_devices]

    async def _inject_nmi(self, node_uuid: str) -> None:
        ctx = await self.context(node_uuid, free=True)
        await ctx.management.inject_nmi(ctx)

    async def _vif_list(self, node_uuid: str) -> list[str]:
        ctx = await self.context(node_uuid)
        return ctx.network.list_vifs(ctx)

    async def _vif_attach(self, node_uuid: str, vif: dict[str, Any]) -> None:
        ctx = await self.context(node_uuid, free=True)
        await self._deps.store.run(_change_vif, ctx, ctx.network.choose_place, vif)

    async def _vif_detach(self, node_uuid: str, vif_id: str) -> None:
        ctx = await self.context(node_uuid, free=True)
        await self._deps.store.run(_change_vif, ctx, ctx.network.find_vif, vif_id)


def _change_vif(connection: Connection, ctx: Context, choose: Callable[[Context, T], _Choice], what: T) -> None:
    """Choose and store in one unit: two calls at once must not both find the same port free."""
    uuid = ctx.node.uuid
    groups = portgroups.list_of_node(connection, uuid)
    fresh = msgspec.structs.replace(ctx, ports=ports.list_of_node(connection, uuid), portgroups=groups)
    place, info = choose(fresh, what)
    table = portgroups if isinstance(place, node.Portgroup) else ports
    table.change(connection, place.uuid, internal_info=info)
