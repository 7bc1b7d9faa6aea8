"""The state table proved: no state without a row, an end, a way out that works."""

from __future__ import annotations

import pytest

from ingot.domain import errors, states
from ingot.domain.states import TABLE, TRANSITIONS, VERBS, Event, Kind, State

UNSTABLE = [state for state in State if TABLE[state].kind in {Kind.TRANSIENT, Kind.WAIT}]
RESTING = {state for state in State if TABLE[state].kind in {Kind.STABLE, Kind.FAILED}}


def reachable(start: State) -> set[State]:
    seen: set[State] = set()
    todo = [start]
    while todo:
        state = todo.pop()
        if state not in seen:
            seen.add(state)
            todo += TRANSITIONS[state].values()
    return seen


@pytest.mark.parametrize("state", State)
def test_every_state_has_a_row_and_transitions(state: State) -> None:
    assert state in TABLE
    assert TRANSITIONS[state], f"nothing leads out of {state}"


@pytest.mark.parametrize("state", UNSTABLE)
def test_no_unstable_state_lacks_usual_deadline_target(state: State) -> None:
    row = TABLE[state]
    assert row.usual is not None and row.deadline is not None and row.target is not None
    assert 0 < row.usual < row.deadline
    assert states.allowance(state) >= row.deadline


@pytest.mark.parametrize("state", State)
def test_the_exit_verb_leads_out(state: State) -> None:
    """From where the node rests: for a transient state that is where the deadline of its run leaves it."""
    event = VERBS[TABLE[state].exit_verb][0]
    start = TRANSITIONS[state][Event.FAIL] if TABLE[state].kind == Kind.TRANSIENT else state
    after = states.find_next(start, event)
    assert after is not None, f'"{TABLE[state].exit_verb}" does nothing in "{start}"'
    assert after != start


@pytest.mark.parametrize("state", UNSTABLE)
def test_every_unstable_state_can_fail_into_rest(state: State) -> None:
    after = states.transition(state, Event.FAIL)
    assert after in RESTING


@pytest.mark.parametrize("state", State)
def test_from_every_state_rest_and_work_can_be_reached(state: State) -> None:
    assert {State.AVAILABLE, State.ACTIVE, State.MANAGEABLE} & reachable(state)


@pytest.mark.parametrize("state", [state for state in State if TABLE[state].kind == Kind.WAIT])
def test_a_wait_can_resume_and_be_aborted(state: State) -> None:
    resumed = states.transition(state, Event.RESUME)
    assert TABLE[resumed].kind == Kind.TRANSIENT
    assert states.transition(resumed, Event.WAIT) == state
    assert states.transition(state, Event.ABORT) in RESTING
    assert state in states.LOOKUP_ALLOWED
    assert resumed in states.LOOKUP_ALLOWED


def test_every_state_can_be_reached_from_enrolment() -> None:
    assert reachable(State.ENROLL) == set(State)


def test_no_transition_leads_nowhere_or_to_itself() -> None:
    for state, row in TRANSITIONS.items():
        assert state not in row.values()


def test_every_verb_does_something_somewhere() -> None:
    used = {event for row in TRANSITIONS.values() for event in row}
    for verb, (event, version) in VERBS.items():
        assert event in used, verb
        assert 1 <= version <= 115
    assert {row.exit_verb for row in TABLE.values()} <= set(VERBS)


def test_a_refused_event_names_what_is_possible() -> None:
    with pytest.raises(errors.Invalid) as refused:
        states.transition(State.AVAILABLE, Event.RESCUE)
    assert refused.value.sentence() == (
        'The requested action "rescue" can not be performed while the provision state is "available". '
        "Possible from here: active, manage."
    )


def test_manual_cleaning_aims_at_manageable() -> None:
    assert states.target(State.CLEANING) == State.AVAILABLE
    assert states.target(State.CLEANING, manual_clean=True) == State.MANAGEABLE
    assert states.target(State.DEPLOYING, manual_clean=True) == State.ACTIVE
    assert states.target(State.ACTIVE) is None


def test_power_is_read_where_the_machine_is_known() -> None:
    assert not {State.AVAILABLE, State.ACTIVE, State.MANAGEABLE} & states.POWER_SYNC_EXCLUDED
    assert not states.LOOKUP_ALLOWED & states.FAST_TRACK
    assert not states.DELETABLE & {State.ACTIVE, State.DEPLOYING}
