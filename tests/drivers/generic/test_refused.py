"""Verbs that cannot work as a node is described are refused at once, and its machine is not touched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from drivers import world


def effects(of: world.World, name: str) -> list[str]:
    return [one.kind for one in of.fleet.effects.all if one.node == name]


async def test_what_cannot_work_is_refused_and_leaves_the_node_as_it_was(tmp_path: Path) -> None:
    async with world.opened(tmp_path, {"ipmi": 1, "first": "127.63.3.1"}) as quick:
        name = await quick.enrol()
        await quick.bring(name, "manage")
        for card in (await quick.call("GET", f"/v1/nodes/{name}/ports"))["ports"]:
            await quick.call(
                "PATCH", f"/v1/ports/{card['uuid']}", [{"op": "add", "path": "/pxe_enabled", "value": False}]
            )
        steps: list[Any] = [{"interface": "deploy", "step": "erase_devices_metadata"}]
        uuid = (await quick.node(name))["uuid"]
        cure = f"Node {uuid} has no port with pxe_enabled. Create one: ingot port create NODE MAC."
        assert await quick.refused(name, "inspect") == cure
        said = f"Validation of node {uuid} for cleaning failed: {cure}"
        assert await quick.refused(name, "clean", clean_steps=steps) == said
        node = await quick.node(name)
        assert (node["provision_state"], node["last_error"], node["reservation"]) == ("manageable", None, None)
        patch = [{"op": "add", "path": "/automated_clean", "value": False}]
        await quick.call("PATCH", f"/v1/nodes/{name}", patch)
        await quick.bring(name, "provide")
        start = f"Failed to validate deploy or power info for node {uuid}: "
        assert await quick.refused(name, "active") == start + cure
        await quick.bring(name, "manage")
        for card in (await quick.call("GET", f"/v1/nodes/{name}/ports"))["ports"]:
            await quick.call(
                "PATCH", f"/v1/ports/{card['uuid']}", [{"op": "add", "path": "/pxe_enabled", "value": True}]
            )
        await quick.bring(name, "provide")
        assert "instance_info has no image_source. Set it: ingot node set" in await quick.refused(name, "active")
        address = {"op": "remove", "path": "/driver_info/ipmi_address"}
        await quick.call("PATCH", f"/v1/nodes/{name}", [address])
        assert "ipmi_address" in await quick.refused(name, "active")
        node = await quick.node(name)
        assert (node["provision_state"], node["last_error"], node["reservation"]) == ("available", None, None)
        assert effects(quick, name) == []
