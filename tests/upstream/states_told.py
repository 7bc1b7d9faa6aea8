"""Upstream's own state machine as JSON on standard output; run by upstream's Python.

Out: {"transitions": {state: {event: state}}, "targets": {state: state or null}, "stable": [state]}.
"""

from __future__ import annotations

import json
import sys

from ironic.common.state_machine import machine


def main() -> None:
    """Tell and end."""
    told = {
        "transitions": {
            state: {event: jump.name for event, jump in events.items()}
            for state, events in machine._transitions.items()
        },
        "targets": {state: machine._states[state].get("target") for state in machine.states},
        "stable": sorted(state for state in machine.states if machine.is_stable(state)),
    }
    json.dump(told, sys.stdout)


if __name__ == "__main__":
    main()
