"""The baremetal command and openstacksdk, unchanged, take nodes by allocations from a server with a conductor."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import programs
from api.test_peers import Cli, run
from flows import stand
from ingot import app
from ingot.store import nodes

if TYPE_CHECKING:
    from tests.api.conftest import Api

    from ingot.deps import Deps

pytestmark = [pytest.mark.peer, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
async def deps(tmp_path: Path) -> AsyncIterator[Deps]:
    """A site with three free nodes, two of them with a trait."""
    made = app.make_deps(stand.settings(tmp_path, noauth=True, hostname="here", automated_clean=False))
    for number in range(3):
        uuid = await stand.add_node(made, name=f"n{number}", resource_class="gold", power_state="power off")
        await made.store.run(nodes.set_traits, uuid, ("CUSTOM_GPU",) if number else ())
    async with stand.conductor(made):
        yield made
    made.store.close()


async def test_the_baremetal_command(api: Api, tmp_path: Path) -> None:
    cli, words = Cli(api, tmp_path), ("allocation",)
    made = await cli(
        *(*words, "create", "--resource-class", "gold", "--trait", "CUSTOM_GPU", "--candidate-node", "n1"),
        *("--candidate-node", "n0", "--name", "mine", "--extra", "a=1", "--owner", "p1"),
    )
    assert (made["state"], made["owner"]) == ("allocating", "p1")
    assert "no available nodes" in await cli.fails(*words, "create", "--resource-class", "lead", "--wait", "30")
    made = await cli(*words, "create", "--resource-class", "gold", "--name", "n2", "--wait", "30")
    node = await cli("node", "show", "n2")
    assert (node["instance_uuid"], node["allocation_uuid"]) == (made["uuid"], made["uuid"])
    assert made["node_uuid"] == node["uuid"]
    assert [row["uuid"] for row in await cli(*words, "list", "--node", "n2")] == [made["uuid"]]
    await cli.plain(*words, "set", "n2", "--name", "ours", "--extra", "b=2")
    await cli.plain(*words, "unset", "ours", "--extra", "b")
    assert (await cli(*words, "show", "ours"))["extra"] == {}
    await cli.plain(*words, "unset", made["uuid"], "--name")
    assert [row["uuid"] for row in await cli(*words, "list", "--state", "active")] == [made["uuid"]]
    assert len(await cli(*words, "list", "--long", "--resource-class", "gold")) == 2
    await cli.plain("node", "deploy", "n2", "--wait", "30")
    assert "is active" in await cli.fails(*words, "delete", made["uuid"])
    await cli.plain("node", "undeploy", "n2", "--wait", "30")
    assert "could not be found" in await cli.fails(*words, "show", made["uuid"])
    await cli.plain(*words, "delete", "mine")
    assert [row["count"] for row in await cli("shard", "list")] == [3]


SDK = """
import sys
import openstack
cloud = openstack.connect(auth_type="none", endpoint=sys.argv[1], baremetal_endpoint_override=sys.argv[1])
metal = cloud.baremetal
one = metal.create_allocation(resource_class="gold", traits=["CUSTOM_GPU"], name="one", extra={"a": 1})
one = metal.wait_for_allocation(one, timeout=30)
assert one.state == "active", one
node = metal.get_node(one.node_id)
assert (node.instance_id, node.allocation_id) == (one.id, one.id), node
assert node.instance_info == {"traits": ["CUSTOM_GPU"]}, node
assert metal.get_allocation("one").id == one.id
one = metal.update_allocation(one, name="two", extra={"b": 2})
one = metal.patch_allocation(one, [{"op": "add", "path": "/extra/c", "value": 3}])
assert (one.name, one.extra) == ("two", {"b": 2, "c": 3}), one
assert [each.id for each in metal.allocations(state="active")] == [one.id]
assert [each.id for each in metal.allocations(node=node.id, fields=["uuid"])] == [one.id]
try:
    metal.wait_for_allocation(metal.create_allocation(resource_class="lead"), timeout=30)
except openstack.exceptions.ResourceFailure as error:
    assert "no available nodes match" in str(error), error
else:
    raise SystemExit("a node was found where there is none")
metal.delete_allocation(one)
assert metal.get_node(node.id).instance_id is None
print("done")
"""


async def test_openstacksdk(api: Api, tmp_path: Path) -> None:
    code, out, err = await run(programs.peer(), "-c", SDK, api.url, HOME=str(tmp_path))
    assert (code, out.strip()) == (0, "done"), err
