"""Tells each machine of a rack that gets an image which chunk to fetch next, and from whom.

Why: one link to the controller must not carry an image once per machine; machines hand verified chunks on to each
other, and the controller sends what nobody has yet. May not: send image data, or vouch for a machine: a chunk proves
itself by its digest in the chunk map. Invariant: what is kept here is a guess that the next question mends, so a
restart or a lie costs time and never bytes.
"""

from __future__ import annotations

import heapq
import math
import re
import time
from collections.abc import Callable, Iterator
from urllib.parse import parse_qs

import msgspec

from ingot.netboot import httpwire

_OWN_PLACES = 6
"""Chunks of one image that the controller sends: few, so that the first is soon there to be handed on, but one or two
more than keep its link full, for a place is free only when the next question says so."""
_GIVER_PLACES = 6
"""Chunks that a machine is to hand on, with those that wait for a worker or are there and not told yet: few, or newer
holders idle; more for who wants more at once. With fewer than the controller has, its chunks come faster than go on."""
_MOST_WANTED = 32
_QUESTIONS = 150
"""Questions a second of all machines of an image: their answers share the controller's link with its chunks."""
_LEAST_USUAL = 0.25
"""Seconds that a fetch takes as long as nothing is known of the links, and at least."""
_SLOW = 8.0
"""A fetch that takes so many times what is usual gives its place up, so that slow, resting and lost machines hold up
nobody: more than it takes longer for sharing both ends' links with three others."""
_LONGER = 1.5
"""Where no fetch is quicker, the link that all share is slow: what is usual grows by this, for more would fill it."""
_SILENT = 60.0
"""Seconds after which a machine that asked for nothing is forgotten."""
_SHUNNED = 20.0
"""Seconds for which a machine is not sent again to a giver that failed it, and nobody to one that is slow: a busy one
recovers, a liar costs little."""
_MOST_CHUNKS = 1 << 20
_MOST_MACHINES = 4096
_LOOKS = 48
"""Chunks compared for a choice: of a large image not all are looked at for each question."""
_STRIDE = 2_654_435_761
"""Each choice begins at another place of the image: a prime near 2^32 divided by the golden ratio."""
_LEAST_WAIT = 0.05
_NAME = re.compile(r"[0-9]{1,5}-[0-9a-f]{32}")
_NUMBERS = re.compile(r"(?:[0-9]{1,7},)*[0-9]{1,7}")
_BITS = re.compile(r"[0-9a-f]+")
_COUNT = re.compile(r"[0-9]{1,7}")


