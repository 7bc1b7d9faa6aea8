"""Steps: what an interface (or a flow) can do as a durable unit, declared beside the method that does it.

May not: run anything. Invariant: a step says how it resumes after a crash; ``again`` means running it twice is as
good as once.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

import msgspec

from ingot.domain import errors, runs

StepMethod = TypeVar("StepMethod", bound=Callable[..., Awaitable[None]])
_MARK = "ingot_step"


class StepInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What is declared of one step.

    ``priorities``: flow word ("clean", "deploy") -> default priority, 0 = only on request; ``probe``: name of the
    method that tells whether a cut step had finished (for Resume.CHECK); ``undo``: method run when the run fails.
    """

    name: str
    priorities: dict[str, int] = {}
    resume: runs.Resume = runs.Resume.AGAIN
    probe: str | None = None
    undo: str | None = None
    abortable: bool = True


def step(
    *,
    resume: runs.Resume = runs.Resume.AGAIN,
    probe: str | None = None,
    undo: str | None = None,
    abortable: bool = True,
    **priorities: int,
) -> Callable[[StepMethod], StepMethod]:
    """Declare a method ``async def name(self, ctx: StepContext) -> None`` as a step."""

    def declare(method: StepMethod) -> StepMethod:
        info = StepInfo(
            name=method.__name__, priorities=priorities, resume=resume, probe=probe, undo=undo, abortable=abortable
        )
        setattr(method, _MARK, info)
        return method

    return declare


def find(owner: Any, name: str) -> StepInfo | None:
    """The step ``name`` that ``owner`` (an interface implementation or a flow) declares, or None."""
    kind = cast("Any", type(owner))
    return getattr(getattr(kind, name, None), _MARK, None)


def get(owner: Any, name: str) -> StepInfo:
    """The step ``name`` of ``owner``. Raises errors.Invalid."""
    found = find(owner, name)
    if found is None:
        known = ", ".join(info.name for info in list_all(owner)) or "none"
        raise errors.Invalid(f'There is no step "{name}" here', hint=f"Steps of this interface: {known}.")
    return found


def list_all(owner: Any) -> list[StepInfo]:
    """Every step that ``owner`` declares, by name."""
    return list(_declared(cast("type[Any]", type(owner))))


@functools.cache
def _declared(kind: type[Any]) -> tuple[StepInfo, ...]:
    found = (getattr(getattr(kind, name, None), _MARK, None) for name in sorted(dir(kind)))
    return tuple(info for info in found if info is not None)


def planned(owner: Any, interface: str, word: str) -> list[runs.PlannedStep]:
    """The steps of ``owner`` that belong to every plan of flow ``word`` (priority above 0), first one first."""
    found = [
        runs.PlannedStep(interface, info.name, priority=info.priorities[word], abortable=info.abortable)
        for info in list_all(owner)
        if info.priorities.get(word, 0) > 0
    ]
    return sorted(found, key=lambda planned_step: -planned_step.priority)
