"""Who may see, make and give back which allocation: projects among themselves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ingot.services import allocations as service
from ingot.services import users
from ingot.settings import Settings
from ingot.store import nodes

if TYPE_CHECKING:
    from tests.api.conftest import Api, Reply

    from ingot.deps import Deps

PATH = "/v1/allocations"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=str(tmp_path), hostname="here", drivers=("fake-hardware",))


async def test_projects_keep_to_themselves(api: Api, deps: Deps) -> None:
    await users.put(deps.store, "root", "password-root", "admin")
    for name, role, project in (("ann", "member", "p1"), ("bob", "member", "p2"), ("rea", "reader", "p1")):
        await users.put(deps.store, name, f"password-{name}", role, project=project)
    for name, owner, lessee in (("n1", "p1", None), ("n2", "p2", "p1"), ("n3", None, None)):
        api.auth = ("root", "password-root")
        made = await api.node(name=name, owner=owner, lessee=lessee, resource_class="gold")
        await deps.store.run(nodes.change, made["uuid"], provision_state="available", power_state="power off")

    async def ask(who: str, **fields: Any) -> Reply:
        api.auth = (who, f"password-{who}")
        return await api.call("POST", PATH, {"resource_class": "gold", **fields})

    async def status(who: str, method: str, path: str, body: Any = None) -> int:
        api.auth = (who, f"password-{who}")
        return (await api.call(method, path, body)).status

    assert (await ask("rea")).status == 403
    assert (await ask("ann", owner="p2")).status == 403
    assert (await ask("ann", candidate_nodes=["n3"])).status == 400
    assert (await ask("ann", node="n3", resource_class=None)).status == 400
    one = (await ask("ann", name="one", candidate_nodes=["n2"])).body
    assert one["owner"] == "p1"
    ours, theirs = (await ask("root", name="any")).body, (await ask("root", name="two", owner="p2")).body
    assert (ours["owner"], theirs["owner"]) == (None, "p2")
    await deps.store.run(service.place_waiting, 10)
    api.auth = ("ann", "password-ann")
    listed = (await api.get(PATH))["allocations"]
    assert [each["name"] for each in listed] == ["one"]
    assert listed[0]["state"] == "active"
    assert await status("rea", "GET", f"{PATH}/one") == 200
    assert await status("rea", "DELETE", f"{PATH}/one") == 403
    assert await status("ann", "GET", f"{PATH}?owner=p2") == 403
    for method in ("GET", "DELETE"):
        for path in ("any", "two"):
            assert await status("ann", method, f"{PATH}/{path}") == 404
    assert await status("bob", "GET", "/v1/nodes/n2/allocation") == 403
    assert await status("bob", "GET", "/v1/nodes/n1/allocation") == 404
    assert await status("ann", "GET", "/v1/nodes/n2/allocation") == 200
    assert await status("ann", "PATCH", f"{PATH}/one", [{"op": "add", "path": "/extra/a", "value": 1}]) == 200
    assert await status("ann", "DELETE", "/v1/nodes/n2/allocation") == 204
    assert await status("ann", "GET", "/v1/shards") == 403
    assert await status("root", "DELETE", f"{PATH}/any") == 204
