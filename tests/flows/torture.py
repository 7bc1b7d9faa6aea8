"""The torture every flow inherits: one scenario, run undisturbed, then killed at each of its durable writes.

Before and after every write of a run the conductor's process is killed by SIGKILL; a fresh process goes on. What the
machine itself remembers, the node, the run, its journal and the history must be as if nothing had happened, except
that effects of one cut step may come twice where the step may be repeated.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flows import stand
from ingot.domain import node, orders, power, runs, states
from ingot.services import orders as order_service
from ingot.services import provisioning
from ingot.store import nodes
from ingot.store import runs as run_store

TESTS = Path(__file__).parent.parent
DESTRUCTIVE = frozenset({"image written"})
_VOLATILE = {"provision_updated_at", "updated_at", "inspection_finished_at", "agent_heartbeat_at"}


@dataclass
class Scenario:
    """What to run: a node in ``state`` with ``fields``, and what is asked of it (a verb, power target or order).

    ``waits``: a step of it waits for time to pass, so that the number of its writes may differ by some.
    ``meanwhile``: a power target that is asked for once the run waits, just before its agent calls.
    """

    state: states.State
    verb: str
    params: dict[str, Any] = field(default_factory=dict[str, Any])
    fields: dict[str, Any] = field(default_factory=dict[str, Any])
    settings: dict[str, Any] = field(default_factory=dict[str, Any])
    waits: bool = False
    meanwhile: str | None = None


@dataclass
class Outcome:
    """What can be seen of a run from outside once it is over."""

    node: node.Node
    run: runs.Run
    journal: list[tuple[int, str]]
    effects: list[str]
    history: list[str]

    def facts(self) -> dict[str, Any]:
        """All that must equal the undisturbed run's, times left out."""
        fields = {key: getattr(self.node, key) for key in node.Node.__struct_fields__ if key not in _VOLATILE}
        return {
            **fields,
            "run": (self.run.kind, self.run.status, self.run.reason, self.run.plan, self.run.wait),
            "journal": [line for index, line in enumerate(self.journal) if line not in self.journal[:index]],
            "history": self.history,
        }


class Workshop:
    """Starts conductor processes through tests/flows/child.py."""

    def __init__(self) -> None:
        path = os.pathsep.join([str(TESTS.parent / "src"), str(TESTS)])
        self._program = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("child.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
        )

    def start(self, folder: Path, uuid: str, **job: Any) -> int:
        """Start a conductor process; its pid."""
        assert self._program.stdin is not None
        self._program.stdin.write(json.dumps({"folder": str(folder), "node": uuid, **job}) + "\n")
        self._program.stdin.flush()
        return self._answer()["pid"]

    def end(self) -> tuple[int, int]:
        """Wait until the process is gone; (signal that killed it or 0, writes it made)."""
        answer = self._answer()
        status = answer["status"]
        assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "the conductor process failed: see its output"
        return (os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0), answer["writes"]

    def run(self, folder: Path, uuid: str, **job: Any) -> tuple[int, int]:
        """Start a process and wait until it is gone."""
        self.start(folder, uuid, **job)
        return self.end()

    def close(self) -> None:
        assert self._program.stdin is not None
        self._program.stdin.close()
        self._program.wait(120)
        assert self._program.stdout is not None
        self._program.stdout.close()

    def _answer(self) -> dict[str, Any]:
        assert self._program.stdout is not None
        line = self._program.stdout.readline()
        assert line, "the workshop died"
        return json.loads(line)


async def prepare(folder: Path, scenario: Scenario) -> str:
    """Make a site with one node and ask the verb of it; the node's uuid. Nothing runs yet, or it waits."""
    async with stand.site(folder, **scenario.settings) as deps:
        uuid = await stand.add_node(deps, scenario.state, **scenario.fields)
        if scenario.verb in states.VERBS:
            await provisioning.request(deps, uuid, scenario.verb, scenario.params)
        elif scenario.verb in set(orders.Order):
            await order_service.request(deps, uuid, orders.Order(scenario.verb), scenario.params)
        else:
            await provisioning.request_power(deps, uuid, power.Target(scenario.verb))
        if scenario.meanwhile is not None:
            async with stand.conductor(deps):
                await stand.parked(deps, uuid)
            await provisioning.request_power(deps, uuid, power.Target(scenario.meanwhile))
            await deps.store.run(nodes.change, uuid, agent_heartbeat_at=deps.clock())
    return uuid


async def look(folder: Path, uuid: str, scenario: Scenario) -> Outcome:
    """What came out of it."""
    async with stand.site(folder, **scenario.settings) as deps:
        run = await deps.store.read(run_store.find_last, uuid)
        assert run is not None
        return Outcome(
            await deps.store.read(nodes.get, uuid),
            run,
            await stand.journal(deps, uuid),
            stand.effects(folder, uuid),
            await stand.events(deps, uuid),
        )


