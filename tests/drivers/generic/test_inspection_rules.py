"""Inspection rules in real inspections of simulated machines, in band by the agent and out of band by Redfish."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from drivers import world

SECRET = "from-a-rule"
BUILT_IN: list[dict[str, Any]] = [
    {"priority": 20000, "actions": [{"op": "set-attribute", "args": {"path": "extra/order", "value": ["file"]}}]}
]


@pytest.fixture
async def quick(tmp_path: Path) -> AsyncIterator[world.World]:
    """One machine of each driver, and a rule in a file."""
    file = tmp_path / "rules.json"
    file.write_text(json.dumps(BUILT_IN))
    plan = {"ipmi": 1, "redfish": 1, "first": "127.72.0.1"}
    async with world.opened(tmp_path, plan, inspection_rules=str(file)) as opened:
        yield opened


async def rule(of: world.World, *actions: dict[str, Any], **fields: Any) -> str:
    made = await of.call("POST", "/v1/inspection_rules", {"actions": list(actions), **fields}, "1.96")
    return str(made["uuid"])


def act(op: str, **args: Any) -> dict[str, Any]:
    return {"op": op, "args": args}


def noted(word: str) -> dict[str, Any]:
    return act("extend-attribute", path="extra/order", value=word)


@pytest.mark.parametrize(("number", "interface"), [(0, "agent"), (1, "agent"), (1, "redfish")])
async def test_what_is_found_is_written_as_the_rules_say(quick: world.World, number: int, interface: str) -> None:
    name = await quick.enrol(number, inspect_interface=interface)
    big = {"op": "gt", "args": {"values": ["{inventory[memory][physical_mb]}", 1024]}}
    small = {"op": "!gt", "args": {"values": ["{inventory[memory][physical_mb]}", 1024]}}
    await rule(quick, noted("low"), priority=1)
    await rule(quick, act("fail", msg="never"), conditions=[big, small], priority=5)
    await rule(
        quick,
        noted("high"),
        act("set-attribute", path="resource_class", value="m{inventory[memory][physical_mb]}"),
        act("set-attribute", path="driver_info/rule_password", value=SECRET),
        act("set-capability", name="cpus", value="{inventory[cpu][count]}"),
        act("add-trait", name="CUSTOM_BIG"),
        act("set-plugin-data", path="rules.big", value="{node.name}"),
        {
            **act("set-attribute", path="{item[path]}", value="{item[value]}"),
            "loop": [
                {"path": "extra/arch", "value": "{inventory[cpu][architecture]}"},
                {"path": "description", "value": "{inventory[system_vendor][manufacturer]}"},
            ],
        },
        conditions=[big, {"op": "eq", "args": {"values": ["{item}", name]}, "loop": ["x", name], "multiple": "any"}],
        priority=9,
    )
    node = await quick.bring(name, "manage", "inspect")
    assert (node["provision_state"], node["last_error"]) == ("manageable", None)
    memory, cpus = node["properties"]["memory_mb"], node["properties"]["cpus"]
    assert (node["resource_class"], node["traits"]) == (f"m{memory}", ["CUSTOM_BIG"])
    assert node["properties"]["capabilities"] == f"cpus:{cpus}"
    assert (node["extra"]["order"], node["extra"]["arch"]) == (["file", "high", "low"], "x86_64")
    assert node["description"]
    assert node["driver_info"]["rule_password"] == "******"
    stored = await quick.call("GET", f"/v1/nodes/{name}/inventory")
    assert stored["plugin_data"]["rules"] == {"big": name}
    files = b"".join(path.read_bytes() for path in (quick.folder / "data").glob("ingot.db*"))
    assert SECRET.encode() not in files + (quick.folder / "serve.log").read_bytes()


async def test_a_rule_that_fails_says_which_and_why(quick: world.World) -> None:
    name = await quick.enrol(1, inspect_interface="redfish")
    uuid = await rule(
        quick, act("fail", msg="no GPU"), description="GPUs only", conditions=[{"op": "is-true", "args": [True]}]
    )
    node = await quick.bring(name, "manage", "inspect")
    assert node["provision_state"] == "inspect failed"
    assert node["last_error"].startswith(
        f"flow.rules: Inspection rule {uuid} (GPUs only): action 1 (fail): no GPU. An inspection rule asks for this"
    )
    await quick.call("DELETE", f"/v1/inspection_rules/{uuid}", version="1.96")
    odd = {"op": "lt", "args": {"values": ["{inventory[cpu][architecture]}", 5]}}
    uuid = await rule(quick, noted("odd"), conditions=[odd])
    node = await quick.bring(name, "inspect")
    assert f"Inspection rule {uuid}: condition 1 (lt): 'x86_64' and 5 have no order" in node["last_error"]
    patch = [{"op": "replace", "path": "/sensitive", "value": True}]
    await quick.call("PATCH", f"/v1/inspection_rules/{uuid}", patch, "1.96")
    node = await quick.bring(name, "inspect")
    assert f"Inspection rule {uuid}: condition 1 (lt) failed; the rule is sensitive" in node["last_error"]
    assert "x86_64" not in node["last_error"]
    await quick.call("DELETE", "/v1/inspection_rules", version="1.96")
    for wrong in (
        act("set-attribute", path="boot_interface", value="bogus"),
        act("set-attribute", path="retired", value="bogus"),
    ):
        uuid = await rule(quick, noted("odd"), wrong)
        node = await quick.bring(name, "inspect")
        assert node["provision_state"] == "inspect failed"
        assert f"Inspection rule {uuid}: what it sets: " in node["last_error"]
        assert "bogus" in node["last_error"]
        await quick.call("DELETE", f"/v1/inspection_rules/{uuid}", version="1.96")
    assert "order" not in node["extra"], "all that rules change, or nothing"
    await quick.call("DELETE", "/v1/inspection_rules", version="1.96")
    assert (await quick.bring(name, "inspect"))["provision_state"] == "manageable"
