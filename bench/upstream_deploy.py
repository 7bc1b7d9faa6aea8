"""One real deployment by ingot and by upstream's service and agent, on the same machine, image and BMC, in turns.

Run: ./ingot bench upstream_deploy [--rounds N] [--firmware bios|uefi] [--warm]    About nine minutes a round, emulated.
Each round: ingot, ingot with kexec into the deployed system (upstream has no such thing), upstream.
Both start from a clean, switched-off server; with --warm from a ramdisk that still runs after cleaning (the default of
ingot, fast track of upstream). Seconds count from the request for `active`; "system" is the first sign of the deployed
system on its console (its loader), "root" its kernel at the root file system, "ssh" an answer with the right host name.
"""

from __future__ import annotations

import argparse
import asyncio
import json
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
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "src")]

from e2e import way  # noqa: E402  needs the path above
from ingot.cli.demo import artifacts, children, proof, world  # noqa: E402
from upstream import ramdisk, service  # noqa: E402

SIGNS = {
    "ramdisk": r"(ingot|agent-ramdisk): init at",
    "system": r"Welcome to GRUB",
    "root": r"root: (clean|recovering)",
}
Seconds = dict[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--firmware", choices=("bios", "uefi"), default="uefi")
    parser.add_argument("--warm", action="store_true")
    print(json.dumps(asyncio.run(compare(parser.parse_args())), indent=2))


async def compare(wanted: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        made = await prepared(Path(folder))
        makers = {"ingot": ours, "kexec": partial(ours, kexec=True), "upstream": theirs}
        rounds: dict[str, list[Seconds]] = {name: [] for name in makers}
        for _ in range(wanted.rounds):
            for name, run in makers.items():
                rounds[name].append(await run(made, wanted.firmware, wanted.warm))
                print(name, rounds[name][-1], file=sys.stderr)
    middle = {
        name: {key: statistics.median(one[key] for one in seen) for key in seen[0]} for name, seen in rounds.items()
    }
    theirs_takes = middle.pop("upstream")
    ratio = {
        name: {key: round(theirs_takes[key] / value, 2) for key, value in takes.items()}
        for name, takes in middle.items()
    }
    return {"firmware": wanted.firmware, "warm": wanted.warm, "rounds": rounds, "upstream_takes_times_more": ratio}


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
