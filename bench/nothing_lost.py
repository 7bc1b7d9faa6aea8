"""What is lost when the service is killed, stopped, starved or misled while a whole fleet is being deployed.

Run: ./ingot bench nothing_lost [--nodes N] [--fakes N] [--kills N] [--minutes M] [--seed N]

One `ingot serve` with SQLite; simulated machines (half IPMI, half Redfish, each with its agent) in a process of their
own, and imaginary ones beside. All are deployed and released again and again while the service dies by SIGKILL at
random instants, is stopped for longer than its lease, has its clock moved (libfaketime), its disk filled (a small
tmpfs) and its database held. Then every machine must be available again; lost: its order failed; stuck: it had no end;
twice: by the machine's own journal its disk was written or erased more often than ordered. "resumed" is from the start
of a new process until it has taken up every run that the dead one worked on. Exits with 1 when any of it is not 0.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import customers
import harm
import report
import upstream_cloud
from cloud import Cloud

LEASE = 5.0
DISK_MEBIBYTES = 1024


def main() -> None:
    parser = report.parser(__doc__)
    parser.add_argument("--nodes", type=int, default=50, help="simulated machines with BMC and agent")
    parser.add_argument("--fakes", type=int, default=10, help="imaginary machines beside them")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--others", type=int, default=2, help="how often each other harm is done")
    parser.add_argument("--pause", type=float, default=1.5, help="at most so many seconds between two harms")
    parser.add_argument("--minutes", type=float, default=1440.0, help="harm no longer; what does not fit is left out")
    parser.add_argument("--patience", type=float, default=600.0, help="seconds after which what has no end is stuck")
    parser.add_argument("--upstream", action="store_true", help="upstream's service instead of ingot, killed only")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    wanted = parser.parse_args()
    print(f"seed {wanted.seed}", file=sys.stderr)
    taking = report.Taking(wanted)
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        if os.geteuid() == 0 and not wanted.upstream:
            stack.enter_context(harm.small_disk(Path(folder) / "data", DISK_MEBIBYTES))
        figures, bad = asyncio.run(suffer(Path(folder), wanted))
    told = [f"{figures[word]} {word}" for word in ("lost", "stuck", "twice")]
    taking.tell(
        f"{wanted.nodes + wanted.fakes} machines, {figures['killed']} kills: {', '.join(told)}; resumed in "
        f"{figures['resumed, s (median)']} s (worst {figures['resumed, s (worst)']} s)",
        {"seed": wanted.seed, **figures},
    )
    for line in bad[:40]:
        print(line, file=sys.stderr)
    sys.exit(1 if bad else 0)


async def suffer(folder: Path, wanted: Any) -> tuple[dict[str, Any], list[str]]:
    """Run it all: the figures, and a line for each thing that went wrong."""
    dice = random.Random(wanted.seed)
    cloud = Cloud(folder, wanted.nodes, wanted.fakes, {"lease": str(LEASE)})
    if wanted.upstream:
        cloud = upstream_cloud.UpstreamCloud(folder, wanted.nodes)
    hurting = harm.Harm(cloud, dice, LEASE)
    async with cloud:
        await cloud.ready()
        await cloud.enrol()
        crowd = customers.Customers(cloud, wanted.patience)
        working = asyncio.create_task(crowd.run())
        try:
            await asyncio.wait_for(crowd.working.wait(), wanted.patience)
            done = await hurt(hurting, dice, wanted)
            await cloud.ready()
            crowd.closing.set()
            await working
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
        found = crowd.verdict()
        log = cloud.log.read_text(errors="replace")
    for text, count in crowd.refusals.most_common(8):
        print(f"{count} times refused: {text}", file=sys.stderr)
    bad = [f"{word}: {line}" for word in ("lost", "stuck", "twice", "missing") for line in found[word]]
    resumed = hurting.resumed or [0.0]
    figures = {
        **{what: done[what] for what in ("killed", "stopped", "clock moved", "disk filled", "database held")},
        "orders done": ", ".join(f"{count} {order}" for order, count in found["done"].items()),
        **{word: len(found[word]) for word in ("lost", "stuck", "twice", "missing")},
        "ready, s (median)": round(statistics.median(hurting.ready or [0.0]), 2),
        "resumed, s (median)": round(statistics.median(resumed), 2),
        "resumed, s (worst)": round(max(resumed), 2),
        "processor time until resumed, s (median)": round(statistics.median(hurting.cpu or [0.0]), 2),
        "processor time until resumed, s (worst)": round(max(hurting.cpu or [0.0]), 2),
        "resumptions measured": len(hurting.resumed),
        "orders refused meanwhile": sum(crowd.refusals.values()),
        "tracebacks in the log": log.count("Traceback"),
    }
    return figures, bad


async def hurt(hurting: harm.Harm, dice: random.Random, wanted: Any) -> Counter[str]:
    """Do all the harm in a random order; how often each was done."""
    plan = [("killed", hurting.kill)] * wanted.kills
    plan += [(what, act) for what, act in others(hurting) for _ in range(0 if wanted.upstream else wanted.others)]
    dice.shuffle(plan)
    done: Counter[str] = Counter()
    end = time.monotonic() + wanted.minutes * 60
    for number, (what, act) in enumerate(plan, 1):
        await asyncio.sleep(dice.uniform(0, wanted.pause))
        if time.monotonic() > end:
            break
        await act()
        done[what] += 1
        print(f"\r{number}/{len(plan)} {what:20}", end="", file=sys.stderr)
    print(file=sys.stderr)
    return done


def others(hurting: harm.Harm) -> list[Any]:
    """What can be done here besides killing: a full disk needs root, another clock needs libfaketime."""
    found: list[Any] = [("stopped", hurting.stop), ("database held", hurting.lock)]
    found += [("disk filled", hurting.fill)] if os.geteuid() == 0 else []
    return found + ([("clock moved", hurting.jump)] if harm.FAKETIME is not None else [])


if __name__ == "__main__":
    main()
