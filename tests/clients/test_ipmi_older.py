"""IPMI 1.5: our client against the rack's BMC and OpenIPMI's, and what goes wrong with it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from ingot.clients.ipmi import chassis, device, sol
from ingot.clients.ipmi.client import IpmiPool
from ingot.clients.ipmi.target import Bridge, Privilege, Target, Version
from ingot.domain import errors
from ingot_rack import bmc as bmcs
from ingot_rack import fleet as fleets
from ingot_rack import simulated

PASSWORD = "rack-password"
NONE, MD2, MD5, STRAIGHT = 0, 1, 2, 4


@pytest.fixture
async def fleet() -> AsyncIterator[Any]:
    fleet = fleets.Fleet(fleets.Plan(ipmi=2, first="127.33.5.1", password=PASSWORD))
    await fleet.start()
    for one in fleet.bmcs.values():
        one.versions = frozenset({"1.5"})
    yield fleet
    await fleet.close()


@pytest.fixture
async def pool() -> AsyncIterator[IpmiPool]:
    pool = IpmiPool(listen=0)
    yield pool
    await pool.close()


def target(fleet: Any, **changes: Any) -> Target:
    values: dict[str, Any] = {"username": "admin", "password": PASSWORD, "version": Version.V15} | changes
    return Target(next(iter(fleet.addresses.values())), fleet.ports["ipmi"], **values)


def bmc(fleet: Any) -> Any:
    return next(iter(fleet.bmcs.values()))


@pytest.mark.parametrize("codes", [(MD5,), (STRAIGHT,), (NONE,), (NONE, STRAIGHT, MD5)])
@pytest.mark.parametrize("vouched", [True, False])
async def test_kinds_of_code(pool: IpmiPool, fleet: Any, codes: tuple[int, ...], vouched: bool) -> None:
    bmc(fleet).codes, bmc(fleet).vouched = codes, vouched
    one = target(fleet)
    for wanted, action in ((True, chassis.Control.ON), (False, chassis.Control.OFF)):
        await chassis.control(pool, one, action)
        assert await chassis.power_state(pool, one) is wanted
    assert (await device.id(pool, one)).ipmi_version == "1.5"
    assert (pool.kept_sessions, fleet.sessions()["all"]) == (1, 1)


async def test_the_password_stays_here_where_md5_is_known(pool: IpmiPool, fleet: Any) -> None:
    """What the BMC gets, as it comes out of the socket."""
    one = target(fleet)
    seen: list[bytes] = []
    for codes in ((STRAIGHT, MD5), (STRAIGHT,)):
        bmc(fleet).codes = codes
        seen.append(await overheard(one))
    assert [PASSWORD.encode() in heard for heard in seen] == [False, True]


async def overheard(one: Target) -> bytes:
    """All that a client sends to a BMC for one power read."""
    loop, heard = asyncio.get_running_loop(), bytearray()

    class Between(asyncio.DatagramProtocol):
        client: Any = None

        def connection_made(self, transport: Any) -> None:
            self.way = transport

        def datagram_received(self, data: bytes, addr: Any) -> None:
            if addr == (one.address, one.port):
                self.way.sendto(data, self.client)
                return
            self.client = addr
            heard.extend(data)
            self.way.sendto(data, (one.address, one.port))

    way, _ = await loop.create_datagram_endpoint(Between, ("0.0.0.0", 0))
    pool = IpmiPool(listen=0)
    port = way.get_extra_info("sockname")[1]
    asked = Target("127.0.0.1", port, one.username, one.password, version=Version.V15)
    assert await chassis.power_state(pool, asked) is False
    await pool.close()
    way.close()
    return bytes(heard)


async def test_no_silent_step_from_one_version_to_the_other(pool: IpmiPool, fleet: Any) -> None:
    with pytest.raises(errors.NotSupported, match=r"speaks only IPMI 1\.5") as caught:
        await chassis.power_state(pool, target(fleet, version=Version.V20))
    assert "set driver_info ipmi_protocol_version to 1.5" in caught.value.sentence()
    bmc(fleet).versions = frozenset({"2.0"})
    with pytest.raises(errors.NotSupported, match=r"offers no IPMI 1\.5"):
        await chassis.power_state(pool, target(fleet))
    bmc(fleet).versions, bmc(fleet).codes = frozenset({"1.5"}), (MD2,)
    with pytest.raises(errors.NotSupported, match="with MD2 alone"):
        await chassis.power_state(pool, target(fleet))


async def test_who_was_let_in_by_md5_does_not_send_the_password_later(pool: IpmiPool, fleet: Any) -> None:
    """As somebody on the way would have it, who makes us log in again and spoils what the BMC offers."""
    await chassis.power_state(pool, target(fleet))
    await device.reset(pool, target(fleet), warm=True)
    bmc(fleet).codes = (MD2,)
    with pytest.raises(errors.NotSupported):
        await chassis.power_state(pool, target(fleet))
    bmc(fleet).codes = (STRAIGHT, NONE)
    with pytest.raises(errors.Misbehaved, match="let us in with MD5 before"):
        await chassis.power_state(pool, target(fleet))
    bmc(fleet).codes = (STRAIGHT, MD5)
    assert await chassis.power_state(pool, target(fleet)) is False


async def test_that_md5_let_us_in_outlasts_a_long_silence(fleet: Any) -> None:
    """Else who drops packets for as long as a BMC of no use is remembered would be told the password then."""
    pool = IpmiPool(idle=0.1, listen=0)
    await chassis.power_state(pool, target(fleet))
    async with asyncio.timeout(5):
        while pool.kept_sessions:
            await asyncio.sleep(0.02)
    await asyncio.sleep(0.3)  # in which the pool looks six times what it may forget
    bmc(fleet).codes = (STRAIGHT, NONE)
    try:
        with pytest.raises(errors.Misbehaved, match="let us in with MD5 before"):
            await chassis.power_state(pool, target(fleet))
    finally:
        await pool.close()


async def test_privileges(pool: IpmiPool, fleet: Any) -> None:
    one = target(fleet, privilege=Privilege.USER)
    assert await chassis.power_state(pool, one) is False
    with pytest.raises(errors.AccessDenied, match="privilege"):
        await chassis.control(pool, one, chassis.Control.ON)
    bmc(fleet).privilege = 3
    with pytest.raises(errors.AccessDenied, match="refuses the privilege ADMINISTRATOR"):
        await chassis.power_state(pool, target(fleet))


async def test_wrong_credentials(pool: IpmiPool, fleet: Any) -> None:
    began = time.monotonic()
    with pytest.raises(errors.AccessDenied, match="to the password of the IPMI user 'admin'") as caught:
        await chassis.power_state(pool, target(fleet, password="not-this-one"))
    assert time.monotonic() - began < 6
    assert "not-this-one" not in caught.value.sentence()
    with pytest.raises(errors.AccessDenied, match="has no IPMI user 'nobody'"):
        await chassis.power_state(pool, target(fleet, username="nobody"))
    assert await chassis.power_state(pool, target(fleet)) is False


async def test_locked_out(pool: IpmiPool, fleet: Any) -> None:
    bmc(fleet).faults.lockout_after = 2
    assert await chassis.power_state(pool, target(fleet)) is False
    with pytest.raises(errors.AccessDenied):
        await chassis.power_state(pool, target(fleet, password="not-this-one"))
    assert bmc(fleet).locked_out, "two proofs were counted"
    with pytest.raises(errors.AccessDenied, match="has no IPMI user 'admin'"):
        await chassis.power_state(pool, target(fleet))


async def test_lost_packets(pool: IpmiPool, fleet: Any) -> None:
    bmc(fleet).faults.drop_next = 1
    assert await chassis.power_state(pool, target(fleet)) is False
    bmc(fleet).faults.drop_next = 1
    assert await chassis.power_state(pool, target(fleet)) is False
    assert pool.kept_sessions == 1
    bmc(fleet).faults.drop_rate, bmc(fleet).faults.duplicate_rate = 0.05, 0.5
    for wanted in (True, False):
        await chassis.control(pool, target(fleet), chassis.Control.ON if wanted else chassis.Control.OFF)
        assert await chassis.power_state(pool, target(fleet)) is wanted


async def test_full_session_table(pool: IpmiPool, fleet: Any) -> None:
    bmc(fleet).faults.sessions_full = True
    waiting = asyncio.create_task(chassis.power_state(pool, target(fleet)))
    await asyncio.wait([waiting], timeout=0.5)
    assert not waiting.done()
    bmc(fleet).faults.sessions_full = False
    assert await asyncio.wait_for(waiting, 5) is False


@pytest.mark.slow
async def test_session_table_that_stays_full(pool: IpmiPool, fleet: Any) -> None:
    bmc(fleet).faults.sessions_full = True
    with pytest.raises(errors.Unreachable, match=r"no free session \(code 81\)"):
        await chassis.power_state(pool, target(fleet))


async def test_a_session_that_the_bmc_dropped(pool: IpmiPool, fleet: Any) -> None:
    """It restarts: the next read logs in again by itself."""
    await chassis.power_state(pool, target(fleet))
    await device.reset(pool, target(fleet), warm=True)
    assert fleet.sessions()["all"] == 0
    assert await chassis.power_state(pool, target(fleet)) is False
    assert fleet.sessions()["all"] == 1


async def test_one_bmc_under_two_names(pool: IpmiPool) -> None:
    """Both have a session with the same peer, told apart by the BMC's numbers alone."""
    fleet = fleets.Fleet(fleets.Plan(ipmi=1, first="127.0.0.1", password=PASSWORD))
    await fleet.start()
    bmc(fleet).versions = frozenset({"1.5"})
    names = [
        Target(name, fleet.ports["ipmi"], "admin", PASSWORD, version=Version.V15) for name in ("127.0.0.1", "127.1")
    ]
    for _ in range(3):
        assert await asyncio.gather(*(chassis.power_state(pool, one) for one in names)) == [False, False]
    assert (pool.kept_sessions, fleet.sessions()["all"]) == (2, 2)
    await pool.close()
    assert fleet.sessions()["all"] == 0
    await fleet.close()


