"""What becomes an event is decided by the database itself: triggers write each change into ``events``, beside it.

Why: whoever writes a row, whichever process, cannot forget the event, and no statement is added to the paths that
write. May not: see a secret (no column that holds one is named here). Invariant: an event commits with its change, or
not at all. A change here takes effect with the next migration: add one, empty if need be.
"""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection

from ingot.store import speech
from ingot.store.speech import Speech

KEPT = 50_000
"""Events that are kept; who lags farther behind has to read the resources anew."""
_TRIM_EVERY = 500
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


class _Trigger(msgspec.Struct, frozen=True):
    """``moment``: INSERT, UPDATE or DELETE; ``columns``: of an update, one of which it names; ``when``: if at all."""

    table: str
    moment: str
    body: str
    columns: tuple[str, ...] = ()
    when: str = ""


def install(connection: Connection) -> None:
    """Put the triggers into the database, in place of those of an older version."""
    said = speech.of(connection.dialect.name)
    for name, trigger in _triggers(said).items():
        for statement in _CREATE[said.name](name, trigger):
            connection.exec_driver_sql(statement)


def _triggers(said: Speech) -> dict[str, _Trigger]:
    changed = " OR ".join(said.differ(f"OLD.{name}", f"NEW.{name}") for name in _NODE)
    waits = f"NEW.wait IS NOT NULL AND {said.differ('OLD.wait', 'NEW.wait')}"
    moves = f"NEW.progress IS NOT NULL AND {said.differ('OLD.progress', 'NEW.progress')}"
    ends = said.differ("OLD.status", "NEW.status")
    found = {
        "event_node_created": _Trigger("nodes", "INSERT", _of_node(said, "created", "NEW")),
        "event_node_changed": _Trigger("nodes", "UPDATE", _of_node(said, "changed", "NEW"), _NODE, changed),
        "event_node_deleted": _Trigger("nodes", "DELETE", _of_node(said, "deleted", "OLD")),
        "event_history_added": _Trigger("node_history", "INSERT", _of_history(said)),
        "event_run_started": _Trigger("runs", "INSERT", _of_run(said, "started")),
        "event_run_waiting": _Trigger("runs", "UPDATE", _of_run(said, "waiting"), ("wait",), waits),
        "event_run_progress": _Trigger("runs", "UPDATE", _of_run(said, "progress"), ("progress",), moves),
        "event_run_ended": _Trigger("runs", "UPDATE", _of_run(said, "ended"), ("status",), ends),
        "event_run_step": _Trigger("run_events", "INSERT", _of_step(said)),
    }
    if said.name != speech.MariaDB.name:  # where a table's trigger may not change the table
        trim = f"DELETE FROM events WHERE id <= NEW.id - {KEPT};"  # noqa: S608  a number of ours
        found["event_trim"] = _Trigger("events", "INSERT", trim, when=f"NEW.id % {_TRIM_EVERY} = 0")
    return found


def _of_node(said: Speech, what: str, row: str) -> str:
    pairs = {name: f"{row}.{name}" for name in _NODE}
    pairs["maintenance"] = said.true_or_false(pairs["maintenance"])
    return _insert(said, f"node.{what}", pairs, row, "")


def _of_history(said: Speech) -> str:
    names = ("severity", "event", "event_type", "user", "conductor")
    return _below_node(
        said, "history.added", {"entry": "NEW.uuid", **{name: said.column("NEW", name) for name in names}}
    )


def _of_run(said: Speech, what: str) -> str:
    pairs = {
        "run": "NEW.id",
        "run_kind": "NEW.kind",
        **{name: f"NEW.{name}" for name in ("status", "reason", "started_at", "finished_at", "deadline")},
    }
    if what == "waiting":
        names = ("what", "why", "since", "usual", "deadline")
        pairs["wait"] = said.embed(said.object({name: said.member("NEW.wait", name) for name in names}))
    elif what == "progress":
        pairs["progress"] = said.embed("NEW.progress")
    return _below_node(said, f"run.{what}", pairs)


def _of_step(said: Speech) -> str:
    interface, step = (said.item_member("r.plan", "NEW.step", name) for name in ("interface", "step"))
    pairs = {
        "run": "NEW.run_id",
        "run_kind": "r.kind",
        "step": said.join(interface, "'.'", step),
        "mark": "NEW.event",
        "detail": "NEW.detail",
        "name": "n.name",
    }
    source = "FROM runs r JOIN nodes n ON n.uuid = r.node_uuid WHERE r.id = NEW.run_id"
    return _insert(said, "run.step", pairs, "n", source)


def _below_node(said: Speech, kind: str, pairs: dict[str, str]) -> str:
    """Of a row that belongs to a node."""
    return _insert(said, kind, {**pairs, "name": "n.name"}, "n", "FROM nodes n WHERE n.uuid = NEW.node_uuid")


def _insert(said: Speech, kind: str, pairs: dict[str, str], node: str, source: str) -> str:
    """``pairs``: the body's fields and their SQL; ``node``: what the node's row is called in it."""
    values = f"{said.now}, '{kind}', {node}.uuid, {node}.owner, {node}.lessee, {said.object(pairs)}"
    return f"INSERT INTO events (at, kind, node_uuid, owner, lessee, body) SELECT {values} {source};"


# --- How each database wants a trigger ---


def _sqlite(name: str, trigger: _Trigger) -> list[str]:
    columns = f" OF {', '.join(trigger.columns)}" if trigger.columns else ""
    when = f" WHEN {trigger.when}" if trigger.when else ""
    head = f"CREATE TRIGGER {name} AFTER {trigger.moment}{columns} ON {trigger.table}{when}"
    return [f"DROP TRIGGER IF EXISTS {name}", f"{head} BEGIN {trigger.body} END"]


def _postgresql(name: str, trigger: _Trigger) -> list[str]:
    columns = f" OF {', '.join(trigger.columns)}" if trigger.columns else ""
    when = f" WHEN ({trigger.when})" if trigger.when else ""
    body = f"$$ BEGIN {trigger.body} RETURN NULL; END $$"
    return [
        f"DROP TRIGGER IF EXISTS {name} ON {trigger.table}",
        f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS {body}",
        f"CREATE TRIGGER {name} AFTER {trigger.moment}{columns} ON {trigger.table} "
        f"FOR EACH ROW{when} EXECUTE FUNCTION {name}()",
    ]


def _mariadb(name: str, trigger: _Trigger) -> list[str]:
    last = "CAST(LAST_INSERT_ID() AS SIGNED)"
    trim = f"DELETE FROM events WHERE id <= {last} - {KEPT};"  # noqa: S608  a number of ours
    body = f"{trigger.body} IF MOD({last}, {_TRIM_EVERY}) = 0 THEN {trim} END IF;"
    if trigger.when:
        body = f"IF {trigger.when} THEN {body} END IF;"
    head = f"CREATE OR REPLACE TRIGGER {name} AFTER {trigger.moment} ON {trigger.table} FOR EACH ROW"
    return [f"{head} BEGIN {body} END"]


_CREATE = {speech.Speech.name: _sqlite, speech.PostgreSQL.name: _postgresql, speech.MariaDB.name: _mariadb}
