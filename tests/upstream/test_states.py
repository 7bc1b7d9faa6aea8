"""Our table of states against upstream's own state machine: every state, every event, every target."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

import programs
from ingot.domain import states

pytestmark = [pytest.mark.slow, pytest.mark.peer]


def test_every_state_moves_as_upstreams_does() -> None:
    script = Path(__file__).with_name("states_told.py")
    asked = subprocess.run([programs.upstream("python"), str(script)], capture_output=True, timeout=120, check=False)
    assert asked.returncode == 0, asked.stderr.decode()[-3000:]
    theirs = json.loads(asked.stdout)
    ours = {
        state.value: {event.value: after.value for event, after in events.items()}
        for state, events in states.TRANSITIONS.items()
    }
    assert ours == {state: events for state, events in theirs["transitions"].items() if events}
    assert {state.value: states.target(state) for state in states.State} == theirs["targets"]
    stable = sorted(state for state, row in states.TABLE.items() if row.kind == states.Kind.STABLE)
    assert stable == theirs["stable"]
