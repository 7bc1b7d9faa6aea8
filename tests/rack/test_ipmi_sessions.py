"""Inside an IPMI session: its window of sequence numbers, and two requests for the one serial line."""

from __future__ import annotations

import asyncio

from ingot_rack import bmc
from ingot_rack.ipmi import commands, session, sol, suites, table

ACTIVATE = (0x06, 0x48)


def opened() -> session.Session:
    return session.Session(suite=suites.SUITES[0], console_id=1, bmc_id=1, privilege=session.PRIVILEGE_ADMINISTRATOR)


def test_the_window_bears_any_jump() -> None:
    one = opened()
    assert [one.fresh(number) for number in (1, 3, 2, 3, 40, 8, 9)] == [True, True, True, False, True, False, True]
    assert one.fresh(0xFFFFFFFF), "without a number of four thousand million bits in between"
    assert (one.fresh(0xFFFFFFFF), one.fresh(0xFFFFFFFE)) == (False, True)


async def test_of_two_requests_at_once_one_gets_the_line(front: bmc.Bmc) -> None:
    guid = suites.guid(front.hardware.facts.uuid)
    device = commands.Device(front, guid, session.Sessions(front, guid))
    calls = [commands.Call(device, opened(), bytes([1, 1, 0, 0, 0, 0])) for _ in range(2)]
    answers = await asyncio.gather(*(table.run(*ACTIVATE, call) for call in calls))
    assert sorted(code for code, _ in answers) == [commands.OK, sol.ALREADY_ACTIVE]
    assert device.line is not None
    assert device.line.owner is calls[0].session
    sol.drop(device)
    async with asyncio.timeout(10):
        while len(asyncio.all_tasks()) > 1:  # the lines' ends, which close their sockets
            await asyncio.sleep(0.01)
