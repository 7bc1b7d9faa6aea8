"""A service with projects: users of every kind, and one node that a project owns and another leases."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from api import access_table
from ingot.services import users
from ingot.settings import Settings
from ingot.store import users as user_rows

if TYPE_CHECKING:
    from tests.api.conftest import Api, Reply

    from ingot.deps import Deps

OWNER, LESSEE, THIRD = "project-owner", "project-lessee", "project-third"
_ROLES = {"a": "admin", "g": "manager", "m": "member", "r": "reader", "s": "service"}
CALLERS = [
    (scope, _ROLES[letter])
    for scope, letters in zip(
        (None, OWNER, LESSEE, THIRD), access_table.WHO.strip().splitlines()[1].split("  "), strict=True
    )
    for letter in letters.split()
]
"""Project (None: system) and role, one per column of the table."""


def asking(folder: Path) -> Settings:
    """Settings of a service that asks everybody who they are."""
    return Settings(data_dir=str(folder), hostname="here", drivers=("fake-hardware", "acme"))


@dataclass
class World:
    """The service with a user of every kind, and what they ask about."""

    api: Api
    tokens: dict[tuple[str | None, str], str]
    idents: dict[str, str] = field(default_factory=dict[str, str])
    uuid: str = ""
    """The node's."""

    async def call(self, project: str | None, role: str, method: str, path: str, body: Any = None) -> Reply:
        return await self.api.call(method, path, body, headers={"X-Auth-Token": self.tokens[project, role]})

    async def make(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        reply = await self.call(None, "admin", "POST", path, body)
        assert reply.status == 201, reply.raw
        return reply.body

    async def seen(self, project: str | None, role: str, path: str) -> Any:
        reply = await self.call(project, role, "GET", path)
        assert reply.status == 200, reply.raw
        return reply.body


async def settle(api: Api, deps: Deps) -> World:
    """Make the users and the objects."""
    world = World(api, {})
    for project, role in CALLERS:
        await enrol(world, deps, project, role)
    chassis = await world.make("/v1/chassis", {})
    node = {"driver": "fake-hardware", "owner": OWNER, "lessee": LESSEE, "chassis_uuid": chassis["uuid"]}
    made = await world.make("/v1/nodes", {**node, "name": "n1"})
    port = await world.make("/v1/ports", {"node_uuid": made["uuid"], "address": "52:54:00:00:00:01"})
    group = await world.make("/v1/portgroups", {"node_uuid": made["uuid"], "name": "g1"})
    steps = [{"interface": "deploy", "step": "erase", "order": 1, "priority": 1, "args": {}}]
    template = [{key: value for key, value in steps[0].items() if key != "order"}]
    runbook = [{key: value for key, value in steps[0].items() if key != "priority"}]
    await world.make("/v1/runbooks", {"name": "CUSTOM_R", "steps": runbook, "owner": OWNER})
    await world.make("/v1/deploy_templates", {"name": "CUSTOM_T", "steps": template})
    await world.make("/v1/allocations", {"name": "a1", "resource_class": "none", "owner": OWNER})
    on = {"node_uuid": made["uuid"]}
    connector = await world.make("/v1/volume/connectors", {**on, "type": "iqn", "connector_id": "iqn.2026-01.x:y"})
    target = {**on, "volume_type": "iscsi", "boot_index": 0, "volume_id": "v", "properties": {"auth": "x"}}
    world.uuid = made["uuid"]
    world.idents = {
        "{node}": "n1",
        "{port}": port["uuid"],
        "{portgroup}": group["uuid"],
        "{chassis}": chassis["uuid"],
        "{allocation}": "a1",
        "{driver}": "fake-hardware",
        "/connectors/{ident}": f"/connectors/{connector['uuid']}",
        "/targets/{ident}": f"/targets/{(await world.make('/v1/volume/targets', target))['uuid']}",
        "/runbooks/{ident}": "/runbooks/CUSTOM_R",
        "/deploy_templates/{ident}": "/deploy_templates/CUSTOM_T",
    }
    return world


async def enrol(world: World, deps: Deps, project: str | None, role: str) -> None:
    """Make a user with a token."""
    name = f"{role} of {project}"
    unused = user_rows.User(name=name, password_hash=secrets.token_hex(), role=role, project=project)
    await deps.store.run(user_rows.put, unused)
    _, world.tokens[project, role] = await users.create_token(deps.store, name, role=None, label="", lifetime=600)
