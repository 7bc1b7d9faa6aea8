"""What a caller may not read in a node: facts of the infrastructure, hidden from who only leases it.

Why apart: a body is made for all alike; those few callers' answers are opened and changed here. May not: know how a
node becomes a body. Invariant: a caller of the whole system who may read costs one look at the table, and no query.
Source of the words: Ironic's own answers.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ingot.api import policy, wire
from ingot.deps import Deps
from ingot.domain import typed
from ingot.store import tenancy

_WORDS: dict[str, Any] = {
    "last_error": "** Value Redacted - Requires baremetal:node:get:last_error permission. **",
    "reservation": "** Redacted - requires baremetal:node:get:reservation permission. **",
    "driver_info": {"content": "** Redacted - requires baremetal:node:get:driver_info permission. **"},
    "driver_internal_info": {
        "content": "** Redacted - Requires baremetal:node:get:driver_internal_info permission. **"
    },
}
_HIDDEN = {name: msgspec.Raw(msgspec.json.encode(words)) for name, words in _WORDS.items()}
_MARKS = tuple(f'"{name}"'.encode() for name in _WORDS)
"""What an answer holds that shows any of these; most lists show none."""
_Body = dict[str, msgspec.Raw]


async def of_one(deps: Deps, caller: wire.Caller, ident: str, answer: wire.Answer) -> wire.Answer:
    """The answer that shows the node ``ident`` as this caller may see it."""
    if policy.everywhere("baremetal:node:get:filter_threshold", caller):
        return answer
    body = typed.decode(answer.body, _Body)
    _hide(body, caller, await deps.store.peek(tenancy.find, "nodes", ident))
    return msgspec.structs.replace(answer, body=msgspec.json.encode(body))


async def of_list(deps: Deps, caller: wire.Caller, uuids: list[str], answer: wire.Answer) -> wire.Answer:
    """The answer whose "nodes" are those of ``uuids``, in this order, as this caller may see them."""
    if policy.everywhere("baremetal:node:get:filter_threshold", caller) or not any(
        mark in answer.body for mark in _MARKS
    ):
        return answer
    body = typed.decode(answer.body, _Body)
    shown = typed.decode(body["nodes"], list[_Body])
    found = await deps.store.read(tenancy.of_nodes, uuids)
    for each, uuid in zip(shown, uuids, strict=True):
        _hide(each, caller, found.get(uuid))
    return msgspec.structs.replace(answer, body=msgspec.json.encode({**body, "nodes": shown}))


def _hide(body: _Body, caller: wire.Caller, found: tenancy.Found | None) -> None:
    whose = None if found is None else policy.Tenancy(*found)
    for name, words in _HIDDEN.items():
        if name in body and not policy.allows(f"baremetal:node:get:{name}", caller, whose):
            body[name] = words
