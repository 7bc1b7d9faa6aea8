"""What a ramdisk's agent says to us: lookup (who am I?), heartbeat (I live), inspection data.

No lock and no branch on state: the agent's facts are stored, the open run is made due, a ring wakes its owner.
May not: touch hardware or change a state. Invariants: one token per boot; it is told to one address only, and not any
more once a heartbeat has proved that its agent has it.
"""

from __future__ import annotations

import hmac
import secrets
from typing import Any

from sqlalchemy import Connection

from ingot.deps import Deps
from ingot.domain import errors, ids, node, states
from ingot.store import history, nodes
from ingot.store import runs as run_store

_MASK = "******"
_MOST_CARDS = 4096
"""With all virtual functions; the caller proves nothing, and each MAC address is looked up."""
_INSPECTED = frozenset({states.State.INSPECTING, states.State.INSPECT_WAIT})
"""States in which inventory is taken: the call proves nothing about its sender, so nobody else's is."""
_ASKED_TWICE = "Two addresses looked this node up before its agent had proved itself: one of them is not its machine."
_REFUSED = "A heartbeat with a wrong agent token was refused."


async def lookup(deps: Deps, addresses: list[str], node_uuid: str | None, asker: str = "") -> tuple[node.Node, str]:
    """The node a ramdisk runs on, and its token for the first ``asker`` (its IP address); asterisks for others.

    An answer may be lost, so the same asker is told again, until a heartbeat with the token has come.

    Raises errors.Invalid (nothing to look for), errors.NotFound (unknown, or not expecting a ramdisk: the answer
    does not tell which, since the caller is not proved yet).
    """
    if not addresses and not node_uuid:
        raise errors.Invalid("Either the addresses or the node_uuid of the machine must be given.")
    return await deps.store.run(_lookup, deps, addresses, node_uuid, asker)


async def beat(deps: Deps, ident: str, body: dict[str, Any]) -> None:
    """Note that a node's agent lives (``body`` of POST /v1/heartbeat). Raises NotFound, Invalid."""
    node_uuid = ident if ids.is_uuid(ident) else None
    uuid, refused = await deps.store.run_of(node_uuid, _beat, deps, ident, body)
    if refused is not None:
        raise refused
    deps.bus.ring(uuid)


async def receive_inventory(
    deps: Deps, inventory: dict[str, Any], plugin_data: dict[str, Any], node_uuid: str | None, asker: str | None
) -> tuple[node.Node, str]:
    """Store what a ramdisk found out about its machine: its node, and a token as by ``lookup``. Raises as that.

    The caller is not proved, so it is heard only while the node is being inspected and has no proved agent yet:
    one that has is asked by the run itself. ``asker``: None for one who wants no token, which is empty then.
    """
    cards = inventory.get("interfaces", [])
    if len(cards) > _MOST_CARDS:
        raise errors.Invalid(
            f"The inventory has {len(cards)} interfaces; {_MOST_CARDS} are the most a machine may have."
        )
    macs = [entry["mac_address"].lower() for entry in cards if entry.get("mac_address")]

    def receive(connection: Connection) -> tuple[node.Node, str]:
        found = _store_inventory(connection, deps, macs, node_uuid, inventory, plugin_data)
        # In one unit: the inspection may end with it, and then nobody is told a token any more.
        return (found, "") if asker is None else _lookup(connection, deps, [], found.uuid, asker)

    found, token = await deps.store.run(receive)
    deps.bus.ring(found.uuid)
    return found, token


def _find(connection: Connection, addresses: list[str], node_uuid: str | None) -> node.Node:
    """The one node that a ramdisk with these MAC addresses can be on. Raises errors.NotFound."""
    if node_uuid:
        named = nodes.find(connection, node_uuid)
        candidates = [named] if named else []
    else:
        candidates = nodes.find_by_macs(connection, [address.lower() for address in addresses])
    if len(candidates) != 1 or candidates[0].provision_state not in states.LOOKUP_ALLOWED | states.FAST_TRACK:
        raise errors.NotFound("Resource could not be found.", hint="Is its port's MAC address registered?")
    return candidates[0]


