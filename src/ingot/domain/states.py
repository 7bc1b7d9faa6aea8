"""The one table of provision states, their events, verbs, usual durations, deadlines and exits.

Why: every rule about ``provision_state`` is data, so that a reader, a test and a flow see the same truth.
May not: do I/O or know a clock. Invariant: no state without a way out, no unstable state without a deadline.
Source of names and transitions: Ironic's wire behaviour (states and verbs are public API).
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from ingot.domain import errors


class State(StrEnum):
    """Every value ``provision_state`` can have on the wire."""

    ENROLL = "enroll"
    VERIFYING = "verifying"
    MANAGEABLE = "manageable"
    INSPECTING = "inspecting"
    INSPECT_WAIT = "inspect wait"
    INSPECT_FAILED = "inspect failed"
    ADOPTING = "adopting"
    ADOPT_FAILED = "adopt failed"
    CLEANING = "cleaning"
    CLEAN_WAIT = "clean wait"
    CLEAN_HOLD = "clean hold"
    CLEAN_FAILED = "clean failed"
    AVAILABLE = "available"
    DEPLOYING = "deploying"
    WAIT_CALL_BACK = "wait call-back"
    DEPLOY_HOLD = "deploy hold"
    DEPLOY_FAILED = "deploy failed"
    ACTIVE = "active"
    DELETING = "deleting"
    ERROR = "error"
    RESCUING = "rescuing"
    RESCUE_WAIT = "rescue wait"
    RESCUE_FAILED = "rescue failed"
    RESCUE = "rescue"
    UNRESCUING = "unrescuing"
    UNRESCUE_FAILED = "unrescue failed"
    SERVICING = "servicing"
    SERVICE_WAIT = "service wait"
    SERVICE_HOLD = "service hold"
    SERVICE_FAILED = "service failed"


class Kind(StrEnum):
    """How a state behaves: it rests, works, waits for the ramdisk, is held by an operator, or failed."""

    STABLE = "stable"
    TRANSIENT = "transient"
    WAIT = "wait"
    HOLD = "hold"
    FAILED = "failed"


class Event(StrEnum):
    """What can happen to a node; verbs of the API map onto some of these."""

    MANAGE = "manage"
    PROVIDE = "provide"
    INSPECT = "inspect"
    CLEAN = "clean"
    ADOPT = "adopt"
    DEPLOY = "deploy"
    REBUILD = "rebuild"
    DELETE = "delete"
    RESCUE = "rescue"
    UNRESCUE = "unrescue"
    SERVICE = "service"
    ABORT = "abort"
    HOLD = "hold"
    UNHOLD = "unhold"
    DONE = "done"
    FAIL = "fail"
    WAIT = "wait"
    RESUME = "resume"


class Row(msgspec.Struct, frozen=True):
    """What is known of one state. ``usual`` and ``deadline`` are seconds; None means it may last for ever."""

    kind: Kind
    target: State | None
    usual: int | None
    deadline: int | None
    exit_verb: str
    """What an operator sends to leave it; for transient states the way out once the deadline fails the run."""


_S, _K, _E = State, Kind, Event
_HOUR = 3600

TABLE: dict[State, Row] = {
    _S.ENROLL: Row(_K.STABLE, None, None, None, "manage"),
    _S.VERIFYING: Row(_K.TRANSIENT, _S.MANAGEABLE, 5, 300, "manage"),
    _S.MANAGEABLE: Row(_K.STABLE, None, None, None, "provide"),
    _S.INSPECTING: Row(_K.TRANSIENT, _S.MANAGEABLE, 20, 900, "inspect"),
    _S.INSPECT_WAIT: Row(_K.WAIT, _S.MANAGEABLE, 90, 1800, "abort"),
    _S.INSPECT_FAILED: Row(_K.FAILED, _S.MANAGEABLE, None, None, "manage"),
    _S.ADOPTING: Row(_K.TRANSIENT, _S.ACTIVE, 10, 900, "adopt"),
    _S.ADOPT_FAILED: Row(_K.FAILED, _S.ACTIVE, None, None, "manage"),
    _S.CLEANING: Row(_K.TRANSIENT, _S.AVAILABLE, 30, 24 * _HOUR, "manage"),
    _S.CLEAN_WAIT: Row(_K.WAIT, _S.AVAILABLE, 120, 24 * _HOUR, "abort"),
    _S.CLEAN_HOLD: Row(_K.HOLD, _S.AVAILABLE, None, None, "unhold"),
    _S.CLEAN_FAILED: Row(_K.FAILED, _S.AVAILABLE, None, None, "manage"),
    _S.AVAILABLE: Row(_K.STABLE, None, None, None, "active"),
    _S.DEPLOYING: Row(_K.TRANSIENT, _S.ACTIVE, 30, 2 * _HOUR, "deleted"),
    _S.WAIT_CALL_BACK: Row(_K.WAIT, _S.ACTIVE, 90, 2 * _HOUR, "abort"),
    _S.DEPLOY_HOLD: Row(_K.HOLD, _S.ACTIVE, None, None, "unhold"),
    _S.DEPLOY_FAILED: Row(_K.FAILED, _S.ACTIVE, None, None, "deleted"),
    _S.ACTIVE: Row(_K.STABLE, None, None, None, "deleted"),
    _S.DELETING: Row(_K.TRANSIENT, _S.AVAILABLE, 15, 900, "deleted"),
    _S.ERROR: Row(_K.STABLE, None, None, None, "deleted"),
    _S.RESCUING: Row(_K.TRANSIENT, _S.RESCUE, 20, 900, "rescue"),
    _S.RESCUE_WAIT: Row(_K.WAIT, _S.RESCUE, 90, 1800, "abort"),
    _S.RESCUE_FAILED: Row(_K.FAILED, _S.RESCUE, None, None, "unrescue"),
    _S.RESCUE: Row(_K.STABLE, None, None, None, "unrescue"),
    _S.UNRESCUING: Row(_K.TRANSIENT, _S.ACTIVE, 20, 900, "unrescue"),
    _S.UNRESCUE_FAILED: Row(_K.FAILED, _S.ACTIVE, None, None, "unrescue"),
    _S.SERVICING: Row(_K.TRANSIENT, _S.ACTIVE, 30, 24 * _HOUR, "abort"),
    _S.SERVICE_WAIT: Row(_K.WAIT, _S.ACTIVE, 120, 24 * _HOUR, "abort"),
    _S.SERVICE_HOLD: Row(_K.HOLD, _S.ACTIVE, None, None, "unhold"),
    _S.SERVICE_FAILED: Row(_K.FAILED, _S.ACTIVE, None, None, "abort"),
}

TRANSITIONS: dict[State, dict[Event, State]] = {
    _S.ENROLL: {_E.MANAGE: _S.VERIFYING},
    _S.VERIFYING: {_E.DONE: _S.MANAGEABLE, _E.FAIL: _S.ENROLL},
    _S.MANAGEABLE: {
        _E.PROVIDE: _S.CLEANING,
        _E.CLEAN: _S.CLEANING,
        _E.INSPECT: _S.INSPECTING,
        _E.ADOPT: _S.ADOPTING,
    },
    _S.AVAILABLE: {_E.DEPLOY: _S.DEPLOYING, _E.MANAGE: _S.MANAGEABLE},
    _S.CLEANING: {
        _E.DONE: _S.AVAILABLE,
        _E.FAIL: _S.CLEAN_FAILED,
        _E.WAIT: _S.CLEAN_WAIT,
        _E.HOLD: _S.CLEAN_HOLD,
        _E.MANAGE: _S.MANAGEABLE,
    },
    _S.CLEAN_WAIT: {
        _E.RESUME: _S.CLEANING,
        _E.FAIL: _S.CLEAN_FAILED,
        _E.ABORT: _S.CLEAN_FAILED,
        _E.HOLD: _S.CLEAN_HOLD,
    },
    _S.CLEAN_HOLD: {_E.UNHOLD: _S.CLEAN_WAIT, _E.ABORT: _S.CLEAN_FAILED},
    _S.CLEAN_FAILED: {_E.MANAGE: _S.MANAGEABLE},
    _S.INSPECTING: {_E.DONE: _S.MANAGEABLE, _E.FAIL: _S.INSPECT_FAILED, _E.WAIT: _S.INSPECT_WAIT},
    _S.INSPECT_WAIT: {
        _E.DONE: _S.MANAGEABLE,
        _E.FAIL: _S.INSPECT_FAILED,
        _E.ABORT: _S.INSPECT_FAILED,
        _E.RESUME: _S.INSPECTING,
    },
    _S.INSPECT_FAILED: {_E.INSPECT: _S.INSPECTING, _E.MANAGE: _S.MANAGEABLE},
    _S.ADOPTING: {_E.DONE: _S.ACTIVE, _E.FAIL: _S.ADOPT_FAILED},
    _S.ADOPT_FAILED: {_E.ADOPT: _S.ADOPTING, _E.MANAGE: _S.MANAGEABLE},
    _S.DEPLOYING: {
        _E.DONE: _S.ACTIVE,
        _E.FAIL: _S.DEPLOY_FAILED,
        _E.WAIT: _S.WAIT_CALL_BACK,
        _E.HOLD: _S.DEPLOY_HOLD,
    },
    _S.WAIT_CALL_BACK: {
        _E.RESUME: _S.DEPLOYING,
        _E.FAIL: _S.DEPLOY_FAILED,
        _E.ABORT: _S.DEPLOY_FAILED,
        _E.HOLD: _S.DEPLOY_HOLD,
        _E.DELETE: _S.DELETING,
    },
    _S.DEPLOY_HOLD: {_E.UNHOLD: _S.WAIT_CALL_BACK, _E.ABORT: _S.DEPLOY_FAILED},
    _S.DEPLOY_FAILED: {_E.REBUILD: _S.DEPLOYING, _E.DEPLOY: _S.DEPLOYING, _E.DELETE: _S.DELETING},
    _S.ACTIVE: {
        _E.REBUILD: _S.DEPLOYING,
        _E.DELETE: _S.DELETING,
        _E.RESCUE: _S.RESCUING,
        _E.SERVICE: _S.SERVICING,
    },
    _S.DELETING: {_E.CLEAN: _S.CLEANING, _E.FAIL: _S.ERROR},
    _S.ERROR: {_E.REBUILD: _S.DEPLOYING, _E.DELETE: _S.DELETING},
    _S.RESCUING: {_E.DONE: _S.RESCUE, _E.WAIT: _S.RESCUE_WAIT, _E.FAIL: _S.RESCUE_FAILED},
    _S.RESCUE_WAIT: {
        _E.RESUME: _S.RESCUING,
        _E.FAIL: _S.RESCUE_FAILED,
        _E.ABORT: _S.RESCUE_FAILED,
        _E.DELETE: _S.DELETING,
    },
    _S.RESCUE: {_E.RESCUE: _S.RESCUING, _E.UNRESCUE: _S.UNRESCUING, _E.DELETE: _S.DELETING},
    _S.RESCUE_FAILED: {_E.RESCUE: _S.RESCUING, _E.UNRESCUE: _S.UNRESCUING, _E.DELETE: _S.DELETING},
    _S.UNRESCUING: {_E.DONE: _S.ACTIVE, _E.FAIL: _S.UNRESCUE_FAILED},
    _S.UNRESCUE_FAILED: {_E.RESCUE: _S.RESCUING, _E.UNRESCUE: _S.UNRESCUING, _E.DELETE: _S.DELETING},
    _S.SERVICING: {
        _E.DONE: _S.ACTIVE,
        _E.FAIL: _S.SERVICE_FAILED,
        _E.WAIT: _S.SERVICE_WAIT,
        _E.HOLD: _S.SERVICE_HOLD,
    },
    _S.SERVICE_WAIT: {
        _E.RESUME: _S.SERVICING,
        _E.FAIL: _S.SERVICE_FAILED,
        _E.ABORT: _S.SERVICE_FAILED,
        _E.HOLD: _S.SERVICE_HOLD,
        _E.DELETE: _S.DELETING,
    },
    _S.SERVICE_HOLD: {
        _E.UNHOLD: _S.SERVICE_WAIT,
        _E.SERVICE: _S.SERVICING,
        _E.FAIL: _S.SERVICE_FAILED,
        _E.ABORT: _S.SERVICE_FAILED,
    },
    _S.SERVICE_FAILED: {
        _E.SERVICE: _S.SERVICING,
        _E.RESCUE: _S.RESCUING,
        _E.WAIT: _S.SERVICE_WAIT,
        _E.HOLD: _S.SERVICE_HOLD,
        _E.DELETE: _S.DELETING,
        _E.ABORT: _S.ACTIVE,
    },
}

VERBS: dict[str, tuple[Event, int]] = {
    # verb of PUT states/provision -> (event, first microversion 1.N that knows the verb)
    "active": (_E.DEPLOY, 1),
    "rebuild": (_E.REBUILD, 1),
    "deleted": (_E.DELETE, 1),
    "manage": (_E.MANAGE, 4),
    "provide": (_E.PROVIDE, 4),
    "inspect": (_E.INSPECT, 6),
    "abort": (_E.ABORT, 13),
    "clean": (_E.CLEAN, 15),
    "adopt": (_E.ADOPT, 17),
    "rescue": (_E.RESCUE, 38),
    "unrescue": (_E.UNRESCUE, 38),
    "deploy": (_E.DEPLOY, 73),
    "undeploy": (_E.DELETE, 73),
    "unhold": (_E.UNHOLD, 85),
    "service": (_E.SERVICE, 87),
}

DELETABLE = frozenset({_S.ENROLL, _S.MANAGEABLE, _S.ADOPT_FAILED, _S.AVAILABLE})
"""States in which a node may be deleted (in maintenance: any)."""

LOOKUP_ALLOWED = frozenset(
    {
        _S.DEPLOYING,
        _S.WAIT_CALL_BACK,
        _S.CLEANING,
        _S.CLEAN_WAIT,
        _S.INSPECTING,
        _S.INSPECT_WAIT,
        _S.RESCUING,
        _S.RESCUE_WAIT,
        _S.SERVICING,
        _S.SERVICE_WAIT,
    }
)
"""States in which a ramdisk may look its node up and be given a token."""

FAST_TRACK = frozenset({_S.ENROLL, _S.MANAGEABLE, _S.AVAILABLE, _S.SERVICE_HOLD})
"""States in which a ramdisk kept running after a run may go on sending heartbeats."""

HEARTBEAT_ALLOWED = LOOKUP_ALLOWED | FAST_TRACK | {_S.CLEAN_HOLD, _S.DEPLOY_HOLD}
"""States in which an agent's calls are noted: while an operator holds a node its ramdisk goes on."""

