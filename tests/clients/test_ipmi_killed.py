"""Sessions on IPMI BMCs when the process that opened them is killed: the BMC drops them, and there is never one more
than processes that died within its patience."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import AsyncGenerator

import pytest

from ingot.clients.ipmi import chassis
from ingot.clients.ipmi.client import IpmiPool
from ingot.clients.ipmi.target import Target
from ingot_rack import fleet

COUNT, KILLS = 20, 2
PATIENCE = 4.0
"""Seconds of silence after which these BMCs drop a session; a real one waits for a minute."""
CHILD = """
import asyncio, sys
from ingot.clients.ipmi import chassis
from ingot.clients.ipmi.client import IpmiPool
from ingot.clients.ipmi.target import Target
async def main(port, password, *addresses):
    pool = IpmiPool()
    for address in addresses:
        await chassis.power_state(pool, Target(address, int(port), username="admin", password=password))
    print("ready", flush=True)
    await asyncio.sleep(60)
asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture
async def bmcs() -> AsyncGenerator[fleet.Fleet]:
    made = fleet.Fleet(fleet.Plan(ipmi=COUNT, first="127.67.0.1"))
    await made.start()
    for one in made.bmcs.values():
        one.faults.change({"session_seconds": PATIENCE})
    yield made
    await made.close()


async def read_and_die(bmcs: fleet.Fleet) -> None:
    """Another process reads all BMCs, and is killed."""
    words = [str(bmcs.ports["ipmi"]), bmcs.plan.password, *bmcs.addresses.values()]
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", CHILD, *words, stdout=asyncio.subprocess.PIPE)
    assert child.stdout is not None
    assert await asyncio.wait_for(child.stdout.readline(), 60) == b"ready\n"
    child.send_signal(signal.SIGKILL)
    await child.communicate()


async def test_sessions_of_killed_processes_end_and_the_living_one_keeps_one(bmcs: fleet.Fleet) -> None:
    for _ in range(KILLS):
        await read_and_die(bmcs)
    assert bmcs.sessions()["most"] >= 1, "nobody closed them"
    pool = IpmiPool(keep_alive=PATIENCE / 8)
    wanted = [
        Target(address, bmcs.ports["ipmi"], username="admin", password=bmcs.plan.password)
        for address in bmcs.addresses.values()
    ]
    await asyncio.gather(*(chassis.power_state(pool, one) for one in wanted))
    assert bmcs.sessions()["most"] <= KILLS + 1
    end = time.monotonic() + 3 * PATIENCE + 10
    while bmcs.sessions() != {"all": COUNT, "most": 1}:
        assert time.monotonic() < end, bmcs.sessions()
        await asyncio.sleep(0.1)
    await pool.close()
    assert bmcs.sessions()["all"] == 0