async def test_behind_the_bmc(pool: IpmiPool, fleet: Any) -> None:
    front = bmc(fleet)
    blade = bmcs.Bmc(simulated.Simulated(front.hardware.facts), "not", "used")
    front.satellites[6, 0x72] = blade
    way = target(fleet, bridge=Bridge(6, 0x72))
    await chassis.control(pool, way, chassis.Control.ON)
    assert [await chassis.power_state(pool, one) for one in (way, target(fleet))] == [True, False]
    with pytest.raises(errors.Unreachable, match="nobody answers at that bus address"):
        await chassis.power_state(pool, target(fleet, bridge=Bridge(6, 0x74)))


async def test_an_answer_cut_short(pool: IpmiPool) -> None:
    """Said to the first question already: it is named, not taken for a refusal with the code of success."""

    class Curt(asyncio.DatagramProtocol):
        def connection_made(self, transport: Any) -> None:
            self.way = transport

        def datagram_received(self, data: bytes, addr: Any) -> None:
            head, tail = bytes((0x81, data[15] | 4)), bytes((0x20, data[18], data[19], 0))
            message = b"".join((head, bytes((-sum(head) & 0xFF,)), tail, bytes((-sum(tail) & 0xFF,))))
            self.way.sendto(data[:13] + bytes((len(message),)) + message, addr)

    way, _ = await asyncio.get_running_loop().create_datagram_endpoint(Curt, ("127.0.0.1", 0))
    one = Target("127.0.0.1", way.get_extra_info("sockname")[1], version=Version.V15)
    with pytest.raises(errors.Misbehaved, match="a malformed answer to IPMI command 06/38"):
        await chassis.power_state(pool, one)
    way.close()


