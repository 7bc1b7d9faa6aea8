"""What a node is doing now, read from the API: its state, its run's step, what it waits for, how far it is.

Why: the demo, `node watch` and `--wait` must tell the same story. May not: draw, or wait.
Invariant: works on any API of this kind; one without runs (`/ingot/v1`) tells less, not wrong.
"""

from __future__ import annotations

import time
import urllib.parse
from dataclasses import dataclass
from datetime import UTC, datetime

from ingot.cli import client as api
from ingot.cli import jsons
from ingot.domain import states

FIELDS = (
    "uuid,name,provision_state,target_provision_state,power_state,target_power_state,last_error,"
    "provision_updated_at,clean_step,deploy_step,service_step,maintenance"
)
_NO_WONDER = 1 / 3
"""The part of a wait's usual time in which no reason for it is shown."""
_REST = frozenset({states.Kind.STABLE, states.Kind.FAILED, states.Kind.HOLD})


@dataclass(frozen=True)
class Progress:
    """One look at one node. Times in seconds; None is "not known"; ``done`` of ``total`` in bytes or steps."""

    uuid: str
    name: str
    state: str
    power: str | None = None
    resting: bool = False
    failed: bool = False
    step: str | None = None
    waits_for: str | None = None
    elapsed: float | None = None
    usual: float | None = None
    done: float | None = None
    total: float | None = None
    phase: str | None = None
    reason: str | None = None

    def told(self) -> str:
        """What it does, in words: step, then phase or what it waits for."""
        if self.resting:
            return f"{self.state}: {self.reason}" if self.reason and self.failed else self.state
        parts = [self.state, self.step, self.phase or self.waits_for]
        return " | ".join(part for part in parts if part)


def observe(client: api.Client, ident: str) -> Progress:
    """Look at a node once. Raises what the client raises."""
    node = jsons.table(client.get(api.node_path(ident), fields=FIELDS))
    return read(node, {} if is_resting(node) else find_run(client, ident))


def find_run(client: api.Client, ident: str) -> jsons.Json:
    """The node's newest run with its steps; empty when it has none or the API knows no runs."""
    return jsons.table(client.find(f"/ingot/v1/nodes/{urllib.parse.quote(ident, safe='')}/run"))


def is_resting(node: jsons.Json) -> bool:
    """Whether nothing more will happen to the node by itself."""
    row = states.TABLE.get(states.State(node["provision_state"]))
    return (row is None or row.kind in _REST) and not node.get("target_power_state")


def read(node: jsons.Json, run: jsons.Json) -> Progress:
    """Put a node's and its newest run's JSON together; an empty ``run`` is none."""
    now = jsons.number(run.get("now")) or time.time()  # the service's clock, where it tells
    state = states.State(node["provision_state"])
    row = states.TABLE[state]
    open_run = run if run.get("status", "open") == "open" else {}
    wait, bar = jsons.table(open_run.get("wait")), jsons.table(open_run.get("progress"))
    since = jsons.number(wait.get("since")) or _step_since(open_run) or _epoch(node.get("provision_updated_at"))
    elapsed = None if since is None else max(0.0, now - since)
    return Progress(
        uuid=node["uuid"],
        name=node.get("name") or node["uuid"],
        state=state.value,
        power=node.get("power_state"),
        resting=is_resting(node),
        failed=row.kind == states.Kind.FAILED or bool(node.get("last_error")),
        step=_step(open_run) or _step_of_node(node),
        waits_for=_waited_for(wait, elapsed),
        elapsed=elapsed,
        usual=jsons.number(wait.get("usual")) if wait else row.usual,
        done=jsons.number(bar.get("done")),
        total=jsons.number(bar.get("total")),
        phase=jsons.text(bar.get("phase")),
        reason=node.get("last_error"),
    )


def _waited_for(wait: jsons.Json, elapsed: float | None) -> str | None:
    """What is waited for, and what is known of the reason: nobody is to look for a fault in what is usual."""
    what, why = jsons.text(wait.get("what")), jsons.text(wait.get("why"))
    early = (elapsed or 0.0) < (jsons.number(wait.get("usual")) or 0.0) * _NO_WONDER
    return f"{what} ({why})" if what and why and not early else what


def _step(run: jsons.Json) -> str | None:
    """ "interface.step (3/5)" of a run's present step, None when it has none."""
    title = jsons.text(run.get("current_step"))
    plan = jsons.tables(run.get("plan"))
    at = next((index for index, step in enumerate(plan) if step.get("status") != "done"), None)
    return title if at is None or title is None else f"{title} ({at + 1}/{len(plan)})"


def _step_since(run: jsons.Json) -> float | None:
    """When the present step started, else the run."""
    started = [step.get("started_at") for step in jsons.tables(run.get("plan")) if step.get("status") != "done"]
    return jsons.number(started[0] if started else None) or jsons.number(run.get("started_at"))


def _step_of_node(node: jsons.Json) -> str | None:
    step = jsons.table(node.get("deploy_step") or node.get("clean_step") or node.get("service_step"))
    return f"{step.get('interface')}.{step.get('step')}" if step else None


def _epoch(text: object) -> float | None:
    if not isinstance(text, str) or not text:
        return None
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
