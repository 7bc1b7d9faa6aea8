"""Serial over LAN against the rack's BMCs: both ways, loss, takeover, break, a BMC that goes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from clients.test_ipmi_rack import PASSWORD, bmc, target
from ingot.clients.ipmi import chassis, sol
from ingot.clients.ipmi.client import IpmiPool
from ingot.clients.ipmi.target import Target
from ingot.domain import errors
from ingot_rack import fleet as fleets
from ingot_rack.hardware import PowerAction


@pytest.fixture
async def fleet() -> AsyncIterator[Any]:
    fleet = fleets.Fleet(fleets.Plan(ipmi=2, first="127.34.0.1", password=PASSWORD))
    await fleet.start()
    yield fleet
    await fleet.close()


async def opened(fleet: Any, index: int = 0, **changes: Any) -> sol.SolLine:
    """A line whose login prompt was read; behind it every byte typed comes back."""
    line = await sol.open_line(target(fleet, index, **changes))
    await heard(line, b"login: ")
    return line


async def heard(line: sol.SolLine, end: bytes) -> bytes:
    found = b""
    async with asyncio.timeout(60):
        while not found.endswith(end):
            data = await line.read()
            assert data, f"the line ended after {len(found)} bytes"
            found += data
    return found


@pytest.mark.parametrize("suite", [1, 2, 3, 12, 17])
async def test_bytes_go_both_ways_whole_and_in_order(fleet: Any, suite: int) -> None:
    bmc(fleet).suites = frozenset({suite, 17})
    line = await opened(fleet, cipher_suite=suite)
    said = bytes(range(256)) * 40 + b"end"
    async with asyncio.TaskGroup() as group:
        group.create_task(line.write(said))
        assert await heard(line, b"end") == said
    await line.close()
    assert await line.read() == b""
    with pytest.raises(errors.Unreachable, match="it was closed"):
        await line.write(b"x")
    again = await opened(fleet)
    await again.close()


async def test_lost_packets_are_repeated_and_nothing_comes_twice(fleet: Any) -> None:
    line = await opened(fleet)
    bmc(fleet).faults.drop_rate = 0.3
    said = bytes(index % 251 for index in range(2000)) + b"end"
    async with asyncio.TaskGroup() as group:
        group.create_task(line.write(said))
        assert await heard(line, b"end") == said
    bmc(fleet).faults.drop_rate = 0.0
    await line.close()


async def test_a_second_line_takes_over_and_the_first_is_told(fleet: Any) -> None:
    first = await opened(fleet)
    second = await opened(fleet)
    with pytest.raises(errors.Unreachable):
        await first.write(b"x")
    await second.write(b"hello")
    assert await heard(second, b"hello") == b"hello"
    await first.close()
    await second.write(b"still here")
    assert await heard(second, b"here") == b"still here"
    await second.close()


async def test_who_only_listens_leaves_the_line_to_who_has_it(fleet: Any) -> None:
    first = await opened(fleet)
    with pytest.raises(errors.NotSupported, match="its serial console is held by another session"):
        await sol.open_line(target(fleet), take=False)
    await first.write(b"mine still")
    assert await heard(first, b"still") == b"mine still"
    await first.close()
    listener = await sol.open_line(target(fleet), take=False)
    await listener.close()


async def test_a_break_and_the_pool_beside_it(fleet: Any) -> None:
    line = await opened(fleet)
    await line.send_break()
    pool = IpmiPool()
    assert await chassis.power_state(pool, target(fleet)) is False
    await pool.close()
    await line.write(b"still here")
    assert await heard(line, b"here") == b"still here"
    await line.close()


async def test_what_does_not_open_says_why(fleet: Any) -> None:
    with pytest.raises(errors.AccessDenied):
        await sol.open_line(target(fleet, password="wrong"))
    with pytest.raises(errors.Unreachable):
        await sol.open_line(Target("127.34.0.200", 1, "admin", PASSWORD))
    bmc(fleet).faults.sessions_full = True
    with pytest.raises(errors.Unreachable, match="no free session"):
        await sol.open_line(target(fleet))


@pytest.mark.peer
async def test_openipmi_serves_the_same_line(openipmi: Any) -> None:
    """The BMC of others, so that our two ends do not only understand each other."""
    wanted = Target("127.0.0.1", openipmi.port, "root", "calvin")
    for _ in range(2):
        line = await sol.open_line(wanted)
        said = bytes(range(32, 127)) * 30 + b"end"
        async with asyncio.TaskGroup() as group:
            group.create_task(line.write(said))
            assert (await heard(line, b"end")).endswith(said)
        await line.send_break()
        await line.close()


async def test_a_console_outlives_a_power_cycle(fleet: Any) -> None:
    """The machine's end of the serial line goes with its power; the BMC's does not."""
    machine = bmc(fleet).hardware
    await machine.set_power(PowerAction.ON)
    line = await opened(fleet)
    await machine.set_power(PowerAction.CYCLE)
    await heard(line, b"login: ")
    await line.write(b"still here")
    assert await heard(line, b"here") == b"still here"
    await line.close()
    await (await opened(fleet)).close()