POWER_SYNC_EXCLUDED = frozenset({_S.WAIT_CALL_BACK, _S.CLEAN_WAIT, _S.ENROLL, _S.ADOPT_FAILED})


def find_next(state: State, event: Event) -> State | None:
    """The state that ``event`` leads to from ``state``, or None where it is not allowed."""
    return TRANSITIONS[state].get(event)


def transition(state: State, event: Event) -> State:
    """The state that ``event`` leads to. Raises errors.Invalid naming the events that are allowed."""
    after = find_next(state, event)
    if after is None:
        raise errors.Invalid(
            f'The requested action "{_verb(event)}" can not be performed while the provision state is "{state}"',
            hint=f"Possible from here: {', '.join(verbs(state)) or 'nothing, it ends by itself'}.",
        )
    return after


def verbs(state: State) -> list[str]:
    """What a user may ask of a node in ``state``, by its first name in the API."""
    return sorted({_verb(event) for event in TRANSITIONS[state]} & set(VERBS))


def _verb(event: Event) -> str:
    return next((verb for verb, (meant, _) in VERBS.items() if meant == event), event.value)


def allowance(state: State) -> int:
    """Seconds a run that begins in this state may take: the deadlines of all states it passes on the usual way."""
    passed = [state]
    for event in (Event.CLEAN, Event.WAIT):
        after = find_next(passed[-1], event)
        if after is not None:
            passed.append(after)
    return sum(TABLE[one].deadline or 0 for one in passed)


def target(state: State, *, manual_clean: bool = False) -> State | None:
    """What ``target_provision_state`` shows; manual cleaning aims at manageable instead of available."""
    goal = TABLE[state].target
    if manual_clean and goal == State.AVAILABLE:
        return State.MANAGEABLE
    return goal
