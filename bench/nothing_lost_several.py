"""What is lost when conductors, broker and database of a site are harmed while a fleet is deployed.

Run: ./ingot bench nothing_lost_several [--nodes N] [--conductors N] [--rounds N] [--seed N]

One API process, conductors each with a data directory of its own, PostgreSQL and RabbitMQ; simulated machines (half
IPMI, half Redfish, each with its agent) in a process of their own. All are deployed and released again and again
while, in a random order and --rounds times each, a conductor is killed, stopped for longer than its lease, or ended in
good order, the broker is killed, all database connections are cut, and the database is restarted. Lost, stuck and
twice are told as by nothing_lost: by the machines' own journals. "taken over" is from a kill until the dead holds no
machine; with one conductor nobody can, and it is started at once. Exits with 1 when anything is lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
import customers
import report
from cloud import Cloud
from service import ROOT, free_port

from bus import broker as brokers
from servers.postgresql import PostgreSQL

LEASE = 6.0
PATIENCE = 600.0
NAME = "several"
_CUT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'ingot'"


def main() -> None:
    parser = report.parser(__doc__)
    parser.add_argument("--nodes", type=int, default=24)
    parser.add_argument("--conductors", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    wanted = parser.parse_args()
    print(f"seed {wanted.seed}", file=sys.stderr)
    taking = report.Taking(wanted)
    server = PostgreSQL()
    try:
        with tempfile.TemporaryDirectory() as folder, brokers.running(Path(folder)) as broker:
            server.start()
            site = Site(Path(folder), wanted, server, broker)
            figures, bad = asyncio.run(suffer(site, wanted))
    finally:
        server.remove()
    told = ", ".join(f"{figures[word]} {word}" for word in ("lost", "stuck", "twice"))
    worst = figures["taken over, s (worst)"]
    headline = f"{wanted.nodes} machines, {wanted.conductors} conductors, {figures['harms']} harms: {told}"
    over = "" if worst is None else f"; a killed one's taken over in {worst} s at worst"
    taking.tell(headline + over, {"seed": wanted.seed, **figures})
    for line in bad[:40]:
        print(line, file=sys.stderr)
    sys.exit(1 if bad else 0)


class Site(Cloud):
    """The cloud of several processes: ``process`` is the API's, ``conductors`` the others by hostname."""

    ours = False

    def __init__(self, folder: Path, wanted: Any, server: PostgreSQL, broker: brokers.Broker) -> None:
        super().__init__(folder, wanted.nodes, 0, {})
        self.server, self.broker = server, broker
        self.conductors: dict[str, asyncio.subprocess.Process] = {}
        self._names = [f"c{number}" for number in range(wanted.conductors)]
        self.environment = {"INGOT_DATABASE": server.create(NAME), "INGOT_BROKER": broker.url}

    async def start(self) -> None:
        """Start the API and the conductors that do not run."""
        if self.process is None or self.process.returncode is not None:
            self.process = await self.spawn("api", self.data, "--only", "api", "--port", str(self.port))
            await self.answers()
        for name in self._names:
            if name not in self.conductors or self.conductors[name].returncode is not None:
                await self.start_conductor(name)

    async def answers(self) -> None:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                await self.call("GET", "/v1")
                return
            await asyncio.sleep(0.1)
        raise SystemExit(f"the API does not answer: {self.tail()}")

    async def start_conductor(self, name: str) -> None:
        """A conductor with the keys of the first host and a data directory of its own."""
        data = self.folder / name
        data.mkdir(exist_ok=True, mode=0o700)
        for key in ("secret.key", "url.key"):
            if (self.data / key).exists():
                shutil.copy2(self.data / key, data / key)
        settings = {"hostname": name, "provision_address": "127.0.0.1", "files_port": str(free_port())}
        settings |= {"agent_api_url": self.url, "ramdisk_dir": str(self.folder / "ramdisk")}
        settings |= {"image_dirs": str(self.folder), "lease": str(LEASE), "power_sync_interval": "20"}
        words = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
        self.conductors[name] = await self.spawn(name, data, "--only", "conductor", *words)

    async def spawn(self, name: str, data: Path, *words: str) -> asyncio.subprocess.Process:
        argv = [sys.executable, "-P", "-m", "ingot.cli.main", "serve", "--noauth", "--data-dir", str(data), *words]
        with (self.folder / f"{name}.log").open("ab") as log:
            return await asyncio.create_subprocess_exec(
                *argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONPATH": str(ROOT / "src"), **self.environment},
            )

    async def stop(self) -> None:
        """End every process."""
        for process in (*self.conductors.values(), self.process):
            if process is not None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()

    async def held_by(self, name: str) -> int:
        return sum(node["reservation"] == name for node in await self.look())

    def logs(self) -> str:
        return "".join(path.read_text(errors="replace") for path in self.folder.glob("*.log"))


