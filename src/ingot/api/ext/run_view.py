"""Runs as JSON: the head of one, and the whole with its steps, its journal and what it waits for.

May not: query. Invariant: no secret: parameters are not shown, they may be sealed.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from ingot.domain import runs

_DONE = frozenset({runs.Mark.SUCCEEDED, runs.Mark.FAILED, runs.Mark.UNDO_FINISHED, runs.Mark.UNDO_FAILED})
_WORDS: dict[runs.Mark, str] = {
    runs.Mark.STARTED: "running",
    runs.Mark.SUCCEEDED: "done",
    runs.Mark.FAILED: "failed",
    runs.Mark.UNDO_STARTED: "undoing",
    runs.Mark.UNDO_FINISHED: "undone",
    runs.Mark.UNDO_FAILED: "undo failed",
}


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """A run without its steps. Times in epoch seconds; ``reason``: why it waits, or why it ended so."""

    id: str
    kind: runs.Kind
    status: runs.Status
    reason: str | None
    started_at: float
    finished_at: float | None
    deadline: float


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """A step with where it stands; ``duration`` in seconds, None while it runs."""

    title: str
    interface: str
    step: str
    status: str
    started_at: float | None
    duration: float | None
    detail: str | None


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the journal: what happened to which step, when (epoch seconds)."""

    seq: int
    step: str
    mark: runs.Mark
    at: float
    detail: str | None


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """What is waited for, why as far as it is known, since and until when (epoch), its usual time (seconds)."""

    what: str
    why: str | None
    since: float
    usual: float | None
    deadline: float


class Console(msgspec.Struct, frozen=True, kw_only=True):
    """The last of what the serial console said in the run, and where the rest is."""

    tail: str
    url: str


class Logs(msgspec.Struct, frozen=True, kw_only=True):
    """That the ramdisk's logs of the run are kept: bytes of the bundle, and where they are read."""

    size: int
    url: str


class Whole(Head, frozen=True, kw_only=True):
    """A run with all that is known of it. ``now``: the service's clock (epoch).

    ``console`` None: nothing was heard of it; ``logs`` None: the ramdisk's were not kept.
    """

    now: float
    current_step: str | None
    plan: list[Step]
    wait: Waiting | None
    progress: dict[str, Any] | None
    journal: list[Line]
    console: Console | None
    logs: Logs | None


class Attached(NamedTuple):
    """What is kept beside a run's rows."""

    console: Console | None
    logs: Logs | None


def head(run: runs.Run) -> Head:
    """The run as lists show it."""
    return Head(**_head(run))


def whole(run: runs.Run, journal: list[runs.Entry], attached: Attached, *, now: float) -> Whole:
    """The run with its steps."""
    plan = run.plan or []
    position = runs.fold(len(plan), journal)
    current = plan[position.next].title() if position.next < len(plan) else None
    wait = run.wait
    return Whole(
        **_head(run),
        now=now,
        current_step=current if run.status == runs.Status.OPEN else None,
        plan=[_step(step, [entry for entry in journal if entry.step == index]) for index, step in enumerate(plan)],
        wait=wait and Waiting(**{name: getattr(wait, name) for name in Waiting.__struct_fields__}),
        progress=run.progress,
        journal=[_line(plan, entry) for entry in journal],
        console=attached.console,
        logs=attached.logs,
    )


def _head(run: runs.Run) -> dict[str, Any]:
    return {**{name: getattr(run, name) for name in Head.__struct_fields__}, "reason": run.told()}


def _line(plan: list[runs.PlannedStep], entry: runs.Entry) -> Line:
    step = plan[entry.step].title() if entry.step < len(plan) else ""
    return Line(seq=entry.seq, step=step, mark=entry.mark, at=entry.at, detail=entry.detail)


def _step(step: runs.PlannedStep, journal: list[runs.Entry]) -> Step:
    starts = [entry.at for entry in journal if entry.mark == runs.Mark.STARTED]
    last = journal[-1] if journal else None
    ended = last.at if last is not None and last.mark in _DONE else None
    return Step(
        title=step.title(),
        interface=step.interface,
        step=step.step,
        status="waiting" if last is None else _WORDS[last.mark],
        started_at=starts[0] if starts else None,
        duration=ended - starts[0] if ended is not None and starts else None,
        detail=last.detail if last else None,
    )
