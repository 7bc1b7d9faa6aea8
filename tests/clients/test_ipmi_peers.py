"""The IPMI client against BMCs that others wrote."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from ingot.clients.ipmi import chassis, device
from ingot.clients.ipmi.client import IpmiPool
from ingot.clients.ipmi.target import Privilege, Target
from ingot.domain import errors

pytestmark = pytest.mark.peer


@pytest.fixture
async def pool() -> AsyncIterator[IpmiPool]:
    pool = IpmiPool(listen=0)
    yield pool
    await pool.close()


async def test_openipmi_power_and_boot(pool: IpmiPool, openipmi: Any) -> None:
    target = Target("127.0.0.1", openipmi.port, "root", "calvin")
    await chassis.control(pool, target, chassis.Control.ON)
    assert await chassis.power_state(pool, target) is True
    await chassis.set_boot_device(pool, target, chassis.BootDevice.PXE, persistent=False, uefi=False)
    assert (await chassis.get_boot_device(pool, target)).device is chassis.BootDevice.PXE
    await chassis.control(pool, target, chassis.Control.RESET)
    await chassis.control(pool, target, chassis.Control.OFF)
    assert await chassis.power_state(pool, target) is False
    assert "power=1" in openipmi.actions()
    assert openipmi.actions()[-1] == "power=0"
    assert pool.kept_sessions == 1


async def test_openipmi_device_id(pool: IpmiPool, openipmi: Any) -> None:
    found = await device.id(pool, Target("127.0.0.1", openipmi.port, "root", "calvin", cipher_suite=3))
    assert (found.firmware, found.manufacturer, found.product) == ("9.08", 0x1291, 0xF02)
    assert found.ipmi_version == "2.0"


async def test_openipmi_refuses_wrong_credentials(pool: IpmiPool, openipmi: Any) -> None:
    with pytest.raises(errors.AccessDenied, match="password") as caught:
        await chassis.power_state(pool, Target("127.0.0.1", openipmi.port, "root", "wrong"))
    assert "wrong" not in caught.value.message
    with pytest.raises(errors.AccessDenied, match="'nobody'"):
        await chassis.power_state(pool, Target("127.0.0.1", openipmi.port, "nobody", "calvin"))
    allowed = Target("127.0.0.1", openipmi.port, "oper", "secret", Privilege.OPERATOR)
    assert await chassis.power_state(pool, allowed) in (True, False)


@pytest.mark.parametrize("suite", [1, 2, 3, 6])
async def test_openipmi_speaks_the_older_suites(pool: IpmiPool, openipmi: Any, suite: int) -> None:
    """It takes proposals of 7 and 8 and leaves their messages unanswered; FreeIPMI judges those (tests/rack)."""
    target = Target("127.0.0.1", openipmi.port, "root", "calvin", cipher_suite=suite)
    await chassis.control(pool, target, chassis.Control.ON)
    assert await chassis.power_state(pool, target) is True
    assert (await device.id(pool, target)).product == 0xF02
    with pytest.raises(errors.AccessDenied, match="password"):
        await chassis.power_state(pool, Target("127.0.0.1", openipmi.port, "root", "wrong", cipher_suite=suite))


async def test_openipmi_has_no_suite_17(pool: IpmiPool, openipmi: Any) -> None:
    with pytest.raises(errors.NotSupported, match=r"algorithm|suite"):
        await chassis.power_state(pool, Target("127.0.0.1", openipmi.port, "root", "calvin", cipher_suite=17))


async def test_unknown_command_is_not_supported(pool: IpmiPool, openipmi: Any) -> None:
    target = Target("127.0.0.1", openipmi.port, "root", "calvin")
    with pytest.raises(errors.NotSupported, match="C1"):
        await pool.command(target, 0x06, 0x7E)
    assert await pool.raw(target, 0x06, 0x7E) == b"\xc1"


async def test_sessions_are_closed(openipmi: Any) -> None:
    """ipmi_sim has 63 session slots: 130 logins, one after the other, work only when each is closed."""
    target = Target("127.0.0.1", openipmi.port, "root", "calvin", cipher_suite=3)
    for _ in range(130):
        pool = IpmiPool()
        await chassis.power_state(pool, target)
        await pool.close()


async def test_idle_session_is_closed(openipmi: Any) -> None:
    pool = IpmiPool(idle=0.2)
    await chassis.power_state(pool, Target("127.0.0.1", openipmi.port, "root", "calvin"))
    assert pool.kept_sessions == 1
    async with asyncio.timeout(5):
        while pool.kept_sessions:
            await asyncio.sleep(0.02)
    await pool.close()


async def test_pyghmi_bmc(pool: IpmiPool, pyghmi_port: int) -> None:
    target = Target("127.0.0.1", pyghmi_port, "admin", "password")
    await chassis.control(pool, target, chassis.Control.ON)
    assert await chassis.power_state(pool, target) is True
    await chassis.control(pool, target, chassis.Control.SOFT)
    assert await chassis.power_state(pool, target) is False
    for chosen in (chassis.BootDevice.PXE, chassis.BootDevice.DISK, chassis.BootDevice.CDROM):
        await chassis.set_boot_device(pool, target, chosen, persistent=True, uefi=False)
        assert (await chassis.get_boot_device(pool, target)).device is chosen


@pytest.mark.parametrize("address", ["::1", "0:0:0:0:0:0:0:1", "localhost"])
async def test_other_ways_to_write_an_address(pool: IpmiPool, pyghmi_port: int, address: str) -> None:
    assert await chassis.power_state(pool, Target(address, pyghmi_port, "admin", "password")) in (True, False)


async def test_unknown_name(pool: IpmiPool) -> None:
    with pytest.raises(errors.Unreachable, match="cannot be resolved"):
        await chassis.power_state(pool, Target("no-such-bmc.invalid"))


async def test_bad_network(
    pool: IpmiPool, openipmi: Any, udp_proxy: Callable[[int, Any], Awaitable[int]], faults: Any
) -> None:
    """Lost, repeated and reordered packets (pyghmi's BMC ends with a traceback when packets repeat)."""
    faults.lose, faults.duplicate, faults.hold = 0.08, 0.3, 0.1
    target = Target("127.0.0.1", await udp_proxy(openipmi.port, faults), "root", "calvin")
    for wanted in (True, False, True):
        await chassis.control(pool, target, chassis.Control.ON if wanted else chassis.Control.OFF)
        for _ in range(4):
            assert await chassis.power_state(pool, target) is wanted


async def test_lost_session_is_opened_again(
    pool: IpmiPool, pyghmi_port: int, udp_proxy: Callable[[int, Any], Awaitable[int]], faults: Any
) -> None:
    """The BMC forgets us (here: its answers get lost): log in again, unseen by the caller."""
    target = Target("127.0.0.1", await udp_proxy(pyghmi_port, faults), "admin", "password")
    await chassis.power_state(pool, target)
    faults.drop_next = 2  # both tries of the kept session
    assert await chassis.power_state(pool, target) in (True, False)


async def test_silent_bmc_fails_all_waiters_at_once(
    pool: IpmiPool, pyghmi_port: int, udp_proxy: Callable[[int, Any], Awaitable[int]], faults: Any
) -> None:
    faults.mute = True
    target = Target("127.0.0.1", await udp_proxy(pyghmi_port, faults), "admin", "password")
    started = time.monotonic()
    results = await asyncio.gather(*(chassis.power_state(pool, target) for _ in range(4)), return_exceptions=True)
    assert 7 < time.monotonic() - started < 10
    for result in results:
        assert isinstance(result, errors.Unreachable)
        assert f"127.0.0.1:{target.port} in 8 s" in result.message
        assert "firewall" in result.sentence()