async def test_a_message_too_long_for_it(pool: IpmiPool, fleet: Any) -> None:
    with pytest.raises(errors.Invalid, match="messages of 255 bytes at most, and this has 256"):
        await pool.raw(target(fleet), 0x06, 0x01, bytes(249))
    assert await chassis.power_state(pool, target(fleet)) is False


async def test_no_serial_over_lan(fleet: Any) -> None:
    with pytest.raises(errors.NotSupported, match=r"came with IPMI 2\.0"):
        await sol.open_line(target(fleet))


@pytest.mark.peer
async def test_openipmi(pool: IpmiPool, openipmi: Any) -> None:
    one = Target("127.0.0.1", openipmi.port, "root", "calvin", version=Version.V15)
    await chassis.control(pool, one, chassis.Control.ON)
    assert await chassis.power_state(pool, one) is True
    await chassis.set_boot_device(pool, one, chassis.BootDevice.PXE, persistent=False, uefi=False)
    assert (await chassis.get_boot_device(pool, one)).device is chassis.BootDevice.PXE
    assert (await device.id(pool, one)).manufacturer == 0x1291
    assert pool.kept_sessions == 1
    allowed = Target("127.0.0.1", openipmi.port, "oper", "secret", Privilege.OPERATOR, version=Version.V15)
    assert await chassis.power_state(pool, allowed) is True
    await chassis.control(pool, one, chassis.Control.OFF)


@pytest.mark.peer
async def test_openipmi_refuses(pool: IpmiPool, openipmi: Any) -> None:
    def of(user: str, password: str) -> Target:
        return Target("127.0.0.1", openipmi.port, user, password, version=Version.V15)

    with pytest.raises(errors.AccessDenied, match="to the password of the IPMI user 'root'"):
        await chassis.power_state(pool, of("root", "wrong"))
    with pytest.raises(errors.AccessDenied, match="has no IPMI user 'nobody'"):
        await chassis.power_state(pool, of("nobody", "calvin"))
    with pytest.raises(errors.AccessDenied, match="refuses the privilege ADMINISTRATOR"):
        await chassis.power_state(pool, of("oper", "secret"))


@pytest.mark.peer
async def test_openipmi_over_a_bad_network(
    pool: IpmiPool, openipmi: Any, udp_proxy: Callable[[int, Any], Awaitable[int]], faults: Any
) -> None:
    """Lost, repeated and reordered packets."""
    port = await udp_proxy(openipmi.port, faults)
    one = Target("127.0.0.1", port, "root", "calvin", version=Version.V15)
    await chassis.power_state(pool, one)
    faults.lose, faults.duplicate, faults.hold = 0.03, 0.3, 0.03
    for wanted in (True, False, True):
        await chassis.control(pool, one, chassis.Control.ON if wanted else chassis.Control.OFF)
        for _ in range(4):
            assert await chassis.power_state(pool, one) is wanted


@pytest.mark.peer
async def test_openipmi_closes_sessions(openipmi: Any) -> None:
    """It has 63 slots for sessions: 66 logins, one after the other, work only when each is closed."""
    one = Target("127.0.0.1", openipmi.port, "root", "calvin", version=Version.V15)
    for _ in range(66):
        pool = IpmiPool()
        await chassis.power_state(pool, one)
        await pool.close()
