"""Real conductor processes for the torture tests, one after another, each able to kill itself at a given write.

Runs as a program: reads one job per line on standard input, forks a process that works on it, and answers
``{"pid": ..}`` at once and ``{"status": ..}`` when it is gone. Forking a process that has imported everything makes
a thousand kills cheap; each child opens database and event loop itself and is killed by SIGKILL.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import msgspec
import structlog

from flows import stand
from ingot import app
from ingot.conductor.service import Conductor
from ingot.store import claims as claim_store
from ingot.store.engine import Store


class MortalStore(Store):
    """A store whose process signals itself (SIGKILL) right before or right after the n-th write of a run."""

    signal = signal.SIGKILL
    kill_at = 0
    kill_after = False
    writes = 0
    busy = 0

    async def run(self, unit: Any, *args: Any, **kwargs: Any) -> Any:
        """A claim counts once it took something; there is no "before" worth dying at."""
        self.busy += 1
        try:
            result = await super().run(unit, *args, **kwargs)
            if unit is claim_store.claim and result:
                self.writes += 1
                await self._die_at(self.writes, after=True)
            return result
        finally:
            self.busy -= 1

    async def run_of(self, node: str | None, unit: Any, *args: Any, **kwargs: Any) -> Any:
        """Every write of a run comes this way, and here nothing else does."""
        self.busy += 1
        try:
            self.writes = number = self.writes + 1
            await self._die_at(number, after=False)
            result = await super().run_of(node, unit, *args, **kwargs)
            await self._die_at(number, after=True)
            return result
        finally:
            self.busy -= 1

    async def _die_at(self, number: int, *, after: bool) -> None:
        """Signal this process; who is only stopped must not hold the database's lock, or nobody could go on."""
        if (number, after) != (self.kill_at, self.kill_after):
            return
        while self.signal == signal.SIGSTOP and self.busy > 1:
            await asyncio.sleep(0.001)
        os.kill(os.getpid(), self.signal)


async def work(job: dict[str, Any]) -> int:
    """Work until the node's run has ended (or waits, when ``until`` says so); how many writes it took."""
    deps = app.make_deps(stand.settings(Path(job["folder"]), **job.get("settings", {})))
    deps.store.close()
    store = MortalStore(deps.store.where)
    store.kill_at, store.kill_after = job.get("kill_at", 0), job.get("kill_after", False)
    store.signal = signal.Signals[job.get("signal", "SIGKILL")]
    deps = msgspec.structs.replace(deps, store=store)
    wait = {"ended": stand.ended, "parked": stand.parked}[job.get("until", "ended")]
    task = asyncio.create_task(Conductor(deps, stand.kit(deps), job.get("hostname", "host")).run())
    # A machine busy with other work may stop for long: patience that ends is a fault of the product, or of nobody.
    ready = asyncio.create_task(wait(deps, job["node"], job.get("within", 120.0)))
    await asyncio.wait({task, ready}, return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        task.result()
    ready.result()
    task.cancel()
    await asyncio.wait({task})
    store.close()
    return store.writes


def main() -> None:
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(50),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    for line in sys.stdin:
        job = json.loads(line)
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            writes = asyncio.run(work(job))
            os.write(writer, str(writes).encode())
            os._exit(0)
        os.close(writer)
        print(json.dumps({"pid": pid}), flush=True)
        with os.fdopen(reader) as told:
            writes = told.read()
        _, status = os.waitpid(pid, 0)
        print(json.dumps({"status": status, "writes": int(writes or 0)}), flush=True)


if __name__ == "__main__":
    main()