class Question(msgspec.Struct, frozen=True):
    """What a machine says of itself: chunk sets are numbers whose bit N stands for the map's extent N.

    ``giver``: where it hands chunks on (``host port-token``, told only to those who may have the image);
    ``mine``: what it has or is fetching; ``offer``: what it can hand on; ``done``: what ended since its last question;
    ``bad``: givers that failed it; ``want``: how many chunks it can be told of at once, None from an agent of the
    version before, which takes one and understands ``wait`` as that there is none.
    """

    giver: str
    count: int
    mine: int
    offer: int
    done: tuple[int, ...] = ()
    bad: tuple[str, ...] = ()
    leaves: bool = False
    want: int | None = None


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What to do: fetch ``chunk`` from ``giver`` ("": the controller), and ask again after ``wait`` seconds.

    ``more``: what to fetch after it, each with its giver, for who wants to be told more than one. ``alone``: nobody
    else gets this image now: fetch from the controller as without sharing.
    """

    chunk: int | None = None
    giver: str = ""
    wait: float = 0.0
    alone: bool = False
    more: tuple[tuple[int, str], ...] = ()


class _Machine(msgspec.Struct):
    """One that gets the image; ``giving``: chunks fetched from it now; ``gave``: the turn in which it was last chosen.

    ``fetching``: what it fetches now and holds a place for: from whom, and since when. ``took``: seconds that
    its last fetch took; ``spared``: until when nobody is sent to it.
    """

    seen: float = 0.0
    mine: int = 0
    offer: int = 0
    giving: int = 0
    gave: int = 0
    took: float = math.inf
    spared: float = 0.0
    shunned: dict[str, float] = msgspec.field(default_factory=dict[str, float])
    fetching: dict[int, tuple[str, float]] = msgspec.field(default_factory=dict[int, tuple[str, float]])


_Giver = tuple[int, int, str, int]
"""How busy one is, the turn in which it was last chosen, its name, and which of the wanted chunks it has."""


class Swarm:
    """All machines that get one image of ``count`` chunks now."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._machines: dict[str, _Machine] = {}
        self._copies = [0] * count
        self._own_giving = 0
        self._swept = 0.0
        self._turn = 0
        self._usual = _LEAST_USUAL
        self._brisk = False

    def idle(self, now: float) -> bool:
        """Whether nobody gets this image any more."""
        self._sweep(now)
        return not self._machines

    def answer(self, asked: Question, now: float) -> Answer:
        """What the asking machine is to do next; ``now``: seconds of any steady clock."""
        self._sweep(now)
        if asked.leaves or (asked.giver not in self._machines and len(self._machines) >= _MOST_MACHINES):
            self._forget(asked.giver)
            return Answer(alone=True)
        machine = self._note(asked, now)
        if len(self._machines) == 1:
            return Answer(alone=True)
        chosen = self._choose(asked, machine)
        wait = round(max(_LEAST_WAIT, len(self._machines) / _QUESTIONS), 2)
        if not chosen:
            return Answer(wait=wait)
        return Answer(*chosen[0], 0.0 if asked.want is None else wait, more=tuple(chosen[1:]))

    def _choose(self, asked: Question, machine: _Machine) -> list[tuple[int, str]]:
        """Chunks for this machine to fetch, booked; at most one from the controller, for others need it too."""
        wanted, most = ((1 << self.count) - 1) & ~asked.mine, 1 if asked.want is None else asked.want
        chosen: list[tuple[int, str]] = []
        if (fresh := self._fresh(wanted)) >= 0:
            chosen.append(self._book(machine, fresh, ""))
        givers = self._givers(asked.giver, machine, wanted)
        while len(chosen) < most and (held := self._held(machine, givers, wanted & ~machine.mine, most)):
            chosen.append(held)
        if not chosen and wanted and self._own_giving < _OWN_PLACES:  # its link has nothing better to do
            chosen.append(self._book(machine, self._rarest(wanted), ""))
        return chosen

    def _book(self, machine: _Machine, chunk: int, giver: str) -> tuple[int, str]:
        machine.fetching[chunk] = giver, machine.seen
        machine.mine |= 1 << chunk
        self._count(giver, 1)
        return chunk, giver

    def _fresh(self, wanted: int) -> int:
        """The first chunk that nobody has or fetches, for the controller to send; -1 without one."""
        if self._own_giving >= _OWN_PLACES:
            return -1
        for machine in self._machines.values():
            wanted &= ~machine.mine
        return (wanted & -wanted).bit_length() - 1

    def _givers(self, asker: str, machine: _Machine, wanted: int) -> list[_Giver]:
        """A heap of those who can hand on any of the chunks."""
        found = [
            (other.giving, other.gave, name, common)
            for name, other in self._machines.items()
            if name != asker
            and (common := other.offer & wanted)
            and max(other.spared, machine.shunned.get(name, 0.0)) <= machine.seen
        ]
        heapq.heapify(found)
        return found

    def _held(self, machine: _Machine, givers: list[_Giver], wanted: int, want: int) -> tuple[int, str] | None:
        """Book the rarest of the wanted chunks that the least busy machine has: no machine's link may idle."""
        while givers and givers[0][0] < max(_GIVER_PLACES, want):
            _, _, name, common = heapq.heappop(givers)
            if common & wanted:
                booked = self._book(machine, self._rarest(common & wanted), name)
                giver = self._machines[name]
                giver.gave = self._turn
                heapq.heappush(givers, (giver.giving, giver.gave, name, common))
                return booked
        return None

    def _rarest(self, chunks: int) -> int:
        """One of the chunks with the fewest copies, as far as some of them tell."""
        self._turn += 1
        begin = self._turn * _STRIDE % self.count
        return min(_sample(chunks, begin), key=lambda chunk: self._copies[chunk])

    def _note(self, asked: Question, now: float) -> _Machine:
        """Take over what a machine says of itself, and end what it no longer fetches."""
        machine = self._machines.setdefault(asked.giver, _Machine())
        for chunk in _bits(asked.offer & ~machine.offer):
            self._copies[chunk] += 1
        for chunk in _bits(machine.offer & ~asked.offer):
            self._copies[chunk] -= 1
        machine.seen, machine.mine, machine.offer = now, asked.mine, asked.offer
        machine.shunned |= {name: now + _SHUNNED for name in asked.bad if name in self._machines}
        for chunk in [chunk for chunk in machine.fetching if chunk in asked.done or not asked.mine >> chunk & 1]:
            _, since = self._let_go(machine, chunk)
            if asked.mine >> chunk & 1:  # it came, and did not fail
                self._learn(machine, now - since)
        return machine

    def _learn(self, machine: _Machine, seconds: float) -> None:
        """Note how long a fetch took. What is usual falls quickly and rises slowly: the slow are not its measure."""
        machine.took = seconds
        self._brisk |= seconds <= _SLOW * self._usual
        now_usual = self._usual * 0.8 + seconds * 0.2 if seconds < self._usual else self._usual * 1.02
        self._usual = max(_LEAST_USUAL, now_usual)

    def _let_go(self, machine: _Machine, chunk: int) -> tuple[str, float]:
        """Give back the place that a fetch holds: with whom, and since when."""
        giver, since = machine.fetching.pop(chunk)
        self._count(giver, -1)
        return giver, since

    def _count(self, giver: str, change: int) -> None:
        if not giver:
            self._own_giving += change
        elif giver in self._machines:
            self._machines[giver].giving += change

    def _sweep(self, now: float) -> None:
        """Once a second let slow fetches go on without their places, and forget who has been silent for long."""
        if now - self._swept < 1:
            return
        self._swept = now
        self._pass_slow_by(now)
        for name, machine in list(self._machines.items()):
            machine.shunned = {giver: until for giver, until in machine.shunned.items() if until > now}
            if now - machine.seen > _SILENT:
                self._forget(name)

    def _pass_slow_by(self, now: float) -> None:
        """Take slow fetches' places away. Where the taker was quick elsewhere it is the giver whose link is slow."""
        patience = _SLOW * self._usual
        slow = False
        for machine in self._machines.values():
            for chunk in [chunk for chunk, (_, since) in machine.fetching.items() if now - since > patience]:
                giver, _ = self._let_go(machine, chunk)
                if machine.took <= patience and giver in self._machines:
                    self._machines[giver].spared = now + _SHUNNED
                slow = True
        if slow and not self._brisk:
            self._usual *= _LONGER
        self._brisk = False

    def _forget(self, name: str) -> None:
        machine = self._machines.pop(name, None)
        if machine is None:
            return
        for chunk in _bits(machine.offer):
            self._copies[chunk] -= 1
        for chunk in list(machine.fetching):
            self._let_go(machine, chunk)


