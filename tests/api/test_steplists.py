"""Deploy templates and runbooks on the wire: their form, versions, patches, secrets, and who may use a runbook."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ingot.store import nodes as node_store
from ingot.store import runs

if TYPE_CHECKING:
    from tests.api.conftest import Api

STEP: dict[str, Any] = {"interface": "bios", "step": "apply_configuration", "args": {"settings": []}, "priority": 150}
BOOKED: dict[str, Any] = {"interface": "deploy", "step": "erase_devices_metadata", "args": {}, "order": 1}
TEMPLATE: dict[str, Any] = {"name": "CUSTOM_FAST", "steps": [STEP]}
RUNBOOK: dict[str, Any] = {"name": "CUSTOM_WIPE", "steps": [BOOKED]}


async def make(api: Api, path: str, body: dict[str, Any], **more: Any) -> dict[str, Any]:
    reply = await api.call("POST", f"/v1/{path}", body, **more)
    assert reply.status == 201, reply.raw
    assert reply.headers["Location"].endswith(f"/v1/{path}/{reply.body['uuid']}")
    return reply.body


async def test_a_template_lives_and_dies(api: Api) -> None:
    made = await make(api, "deploy_templates", {**TEMPLATE, "extra": {"a": 1}, "description": "kept, never shown"})
    assert set(made) == {"uuid", "name", "steps", "extra", "created_at", "updated_at", "links"}
    assert (made["steps"], made["extra"], made["updated_at"]) == ([STEP], {"a": 1}, None)
    [listed] = (await api.get("/v1/deploy_templates"))["deploy_templates"]
    assert set(listed) == {"uuid", "name", "links"}
    [detailed] = (await api.get("/v1/deploy_templates?detail=true"))["deploy_templates"]
    assert detailed == made == await api.get("/v1/deploy_templates/CUSTOM_FAST")
    assert set(await api.get(f"/v1/deploy_templates/{made['uuid']}?fields=steps")) == {"steps", "links"}
    patched = await api.call(
        "PATCH",
        "/v1/deploy_templates/CUSTOM_FAST",
        [{"op": "replace", "path": "/name", "value": "CUSTOM_SLOW"}, {"op": "remove", "path": "/extra"}],
    )
    assert (patched.status, patched.body["name"], patched.body["extra"]) == (200, "CUSTOM_SLOW", {})
    assert (await api.call("DELETE", "/v1/deploy_templates/CUSTOM_SLOW")).status == 204
    assert (await api.call("GET", "/v1/deploy_templates/CUSTOM_SLOW")).status == 404


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("deploy_templates", {**TEMPLATE, "name": "plain"}),
        ("deploy_templates", {**TEMPLATE, "steps": []}),
        ("deploy_templates", {**TEMPLATE, "steps": [STEP, STEP]}),
        ("deploy_templates", {**TEMPLATE, "steps": [{**STEP, "interface": "network"}]}),
        ("deploy_templates", {**TEMPLATE, "steps": [{**STEP, "priority": -1}]}),
        ("deploy_templates", {**TEMPLATE, "steps": [{**STEP, "priority": "9" * 5000}]}),
        ("deploy_templates", {**TEMPLATE, "steps": [BOOKED]}),
        ("deploy_templates", {**TEMPLATE, "steps": "none"}),
        ("deploy_templates", {**TEMPLATE, "uuid": "no-uuid"}),
        ("deploy_templates", {"steps": [STEP]}),
        ("deploy_templates", {**TEMPLATE, "public": True}),
        ("runbooks", {**RUNBOOK, "steps": [STEP]}),
        ("runbooks", {**RUNBOOK, "steps": [{**BOOKED, "interface": "vendor", "step": "send_raw"}]}),
        ("runbooks", {**RUNBOOK, "name": "a b"}),
        ("runbooks", {**RUNBOOK, "traits": ["CUSTOM_A"]}),
        ("runbooks", {**RUNBOOK, "public": True, "owner": "me"}),
        ("runbooks", {**RUNBOOK, "disable_ramdisk": "perhaps"}),
    ],
)
async def test_what_cannot_be_run_is_refused(api: Api, path: str, body: dict[str, Any]) -> None:
    reply = await api.call("POST", f"/v1/{path}", body)
    assert (reply.status, (await api.get(f"/v1/{path}"))[path]) == (400, []), reply.raw


@pytest.mark.parametrize(
    ("method", "path", "version", "status"),
    [
        ("GET", "deploy_templates", "1.54", 404),
        ("POST", "deploy_templates", "1.54", 405),
        ("GET", "runbooks", "1.91", 404),
        ("POST", "runbooks", "1.91", 405),
        ("GET", "runbooks/x/traits", "1.111", 404),
    ],
)
async def test_they_begin_with_their_microversion(api: Api, method: str, path: str, version: str, status: int) -> None:
    assert (await api.call(method, f"/v1/{path}", version=version)).status == status


async def test_a_name_is_taken_once(api: Api) -> None:
    await make(api, "deploy_templates", TEMPLATE)
    assert (await api.call("POST", "/v1/deploy_templates", TEMPLATE)).status == 409
    await make(api, "deploy_templates", {**TEMPLATE, "name": "CUSTOM_B"})
    taken = [{"op": "replace", "path": "/name", "value": "CUSTOM_FAST"}]
    assert (await api.call("PATCH", "/v1/deploy_templates/CUSTOM_B", taken)).status == 409


async def test_secrets_of_steps_are_masked_sealed_and_outlive_a_patch(api: Api, tmp_path: Path) -> None:
    step = {**BOOKED, "args": {"password": "geheim-99", "level": 1}}
    made = await make(api, "runbooks", {**RUNBOOK, "steps": [step]})
    assert made["steps"][0]["args"] == {"password": "******", "level": 1}
    steps = [{"op": "replace", "path": "/steps", "value": [{**made["steps"][0], "order": 2}]}]
    patched = await api.call("PATCH", f"/v1/runbooks/{made['uuid']}", steps)
    assert (patched.status, patched.body["steps"][0]["order"]) == (200, 2)
    assert b"geheim-99" not in b"".join(file.read_bytes() for file in tmp_path.glob("ingot.db*"))
    from ingot.store import steplists

    stored = await api.deps.store.read(steplists.RUNBOOKS.get, api.deps.sealer, made["uuid"])
    assert stored.steps[0]["args"]["password"] == "geheim-99"


async def test_runbook_fields_by_version(api: Api) -> None:
    made = await make(api, "runbooks", {**RUNBOOK, "description": "d"})
    assert (made["description"], made["traits"], made["public"], made["disable_ramdisk"]) == ("d", [], False, False)
    older = await api.get("/v1/runbooks/CUSTOM_WIPE", version="1.111")
    assert set(made) - set(older) == {"description", "traits"}
    free = {**RUNBOOK, "name": "free-name"}
    assert (await api.call("POST", "/v1/runbooks", free, version="1.111")).status == 400
    await make(api, "runbooks", free)


async def test_runbook_traits(api: Api) -> None:
    await make(api, "runbooks", RUNBOOK)
    place = "/v1/runbooks/CUSTOM_WIPE/traits"
    assert (await api.call("PUT", f"{place}/CUSTOM_B")).status == 204
    assert (await api.call("PUT", place, {"traits": ["CUSTOM_A", "CUSTOM_C"]})).status == 204
    assert (await api.call("PUT", f"{place}/CUSTOM_B")).status == 204
    assert (await api.call("DELETE", f"{place}/CUSTOM_C")).status == 204
    assert (await api.call("DELETE", f"{place}/CUSTOM_NOT_THERE")).status == 204
    assert await api.get(place) == {"traits": ["CUSTOM_A", "CUSTOM_B"]}
    assert (await api.call("PUT", f"{place}/bad")).status == 400
    assert (await api.call("PUT", place, {"traits": "CUSTOM_A"})).status == 400
    assert (await api.call("DELETE", place)).status == 204
    assert await api.get(place) == {"traits": []}


async def test_a_runbook_serves_nodes_that_share_a_trait(api: Api) -> None:
    made = await api.node(name="n1")
    await api.deps.store.run(node_store.change, made["uuid"], provision_state="manageable")
    second = {**BOOKED, "step": "erase_devices", "order": 0}
    await make(api, "runbooks", {**RUNBOOK, "steps": [BOOKED, second], "disable_ramdisk": True})
    place, body = "/v1/nodes/n1/states/provision", {"target": "clean", "runbook": "CUSTOM_WIPE"}
    for said in ("has no traits configured", "has none of its traits"):
        reply = await api.call("PUT", place, body)
        assert (reply.status, said in reply.fault["faultstring"]) == (400, True), reply.raw
        await api.call("PUT", "/v1/runbooks/CUSTOM_WIPE/traits/CUSTOM_X")
    assert "not been approved" in (await api.call("PUT", place, body, version="1.111")).fault["faultstring"]
    await api.call("PUT", "/v1/nodes/n1/traits/CUSTOM_X")
    assert (await api.call("PUT", place, {**body, "runbook": "nobody"})).status == 404
    reply = await api.call("PUT", place, body)
    assert reply.status == 202, reply.raw
    opened = await api.deps.store.read(runs.find_open, made["uuid"])
    assert opened is not None
    asked = api.deps.sealer.open(made["uuid"], opened.params["sealed"])
    assert [step["step"] for step in asked["clean_steps"]] == ["erase_devices", "erase_devices_metadata"]
    assert asked["disable_ramdisk"] is True


async def test_before_traits_a_runbook_serves_nodes_with_a_trait_of_its_name(api: Api) -> None:
    made = await api.node(name="n1")
    await api.deps.store.run(node_store.change, made["uuid"], provision_state="manageable")
    await make(api, "runbooks", RUNBOOK)
    await api.call("PUT", "/v1/nodes/n1/traits/CUSTOM_WIPE")
    body = {"target": "clean", "runbook": "CUSTOM_WIPE"}
    assert (await api.call("PUT", "/v1/nodes/n1/states/provision", body, version="1.111")).status == 202


async def test_the_templates_of_an_instances_traits_join_its_deployment(api: Api) -> None:
    other = {**STEP, "step": "factory_reset", "priority": 160}
    await make(api, "deploy_templates", {**TEMPLATE, "steps": [STEP, other]})
    await make(api, "deploy_templates", {**TEMPLATE, "name": "CUSTOM_OTHER"})
    made = await api.node(name="n1", instance_info={"traits": ["CUSTOM_FAST", "CUSTOM_UNKNOWN"]})
    await api.deps.store.run(node_store.set_traits, made["uuid"], ["CUSTOM_FAST", "CUSTOM_UNKNOWN"])
    await api.deps.store.run(node_store.change, made["uuid"], provision_state="available")
    asked = {**STEP, "priority": 7}
    reply = await api.call("PUT", "/v1/nodes/n1/states/provision", {"target": "active", "deploy_steps": [asked]})
    assert reply.status == 202, reply.raw
    opened = await api.deps.store.read(runs.find_open, made["uuid"])
    assert opened is not None
    steps = api.deps.sealer.open(made["uuid"], opened.params["sealed"])["deploy_steps"]
    assert {step["step"]: step["priority"] for step in steps} == {"apply_configuration": 7, "factory_reset": 160}
