"""Asking for an order: a durable run that changes one thing about a machine, while its provision state rests.

May not: touch hardware. Invariant: the order's parameters are stored sealed, they may hold a secret.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from ingot.deps import Deps
from ingot.domain import errors, ids, orders, states
from ingot.store import nodes, order_runs
from ingot.store import runs as run_store

_MODES = frozenset({orders.Order.BOOT_MODE, orders.Order.SECURE_BOOT})
_MEDIA = frozenset({orders.Order.ATTACH_MEDIA, orders.Order.DETACH_MEDIA})
_WORKING = frozenset({states.Kind.TRANSIENT, states.Kind.WAIT})


async def request(deps: Deps, uuid: str, order: orders.Order, params: dict[str, Any]) -> None:
    """Ask for an order; returns once it is durable, the work goes on by itself and ends in ``last_error`` if it fails.

    Raises errors.NotFound, Locked (a run holds the node), Conflict (not in this state).
    """
    sealed = deps.sealer.seal(uuid, params)
    await deps.store.run(_request, deps, uuid, order, {"order": order.value, "sealed": sealed})
    deps.bus.ring(uuid)


def _request(connection: Connection, deps: Deps, uuid: str, order: orders.Order, params: dict[str, Any]) -> None:
    found = nodes.get(connection, uuid)
    if order in _MODES and states.TABLE[found.provision_state].kind in _WORKING:
        raise errors.Conflict(
            f"Node {uuid} is in {found.provision_state} state, so its boot mode cannot be changed now",
            hint="Wait until the present work is done.",
        )
    if order in _MEDIA and found.maintenance and found.fault == "power failure":
        raise errors.Unreachable(f"Node {uuid} is in maintenance after a power failure", hint="Mend its power first.")
    run_store.refuse_open(connection, uuid)
    order_runs.open_order(connection, uuid, params, deps.clock(), ids.new())
    nodes.change(connection, uuid, reservation=deps.hostname)
