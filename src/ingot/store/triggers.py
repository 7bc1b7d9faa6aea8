"""What becomes an event is decided by the database itself: triggers write each change into ``events``, beside it.

Why: whoever writes a row, whichever process, cannot forget the event, and no statement is added to the paths that
write. May not: see a secret (no column that holds one is named here). Invariant: an event commits with its change, or
not at all. A change here takes effect with the next migration: add one, empty if need be.
"""

from __future__ import annotations

from sqlalchemy import Connection

KEPT = 50_000
"""Events that are kept; who lags farther behind has to read the resources anew."""
_TRIM_EVERY = 500
_TRIM = f"DELETE FROM events WHERE id <= NEW.id - {KEPT};"  # noqa: S608  a number of ours
# Epoch seconds; unixepoch('subsec') needs a newer SQLite than Debian 12 has.
_NOW = "(julianday('now') - 2440587.5) * 86400.0"
_NODE = (
    "name",
    "provision_state",
    "target_provision_state",
    "power_state",
    "target_power_state",
    "maintenance",
    "fault",
    "last_error",
    "instance_uuid",
)
"""Columns of a node whose change is an event, and which the event shows."""


def install(connection: Connection) -> None:
    """Put the triggers into the database, in place of those of an older version."""
    for name, text in _triggers().items():
        connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {name}")
        connection.exec_driver_sql(f"CREATE TRIGGER {name} {text}")


def _triggers() -> dict[str, str]:
    differs = " OR ".join(f"OLD.{name} IS NOT NEW.{name}" for name in _NODE)
    wait = "NEW.wait IS NOT NULL AND OLD.wait IS NOT NEW.wait"
    return {
        "event_node_created": f"AFTER INSERT ON nodes BEGIN {_of_node('created', 'NEW')} END",
        "event_node_changed": f"AFTER UPDATE OF {', '.join(_NODE)} ON nodes WHEN {differs} "
        f"BEGIN {_of_node('changed', 'NEW')} END",
        "event_node_deleted": f"AFTER DELETE ON nodes BEGIN {_of_node('deleted', 'OLD')} END",
        "event_history_added": f"AFTER INSERT ON node_history BEGIN {_of_history()} END",
        "event_run_started": f"AFTER INSERT ON runs BEGIN {_of_run('started')} END",
        "event_run_waiting": f"AFTER UPDATE OF wait ON runs WHEN {wait} BEGIN {_of_run('waiting')} END",
        "event_run_progress": "AFTER UPDATE OF progress ON runs WHEN NEW.progress IS NOT NULL "
        f"AND OLD.progress IS NOT NEW.progress BEGIN {_of_run('progress')} END",
        "event_run_ended": "AFTER UPDATE OF status ON runs WHEN OLD.status IS NOT NEW.status "
        f"BEGIN {_of_run('ended')} END",
        "event_run_step": f"AFTER INSERT ON run_events BEGIN {_of_step()} END",
        "event_trim": f"AFTER INSERT ON events WHEN NEW.id % {_TRIM_EVERY} = 0 BEGIN {_TRIM} END",
    }


def _of_node(what: str, row: str) -> str:
    pairs = {name: f"{row}.{name}" for name in _NODE}
    pairs["maintenance"] = f"json(CASE WHEN {row}.maintenance THEN 'true' ELSE 'false' END)"
    return _insert(f"node.{what}", pairs, row, "")


def _of_history() -> str:
    names = ("severity", "event", "event_type", "user", "conductor")
    return _below_node("history.added", {"entry": "NEW.uuid", **{name: f"NEW.{name}" for name in names}})


def _of_run(what: str) -> str:
    pairs = {
        "run": "NEW.id",
        "run_kind": "NEW.kind",
        **{name: f"NEW.{name}" for name in ("status", "reason", "started_at", "finished_at", "deadline")},
    }
    if what == "waiting":
        names = ("what", "why", "since", "usual", "deadline")
        pairs["wait"] = _object({name: f"json_extract(NEW.wait, '$.{name}')" for name in names})
    elif what == "progress":
        pairs["progress"] = "json(NEW.progress)"
    return _below_node(f"run.{what}", pairs)


def _of_step() -> str:
    interface, step = (f"json_extract(r.plan, '$[' || NEW.step || '].{name}')" for name in ("interface", "step"))
    pairs = {
        "run": "NEW.run_id",
        "run_kind": "r.kind",
        "step": f"{interface} || '.' || {step}",
        "mark": "NEW.event",
        "detail": "NEW.detail",
        "name": "n.name",
    }
    return _insert("run.step", pairs, "n", "FROM runs r JOIN nodes n ON n.uuid = r.node_uuid WHERE r.id = NEW.run_id")


def _below_node(kind: str, pairs: dict[str, str]) -> str:
    """Of a row that belongs to a node."""
    return _insert(kind, {**pairs, "name": "n.name"}, "n", "FROM nodes n WHERE n.uuid = NEW.node_uuid")


def _insert(kind: str, pairs: dict[str, str], node: str, source: str) -> str:
    """``pairs``: the body's fields and their SQL; ``node``: what the node's row is called in it."""
    values = f"{_NOW}, '{kind}', {node}.uuid, {node}.owner, {node}.lessee, {_object(pairs)}"
    return f"INSERT INTO events (at, kind, node_uuid, owner, lessee, body) SELECT {values} {source};"


def _object(pairs: dict[str, str]) -> str:
    fields = [f"'{name}', {value}" for name, value in pairs.items()]
    return f"json_object({', '.join(fields)})"