def _lookup(
    connection: Connection, deps: Deps, addresses: list[str], node_uuid: str | None, asker: str
) -> tuple[node.Node, str]:
    found = _find(connection, addresses, node_uuid)
    _, sealed = nodes.get_secrets(connection, found.uuid)
    if sealed is not None:
        told = nodes.find_token_told(connection, found.uuid)
        if asker and told == asker:
            return found, str(deps.sealer.open(found.uuid, sealed))
        if told is not None and history.find_newest(connection, found.uuid) != _ASKED_TWICE:
            history.add(connection, found.uuid, _ASKED_TWICE, severity="ERROR")
        if told is None and found.agent_url is not None:
            _note_again(connection, found, deps.clock())
        return found, _MASK
    if found.provision_state not in states.LOOKUP_ALLOWED:
        raise errors.NotFound("Resource could not be found.", hint="No run of this node waits for a ramdisk.")
    token = secrets.token_urlsafe(32)
    nodes.change(
        connection, found.uuid, agent_token=deps.sealer.seal(found.uuid, token), agent_token_told=asker or None
    )
    return found, token


def _note_again(connection: Connection, found: node.Node, now: float) -> None:
    """Remember that somebody with this machine's address asks anew: if its agent is gone too, it was rebooted."""
    info = {**found.driver_internal_info, node.ASKED_AGAIN: now}
    nodes.change(connection, found.uuid, driver_internal_info=info)
    run_store.wake(connection, found.uuid, now)


def _beat(connection: Connection, deps: Deps, ident: str, body: dict[str, Any]) -> tuple[str, errors.Invalid | None]:
    """The node's uuid, and why its agent is refused. (A raised refusal would take its history line back.)"""
    found, _, sealed = nodes.get_sealed(connection, ident)
    if found.provision_state not in states.HEARTBEAT_ALLOWED:
        raise errors.Invalid(f'Node {ident} does not expect a heartbeat in the state "{found.provision_state}".')
    expected = deps.sealer.open(found.uuid, sealed)
    given = body.get("agent_token") or ""
    if expected is None or not hmac.compare_digest(str(expected).encode(), str(given).encode()):
        if history.find_newest(connection, found.uuid) != _REFUSED:  # a stranger must not flood the history
            history.add(connection, found.uuid, _REFUSED, severity="ERROR")
        wrong = (
            "Invalid or missing agent token received." if given else "Agent token is required for heartbeat processing."
        )
        return found.uuid, errors.Invalid(wrong, hint="Reboot the ramdisk to get a fresh one.")
    url = body.get("callback_url")
    if found.agent_url is not None and url != found.agent_url:
        raise errors.Invalid("The callback_url differs from the one this agent gave before.")
    now = deps.clock()
    seen: dict[str, Any] = {"agent_url": url, "agent_heartbeat_at": now, "agent_version": body.get("agent_version")}
    seen["agent_token_told"] = None
    if body.get("agent_verify_ca"):
        seen["agent_verify_ca"] = body["agent_verify_ca"]
    nodes.change(connection, found.uuid, **seen)
    run_store.wake(connection, found.uuid, now)
    return found.uuid, None


def _store_inventory(
    connection: Connection,
    deps: Deps,
    macs: list[str],
    node_uuid: str | None,
    inventory: dict[str, Any],
    plugin_data: dict[str, Any],
) -> node.Node:
    found = _find(connection, macs, node_uuid)
    proved = nodes.get_secrets(connection, found.uuid)[1] is not None
    if found.provision_state not in _INSPECTED or proved:
        raise errors.NotFound("Resource could not be found.", hint="No inspection of this node waits for this call.")
    history.set_inventory(connection, found.uuid, inventory, plugin_data)
    run_store.wake(connection, found.uuid, deps.clock())
    return found
