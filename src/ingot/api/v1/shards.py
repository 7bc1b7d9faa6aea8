"""``/v1/shards``: into which parts the nodes are divided, and how many are in each."""

from __future__ import annotations

from ingot.api import query, spec, wire
from ingot.deps import Deps
from ingot.store import nodes


@spec.tells(
    "Count the nodes of each shard, the fullest first",
    answer=spec.fields(shards=spec.array(spec.fields(name=str, count=int))),
)
async def index(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /v1/shards; the nodes of no shard are counted under the name "None", as Ironic does."""
    query.Query(request)
    found = await deps.store.read(nodes.count_shards)
    return wire.ok({"shards": [{"name": str(name), "count": count} for name, count in found]})
