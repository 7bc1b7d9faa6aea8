"""Upstream's own cases of roles and scopes (a thousand requests with their answers), sent to ingot.

What is compared is whether a caller is let in, refused or told that there is no such thing, how long lists are and what
bodies must hold. A request that would be let in and change something is sent with an argument that nobody knows, so
that no case disturbs the next.
"""

from __future__ import annotations

import functools
import json
import secrets
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

import programs
from api import tenants
from ingot.domain import allocation, ids
from ingot.domain import bios as domain_bios
from ingot.services import users
from ingot.settings import Settings
from ingot.store import allocations, bios, conductors, history, nodes, paging
from ingot.store import users as user_rows

if TYPE_CHECKING:
    from tests.api.conftest import Api

    from ingot.deps import Deps

pytestmark = [pytest.mark.slow, pytest.mark.peer, pytest.mark.timeout(300)]

OWNER, LESSEE = "70e5e25a-2ca2-4cb1-8ae8-7d8739cee205", "f11853c7-fa9c-4db3-a477-c9d8e0dbbf13"
OWNED, LEASED = "1ab63b9e-66d7-4cd7-8618-dddd0f9f7881", "38d5abed-c585-4fce-a57e-a2ffc2a2ec6f"
LEFT_OUT = {
    "service_project": "the elevated project has one name in all cases here",
    "skip_reason": "upstream skips it",
}
DIFFERENT = {
    # The address of an indicator is name@component; this one has two parts, which only upstream's router takes.
    "test_rbac_project_scoped.yaml: owner_member_can_set_indicator",
    "test_rbac_project_scoped.yaml: lessee_member_cannot_set_indicator",
}
"""Cases whose answer differs on purpose."""


@pytest.fixture(params=[False, True], ids=["as it comes", "services elevated"])
def elevated(request: pytest.FixtureRequest) -> bool:
    return request.param


@pytest.fixture
def settings(tmp_path: Path, elevated: bool) -> Settings:
    return msgspec.structs.replace(tenants.asking(tmp_path), rbac_service_role_elevated_access=elevated)


def _cases(elevated: bool) -> list[tuple[str, dict[str, Any]]]:
    script = Path(__file__).parents[1] / "upstream" / "policy_cases.py"
    printed = subprocess.run([programs.upstream("python"), str(script)], capture_output=True, timeout=120, check=True)
    return [
        (f"{file}: {name}", case)
        for file, cases in json.loads(printed.stdout).items()
        for name, case in cases.items()
        if "path" in case and not set(case) & set(LEFT_OUT) and case.get("self_manage_nodes", True)
        if case.get("enable_service_project", False) == elevated
    ]


async def test_upstreams_own_cases(api: Api, deps: Deps, elevated: bool) -> None:
    names = await _settle(api, deps)
    tokens: dict[str, str] = {}
    wrong: dict[str, str] = {}
    cases = _cases(elevated)
    assert len(cases) > (10 if elevated else 900)
    for name, case in cases:
        headers = {key.lower(): value for key, value in case["headers"].items()}
        who = json.dumps(headers, sort_keys=True)
        if who not in tokens:
            tokens[who] = await _token(deps, headers)
        if "system_scoped" in name:
            # Its lists are those of other objects, and upstream does not run this file at present.
            case.pop("assert_list_length", None)
            case.pop("assert_dict_contains", None)
        said = await _ask(api, tokens[who], case, names)
        if said:
            wrong[name] = said
    assert {name: said for name, said in wrong.items() if name not in DIFFERENT} == {}
    assert elevated or set(wrong) == DIFFERENT, "something does not differ any longer"


async def _ask(api: Api, token: str, case: dict[str, Any], names: dict[str, str]) -> str:
    method, path = case.get("method", "get").upper(), case["path"].format(**names)
    expected = _class(case["assert_status"])
    if method in {"PUT", "DELETE"} and expected == "let in":
        path = f"{path}{'&' if '?' in path else '?'}nonsense=1"
    reply = await api.call(method, path, case.get("body"), headers={"X-Auth-Token": token})
    if _class(reply.status) != expected:
        return f"{method} {path}: {reply.status}, upstream {case['assert_status']}"
    for key, length in (case.get("assert_list_length") or {}).items():
        if len(reply.body[key]) != length:
            return f"{path}: {len(reply.body[key])} {key}, upstream {length}"
    for key, value in (case.get("assert_dict_contains") or {}).items():
        if str(reply.body[key]) != str(value):
            return f"{path}: {key} is {reply.body[key]}, upstream {value}"
    return ""


def _class(status: int) -> str:
    # Upstream fails with 500 where a project's caller asks for what only the system has; ingot refuses.
    return {401: "unknown", 403: "refused", 500: "refused", 404: "hidden"}.get(status, "let in")


