"""Sessions on Redfish services: one each, none left behind, also by a process that is killed."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from flows import stand
from ingot.clients.redfish import systems
from ingot.clients.redfish.client import RedfishPool
from ingot.clients.redfish.sessions import Sessions
from ingot.clients.redfish.target import Target
from ingot.domain import errors
from ingot.store import seal
from ingot_rack import fleet

COUNT = 20
KEY = bytes(range(32))
CHILD = """
import asyncio, sys
from pathlib import Path
from ingot.clients.redfish import systems
from ingot.clients.redfish.client import RedfishPool
from ingot.clients.redfish.sessions import Sessions
from ingot.clients.redfish.target import Target
from ingot.store import seal
async def main(file, password, *urls):
    pool = RedfishPool(Sessions(Path(file), seal.Sealer(bytes(range(32)))))
    for url in urls:
        await systems.power_state(pool, Target(url, "/redfish/v1/Systems/1", "admin", password))
    print("ready", flush=True)
    await asyncio.sleep(60)
asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture
async def bmcs() -> AsyncGenerator[fleet.Fleet]:
    made = fleet.Fleet(fleet.Plan(redfish=COUNT, first="127.62.0.1"))
    await made.start()
    yield made
    await made.close()


def targets(bmcs: fleet.Fleet, password: str = "") -> list[Target]:
    urls = [f"http://{address}:{bmcs.ports['redfish']}" for address in bmcs.addresses.values()]
    return [Target(url, "/redfish/v1/Systems/1", "admin", password or bmcs.plan.password) for url in urls]


def open_pool(file: Path) -> RedfishPool:
    return RedfishPool(Sessions(file, seal.Sealer(KEY)))


async def read_and_die(file: Path, wanted: list[Target]) -> None:
    """Another process reads all BMCs, and is killed."""
    command = [sys.executable, "-c", CHILD, str(file), wanted[0].password, *(one.address for one in wanted)]
    child = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert child.stdout is not None
    assert await asyncio.wait_for(child.stdout.readline(), 60) == b"ready\n"
    child.send_signal(signal.SIGKILL)
    await child.communicate()


async def test_the_next_process_takes_over_what_a_killed_one_left(bmcs: fleet.Fleet, tmp_path: Path) -> None:
    file, wanted = tmp_path / "sessions", targets(bmcs)
    await read_and_die(file, wanted)
    assert bmcs.sessions() == {"all": COUNT, "most": 1}
    before = bmcs.messages()["redfish"]
    pool = open_pool(file)
    for one in wanted[1:]:
        await systems.power_state(pool, one)
    assert bmcs.messages()["redfish"] - before == COUNT - 1, "no login"
    assert bmcs.sessions() == {"all": COUNT, "most": 1}
    await pool.close()
    assert bmcs.sessions() == {"all": 1, "most": 1}, "all but the one that nobody asked for again"
    assert file.read_text() == ""


async def test_a_session_left_behind_opens_for_its_own_password_only(bmcs: fleet.Fleet, tmp_path: Path) -> None:
    file = tmp_path / "sessions"
    await read_and_die(file, targets(bmcs))
    assert file.stat().st_mode & 0o777 == 0o600
    assert bmcs.plan.password not in file.read_text()
    pool = open_pool(file)
    with pytest.raises(errors.AccessDenied):
        await systems.power_state(pool, targets(bmcs, "wrong")[0])
    await pool.close()


@pytest.mark.parametrize("damage", ["forgotten by the BMC", "torn", "another key"])
async def test_what_cannot_be_taken_over_costs_a_login(bmcs: fleet.Fleet, tmp_path: Path, damage: str) -> None:
    file, one = tmp_path / "sessions", targets(bmcs)[0]
    await read_and_die(file, [one])
    if damage == "torn":
        file.write_bytes(file.read_bytes()[:-20])
    if damage == "forgotten by the BMC":
        await bmcs.close()
        await bmcs.start()
    pool = RedfishPool(Sessions(file, seal.Sealer(bytes(32) if damage == "another key" else KEY)))
    assert await systems.power_state(pool, targets(bmcs)[0]) == systems.PowerState.OFF
    await pool.close()


async def test_a_service_that_nobody_asks_any_more_is_left(bmcs: fleet.Fleet) -> None:
    pool = RedfishPool(idle=0.4)
    for one in targets(bmcs):
        await systems.power_state(pool, one)
    await stand.until(lambda: bmcs.sessions()["all"] == 0)
    assert await systems.power_state(pool, targets(bmcs)[0]) == systems.PowerState.OFF
    await pool.close()
    assert bmcs.sessions()["all"] == 0