class Harms:
    """What is done to the site; each returns when the site is whole again."""

    def __init__(self, site: Site, dice: random.Random) -> None:
        self._site, self._dice = site, dice
        self.taken_over: list[float] = []

    def _pick(self) -> tuple[str, asyncio.subprocess.Process]:
        name = self._dice.choice(sorted(self._site.conductors))
        return name, self._site.conductors[name]

    async def kill(self) -> None:
        """A conductor, for good as far as the others know: it comes back when its machines are theirs."""
        name, process = self._pick()
        process.kill()
        begun = time.monotonic()
        await process.wait()
        while len(self._site.conductors) > 1 and await self._site.held_by(name):
            if time.monotonic() - begun > PATIENCE:
                raise SystemExit(f"machines of {name} were never taken over")
            await asyncio.sleep(0.1)
        if len(self._site.conductors) > 1:
            self.taken_over.append(time.monotonic() - begun)
        await self._site.start_conductor(name)

    async def stop(self) -> None:
        """A conductor, for longer than its lease."""
        _, process = self._pick()
        process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(self._dice.uniform(1.2, 3) * LEASE)
        process.send_signal(signal.SIGCONT)

    async def end(self) -> None:
        """A conductor, in good order."""
        name, process = self._pick()
        process.terminate()
        async with asyncio.timeout(90):
            await process.wait()
        await self._site.start_conductor(name)

    async def kill_broker(self) -> None:
        await asyncio.to_thread(self._site.broker.kill)
        await asyncio.sleep(self._dice.uniform(0, 5))
        await asyncio.to_thread(self._site.broker.start)

    async def cut_connections(self) -> None:
        """All of the database's, five times within some seconds."""
        for _ in range(5):
            await asyncio.to_thread(self._site.server.sql, "postgres", _CUT)
            await asyncio.sleep(self._dice.uniform(0, 1))

    async def restart_database(self) -> None:
        await asyncio.to_thread(self._site.server.stop)
        await asyncio.sleep(self._dice.uniform(0, 5))
        await asyncio.to_thread(self._site.server.start)


async def suffer(site: Site, wanted: Any) -> tuple[dict[str, Any], list[str]]:
    """Run it all: the figures, and a line for each thing that went wrong."""
    harms = Harms(site, random.Random(wanted.seed))
    async with site:
        await site.enrol()
        crowd = customers.Customers(site, PATIENCE)
        working = asyncio.create_task(crowd.run())
        try:
            await asyncio.wait_for(crowd.working.wait(), PATIENCE)
            done = await hurt(harms, random.Random(wanted.seed), wanted.rounds)
            crowd.closing.set()
            await working
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
        found = crowd.verdict()
        logs = site.logs()
    for text, count in crowd.refusals.most_common(8):
        print(f"{count} times refused: {text}", file=sys.stderr)
    for name, lines in logs_of_errors(logs).items():
        print(f"{lines} times in the logs: {name}", file=sys.stderr)
    words = ("lost", "stuck", "twice", "missing")
    took = harms.taken_over
    figures = {
        **dict(done),
        "harms": sum(done.values()),
        "orders done": ", ".join(f"{count} {order}" for order, count in found["done"].items()),
        **{word: len(found[word]) for word in words},
        "taken over, s (median)": round(statistics.median(took), 2) if took else None,
        "taken over, s (worst)": round(max(took), 2) if took else None,
        "leases lost by late conductors": logs.count("lease lost"),
        "tracebacks in the logs": logs.count("Traceback"),
    }
    return figures, [f"{word}: {line}" for word in words for line in found[word]]


def logs_of_errors(logs: str) -> Counter[str]:
    """The last lines of tracebacks: errors that nobody foresaw."""
    last = [part.splitlines() for part in logs.split("Traceback (most recent call last):")[1:]]
    ends = (next((line for line in lines[1:] if line[:1].isalpha()), "") for lines in last)
    return Counter(line[:200] for line in ends)


async def hurt(harms: Harms, dice: random.Random, rounds: int) -> Counter[str]:
    """Do all the harm in a random order; how often each was done."""
    every = {
        "conductors killed": harms.kill,
        "conductors stopped": harms.stop,
        "conductors ended": harms.end,
        "broker killed": harms.kill_broker,
        "connections cut": harms.cut_connections,
        "database restarted": harms.restart_database,
    }
    plan = [what for what in every for _ in range(rounds)]
    dice.shuffle(plan)
    done: Counter[str] = Counter()
    for what in plan:
        await asyncio.sleep(dice.uniform(0, 3))
        await every[what]()
        done[what] += 1
        print(f"{sum(done.values())}/{len(plan)} {what}", file=sys.stderr)
    return done


if __name__ == "__main__":
    main()
