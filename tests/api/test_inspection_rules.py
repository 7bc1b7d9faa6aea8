"""Inspection rules over the wire: what is taken, refused, shown and hidden; and real clients on them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import programs
from api import test_peers as peers

if TYPE_CHECKING:
    from tests.api.conftest import Api

PATH = "/v1/inspection_rules"
ACTION = {"op": "set-attribute", "args": {"path": "extra/a", "value": "{inventory[cpu][count]}"}}
CONDITION = {"op": "eq", "args": {"values": ["a", "a"]}}
UUID = "11111111-1111-1111-1111-111111111111"


async def make(api: Api, **fields: Any) -> dict[str, Any]:
    reply = await api.call("POST", PATH, {"actions": [ACTION], **fields})
    assert reply.status == 201, reply.raw
    assert reply.headers["Location"].endswith(f"{PATH}/{reply.body['uuid']}")
    return reply.body


async def patched(api: Api, uuid: str, op: str, path: str, *value: Any) -> Any:
    operation = {"op": op, "path": path, **({"value": value[0]} if value else {})}
    return await api.call("PATCH", f"{PATH}/{uuid}", [operation])


async def test_a_rule_from_creation_to_deletion(api: Api) -> None:
    looped = {**CONDITION, "loop": [1], "more": "dropped"}
    made = await make(api, description="d", priority=5, conditions=[CONDITION, looped])
    path = f"{PATH}/{made['uuid']}"
    assert made["conditions"] == [CONDITION, {**CONDITION, "loop": [1], "multiple": "any"}]
    assert (made["phase"], made["sensitive"], made["actions"]) == ("main", False, [ACTION])
    assert len(made) == 10
    assert await api.get(path) == made
    assert (await api.get(f"{PATH}?detail=true"))[PATH[4:]] == [made]
    listed = (await api.get(f"{PATH}?phase=main"))["inspection_rules"][0]
    assert set(listed) == {"uuid", "priority", "phase", "description", "links"}
    assert set(await api.get(f"{path}?fields=uuid,actions")) == {"uuid", "actions", "links"}
    assert (await patched(api, made["uuid"], "replace", "/priority", 9)).body["priority"] == 9
    reply = await patched(api, made["uuid"], "replace", "/actions/0/args/value", "z")
    assert reply.body["actions"][0]["args"]["value"] == "z"
    assert (await patched(api, made["uuid"], "remove", "/conditions")).body["conditions"] == []
    assert (await patched(api, made["uuid"], "remove", "/priority")).body["priority"] == 0
    assert (await api.call("DELETE", path)).status == 204
    assert (await api.call("GET", path)).status == 404
    await make(api)
    await make(api)
    assert (await api.get(f"{PATH}?limit=1&sort_key=priority"))["next"].count(PATH) == 1
    assert (await api.call("DELETE", PATH)).status == 204
    assert (await api.get(PATH))["inspection_rules"] == []


BODIES: list[tuple[dict[str, Any], int]] = [
    ({"uuid": UUID}, 201),
    ({"uuid": "bogus"}, 400),
    ({"actions": []}, 400),
    ({"actions": [{"op": "bogus", "args": {}}]}, 400),
    ({"actions": [{"op": "fail", "args": {"odd": 1}}]}, 400),
    ({"actions": [{"op": "fail", "args": ["m"]}]}, 201),
    ({"conditions": [{"op": "! eq", "args": [[1]]}]}, 400),
    ({"conditions": [{"op": "!eq", "args": [[1]], "loop": {"a": 1}, "multiple": "last"}]}, 201),
    ({"priority": 10000}, 400),
    ({"priority": -1}, 400),
    ({"priority": "5"}, 201),
    ({"priority": "many"}, 400),
    ({"phase": "early"}, 400),
    ({"phase": None}, 400),
    ({"scope": "x"}, 400),
    ({"sensitive": "yes"}, 400),
    ({"sensitive": None, "description": None}, 201),
]


@pytest.mark.parametrize(("fields", "status"), BODIES)
async def test_bodies(api: Api, fields: dict[str, Any], status: int) -> None:
    reply = await api.call("POST", PATH, {"actions": [ACTION], **fields})
    assert reply.status == status, reply.raw


async def test_other_refusals(api: Api) -> None:
    made = await make(api, uuid=UUID)
    assert (await api.call("POST", PATH, {"actions": [ACTION], "uuid": UUID})).status == 409
    assert (await patched(api, made["uuid"], "remove", "/actions/0")).status == 400
    wrong: dict[str, Any] = {"/uuid": UUID, "/bogus": 1, "/phase": "early", "/priority": "x", "/links": []}
    for path, value in wrong.items():
        for op in ("add", "replace"):
            assert (await patched(api, made["uuid"], op, path, value)).status == 400, path
    for method, path, version, status in (
        ("GET", PATH, "1.95", 404),
        ("GET", f"{PATH}/{UUID}", "1.95", 404),
        ("POST", PATH, "1.95", 405),
        ("PATCH", f"{PATH}/{UUID}", "1.95", 405),
        ("DELETE", f"{PATH}/{UUID}", "1.95", 405),
        ("PUT", f"{PATH}/{UUID}", "1.96", 405),
        ("GET", f"{PATH}?sort_key=actions", "1.96", 400),
        ("GET", f"{PATH}?fields=bogus", "1.96", 400),
        ("GET", f"{PATH}?scope=x", "1.96", 400),
        ("GET", f"{PATH}/zz", "1.96", 400),
        ("DELETE", f"{PATH}/22222222-2222-2222-2222-222222222222", "1.96", 404),
    ):
        assert (await api.call(method, path, version=version)).status == status, (method, path)


async def test_a_sensitive_rule_stays_hidden(api: Api, tmp_path: Path) -> None:
    secret = {"op": "set-attribute", "args": {"path": "driver_info/ipmi_password", "value": "not-to-be-seen"}}
    made = await make(api, actions=[secret], sensitive=True)
    assert (made["actions"], made["conditions"]) == (None, None)
    for value in (False, None):
        assert (await patched(api, made["uuid"], "replace", "/sensitive", value)).status == 400
    assert (await patched(api, made["uuid"], "remove", "/sensitive")).status == 400
    changed = (await patched(api, made["uuid"], "add", "/description", "x")).body
    assert (changed["description"], changed["actions"]) == ("x", None)
    assert b"not-to-be-seen" not in (await api.call("GET", f"{PATH}?detail=true")).raw
    await make(api, actions=[secret])
    api.deps.store.close()
    assert b"not-to-be-seen" not in b"".join(file.read_bytes() for file in tmp_path.glob("ingot.db*"))


@pytest.mark.peer
@pytest.mark.timeout(300)
async def test_the_baremetal_cli_manages_inspection_rules(api: Api, tmp_path: Path) -> None:
    cli = peers.Cli(api, tmp_path)
    words = ("inspection", "rule")
    what = ("--actions", json.dumps([ACTION]), "--conditions", json.dumps([CONDITION]), "--priority", "7")
    made = await cli(*words, "create", *what, "--description", "d")
    assert (made["actions"], made["priority"]) == ([ACTION], 7)
    await cli.plain(*words, "set", made["uuid"], "--priority", "8", "--description", "e")
    await cli.plain(*words, "unset", made["uuid"], "--description")
    shown = await cli(*words, "show", made["uuid"])
    assert (shown["priority"], shown["description"]) == (8, None)
    assert len(await cli(*words, "list", "--long")) == 1
    await cli.plain(*words, "delete", made["uuid"])
    assert await cli(*words, "list") == []


SDK = """
import sys
import openstack
metal = openstack.connect(auth_type="none", endpoint=sys.argv[1], baremetal_endpoint_override=sys.argv[1]).baremetal
actions = [{"op": "fail", "args": {"msg": "m"}}]
made = metal.create_inspection_rule(actions=actions, description="d", priority=3)
assert [each.id for each in metal.inspection_rules(details=True)] == [made.id]
assert metal.patch_inspection_rule(made.id, [{"op": "replace", "path": "/priority", "value": 4}]).priority == 4
assert metal.get_inspection_rule(made.id).actions == actions
metal.delete_inspection_rule(made.id)
assert list(metal.inspection_rules()) == []
print("done")
"""


@pytest.mark.peer
@pytest.mark.timeout(300)
async def test_openstacksdk_manages_inspection_rules(api: Api, tmp_path: Path) -> None:
    code, out, err = await peers.run(programs.peer(), "-c", SDK, api.url, HOME=str(tmp_path))
    assert (code, out.strip()) == (0, "done"), err
