"""What it costs a run that the process which worked on it died: nothing, unless the run seems to kill them itself.

Why: a kill, a crash or a host that goes is no fault of the work in hand, so neither deadlines nor waits may be used up
by it, however often it happens. May not: write. Invariant: no second is given back twice, so a step that hangs has its
end at most one whole deadline after the last death.
"""

from __future__ import annotations

import msgspec

from ingot.domain import errors, runs

MOST = 100
"""So many deaths in one place without a line of progress, and the run is taken for their cause."""
_WENT_ON = "went on"
_SUSPECT = 3
"""So many, and it is among few when it goes on (``flows/suspects.py``)."""


class Loss(msgspec.Struct, frozen=True):
    """What a run is given: ``seconds`` more, its wait as it goes on, its memo with the note of it."""

    seconds: float
    wait: runs.Wait | None
    memo: dict[str, object]


def reckon(run: runs.Run, entries: list[runs.Entry], now: float, *, died: bool) -> Loss:
    """What was lost when the last owner of ``run`` was gone: all since its journal's last line, or what is settled.

    Nobody knows when that was; what it had finished is in the journal, and what it did since will be done again.
    ``died``: False where it said goodbye, which is no fault of the run's.
    """
    note = run.memo.get(runs.DEATHS, {})
    since = max(entries[-1].at if entries else run.started_at, note.get("at", 0.0))
    seconds = max(0.0, now - since)
    place = _place(run, entries)
    before = note["times"] if note.get("place") == place else 0
    # One that still waited for its turn among few did nothing from which anybody could die.
    times = before + (died and (before < _SUSPECT or _WENT_ON in note))
    memo: dict[str, object] = {**run.memo, runs.DEATHS: {"at": now, "place": place, "times": times}}
    return Loss(seconds, _moved(run.wait, seconds, now), memo)


def refuse_deadly(run: runs.Run, entries: list[runs.Entry], what: str) -> None:
    """Raise errors.Misbehaved where ``what`` was begun ``MOST`` times and its process died each time."""
    note = run.memo.get(runs.DEATHS, {})
    if note.get("place") == _place(run, entries) and note["times"] >= MOST:
        raise errors.Misbehaved(
            f"The conductor died {note['times']} times in the middle of {what}",
            hint="Look in its log and the kernel's for what killed it (memory?), then start the operation again.",
        )


def is_suspect(run: runs.Run, entries: list[runs.Entry]) -> bool:
    """Whether processes died in it in this place more than once or twice."""
    note = run.memo.get(runs.DEATHS, {})
    return note.get("place") == _place(run, entries) and note["times"] >= _SUSPECT


def seated(run: runs.Run, waited: float, now: float) -> Loss:
    """What a suspect is given that goes on now: the seconds that it waited for its turn, and a note that it goes on."""
    note = {**run.memo[runs.DEATHS], "at": now, _WENT_ON: True}
    return Loss(waited, _moved(run.wait, waited, now), {**run.memo, runs.DEATHS: note})


def _moved(wait: runs.Wait | None, seconds: float, now: float) -> runs.Wait | None:
    """A wait as it goes on when ``seconds`` of it were nobody's."""
    if wait is None:
        return None
    later = max(0.0, min(seconds, now - wait.since))
    return msgspec.structs.replace(wait, since=wait.since + later, deadline=wait.deadline + later)


def seated_again(run: runs.Run, entries: list[runs.Entry]) -> Loss | None:
    """What a suspect is given that was let go (it waited) and waits for its turn anew: a note that says so, no time.

    None where there is no such note to mend.
    """
    note = run.memo.get(runs.DEATHS, {})
    if _WENT_ON not in note or not is_suspect(run, entries):
        return None
    left = {key: value for key, value in note.items() if key != _WENT_ON}
    return Loss(0.0, run.wait, {**run.memo, runs.DEATHS: left})


def _place(run: runs.Run, entries: list[runs.Entry]) -> list[int]:
    """Changes with every step forward: a line in the journal, or a result noted in the memo."""
    return [len(entries), len(run.memo.keys() - {runs.DEATHS})]
