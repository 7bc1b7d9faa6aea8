"""Projects side by side: lists show what is theirs, what is hidden looks absent, new things belong to their maker."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from api import tenants
from api.tenants import LESSEE, OWNER, THIRD, World
from ingot.settings import Settings
from ingot.store import nodes

if TYPE_CHECKING:
    from tests.api.conftest import Api

    from ingot.deps import Deps

_READERS = ((None, "reader"), (OWNER, "reader"), (LESSEE, "reader"), (THIRD, "reader"))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return tenants.asking(tmp_path)


@pytest.fixture
async def many(api: Api, deps: Deps) -> World:
    """Beside n1, which OWNER owns and LESSEE leases: n2 that LESSEE owns, n3 that nobody owns."""
    world = await tenants.settle(api, deps)
    for number, owner in ((2, LESSEE), (3, None)):
        node = {"driver": "fake-hardware", "name": f"n{number}", "owner": owner}
        made = await world.make("/v1/nodes", node)
        await world.make("/v1/ports", {"node_uuid": made["uuid"], "address": f"52:54:00:00:00:0{number}"})
        await world.make("/v1/portgroups", {"node_uuid": made["uuid"], "name": f"g{number}"})
    return world


async def test_lists_show_a_project_what_it_owns_and_leases(many: World) -> None:
    async def counts(path: str, key: str) -> list[int]:
        return [len((await many.seen(*reader, path))[key]) for reader in _READERS]

    for path, key in (
        ("/v1/nodes", "nodes"),
        ("/v1/nodes/detail", "nodes"),
        ("/v1/nodes?fields=name", "nodes"),
        ("/v1/ports", "ports"),
        ("/v1/ports/detail", "ports"),
        ("/v1/portgroups", "portgroups"),
    ):
        assert await counts(path, key) == [3, 1, 2, 0], path
    for path, key in (("/v1/volume/connectors", "connectors"), ("/v1/volume/targets", "targets")):
        assert await counts(path, key) == [1, 1, 1, 0], path
    assert await counts(f"/v1/chassis/{many.idents['{chassis}']}/nodes", "nodes") == [1, 1, 1, 0]
    assert await counts("/v1/nodes?owner=project-owner", "nodes") == [1, 1, 1, 0]


async def test_a_filter_does_not_widen_a_list(many: World) -> None:
    for path in (f"/v1/nodes?project={LESSEE}", f"/v1/runbooks?project={LESSEE}"):
        assert (await many.call(OWNER, "admin", "GET", path)).status == 403
    assert len((await many.seen(LESSEE, "reader", f"/v1/nodes?project={LESSEE}"))["nodes"]) == 2
    for path in ("/v1/ports?node=n3", "/v1/ports?node=n9", "/v1/ports?portgroup=g3", "/v1/ports?portgroup=g9"):
        assert (await many.call(OWNER, "admin", "GET", path)).status == 404, path
    for path in ("/v1/portgroups?node=n3", "/v1/portgroups?node=n9"):
        assert (await many.call(OWNER, "admin", "GET", path)).status == 404, path
    assert (await many.seen(None, "reader", "/v1/ports?node=n3"))["ports"] != []


async def test_what_is_hidden_reads_like_what_is_not_there(many: World) -> None:
    uuid = (await many.seen(None, "admin", "/v1/nodes/n3"))["uuid"]
    port = (await many.seen(None, "admin", "/v1/ports?node=n3"))["ports"][0]["uuid"]
    absent = "11111111-2222-3333-4444-555555555555"
    for method, path, hidden in (
        ("GET", "/v1/nodes/{}", "n3"),
        ("GET", "/v1/nodes/{}/states", uuid),
        ("PATCH", "/v1/nodes/{}", "n3"),
        ("DELETE", "/v1/nodes/{}", uuid),
        ("PUT", "/v1/nodes/{}/states/power", "n3"),
        ("GET", "/v1/nodes/validate?node={}", "n3"),
        ("GET", "/v1/ports/{}", port),
        ("DELETE", "/v1/ports/{}", port),
        ("GET", "/v1/portgroups/{}", "g3"),
        ("GET", "/ingot/v1/nodes/{}/run", "n3"),
    ):
        other = absent if len(hidden) == 36 else "n9"
        body = [] if method == "PATCH" else {"target": "power on"} if method == "PUT" else None
        seen = await many.call(OWNER, "admin", method, path.format(hidden), body)
        unseen = await many.call(OWNER, "admin", method, path.format(other), body)
        assert (seen.status, unseen.status) == (404, 404), path
        assert seen.raw.replace(hidden.encode(), b"x") == unseen.raw.replace(other.encode(), b"x")


async def test_whoever_leases_does_not_read_the_infrastructure(many: World, deps: Deps) -> None:
    uuid = (await many.seen(None, "admin", "/v1/nodes/n1"))["uuid"]
    facts = {"last_error": "bmc-7.example.org refused", "driver_internal_info": {"a": 1}, "reservation": "conductor-3"}
    await deps.store.run(lambda connection: nodes.change(connection, uuid, **facts))
    await deps.store.run(lambda connection: nodes.change(connection, uuid, driver_info={"acme_address": "bmc-7"}))
    fields = (*facts, "driver_info")
    for path in ("/v1/nodes/n1", "/v1/nodes/detail?limit=1", f"/v1/nodes?fields={','.join(fields)}&limit=1"):
        shown: dict[Any, dict[str, Any]] = {}
        for project in (None, OWNER, LESSEE):
            body = await many.seen(project, "reader", path)
            shown[project] = body["nodes"][0] if "nodes" in body else body
        assert shown[None]["last_error"] == facts["last_error"], path
        assert {name: shown[OWNER][name] for name in fields} == {name: shown[None][name] for name in fields}
        assert all("edacted - " in str(shown[LESSEE][name]) for name in fields), shown[LESSEE]
        rest = set(shown[None]) - set(fields) - {"links"}
        assert {name: shown[LESSEE][name] for name in rest} == {name: shown[None][name] for name in rest}
    patch = [{"op": "add", "path": "/extra/a", "value": 1}]
    changed = await many.call(LESSEE, "member", "PATCH", "/v1/nodes/n1", patch)
    # A lock answers first.
    assert changed.status == 409
    await deps.store.run(lambda connection: nodes.change(connection, uuid, reservation=None))
    changed = await many.call(LESSEE, "member", "PATCH", "/v1/nodes/n1", patch)
    assert changed.status == 200
    assert "bmc-7" not in changed.raw.decode()


async def test_a_project_owns_what_its_administrator_enrols(many: World) -> None:
    body = {"driver": "fake-hardware", "name": "mine"}
    made = await many.call(THIRD, "admin", "POST", "/v1/nodes", body)
    assert (made.status, made.body["owner"]) == (201, THIRD)
    refused = await many.call(THIRD, "admin", "POST", "/v1/nodes", {**body, "name": "x", "owner": OWNER})
    assert refused.status == 400
    assert "owner other than your own project" in refused.fault["faultstring"]
    assert (await many.call(THIRD, "admin", "GET", "/v1/nodes/mine")).status == 200
    assert (await many.call(OWNER, "admin", "GET", "/v1/nodes/mine")).status == 404
    port = {"node_ident": "mine", "address": "52:54:00:00:00:0a"}
    assert (await many.call(OWNER, "admin", "POST", "/v1/ports", port)).status == 403
    assert (await many.call(THIRD, "admin", "POST", "/v1/ports", port)).status == 201
    assert (await many.call(THIRD, "reader", "DELETE", "/v1/nodes/mine")).status == 403
    assert (await many.call(THIRD, "admin", "DELETE", "/v1/nodes/mine")).status == 204


async def test_a_parent_has_its_childrens_owner(many: World) -> None:
    answers = [
        await many.call(
            OWNER, "admin", "POST", "/v1/nodes", {"driver": "fake-hardware", "parent_node": parent, "name": "child"}
        )
        for parent in ("n2", "n9", "n1")
    ]
    assert [one.status for one in answers] == [400, 400, 201]
    hidden, absent = (
        one.fault["faultstring"].replace(name, "x") for one, name in zip(answers[:2], ("n2", "n9"), strict=True)
    )
    assert hidden == absent
    assert (await many.seen(OWNER, "reader", "/v1/nodes/n1/children"))["children"] == [answers[2].body["uuid"]]
    assert (await many.seen(LESSEE, "reader", "/v1/nodes/n1/children"))["children"] == []


async def test_a_node_in_use_keeps_its_owner(many: World, deps: Deps) -> None:
    uuid = (await many.seen(None, "admin", "/v1/nodes/n1"))["uuid"]
    await deps.store.run(lambda connection: nodes.change(connection, uuid, provision_state="active"))
    patch = [{"op": "replace", "path": "/owner", "value": THIRD}]
    refused = await many.call(None, "member", "PATCH", "/v1/nodes/n1", patch)
    assert refused.status == 409
    assert 'owner of node "' in refused.fault["faultstring"]
    assert (await many.call(None, "admin", "PATCH", "/v1/nodes/n1", patch)).status == 200
    assert (await many.call(OWNER, "reader", "GET", "/v1/nodes/n1")).status == 404, "it is another project's now"


async def test_runbooks_belong_to_projects_and_some_to_all(many: World) -> None:
    steps = [{"interface": "deploy", "step": "erase", "order": 1, "args": {}}]
    made = await many.call(LESSEE, "manager", "POST", "/v1/runbooks", {"name": "CUSTOM_L", "steps": steps})
    assert (made.status, made.body["owner"]) == (201, LESSEE)
    for more in ({"owner": OWNER}, {"public": True}):
        body = {"name": "CUSTOM_X", "steps": steps, **more}
        assert (await many.call(LESSEE, "manager", "POST", "/v1/runbooks", body)).status == 400
    await many.make("/v1/runbooks", {"name": "CUSTOM_P", "steps": steps, "public": True})

    async def names(project: str | None) -> set[str]:
        return {one["name"] for one in (await many.seen(project, "reader", "/v1/runbooks"))["runbooks"]}

    assert await names(None) == {"CUSTOM_R", "CUSTOM_L", "CUSTOM_P"}
    assert (await names(OWNER), await names(LESSEE)) == ({"CUSTOM_R", "CUSTOM_P"}, {"CUSTOM_L", "CUSTOM_P"})
    assert (await many.call(THIRD, "reader", "GET", "/v1/runbooks/CUSTOM_P")).status == 200
    for path in ("/owner", "/public"):
        patch = [{"op": "replace", "path": path, "value": [[]]}]
        assert (await many.call(OWNER, "manager", "PATCH", "/v1/runbooks/CUSTOM_R", patch)).status == 403
        assert (await many.call(None, "member", "PATCH", "/v1/runbooks/CUSTOM_R", patch)).status == 400
    clean = {"target": "clean", "runbook": "CUSTOM_L"}
    refused = await many.call(OWNER, "admin", "PUT", "/v1/nodes/n1/states/provision", clean)
    assert (refused.status, "runbook:use" in refused.fault["faultstring"]) == (403, True)


async def test_history_names_who_asked(many: World) -> None:
    asked = await many.call(OWNER, "member", "PUT", "/v1/nodes/n1/states/provision", {"target": "manage"})
    assert asked.status == 202
    [line] = (await many.seen(OWNER, "reader", "/v1/nodes/n1/history?detail=true"))["history"]
    assert (line["user"], line["project"]) == (f"member of {OWNER}", OWNER)


async def test_a_runs_view_shows_the_console_to_those_who_may_use_it(many: World, deps: Deps) -> None:
    async def tail(**_asked: object) -> str:
        return "root password: geheim"

    deps.bus.answer("console_tail", tail)
    assert (
        await many.call(OWNER, "member", "PUT", "/v1/nodes/n1/states/provision", {"target": "manage"})
    ).status == 202
    for caller, seen in (((OWNER, "member"), True), ((OWNER, "reader"), False), ((None, "reader"), False)):
        run = await many.seen(*caller, "/ingot/v1/nodes/n1/run")
        assert ("geheim" in str(run)) is seen, caller


async def test_a_refusal_says_who_may(many: World) -> None:
    refused = await many.call(LESSEE, "reader", "PUT", "/v1/nodes/n1/states/power", {"target": "power on"})
    assert refused.status == 403
    said = refused.fault["faultstring"]
    assert said.startswith("Access was denied to the following resource: baremetal:node:set_power_state")
    assert "member in the lessee's project" in said
    refused = await many.call(OWNER, "manager", "DELETE", "/v1/nodes/n1")
    assert refused.fault["faultstring"].endswith("the role admin of system scope; or admin in the owner's project.")