class Bench:
    """One scenario with its undisturbed outcome, ready to be disturbed any number of times."""

    def __init__(self, root: Path, workshop: Workshop, scenario: Scenario) -> None:
        self.root, self.workshop, self.scenario = root, workshop, scenario
        self.uuid = ""
        self.writes = self.kills = self.thefts = 0
        self.undisturbed: Outcome

    async def set_up(self) -> None:
        self.uuid = await prepare(self.root / "start", self.scenario)
        signalled, self.writes = self.workshop.run(self.copy("calm"), self.uuid, settings=self.scenario.settings)
        assert signalled == 0
        self.undisturbed = await look(self.root / "calm", self.uuid, self.scenario)

    def copy(self, name: str) -> Path:
        """A fresh copy of the site, as it was when the verb had been asked."""
        shutil.copytree(self.root / "start", self.root / name)
        return self.root / name

    async def disturb(self, number: int, *, after: bool) -> None:
        """Kill at write ``number``, go on in a fresh process, compare."""
        where = f"killed {'after' if after else 'before'} write {number} of {self.writes}"
        folder = self.copy(f"{number}-{after}")
        common = {"settings": self.scenario.settings}
        killed, _ = self.workshop.run(folder, self.uuid, kill_at=number, kill_after=after, **common)
        self.kills += killed == signal.SIGKILL
        if not killed:  # a run that waits makes a few writes more or less, as often as it looks
            over = after and number == self.writes  # the run has ended, and the process with it, before the signal
            assert self.scenario.waits or over, where
        assert not killed or self.workshop.run(folder, self.uuid, **common)[0] == 0, where
        found = await look(folder, self.uuid, self.scenario)
        assert found.facts() == self.undisturbed.facts(), where
        refuse_repeats(self.undisturbed.effects, found.effects, where)
        shutil.rmtree(folder)

    async def steal(self, number: int, thief: Workshop, *, after: bool) -> None:
        """Stop the owner at write ``number``, let another conductor take the run over, wake the old one, compare."""
        where = f"stopped {'after' if after else 'before'} write {number} of {self.writes}"
        folder = self.copy(f"stolen-{number}-{after}")
        common = {"settings": self.scenario.settings}
        job = {"kill_at": number, "kill_after": after, "signal": "SIGSTOP"}
        pid = self.workshop.start(folder, self.uuid, hostname="slow", **job, **common)
        if await stand.until(lambda: fate(pid), within=60) == STOPPED:
            self.thefts += 1
            try:
                assert thief.run(folder, self.uuid, hostname="quick", **common)[0] == 0, where
            finally:
                os.kill(pid, signal.SIGCONT)
        else:
            assert self.scenario.waits or (after and number == self.writes), where
        assert self.workshop.end()[0] == 0, where
        found = await look(folder, self.uuid, self.scenario)
        assert found.facts() == self.undisturbed.facts(), where
        refuse_repeats(self.undisturbed.effects, found.effects, where)
        shutil.rmtree(folder)

    async def be_robbed(self, thief: Workshop, *, every: int = 1) -> None:
        """Lose the run before and after every write; or at each ``every``-th write, before and after it in turn."""
        for number in range(1, self.writes + 1, every):
            for after in (False, True) if every == 1 else (number // every % 2 == 0,):
                # Before its first write a process holds nothing yet: there is nothing to be stopped with.
                if number > 1 or after:
                    await self.steal(number, thief, after=after)
        assert self.thefts >= self.writes // every // 2, f"only {self.thefts} thefts at {self.writes} writes"

    async def torture(self) -> None:
        """Die at every write."""
        assert self.writes >= 3, "a claim, the begin of a step, the end"
        assert self.undisturbed.run.status != runs.Status.OPEN
        for number in range(1, self.writes + 1):
            for after in (False, True):
                if number > 1 or after:  # the first write is the claim: nothing has happened before it
                    await self.disturb(number, after=after)
        assert self.kills >= self.writes, f"only {self.kills} of {2 * self.writes - 1} processes were killed"


STOPPED, GONE = "T", "Z"


def fate(pid: int) -> str | None:
    """What became of a process that was to stop itself: STOPPED, or GONE when it ended before; None: not known yet."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return GONE
    return state if state in (STOPPED, GONE) else None


def refuse_repeats(calm: list[str], found: list[str], where: str) -> None:
    """``found`` must be ``calm`` with at most one stretch repeated, and never a destructive effect twice."""
    for effect in DESTRUCTIVE:
        assert found.count(effect) == calm.count(effect), f"{where}: {effect} {found.count(effect)} times"
    repeats = len(found) - len(calm)
    assert repeats >= 0, f"{where}: effects missing: {found}, expected {calm}"
    possible = [calm[:end] + calm[end - repeats :] for end in range(repeats, len(calm) + 1)]
    assert found in possible, f"{where}: the machine remembers {found}, undisturbed {calm}"
