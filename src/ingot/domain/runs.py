"""A run: everything long that happens to a node; its plan, its journal, and the pure fold over the journal.

Why: start, retry, recovery and takeover must all read the same facts. May not: do I/O or know a clock.
Invariant: ``fold`` depends on nothing but the plan and the events.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec


class Kind(StrEnum):
    """The flows a run can follow."""

    VERIFY = "verify"
    INSPECT = "inspect"
    CLEAN = "clean"
    DEPLOY = "deploy"
    TEAR_DOWN = "tear_down"
    ADOPT = "adopt"
    RESCUE = "rescue"
    UNRESCUE = "unrescue"
    SERVICE = "service"
    POWER = "power"
    ORDER = "order"


class Status(StrEnum):
    """Where a run stands; at most one run of a node is open."""

    OPEN = "open"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    ABORTED = "aborted"


class Mark(StrEnum):
    """The six journal events of a step."""

    STARTED = "started"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNDO_STARTED = "undo_started"
    UNDO_FINISHED = "undo_finished"
    UNDO_FAILED = "undo_failed"


class Resume(StrEnum):
    """What to do with a step that a crash cut short: do it again, ask its probe, or fail."""

    AGAIN = "again"
    CHECK = "check"
    FAIL = "fail"


class PlannedStep(msgspec.Struct, frozen=True):
    """One step of a plan. ``agent``: the ramdisk's agent runs it, else the conductor.

    ``child``: the node below the run's own that does it, in a run of that node.
    """

    interface: str
    step: str
    args: dict[str, Any] = {}
    priority: int = 0
    agent: bool = False
    abortable: bool = True
    child: str | None = None
    sealed: str | None = None
    """The secrets among ``args`` as the database keeps them; None while the plan is worked on."""

    def title(self) -> str:
        """How people call it: ``interface.step``."""
        return f"{self.interface}.{self.step}" + (f" of child {self.child}" if self.child else "")

    @property
    def elsewhere(self) -> bool:
        """Whether somebody else carries it out, who bears being asked twice."""
        return self.agent or self.child is not None


class Entry(msgspec.Struct, frozen=True):
    """One line of the journal: what happened to the step at index ``step`` of the plan; ``at`` in epoch seconds."""

    seq: int
    step: int
    mark: Mark
    at: float
    detail: str | None = None


class Wait(msgspec.Struct, frozen=True):
    """What an open run waits for. ``usual`` in seconds; ``deadline`` and ``since`` in epoch seconds.

    ``why`` is what was known of the cause when it was last looked at.
    """

    what: str
    since: float
    deadline: float
    usual: float | None = None
    on_agent: bool = False
    held: bool = False
    """An operator holds the run: it may last, and its time is not the run's."""
    why: str | None = None

    def told(self) -> str:
        """What is waited for, and what is known of the cause."""
        return f"{self.what}: {self.why}" if self.why else self.what


_NOT_TAKEN = "Waits for a conductor to take it up, behind what was asked for before it. Its time begins then."


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One run as stored. Times are epoch seconds; ``wake_at`` is when a conductor must look at it next."""

    id: str
    node_uuid: str
    kind: Kind
    params: dict[str, Any] = {}
    plan: list[PlannedStep] | None = None
    memo: dict[str, Any] = {}
    owner: str | None = None
    generation: int = 0
    lease_until: float = 0.0
    status: Status = Status.OPEN
    abort_requested: bool = False
    reason: str | None = None
    wait: Wait | None = None
    progress: dict[str, Any] | None = None
    wake_at: float = 0.0
    started_at: float = 0.0
    finished_at: float | None = None
    deadline: float = 0.0
    """Later by as long as nobody has taken the run up."""

    def told(self) -> str | None:
        """Why it waits, or why it ended so."""
        return self.reason or (_NOT_TAKEN if self.status == Status.OPEN and self.generation == 0 else None)


DEATHS = "deaths"
"""The note in a run's memo of what its owners' deaths cost it (flows/deaths.py); ``at``: all before that is settled."""


POWER_ASKED = "power asked"
"""The note in a waiting run's memo of a power change that somebody wants meanwhile (flows/asked_power.py)."""


def settled(memo: dict[str, Any], now: float) -> dict[str, Any]:
    """``memo`` with the note that the run was given back what it lost until ``now``: later deaths count from there."""
    return {**memo, DEATHS: {**memo.get(DEATHS, {}), "at": now}}


class Position(msgspec.Struct, frozen=True):
    """Where the journal says a run stands in its plan.

    ``next``: index of the step to run; ``cut``: that step had started before; ``failed``: a step failed, so what
    is left is undoing; ``to_undo``: indexes still to undo, in the order to undo them.
    """

    next: int
    cut: bool
    failed: bool
    to_undo: tuple[int, ...]
    failure: str | None = None


def fold(steps: int, entries: list[Entry]) -> Position:
    """Read a position out of the journal of a plan with ``steps`` steps."""
    started: list[int] = []
    done: set[int] = set()
    undone: set[int] = set()
    failure: str | None = None
    failed = False
    for entry in entries:
        match entry.mark:
            case Mark.STARTED:
                if entry.step not in started:
                    started.append(entry.step)
            case Mark.SUCCEEDED:
                done.add(entry.step)
            case Mark.FAILED:
                failed, failure = True, entry.detail
            case Mark.UNDO_FINISHED | Mark.UNDO_FAILED:
                undone.add(entry.step)
            case Mark.UNDO_STARTED:
                pass
    upcoming = next((index for index in range(steps) if index not in done), steps)
    # The failed step itself is undone too: it may have acted before it failed.
    to_undo = tuple(index for index in reversed(started) if index not in undone)
    return Position(upcoming, upcoming in started, failed, to_undo, failure)
