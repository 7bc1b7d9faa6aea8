"""Fetch an image together with other machines that get it: chunk by chunk, from them or from the image server.

The image server is asked which chunk to fetch next and who has it (guide.py); what this machine has, it hands on
(exchange.py).
May not: trust another machine, or need one: a chunk counts only when its digest is right, and what is slow, lying or
gone is asked for elsewhere; without an answer the image comes from its server as without sharing. Invariant: each
chunk is handed to the writer once.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ingot_agent import (
    blockdev,
    chunked,
    chunkmap,
    errors,
    exchange,
    guard,
    guide,
    log,
    settings,
    sysfile,
    transfer,
)

WORKERS = 4
_MOST_AHEAD = 28  # told before a worker is free: the next answer may be long on its way over a full link
_PACE = 0.1  # from an answer to the next question, at least; the image server says more when it serves a rack
_RUN = 64 << 20  # what is fetched in one request while nobody shares the image
_SILENCE = 5.0  # until a server that gave no answer is asked again
_LONGEST_PAUSE = 0.5
_STARVED = 10.0  # told to wait for so long, this machine helps itself
_MOST_CHUNKS = 40_000  # of more the sets do not fit into a request
_MOST_TOLD = 64  # that an unheard question leaves for the next, which must not grow for ever
_ENOUGH, _REST = 8, 10.0  # after so many failures in a row nobody is asked for a while
_ENOUGH_AT_FIRST, _REST_AT_FIRST = 4, 30.0  # nothing was ever handed on: it seems that the network keeps machines apart
_FIRST_DEADLINE = 15.0
_LEAST_DEADLINE = 2.0
_SLOW = 20.0  # a giver may take so many times what a chunk takes on average


@dataclass
class _Task:
    """Touching extents to fetch: one from a giver, some from the image server (``giver`` is "")."""

    first: int
    extents: tuple[chunkmap.Extent, ...]
    giver: str = ""
    from_run: bool = False

    @property
    def bits(self) -> int:
        """Its extents as a set."""
        return ((1 << len(self.extents)) - 1) << self.first


@dataclass
class _State:
    """What all workers know, guarded by one condition."""

    mine: int = 0
    queue: deque[_Task] = field(default_factory=deque[_Task])
    working: int = 0
    running: bool = False
    ask_after: float = 0.0
    pace: float = _PACE
    together: bool = False
    heard: bool = False
    done: list[int] = field(default_factory=list[int])
    bad: list[str] = field(default_factory=list[str])
    error: Exception | None = None
    average: float = 0.0
    failures: int = 0
    handed: int = 0


class Sharing:
    """One image's way onto ``device``; ``sources`` is where the image server is asked. End with ``close``."""

    def __init__(
        self,
        sources: str,
        source: transfer.Source,
        plan: chunkmap.ChunkMap,
        device: blockdev.Device,
        roots: settings.Roots,
    ) -> None:
        self._source, self._plan = source, plan
        self._numbers = {extent.offset: number for number, extent in enumerate(plan.extents)}
        self._all = (1 << len(plan.extents)) - 1
        self._shelf = exchange.Shelf(device, plan, _room(roots), seeks=_seeks(device, roots))
        self._guide = guide.Guide(sources, source, len(plan.extents), self._shelf)
        self._state = _State()
        self._changed = threading.Condition()

    def close(self) -> None:
        """Hand on nothing any more: the disk is about to differ from the image."""
        heard = time.monotonic() >= self._state.ask_after
        self._guide.close(self._news() if heard else None)

    def written(self, piece: transfer.Piece) -> None:
        """A piece is on the disk, and can be handed on."""
        self._shelf.put(self._numbers[piece.offset], piece.view)

    def fill(self, pipe: transfer.Pipe) -> None:
        """Bring all chunks, verified. Raises what fetching from the image server raises."""
        threads = [threading.Thread(target=self._work, args=(pipe,), daemon=True) for _ in range(WORKERS)]
        threads.append(threading.Thread(target=self._plan_on, args=(pipe,), daemon=True))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self._state.error is not None:
            raise self._state.error
        if self._state.handed:
            log.line(f"{self._state.handed} of {len(self._plan.extents)} chunks came from other machines")

    def _work(self, pipe: transfer.Pipe) -> None:
        reader, patience = transfer.Reader(self._source), transfer.Patience(self._source, pipe.stopped)

        def work() -> None:
            while (task := self._next(pipe)) is not None:
                if task.giver:
                    self._end(task, self._from_giver(task, pipe))
                else:
                    began = time.monotonic()
                    chunked.fetch_run(task.extents, reader, patience, pipe)
                    self._end(task, time.monotonic() - began)
                    if not task.from_run:
                        reader.close()  # the next such chunk is far off, and the server serves a whole rack

        self._watch(work)
        reader.close()

    def _watch(self, work: Callable[[], None]) -> None:
        """Do a thread's work; its failure ends all of it."""
        error = guard.outcome(work)[1]
        if error is not None:
            with self._changed:
                self._state.error = self._state.error or error
                self._changed.notify_all()

    def _next(self, pipe: transfer.Pipe) -> _Task | None:
        """What to fetch next; None when nothing is left, or all is over."""
        state = self._state
        with self._changed:
            while not self._over(pipe) and not self._finished():
                if state.queue:
                    state.working += 1
                    self._changed.notify_all()
                    return state.queue.popleft()
                self._changed.wait(0.5)
            return None

    def _finished(self) -> bool:
        state = self._state
        return state.mine == self._all and not state.working and not state.queue

    def _over(self, pipe: transfer.Pipe) -> bool:
        return pipe.stopped.is_set() or self._state.error is not None

    def _plan_on(self, pipe: transfer.Pipe) -> None:
        """Ask the image server what to fetch, ahead of the workers, until all is fetched or over."""

        def ask_on() -> None:
            state, given = self._state, time.monotonic()
            while self._may_ask(pipe):
                answer = (self._ask() if time.monotonic() >= state.ask_after else None) or {}
                told = guide.told(answer, len(self._plan.extents))
                with self._changed:
                    self._note(answer, told)
                    if self._take(told, time.monotonic() - given > _STARVED):
                        given = time.monotonic()
                        self._changed.notify_all()
                    self._changed.wait_for(lambda: self._over(pipe) or self._finished() or self._idle(), state.pace)

        self._watch(ask_on)

    def _idle(self) -> bool:
        """Whether what this machine fetched alone has ended: what is next needs nobody else, and must not wait."""
        state = self._state
        return not ((state.together and state.heard) or state.running or state.queue)

    def _may_ask(self, pipe: transfer.Pipe) -> bool:
        """Wait until there is something to ask for or to tell. False when all is fetched, or over."""
        state = self._state
        with self._changed:
            while not self._over(pipe) and not self._finished():
                if self._room() or ((state.done or state.bad) and time.monotonic() >= state.ask_after):
                    return True
                self._changed.wait(0.5)
            return False

    def _room(self) -> int:
        """How many more chunks to be told of: as many as are fetched until the answer after the next."""
        state = self._state
        if state.mine == self._all:
            return 0
        ahead = min(_MOST_AHEAD, 1 + int(WORKERS * state.pace / state.average)) if state.average else 1
        return max(0, WORKERS + ahead - state.working - len(state.queue))

    def _note(self, answer: dict[str, Any], told: list[tuple[int, str]]) -> None:
        """How soon the image server wants to be asked again, and whether other machines get the image, too.

        A server of the version before says a chunk or how long to wait, not both.
        """
        state, wait = self._state, answer.get("wait")
        seconds = wait if isinstance(wait, int | float) else _PACE if told else None
        state.heard = seconds is not None or bool(answer.get("alone"))
        if state.heard and time.monotonic() >= state.ask_after:  # else nobody is relied on, whatever comes late
            state.together = not answer.get("alone")
        state.pace = _LONGEST_PAUSE if seconds is None else min(max(_PACE, seconds), _SILENCE)

    def _take(self, told: list[tuple[int, str]], starved: bool) -> bool:
        """Put the tasks of an answer into the queue. Without any: the next run from the image server, one at a time, of
        one chunk only where machines share, which a full link lets wait for answers. Whether there were any.

        Where machines share, who was answered waits for others' chunks until it starves.
        """
        state = self._state
        tasks = [_Task(number, (self._plan.extents[number],), giver) for number, giver in told]
        tasks = [task for task in tasks if not state.mine & task.bits]
        alone = starved or not state.together or not state.heard
        if not tasks and self._room() and not state.queue and not state.running and alone:
            tasks = [self._run(0 if state.together else _RUN)]
            state.running = True
        for task in tasks:
            state.mine |= task.bits
            if task.giver:
                state.queue.append(task)
            else:  # the image server's place must not stay empty
                state.queue.appendleft(task)
        return bool(tasks)

    def _run(self, most: int) -> _Task:
        """The first extents that nobody fetches, as far as they touch, one at least and about ``most`` bytes."""
        free = ~self._state.mine
        first = (free & -free).bit_length() - 1
        chosen = [self._plan.extents[first]]
        for number in range(first + 1, len(self._plan.extents)):
            extent, end = self._plan.extents[number], chosen[-1].offset + chosen[-1].length
            if extent.offset != end or end - chosen[0].offset >= most or not free >> number & 1:
                break
            chosen.append(extent)
        return _Task(first, tuple(chosen), from_run=True)

    def _end(self, task: _Task, seconds: float | None) -> None:
        """Note that a task is done, or (None) that its chunk has to come from elsewhere."""
        state = self._state
        with self._changed:
            state.working -= 1
            state.running = state.running and not task.from_run
            if seconds is None:
                self._refuse(task)
                self._fail()
            else:
                if task.giver:
                    state.handed, state.failures = state.handed + 1, 0
                each = seconds / len(task.extents)
                state.average = each if not state.average else state.average * 0.9 + each * 0.1
                state.done.append(task.first)
            self._changed.notify_all()

    def _refuse(self, failed: _Task) -> None:
        """Have a chunk, and all that were to come from the same giver, come from elsewhere."""
        state = self._state
        from_there = [task for task in state.queue if task.giver == failed.giver]
        for task in from_there:
            state.queue.remove(task)
        for task in (failed, *from_there):
            state.mine &= ~task.bits
            state.done.append(task.first)  # it may be fetched elsewhere before the image server is asked again
        state.bad.append(failed.giver)

    def _fail(self) -> None:
        """Count a failed giver; after too many in a row the image server is relied on for a while."""
        state = self._state
        enough, rest = (_ENOUGH, _REST) if state.handed else (_ENOUGH_AT_FIRST, _REST_AT_FIRST)
        state.failures += 1
        if state.failures >= enough:
            state.failures, state.ask_after, state.together = 0, time.monotonic() + rest, False
            log.line(f"{enough} machines in a row handed nothing on. For {rest:.0f} s none is asked")

    def _from_giver(self, task: _Task, pipe: transfer.Pipe) -> float | None:
        """Fetch one chunk from another machine; the seconds it took, None when it did not come right and in time."""
        extent, buffer = task.extents[0], pipe.buffer()
        average, began = self._state.average, time.monotonic()
        piece = transfer.Piece(extent.offset, memoryview(buffer)[: extent.length], buffer)
        try:
            usual = _LEAST_DEADLINE + _SLOW * average if average else _FIRST_DEADLINE
            deadline = min(usual, self._source.timeout)
            exchange.fetch(task.giver, task.first, piece.view, began + deadline)
            if chunked.digest(piece.view) != extent.digest:
                raise errors.Unreachable(f"The machine {task.giver.partition(' ')[0]} handed on wrong data.")
        except errors.Unreachable as error:
            pipe.give_back(piece)
            log.line(f"{error.message} Another is asked")
            return None
        pipe.put(piece)
        return time.monotonic() - began

    def _ask(self) -> dict[str, Any] | None:
        """Ask the image server; None without a usable answer, and then not again for a while."""
        state, news = self._state, self._news()
        answer = self._guide.ask(news)
        if answer is None:
            with self._changed:  # told again: what the server believes to be under way holds a place there
                state.ask_after = max(state.ask_after, time.monotonic() + _SILENCE)
                state.done, state.bad = (news.done + state.done)[-_MOST_TOLD:], (news.bad + state.bad)[-_MOST_TOLD:]
        return answer

    def _news(self) -> guide.News:
        """What the next question tells; what has ended is told once."""
        state = self._state
        with self._changed:
            news = guide.News(state.mine, state.done, state.bad, self._room())
            state.done, state.bad = [], []
        return news


def fits(plan: chunkmap.ChunkMap) -> bool:
    """Whether an image can be shared: one of very many chunks cannot."""
    return 0 < len(plan.extents) <= _MOST_CHUNKS


def _room(roots: settings.Roots) -> int:
    """Bytes of memory for chunks to hand on: a quarter of what is free, 64 MiB at most."""
    lines = sysfile.read(f"{roots.proc}/meminfo").splitlines()
    free = next((int(one.split()[1]) << 10 for one in lines if one.startswith("MemAvailable:")), 64 << 20)
    return min(64 << 20, free // 4)


def _seeks(device: blockdev.Device, roots: settings.Roots) -> bool:
    name = device.path.rpartition("/")[2]
    return sysfile.read(f"{roots.sys}/class/block/{name}/queue/rotational") == "1"