async def _token(deps: Deps, headers: dict[str, str]) -> str:
    role = headers["x-roles"].split(",")[0]
    system = headers.get("openstack-system-scope") == "all"
    user = user_rows.User(
        name=ids.new(),
        password_hash=secrets.token_hex(),
        role=role,
        project=None if system else headers.get("x-project-name", headers["x-project-id"]),
    )
    await deps.store.run(user_rows.put, user)
    _, token = await users.create_token(deps.store, user.name, role=None, label="", lifetime=3000)
    return token


def _mac(who: str) -> str:
    return f"52:54:{who.encode()[:4].hex(':')}"


async def _settle(api: Api, deps: Deps) -> dict[str, str]:
    """Make what the cases ask about; what they call each thing."""
    headers = {"X-Auth-Token": await _token(deps, {"x-roles": "admin", "openstack-system-scope": "all"})}

    async def make(path: str, **body: Any) -> str:
        reply = await api.call("POST", f"/v1/{path}", body, headers=headers)
        assert reply.status == 201, reply.raw
        return reply.body["uuid"]

    shown = {"driver": "fake-hardware", "driver_info": {"foo": "bar", "fake_password": "x"}}
    unowned = await make("nodes", **shown)
    for uuid, more in ((OWNED, {"owner": OWNER}), (LEASED, {"owner": OWNER, "lessee": LESSEE})):
        await make("nodes", **shown, uuid=uuid, **more)
    await make("nodes", **shown, owner=OWNER, parent_node=OWNED)
    other, hidden_child = await make("nodes", **shown), await make("nodes", **shown)
    of = {"owner": OWNED, "lessee": LEASED, "other": other, "none": unowned}
    ports = {
        who: await make("ports", node_uuid=uuid, address=f"00:00:00:00:00:0{n}")
        for n, (who, uuid) in enumerate(of.items())
    }
    await make("ports", node_uuid=OWNED, address=_mac("second"))
    groups = {who: await make("portgroups", node_uuid=uuid, name=f"group-{who}") for who, uuid in of.items()}
    target = {"volume_type": "iscsi", "properties": {"a": "b"}, "volume_id": "1", "boot_index": 0}
    volumes = {who: await make("volume/targets", node_uuid=of[who], **target) for who in ("owner", "lessee")}
    links = {
        who: await make("volume/connectors", node_uuid=of[who], type="iqn", connector_id=f"iqn.2026-01.x:{who}")
        for who in ("owner", "lessee")
    }
    step = {"interface": "deploy", "step": "erase", "args": {}}
    runbook = await make("runbooks", name="CUSTOM_BOOK", owner=OWNER, steps=[{**step, "order": 1}])
    template = await make("deploy_templates", name="CUSTOM_TEMPLATE", steps=[{**step, "priority": 1}])
    taken: dict[str, str] = {}
    for who, project, kind in (("owner", OWNER, "CUSTOM_TEST"), ("lessee", LESSEE, "CUSTOM_LEASED")):
        wish = allocation.Allocation(uuid=ids.new(), owner=project, resource_class=kind, node_uuid=of[who])
        taken[who] = (await deps.store.run(allocations.create, wish)).uuid
    internal = {"private_state": "secret value"}
    for uuid in (OWNED, LEASED):
        change = functools.partial(
            nodes.change, last_error="meow", reservation="lolcats", driver_internal_info=internal
        )
        await deps.store.run(change, uuid)
    await deps.store.run(functools.partial(nodes.change, parent_node=OWNED), hidden_child)
    setting = domain_bios.Setting(name="virtualization", value="on")
    await deps.store.run(bios.replace, unowned, [setting])
    conductor = conductors.Conductor(hostname="here", boot_id=ids.new())
    await deps.store.run(conductors.register, conductor)
    entries: dict[str, str] = {}
    for who, uuid in of.items():
        await deps.store.run(history.add, uuid, "seen")
        await deps.store.run(history.set_inventory, uuid, {"cpu": 1}, {})
        entries[who] = (await deps.store.read(history.list_page, uuid, paging.Page()))[-1].uuid
    return {
        "node_ident": unowned,
        "owner_node_ident": OWNED,
        "lessee_node_ident": LEASED,
        "allocated_node_ident": LEASED,
        **{f"{who}_port_ident": uuid for who, uuid in ports.items()},
        "port_ident": ports["none"],
        **{f"{who}_portgroup_ident": uuid for who, uuid in groups.items()},
        "portgroup_ident": groups["none"],
        "volume_target_ident": volumes["lessee"],
        "volume_connector_ident": links["lessee"],
        "runbook_ident": runbook,
        "deploy_template_ident": template,
        "owner_allocation": taken["owner"],
        "lessee_allocation": taken["lessee"],
        "allocation_ident": taken["lessee"],
        "owned_history_ident": entries["owner"],
        "lessee_history_ident": entries["lessee"],
        "history_ident": entries["none"],
        "chassis_ident": await make("chassis"),
        # A driver that neither upstream's test bench nor this one has.
        "driver_name": "fake-driverz",
        "conductor_ident": "here",
        "bios_setting": "virtualization",
        "ind_component": "component",
        "ind_ident": "magic_light",
        "trait": "CUSTOM_MEOW",
        "vif_ident": ids.new(),
    }
