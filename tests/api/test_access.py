"""Who may do what, asked over HTTP: every route and every field of a node, as every kind of caller."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from api import access_table, tenants
from ingot.api import server
from ingot.domain import node as domain_node
from ingot.settings import Settings

if TYPE_CHECKING:
    from tests.api.conftest import Api

    from ingot.deps import Deps


PROGRAMS = "project-programs"
"""The project whose services are elevated."""
SYSTEM_ALONE = {
    *(f"GET /v1/chassis{end}" for end in ("", "/detail", "/{chassis}")),
    *(f"GET /v1/drivers{end}" for end in ("", "/{driver}", "/{driver}/properties")),
    "GET /v1/drivers/{driver}/raid/logical_disk_properties",
    "PATCH /v1/chassis/{chassis}",
}
"""What Ironic's policy gives to callers of system scope alone."""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    named = {"rbac_service_role_elevated_access": True, "rbac_service_project_name": PROGRAMS}
    return msgspec.structs.replace(tenants.asking(tmp_path), **named)


@pytest.fixture
async def world(api: Api, deps: Deps) -> tenants.World:
    return await tenants.settle(api, deps)


def test_the_table_has_every_route_and_every_field() -> None:
    listed = [item for item, _ in access_table.read(access_table.ROUTES)]
    routes = {f"{route.method} {route.path}" for route in server.ROUTES}
    assert set(listed) == routes, "a new route needs a line in tests/api/access_table.py"
    assert len(listed) == len(routes)
    public = {item for item, pattern in access_table.read(access_table.ROUTES) if not pattern}
    assert public == {f"{route.method} {route.path}" for route in server.ROUTES if route.public}
    fields = {item.partition("=")[0] for item, _ in access_table.read(access_table.FIELDS)}
    assert {f"{kind}_interface" for kind in domain_node.INTERFACES} < fields


async def test_every_route_answers_every_caller_as_the_table_says(world: tenants.World) -> None:
    wrong: list[str] = []
    for item, pattern in access_table.read(access_table.ROUTES):
        if pattern:
            wrong += await _compare(world, item, pattern, *_request(world, item))
    assert wrong == []


async def test_an_elevated_service_may_what_members_of_the_system_may(world: tenants.World, deps: Deps) -> None:
    await tenants.enrol(world, deps, PROGRAMS, "service")
    await tenants.enrol(world, deps, PROGRAMS, "member")
    system_member, foreign_service = (
        tenants.CALLERS.index(each) for each in ((None, "member"), (tenants.LESSEE, "service"))
    )
    wrong: list[str] = []
    for item, pattern in access_table.read(access_table.ROUTES):
        if pattern:
            may = (pattern[system_member] == "+" and item not in SYSTEM_ALONE) or pattern[foreign_service] == "+"
            request = _request(world, item)
            let_in = (await world.call(None, "admin", *request)).status
            status = (await world.call(PROGRAMS, "service", *request)).status
            if status != (let_in if may else 403):
                wrong.append(f"{item}: {status}, not {let_in if may else 403}")
    assert wrong == []
    assert (await world.call(PROGRAMS, "member", "GET", "/v1/nodes/n1")).status == 404, "the role alone is elevated"


async def test_every_field_of_a_node_is_guarded_as_the_table_says(world: tenants.World) -> None:
    wrong: list[str] = []
    for item, pattern in access_table.read(access_table.FIELDS):
        name, _, value = item.partition("=")
        # A value of a type that no field has: whoever may change the field is told about the value instead.
        body = [{"op": "replace", "path": f"/{name}", "value": json.loads(value) if value else [[]]}]
        wrong += await _compare(world, item, pattern, "PATCH", "/v1/nodes/n1", body)
    assert wrong == []


async def test_without_credentials_every_route_but_the_public_ones_asks_for_them(world: tenants.World) -> None:
    for item, pattern in access_table.read(access_table.ROUTES):
        method, path, body = _request(world, item)
        status = (await world.api.call(method, path, body)).status
        assert (status == 401) == bool(pattern), (item, status)


def _request(world: tenants.World, item: str) -> tuple[str, str, Any]:
    """A request that changes nothing even if it is let in: the route does not know what it asks for, or has it."""
    method, path = item.split(" ")
    for word, ident in world.idents.items():
        path = path.replace(word, ident)
    of_node = {"node_uuid": "n1", "node_ident": "n1"}
    bodies: dict[str, Any] = {"PATCH /v1/nodes/{node}": [{"op": "replace", "path": "/description", "value": [[]]}]}
    # These are read before their caller is judged: what is there already.
    bodies["POST /v1/ports"] = {"node_uuid": world.uuid, "address": "52:54:00:00:00:01"}
    bodies["POST /v1/portgroups"] = {"node_uuid": world.uuid, "name": "g1"}
    bodies.update({f"POST /v1/volume/{name}": of_node for name in ("connectors", "targets")})
    if item == "GET /v1/nodes/validate":
        return method, f"{path}?node=n1", None
    if item in bodies:
        return method, path, bodies[item]
    return method, f"{path.replace('{', '').replace('}', '')}?nonsense=1", None


async def _compare(world: tenants.World, item: str, pattern: str, method: str, path: str, body: Any) -> list[str]:
    let_in = (await world.call(None, "admin", method, path, body)).status
    assert let_in not in {401, 403}, (item, let_in)
    wrong: list[str] = []
    for caller, letter in zip(tenants.CALLERS, pattern, strict=True):
        status = (await world.call(*caller, method, path, body)).status
        expected = {"+": let_in, "-": 403, "?": 404}[letter]
        assert letter != "?" or let_in != 404, f"{item}: 404 says nothing here"
        if status != expected:
            wrong.append(f"{item}: {caller[1]} of {caller[0] or 'the system'} got {status}, not {expected}")
    return wrong