class Sharing:
    """The swarms of all images, and the questions as they come over HTTP."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._swarms: dict[str, Swarm] = {}
        self._swept = 0.0

    def answer(self, key: str, request: httpwire.Request) -> httpwire.BytesAnswer:
        """Answer a question about the image ``key``. Raises BadRequestError."""
        asked = _parse(request)
        now = self._clock()
        swarm = self._swarms.get(key)
        if swarm is None or swarm.count != asked.count:  # the map was made anew: its chunks are others
            swarm = self._swarms[key] = Swarm(asked.count)
        answer = swarm.answer(asked, now)
        self._sweep(now)
        return httpwire.BytesAnswer(msgspec.json.encode(answer), "application/json")

    def _sweep(self, now: float) -> None:
        """Forget images that nobody has asked for lately."""
        if now - self._swept < _SILENT:
            return
        self._swept = now
        for key in [key for key, swarm in self._swarms.items() if swarm.idle(now)]:
            del self._swarms[key]


def _parse(request: httpwire.Request) -> Question:
    """Read a question; a machine is known by the address that it asks from. Raises BadRequestError."""
    try:
        values = {name: found[-1] for name, found in parse_qs(request.query, max_num_fields=16).items()}
    except ValueError as error:
        raise httpwire.BadRequestError(400, "The question has too many fields.") from error
    count, name = _matching(values, "of", _COUNT), _matching(values, "giver", _NAME)
    if not 0 < int(count) <= _MOST_CHUNKS:
        raise httpwire.BadRequestError(400, "That is no number of chunks.")
    whole = (1 << int(count)) - 1
    reachable = values.get("host") == request.client  # behind a translated address nobody would find it
    done = _matching(values, "done", _NUMBERS) if "done" in values else ""
    want = min(int(_matching(values, "want", _COUNT)), _MOST_WANTED) if "want" in values else None
    return Question(
        f"{request.client} {name}",
        int(count),
        int(_matching(values, "mine", _BITS, "0"), 16) & whole,
        int(_matching(values, "offer", _BITS, "0"), 16) & whole if reachable else 0,
        tuple(int(one) for one in done.split(",") if one),
        tuple(values.get("bad", "").split(",")[:64]),
        "leaves" in values,
        want,
    )


def _matching(values: dict[str, str], name: str, form: re.Pattern[str], default: str = "") -> str:
    text = values.get(name, default)
    if not form.fullmatch(text):
        raise httpwire.BadRequestError(400, f"The question lacks a usable {name}.")
    return text


def _bits(number: int) -> Iterator[int]:
    """The places of the ones in a number, lowest first."""
    text = bin(number)[:1:-1]
    at = text.find("1")
    while at >= 0:
        yield at
        at = text.find("1", at + 1)


def _sample(number: int, begin: int) -> list[int]:
    """Some of the places of the ones, from ``begin`` on, and around the end."""
    text = bin(number)[:1:-1]
    found: list[int] = []
    at = text.find("1", begin)
    while at >= 0 and len(found) < _LOOKS:
        found.append(at)
        at = text.find("1", at + 1)
    at = text.find("1")
    while at >= 0 and len(found) < _LOOKS and at not in found[:1]:
        found.append(at)
        at = text.find("1", at + 1)
    return found
