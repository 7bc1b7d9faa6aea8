"""Ports, chassis, drivers, conductors, traits, history, states, power and provisioning over the wire."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ingot.domain import ids, runs
from ingot.store import claims as claim_store
from ingot.store import conductors, history, journals
from ingot.store import nodes as node_store
from ingot.store import runs as run_store

if TYPE_CHECKING:
    from tests.api.conftest import Api

UUID = "11111111-1111-1111-1111-111111111111"
MAC = "52:54:00:12:34:56"


async def port(api: Api, **fields: Any) -> dict[str, Any]:
    reply = await api.call("POST", "/v1/ports", {"address": MAC, "node_uuid": UUID, **fields})
    assert reply.status == 201, reply.raw
    return reply.body


async def test_a_port_from_creation_to_deletion(api: Api) -> None:
    await api.node(name="n1", uuid=UUID)
    made = await port(api, address=MAC.upper(), name="p1", extra={"a": 1})
    assert (made["address"], made["pxe_enabled"], made["node_uuid"]) == (MAC, True, UUID)
    assert len(made) == 18
    assert await api.get("/v1/ports/p1") == await api.get(f"/v1/ports/{made['uuid']}") == made
    oldest = await api.get(f"/v1/ports/{made['uuid']}", version=None)
    assert set(oldest) == {"uuid", "address", "extra", "node_uuid", "created_at", "updated_at", "links"}
    patch = [{"op": "replace", "path": "/address", "value": "52:54:00:12:34:57"}]
    assert (await api.call("PATCH", "/v1/ports/p1", patch)).body["address"] == "52:54:00:12:34:57"
    assert (await api.call("DELETE", "/v1/ports/p1")).status == 400
    assert (await api.call("DELETE", f"/v1/ports/{made['uuid']}")).status == 204
    assert (await api.call("GET", "/v1/ports/p1")).status == 404


async def test_a_port_of_any_name_is_found_by_it(api: Api) -> None:
    await api.node(name="n1", uuid=UUID)
    made = await port(api, name="p" * 36)
    assert await api.get(f"/v1/ports/{made['name']}") == made


async def test_lists_of_ports(api: Api) -> None:
    await api.node(name="n1", uuid=UUID, shard="s", conductor_group="g")
    made = await port(api, description="left card")
    short = {"uuid", "address", "links"}
    for arguments in (
        "node=n1",
        f"node_uuid={UUID}",
        f"address={MAC}",
        "shard=s",
        "conductor_groups=g",
        "description_contains=left",
    ):
        found = (await api.get(f"/v1/ports?{arguments}"))["ports"]
        assert [each["uuid"] for each in found] == [made["uuid"]], arguments
        assert set(found[0]) == short
    assert (await api.get("/v1/ports?detail=true"))["ports"] == [made]
    assert (await api.get("/v1/ports/detail"))["ports"] == [made]
    assert (await api.get("/v1/nodes/n1/ports/detail"))["ports"] == [made]
    assert (await api.get(f"/v1/nodes/{UUID}/ports"))["ports"][0]["address"] == MAC
    assert (await api.get("/v1/ports?limit=1"))["next"].endswith(f"limit=1&marker={made['uuid']}")
    assert (await api.call("GET", "/v1/ports?node=n1&shard=s")).status == 403
    assert (await api.call("GET", "/v1/ports?node=nobody")).status == 404


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"address": "zz"}, 400),
        ({"node_uuid": None}, 400),
        ({"node_uuid": "22222222-2222-2222-2222-222222222222"}, 400),
        ({"node_ident": "n1"}, 400),
        ({"odd": 1}, 400),
        ({"local_link_connection": {"odd": "x"}}, 400),
        ({"local_link_connection": {"port_id": "1", "switch_id": "x"}}, 400),
        ({"local_link_connection": {"port_id": "1", "switch_id": "00:11:22:33:44:55"}}, 201),
        ({"local_link_connection": {"port_id": "1", "switch_id": "00000000000000ab", "switch_info": "s"}}, 201),
        ({"local_link_connection": {"network_type": "unmanaged"}}, 201),
        ({"is_smartnic": True, "local_link_connection": {"port_id": "rep0", "hostname": "h"}}, 201),
        ({"pxe_enabled": "no"}, 201),
        ({"physical_network": "x" * 65}, 400),
    ],
)
async def test_what_a_port_may_be(api: Api, fields: dict[str, Any], status: int) -> None:
    await api.node(name="n1", uuid=UUID)
    body = {"address": MAC, "node_uuid": UUID, **fields}
    reply = await api.call("POST", "/v1/ports", {key: value for key, value in body.items() if value is not None})
    assert reply.status == status, reply.raw


async def test_ports_change_only_while_the_node_rests(api: Api) -> None:
    await api.node(name="n1", uuid=UUID)
    made = await port(api)
    assert (await api.call("POST", "/v1/ports", {"address": MAC, "node_uuid": UUID})).status == 409
    await api.deps.store.run(node_store.change, UUID, provision_state="active")
    path = f"/v1/ports/{made['uuid']}"
    patch = [{"op": "replace", "path": "/pxe_enabled", "value": False}]
    assert (await api.call("PATCH", path, patch)).status == 409
    extra = [{"op": "add", "path": "/extra/a", "value": 1}]
    assert (await api.call("PATCH", path, extra)).status == 200
    await api.deps.store.run(node_store.change, UUID, maintenance=True)
    assert (await api.call("PATCH", path, patch)).body["pxe_enabled"] is False
    assert (await api.call("PATCH", path, [{"op": "remove", "path": "/pxe_enabled"}])).body["pxe_enabled"] is True


async def test_chassis(api: Api) -> None:
    reply = await api.call("POST", "/v1/chassis", {"description": "row 1", "uuid": UUID})
    assert (reply.status, reply.headers["Location"]) == (201, f"{api.url}/v1/chassis/{UUID}")
    assert reply.body["nodes"][0][0] == {"href": f"{api.url}/v1/chassis/{UUID}/nodes", "rel": "self"}
    node = await api.node(chassis_uuid=UUID)
    assert [each["uuid"] for each in (await api.get(f"/v1/chassis/{UUID}/nodes"))["nodes"]] == [node["uuid"]]
    assert (await api.get(f"/v1/chassis/{UUID}/nodes/detail"))["nodes"] == [node]
    assert set((await api.get("/v1/chassis"))["chassis"][0]) == {"uuid", "description", "links"}
    assert (await api.get("/v1/chassis?detail=true"))["chassis"] == [reply.body]
    assert (await api.call("DELETE", f"/v1/chassis/{UUID}")).status == 400
    assert (await api.call("DELETE", f"/v1/nodes/{node['uuid']}")).status == 204
    assert (await api.call("DELETE", f"/v1/chassis/{UUID}")).status == 204
    assert (await api.call("GET", f"/v1/chassis/{UUID}")).status == 404
    assert (await api.call("GET", "/v1/chassis/name")).status == 400


async def test_drivers(api: Api) -> None:
    body = await api.get("/v1/drivers")
    assert [(each["name"], each["hosts"], each["type"]) for each in body["drivers"]] == [
        ("fake-hardware", ["here"], "dynamic"),
        ("acme", ["here"], "dynamic"),
    ]
    assert (await api.get("/v1/drivers?type=classic"))["drivers"] == []
    shown = await api.get("/v1/drivers/acme")
    assert (shown["default_network_interface"], shown["enabled_network_interfaces"]) == ("noop", ["noop"])
    assert "type" not in await api.get("/v1/drivers/acme", version="1.29")
    assert await api.get("/v1/drivers/acme/properties") == {"acme_address": "URL of the BMC Required."}
    assert (await api.call("GET", "/v1/drivers/nobody")).status == 404


async def test_conductors(api: Api) -> None:
    now = api.deps.clock()
    for name, seen in (("a", now), ("b", now - 100)):
        value = conductors.Conductor(hostname=name, boot_id=UUID, drivers=("acme",), seen_at=seen)
        await api.deps.store.run(conductors.register, value)
    body = await api.get("/v1/conductors")
    assert [(each["hostname"], each["alive"]) for each in body["conductors"]] == [("a", True), ("b", False)]
    assert (await api.get("/v1/conductors/a"))["drivers"] == ["acme"]
    assert [each["hostname"] for each in (await api.get("/v1/conductors?marker=a"))["conductors"]] == ["b"]
    assert (await api.call("GET", "/v1/conductors", version="1.48")).status == 404
    assert (await api.call("GET", "/v1/conductors/nobody")).status == 404


async def test_traits(api: Api) -> None:
    await api.node(name="n1")
    where = "/v1/nodes/n1/traits"
    assert (await api.call("PUT", where, {"traits": ["CUSTOM_A", "HW_CPU_X86_VMX"]})).status == 204
    reply = await api.call("PUT", f"{where}/CUSTOM_B")
    assert (reply.status, reply.headers["Location"]) == (204, f"{api.url}{where}/CUSTOM_B")
    assert (await api.get(where))["traits"] == ["CUSTOM_A", "CUSTOM_B", "HW_CPU_X86_VMX"]
    assert (await api.get("/v1/nodes?fields=traits"))["nodes"][0]["traits"] == [
        "CUSTOM_A",
        "CUSTOM_B",
        "HW_CPU_X86_VMX",
    ]
    assert (await api.call("DELETE", f"{where}/CUSTOM_B")).status == 204
    assert (await api.call("DELETE", f"{where}/CUSTOM_B")).status == 404
    assert (await api.call("PUT", f"{where}/custom")).status == 400
    assert (await api.call("PUT", where, {"traits": [f"CUSTOM_{number}" for number in range(51)]})).status == 400
    assert (await api.call("GET", where, version="1.36")).status == 406
    assert (await api.call("DELETE", where)).status == 204
    assert (await api.get(where))["traits"] == []


async def test_history_and_inventory(api: Api) -> None:
    made = await api.node(name="n1")
    assert (await api.call("GET", "/v1/nodes/n1/inventory")).status == 404
    await api.deps.store.run(history.set_inventory, made["uuid"], {"cpu": {"count": 4}}, {"x": 1})
    assert await api.get("/v1/nodes/n1/inventory") == {"inventory": {"cpu": {"count": 4}}, "plugin_data": {"x": 1}}
    for number in range(3):
        await api.deps.store.run(history.add, made["uuid"], f"event {number} " + "x" * 300, severity="ERROR")
    body = await api.get("/v1/nodes/n1/history?limit=2")
    assert [entry["event"][:7] for entry in body["history"]] == ["event 0", "event 1"]
    assert len(body["history"][0]["event"]) == 255
    rest = await api.get(body["next"].removeprefix(api.url))
    assert [entry["event"][:7] for entry in rest["history"]] == ["event 2"]
    one = await api.get(f"/v1/nodes/n1/history/{rest['history'][0]['uuid']}")
    assert len(one["event"]) > 255
    assert "state" in one
    assert "state" not in (await api.get("/v1/nodes/n1/history?detail=true", version="1.114"))["history"][0]


async def test_power(api: Api) -> None:
    rung: list[str] = []
    api.deps.bus.listen(rung.append)
    made = await api.node(name="n1")
    for body, version, status in (
        ({"target": "boo"}, "1.115", 400),
        ({}, "1.115", 400),
        ({"target": "power on", "timeout": 0}, "1.115", 400),
        ({"target": "power on", "timeout": 5}, "1.26", 406),
        ({"target": "soft power off"}, "1.26", 406),
        ({"target": "power on", "odd": 1}, "1.115", 400),
        ({"target": "power on", "timeout": 5}, "1.27", 202),
        ({"target": "power on"}, "1.115", 409),
    ):
        reply = await api.call("PUT", "/v1/nodes/n1/states/power", body, version=version)
        assert (body, reply.status) == (body, status)
        if status == 202:
            assert reply.headers["Location"] == f"{api.url}/v1/nodes/n1/states"
            assert reply.raw == b""
    assert rung == [made["uuid"]]
    assert (await api.get("/v1/nodes/n1/states"))["target_power_state"] == "power on"


async def test_provisioning_starts_a_run_that_the_product_shows(api: Api) -> None:
    made = await api.node(name="n1")
    assert (await api.call("GET", "/ingot/v1/nodes/n1/run")).status == 404
    reply = await api.call("PUT", "/v1/nodes/n1/states/provision", {"target": "manage"})
    assert (reply.status, reply.headers["Location"]) == (202, f"{api.url}/v1/nodes/n1/states")
    states = await api.get("/v1/nodes/n1/states")
    assert (states["provision_state"], states["target_provision_state"]) == ("verifying", "manageable")
    run = await api.get("/ingot/v1/nodes/n1/run")
    assert (run["kind"], run["status"], run["plan"], run["wait"]) == ("verify", "open", [], None)
    store = api.deps.store
    now = api.deps.clock()
    [lease] = await store.run(claim_store.claim, "here/1", now + 1, 60.0, 1)
    plan = [runs.PlannedStep("power", "validate"), runs.PlannedStep("deploy", "boot")]
    await store.run(run_store.change, lease, plan=plan, progress={"done": 5, "total": 10, "phase": "writing"})
    for number, step, mark in ((1, 0, "started"), (2, 0, "succeeded"), (3, 1, "started")):
        await store.run(journals.append, lease, runs.Entry(number, step, runs.Mark(mark), now + number))
    await store.run(run_store.park, lease, runs.Wait("the ramdisk's first call", now, now + 600, 90.0), now + 600)
    run = await api.get("/ingot/v1/nodes/n1/run")
    assert run["current_step"] == "deploy.boot"
    assert [(step["title"], step["status"]) for step in run["plan"]] == [
        ("power.validate", "done"),
        ("deploy.boot", "running"),
    ]
    assert run["plan"][0]["duration"] == pytest.approx(1)
    assert (run["wait"]["what"], run["wait"]["usual"]) == ("the ramdisk's first call", 90.0)
    assert run["progress"] == {"done": 5, "total": 10, "phase": "writing"}
    assert [(line["step"], line["mark"]) for line in run["journal"]] == [
        ("power.validate", "started"),
        ("power.validate", "succeeded"),
        ("deploy.boot", "started"),
    ]
    assert {**await api.get(f"/ingot/v1/nodes/n1/runs/{run['id']}"), "now": run["now"]} == run
    assert [each["id"] for each in (await api.get(f"/ingot/v1/nodes/{made['uuid']}/runs"))["runs"]] == [run["id"]]


async def test_a_run_that_no_conductor_can_go_on_with_says_so(api: Api) -> None:
    await api.node(name="n1", conductor_group="rack1")
    await api.call("PUT", "/v1/nodes/n1/states/provision", {"target": "manage"})
    lack = 'Waits for a conductor: No conductor of the group "rack1" is alive. Start one'
    for group, reason in (("", lack), ("rack1", "Waits for a conductor to take it up")):
        alive = conductors.Conductor(hostname=f"c{group}", boot_id="1", conductor_group=group, seen_at=api.deps.clock())
        await api.deps.store.run(conductors.register, alive)
        await api.deps.members.refresh()
        assert (await api.get("/ingot/v1/nodes/n1/run"))["reason"].startswith(reason)


async def test_runs_are_listed_a_page_at_a_time_and_belong_to_one_node(api: Api) -> None:
    made, other = await api.node(name="n1"), await api.node(name="n2")
    for number in range(5):
        ended = runs.Run(id=ids.new(), node_uuid=made["uuid"], kind=runs.Kind.VERIFY, started_at=float(number // 2))
        await api.deps.store.run(run_store.open_run, ended)
        [lease] = await api.deps.store.run(claim_store.claim, "here/1", 10.0, 60.0, 1)
        await api.deps.store.run(run_store.finish, lease, runs.Status.SUCCEEDED, None, 11.0)
    everything = (await api.get("/ingot/v1/nodes/n1/runs"))["runs"]
    assert [run["started_at"] for run in everything] == [2.0, 1.0, 1.0, 0.0, 0.0]
    url, seen = "/ingot/v1/nodes/n1/runs?limit=2", list[dict[str, Any]]()
    while url:
        page = await api.get(url)
        seen += page["runs"]
        url = page.get("next", "").removeprefix(api.url)
    assert seen == everything
    for path in (f"runs/{seen[0]['id']}", f"runs?marker={seen[0]['id']}"):
        assert (await api.call("GET", f"/ingot/v1/nodes/{other['uuid']}/{path}")).status == 404


# What a node's state forbids is said before its microversion is looked at.
_TAKES = {"active": "available", "rebuild": "active", "clean": "manageable", "rescue": "active"}


@pytest.mark.parametrize(
    ("body", "version", "status"),
    [
        ({"target": "boo"}, "1.115", 400),
        ({"target": "active"}, "1.115", 400),
        ({"target": "manage"}, "1.3", 406),
        ({"target": "deploy"}, "1.72", 406),
        ({"target": "clean"}, "1.115", 400),
        ({"target": "clean", "clean_steps": [{"interface": "deploy", "step": "erase"}]}, "1.14", 406),
        ({"target": "manage", "clean_steps": [{"interface": "deploy", "step": "erase"}]}, "1.115", 400),
        ({"target": "rescue"}, "1.115", 400),
        ({"target": "active", "configdrive": "not base64!"}, "1.115", 400),
        ({"target": "active", "configdrive": {"meta_data": {}}}, "1.55", 406),
        ({"target": "active", "configdrive": {"vendor_data": {}}}, "1.58", 406),
        ({"target": "rebuild", "configdrive": "aGFsbG8="}, "1.34", 406),
        ({"target": "active", "deploy_steps": []}, "1.68", 406),
        ({"target": "active", "odd": 1}, "1.115", 400),
        ({"target": "manage", "runbook": "r"}, "1.115", 400),
        ({"target": "clean", "runbook": "r"}, "1.91", 406),
    ],
)
async def test_provisioning_bodies_that_are_refused(api: Api, body: dict[str, Any], version: str, status: int) -> None:
    made = await api.node(name="n1")
    state = _TAKES.get(body["target"], "enroll") if status == 406 else "enroll"
    await api.deps.store.run(node_store.change, made["uuid"], provision_state=state)
    reply = await api.call("PUT", f"/v1/nodes/{made['uuid']}/states/provision", body, version=version)
    assert (reply.status, (await api.get("/v1/nodes/n1"))["provision_state"]) == (status, state), reply.raw


STEP = {"interface": "deploy", "step": "erase_devices_metadata"}
ON_CHILDREN: dict[str, Any] = {"execute_on_child_nodes": True}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({}, '"clean_steps" is required'),
        ({"clean_steps": []}, '"clean_steps" is required'),
        ({"clean_steps": [{"interface": "vendor", "step": "send_raw"}]}, "clean step 'vendor.send_raw' is not allowed"),
        ({"runbook": ""}, '"clean_steps" is required'),
        ({"runbook": "r", "clean_steps": [STEP]}, "but not both"),
        ({"disable_ramdisk": 7, "clean_steps": [STEP]}, "Invalid disable_ramdisk: Unrecognized value"),
        ({"clean_steps": [STEP | ON_CHILDREN | {"limit_child_node_execution": ["n2"]}]}, "Invalid entry detected for"),
    ],
)
async def test_what_nothing_would_act_on_is_refused(api: Api, more: dict[str, Any], said: str) -> None:
    made = await api.node(name="n1")
    await api.deps.store.run(node_store.change, made["uuid"], provision_state="manageable")
    place = "/v1/nodes/n1/states/provision"
    reply = await api.call("PUT", place, {"target": "clean", **more})
    assert (reply.status, said in reply.fault["faultstring"]) == (400, True), reply.raw
    assert (await api.get("/v1/nodes/n1"))["provision_state"] == "manageable"


async def test_keys_that_ask_for_nothing_do_no_harm(api: Api) -> None:
    made = await api.node(name="n1")
    await api.deps.store.run(node_store.change, made["uuid"], provision_state="manageable")
    step: dict[str, Any] = STEP | {"execute_on_child_nodes": False, "limit_child_node_execution": []}
    body: dict[str, Any] = {"target": "clean", "clean_steps": [step], "disable_ramdisk": False}
    reply = await api.call("PUT", "/v1/nodes/n1/states/provision", body)
    assert reply.status == 202, reply.raw


async def test_config_drives_and_steps_reach_the_run_sealed(api: Api) -> None:
    made = await api.node(name="n1")
    await api.deps.store.run(node_store.change, made["uuid"], provision_state="available")
    body: dict[str, Any] = {"target": "active", "configdrive": {"user_data": "geheim"}, "deploy_steps": []}
    assert (await api.call("PUT", "/v1/nodes/n1/states/provision", body)).status == 202
    run = await api.deps.store.read(run_store.find_open, made["uuid"])
    assert run is not None
    assert "geheim" not in str(run.params)
    opened = api.deps.sealer.open(made["uuid"], run.params["sealed"])
    assert opened == {"configdrive": {"user_data": "geheim"}, "deploy_steps": []}


async def test_maintenance(api: Api) -> None:
    made = await api.node(name="n1")
    assert (await api.call("PUT", "/v1/nodes/n1/maintenance", {"reason": "dust"})).status == 202
    await api.deps.store.run(node_store.change, made["uuid"], fault="power failure")
    shown = await api.get("/v1/nodes/n1")
    assert (shown["maintenance"], shown["maintenance_reason"]) == (True, "dust")
    assert (await api.call("DELETE", "/v1/nodes/n1/maintenance")).status == 202
    shown = await api.get("/v1/nodes/n1")
    assert (shown["maintenance"], shown["maintenance_reason"], shown["fault"]) == (False, None, None)


async def test_calls_without_a_conductor_say_so(api: Api) -> None:
    await api.node(name="n1")
    reply = await api.call("GET", "/v1/nodes/n1/validate")
    assert reply.status == 503
    assert "ingot serve" in reply.fault["faultstring"]


async def test_the_state_table_is_served(api: Api) -> None:
    body = await api.get("/ingot/v1/states")
    by_name = {row["state"]: row for row in body["states"]}
    assert by_name["enroll"]["verbs"] == ["manage"]
    assert by_name["wait call-back"]["exit_verb"] == "abort"
    assert len(by_name) == 30
