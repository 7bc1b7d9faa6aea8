"""One real deployment by ingot and by upstream's service and agent, on the same machine, image and BMC, in turns.

Run: ./ingot bench upstream_deploy [--rounds N] [--ways uefi bios uefi-warm bios-warm]    About eight minutes each.
Each round: ingot, ingot with kexec into the deployed system (upstream has no such thing), upstream.
Both start from a clean, switched-off server; the warm ways from a ramdisk that still runs after cleaning (default of
ingot, fast track of upstream). Seconds count from the request for `active`; "system" is the first sign of the deployed
system on its console (its loader), "root" its kernel at the root file system, "ssh" an answer with the right host name.
"""

from __future__ import annotations

import asyncio
import re
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import report

from e2e import way
from ingot.cli.demo import artifacts, children, proof, world
from upstream import ramdisk, service

SIGNS = {
    "ramdisk": r"(ingot|agent-ramdisk): init at",
    "system": r"Welcome to GRUB",
    "root": r"root: (clean|recovering)",
}
Seconds = dict[str, float]
WAYS = ["uefi", "bios", "uefi-warm", "bios-warm"]


def main() -> None:
    parser = report.parser(__doc__)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    wanted = parser.parse_args()
    taking = report.Taking(wanted)
    rows = asyncio.run(compare(wanted.ways, wanted.rounds))
    ends = {row["way"]: row for row in rows if row["phase"] == "ssh"}
    told = ", ".join(f"{way} {row['ingot']} s beside {row['upstream']}" for way, row in ends.items())
    taking.tell(f"from the request to SSH: {told}", rows=rows)


async def compare(ways: list[str], rounds: int) -> list[report.Row]:
    """Medians of each phase, a row each, of the wanted ways in turn."""
    with tempfile.TemporaryDirectory() as folder:
        made = await prepared(Path(folder))
        rows: list[report.Row] = []
        for name in ways:
            rows += medians(name, [await in_turn(made, name) for _ in range(rounds)])
    return rows


async def in_turn(made: artifacts.Artifacts, name: str) -> dict[str, Seconds]:
    """One deployment by each maker."""
    firmware, _, start = name.partition("-")
    makers = {"ingot": ours, "kexec": partial(ours, kexec=True), "upstream": theirs}
    taken: dict[str, Seconds] = {}
    for maker, run in makers.items():
        taken[maker] = await run(made, firmware, start == "warm")
        print(name, maker, taken[maker], file=sys.stderr)
    return taken


def medians(name: str, seen: list[dict[str, Seconds]]) -> list[report.Row]:
    def middle(maker: str, phase: str) -> float | None:
        values = [one[maker][phase] for one in seen if phase in one[maker]]
        return round(statistics.median(values), 1) if values else None

    phases = [phase for phase in ("ramdisk", "active", "system", "root", "ssh") if phase in seen[0]["upstream"]]
    return [{"way": name, "phase": phase, **{maker: middle(maker, phase) for maker in seen[0]}} for phase in phases]


async def prepared(folder: Path) -> artifacts.Artifacts:
    """Our ramdisk with every driver, and the Debian image as the raw file that both sides can use."""
    made = await way.built(folder / "small", "debian")
    full = await children.build(["ramdisk", "build", "--output", str(folder / "full"), "--json"], silent)
    return await service.with_raw_image(replace(made, ramdisk=Path(full["folder"])), folder)


async def ours(made: artifacts.Artifacts, firmware: str, warm: bool, kexec: bool = False) -> Seconds:
    settings = {"fast_track": str(warm).lower()}
    async with way.opened("bench", made, firmwares=(firmware,), memory_mb=2048, settings=settings) as place:
        (machine,) = place.machines
        key = await proof.make_key(place.folder)
        await way.enrol(place, machine, **({"driver_info/deploy_kexec": True} if kexec else {}))
        await way.provide(place, machine)

        async def deploy() -> None:
            await way.start_deploy(place, machine, key)
            await way.reach(place, machine, "active", within=900)

        return await timed(deploy, place, machine, key)


async def theirs(made: artifacts.Artifacts, firmware: str, warm: bool) -> Seconds:
    agent = await asyncio.to_thread(ramdisk.build)
    blueprint = world.Blueprint("bench-upstream", firmwares=(firmware,), memory_mb=2048)
    async with service.Upstream(blueprint, replace(made, ramdisk=agent.folder), fast_track=warm) as place:
        (machine,) = place.machines
        key = await proof.make_key(place.folder)
        await place.enrol(machine)
        await place.ask(machine, "provide")
        await place.reach(machine, "available", 900)
        return await timed(lambda: place.deploy(machine, key), place, machine, key)


async def timed(
    deploy: Callable[[], Awaitable[None]], place: proof.Place, machine: world.Machine, key: proof.Key
) -> Seconds:
    begun = time.monotonic()
    async with watched(machine, begun) as seconds:
        await deploy()
        seconds["active"] = time.monotonic() - begun
        await proof.ask(place, machine, key)
        seconds["ssh"] = time.monotonic() - begun
    return {name: round(value, 1) for name, value in sorted(seconds.items(), key=lambda one: one[1])}


@asynccontextmanager
async def watched(machine: world.Machine, begun: float) -> AsyncGenerator[Seconds]:
    """Notes when each sign of life first shows on the console from now on."""
    seconds: Seconds = {}
    before = len(way.console(machine))

    async def watch() -> None:
        while True:
            said = way.console(machine)[before:]
            for name, sign in SIGNS.items():
                if name not in seconds and re.search(sign, said):
                    seconds[name] = time.monotonic() - begun
            await asyncio.sleep(0.1)

    watching = asyncio.create_task(watch())
    try:
        yield seconds
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching


def silent(_: str) -> None:
    """Tell nobody."""


if __name__ == "__main__":
    main()
