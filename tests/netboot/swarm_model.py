"""A rack that shares an image, in imagined time: the product's decisions, with links and machines worked out.

    python tests/netboot/swarm_model.py MACHINES ...

prints how many times one machine's time each rack takes. The controller's part is netboot/sharing.py itself; a machine
has four workers and asks ahead as ingot_agent/sharing.py does, but nothing fails. Links are alike both ways and shared
evenly by what goes over them; answers use up the controller's. Chunks, rates and answers are those of
`./ingot bench rack_images`, which takes minutes and a quiet computer for what this tells in seconds.
"""

from __future__ import annotations

import math
import sys
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import NamedTuple

from ingot.netboot.sharing import Answer, Question, Swarm

CHUNK, LINK = 131_072 * 1.046, 425_000.0
"""Bytes of a chunk on the wire, and that a link carries each second."""
ANSWER, NAME = 200, 62
"""Bytes of an answer on the wire, and of each chunk and giver in it."""
TICK, WAY, CONNECTING = 0.05, 0.025, 0.05
"""Seconds: of one step of the model, that a question or an answer is on its way, until the first byte of a chunk."""
WORKERS, MOST_AHEAD, PACE = 4, 28, 0.1
PATIENCE = 1000.0
CONTROLLER = -1


@dataclass
class Flow:
    """A chunk on its way from a machine, or the controller."""

    giver: int
    taker: int
    chunk: int
    asked: float
    left: float = CHUNK


class Letter(NamedTuple):
    """A question or its answer on its way, and when it is there."""

    there: float
    question: Question
    answer: Answer | None = None


@dataclass
class Machine:
    """One that gets the image."""

    name: str
    ask_at: float
    mine: int = 0
    offer: int = 0
    working: int = 0
    average: float = 0.0
    pace: float = PACE
    queue: deque[tuple[int, str]] = field(default_factory=deque[tuple[int, str]])
    done: list[int] = field(default_factory=list[int])
    letter: Letter | None = None

    def room(self, chunks: int) -> int:
        """How many more chunks it wants to be told of."""
        if self.mine == (1 << chunks) - 1:
            return 0
        ahead = min(MOST_AHEAD, 1 + int(WORKERS * self.pace / self.average)) if self.average else 1
        return max(0, WORKERS + ahead - self.working - len(self.queue))

    def hear(self, answer: Answer, now: float) -> None:
        """Queue what it is told to fetch."""
        told = [(answer.chunk, answer.giver)] if answer.chunk is not None else []
        for chunk, giver in (*told, *answer.more):
            self.mine |= 1 << chunk
            (self.queue.append if giver else self.queue.appendleft)((chunk, giver))
        self.pace = max(PACE, answer.wait)
        self.ask_at, self.letter = now + self.pace, None

    def end(self, chunk: int, seconds: float) -> None:
        """A chunk is there."""
        self.working -= 1
        self.offer |= 1 << chunk
        self.done.append(chunk)
        self.average = seconds if not self.average else self.average * 0.9 + seconds * 0.1


class Rack:
    """Machines that begin within a third of a second of each other, and what goes over their links."""

    def __init__(self, machines: int, chunks: int) -> None:
        self.chunks, self.now, self.owed = chunks, 0.0, 0.0
        self.swarm = Swarm(chunks)
        self.machines = [Machine(f"10.99.0.{n} 40000-{n:032x}", n * 0.3 / machines) for n in range(machines)]
        self.numbers = {"": CONTROLLER} | {one.name: number for number, one in enumerate(self.machines)}
        self.flows: list[Flow] = []

    def seconds(self) -> float:
        """Until all have all."""
        whole = (1 << self.chunks) - 1
        while any(one.offer != whole for one in self.machines):
            if self.now > PATIENCE:
                return math.inf
            for number, one in enumerate(self.machines):
                self._talk(one)
                self._work(number, one)
            self._carry()
            self.now += TICK
        return self.now

    def _talk(self, one: Machine) -> None:
        letter = one.letter
        if letter is None:
            if self.now >= one.ask_at and (one.room(self.chunks) or one.done):
                told, one.done = tuple(one.done), []
                asked = Question(one.name, self.chunks, one.mine, one.offer, told, want=one.room(self.chunks))
                one.letter = Letter(self.now + WAY, asked)
        elif self.now >= letter.there and letter.answer is None:
            answer = self.swarm.answer(letter.question, self.now)
            self.owed += ANSWER + NAME * (len(answer.more) + (answer.chunk is not None))
            one.letter = letter._replace(there=self.now + WAY, answer=answer)
        elif self.now >= letter.there and letter.answer is not None:
            one.hear(letter.answer, self.now)

    def _work(self, number: int, one: Machine) -> None:
        while one.queue and one.working < WORKERS:
            chunk, giver = one.queue.popleft()
            one.working += 1
            self.flows.append(Flow(self.numbers[giver], number, chunk, self.now))

    def _carry(self) -> None:
        """Bytes of one tick: shares of both ends' links, and twice more what of them was left unused."""
        most = LINK * TICK
        answers = min(self.owed, most * 0.9)
        self.owed -= answers
        up, down = dict.fromkeys(range(-1, len(self.machines)), most), dict.fromkeys(range(len(self.machines)), most)
        up[CONTROLLER] -= answers
        for _ in range(3):
            self._share(up, down)
        for flow in [flow for flow in self.flows if flow.left <= 1]:
            self.machines[flow.taker].end(flow.chunk, self.now - flow.asked)
        self.flows = [flow for flow in self.flows if flow.left > 1]

    def _share(self, up: dict[int, float], down: dict[int, float]) -> None:
        begun = [flow for flow in self.flows if flow.asked + CONNECTING <= self.now and flow.left > 0]
        live = [flow for flow in begun if up[flow.giver] > 1 and down[flow.taker] > 1]
        givers, takers = Counter(flow.giver for flow in live), Counter(flow.taker for flow in live)
        parts = [
            min(flow.left, up[flow.giver] / givers[flow.giver], down[flow.taker] / takers[flow.taker]) for flow in live
        ]
        for flow, part in zip(live, parts, strict=True):
            flow.left -= part
            up[flow.giver] -= part
            down[flow.taker] -= part


def of_one(machines: int, chunks: int = 384) -> float:
    """A rack's time over that of one machine with the controller's link for itself."""
    return Rack(machines, chunks).seconds() / (chunks * CHUNK / LINK)


def main() -> None:
    for word in sys.argv[1:]:
        print(f"{word} machines: {of_one(int(word)):.2f} of the time of one", flush=True)


if __name__ == "__main__":
    main()
