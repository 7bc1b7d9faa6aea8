"""The IPMI client against the virtual rack's BMCs: suite 17, faults, many at once."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from ingot.clients import fence
from ingot.clients.ipmi import chassis, device, suites
from ingot.clients.ipmi.client import IpmiPool
from ingot.clients.ipmi.target import Privilege, Target
from ingot.domain import errors
from ingot_rack import fleet as fleets
from ingot_rack import hardware

PASSWORD = "rack-password"
MANY = 500


@pytest.fixture
async def fleet() -> AsyncIterator[Any]:
    fleet = fleets.Fleet(fleets.Plan(ipmi=3, first="127.33.0.1", password=PASSWORD))
    await fleet.start()
    yield fleet
    await fleet.close()


@pytest.fixture
async def pool() -> AsyncIterator[IpmiPool]:
    pool = IpmiPool(listen=0)
    yield pool
    await pool.close()


def target(fleet: Any, index: int = 0, **changes: Any) -> Target:
    address = list(fleet.addresses.values())[index]
    values: dict[str, Any] = {"username": "admin", "password": PASSWORD} | changes
    return Target(address, fleet.ports["ipmi"], **values)


def bmc(fleet: Any, index: int = 0) -> Any:
    return list(fleet.bmcs.values())[index]


@pytest.mark.parametrize("suite", sorted(suites.BY_NUMBER))
async def test_every_suite_that_an_operator_may_name(pool: IpmiPool, fleet: Any, suite: int) -> None:
    """The rack's side of each is checked by ipmitool and FreeIPMI (tests/rack/test_ipmi.py)."""
    one = target(fleet, cipher_suite=suite)
    bmc(fleet).suites = frozenset({suite})
    await chassis.control(pool, one, chassis.Control.ON)
    assert await chassis.power_state(pool, one) is True
    assert (await device.id(pool, one)).ipmi_version == "2.0"
    with pytest.raises(errors.AccessDenied, match="password"):
        await chassis.power_state(pool, target(fleet, cipher_suite=suite, password="wrong"))


async def test_a_suite_that_nobody_named_is_not_spoken_however_a_bmc_insists(pool: IpmiPool, fleet: Any) -> None:
    bmc(fleet).suites = frozenset({1, 2, 16})
    with pytest.raises(errors.NotSupported, match="suite"):
        await chassis.power_state(pool, target(fleet))


@pytest.mark.parametrize("suite", [3, 17, None])
@pytest.mark.parametrize("privilege", [Privilege.ADMINISTRATOR, Privilege.OPERATOR])
async def test_suites(pool: IpmiPool, fleet: Any, suite: int | None, privilege: Privilege) -> None:
    one = target(fleet, cipher_suite=suite, privilege=privilege)
    for wanted, action in ((True, chassis.Control.ON), (False, chassis.Control.OFF)):
        await chassis.control(pool, one, action)
        assert await chassis.power_state(pool, one) is wanted
    assert (await device.id(pool, one)).ipmi_version == "2.0"


async def test_every_power_action_is_the_one_that_the_machine_gets(pool: IpmiPool, fleet: Any) -> None:
    """Which code means which is checked by ipmitool and FreeIPMI before the same BMC (tests/rack/test_ipmi.py)."""
    one, machine = target(fleet), next(iter(fleet.machines.values()))
    orders = ("ON", "CYCLE", "RESET", "DIAG", "SOFT", "ON", "OFF")
    for name in orders:
        await chassis.control(pool, one, chassis.Control[name])
    actions = hardware.PowerAction
    meant = {"DIAG": actions.NMI, "SOFT": actions.SOFT_OFF}
    assert machine.history == [meant.get(name) or actions[name] for name in orders]


async def test_boot_device(pool: IpmiPool, fleet: Any) -> None:
    one = target(fleet)
    for chosen, persistent, uefi in [
        (chassis.BootDevice.PXE, False, True),
        (chassis.BootDevice.DISK, True, True),
        (chassis.BootDevice.CDROM, False, False),
    ]:
        await chassis.set_boot_device(pool, one, chosen, persistent=persistent, uefi=uefi)
        assert await chassis.get_boot_device(pool, one) == chassis.BootFlags(True, chosen, persistent, uefi)
    await chassis.disable_boot_timeout(pool, one)


async def test_user_privilege_may_read_but_not_switch(pool: IpmiPool, fleet: Any) -> None:
    one = target(fleet, privilege=Privilege.USER)
    assert await chassis.power_state(pool, one) is False
    with pytest.raises(errors.AccessDenied, match="privilege"):
        await chassis.control(pool, one, chassis.Control.ON)


async def test_wrong_credentials_are_told_apart(pool: IpmiPool, fleet: Any) -> None:
    with pytest.raises(errors.AccessDenied, match="password of the IPMI user 'admin'") as caught:
        await chassis.power_state(pool, target(fleet, password="not-this-one"))
    assert "not-this-one" not in caught.value.sentence()
    with pytest.raises(errors.AccessDenied, match="has no IPMI user 'nobody'"):
        await chassis.power_state(pool, target(fleet, username="nobody"))
    with pytest.raises(errors.AccessDenied, match="Kg key"):
        await chassis.power_state(pool, target(fleet, kg=b"k" * 20))
    assert await chassis.power_state(pool, target(fleet)) is False


async def test_changed_credentials_replace_the_session(pool: IpmiPool, fleet: Any) -> None:
    await chassis.power_state(pool, target(fleet))
    with pytest.raises(errors.AccessDenied):
        await chassis.power_state(pool, target(fleet, password="changed"))
    bmc(fleet).password = "changed"
    assert await chassis.power_state(pool, target(fleet, password="changed")) is False
    assert pool.kept_sessions == 1


async def test_busy_bmc_is_waited_for(pool: IpmiPool, fleet: Any) -> None:
    one = target(fleet)
    await chassis.power_state(pool, one)
    bmc(fleet).faults.busy_next = 3
    assert await chassis.power_state(pool, one) is False
    assert bmc(fleet).faults.busy_next == 0


async def test_an_order_sent_once_may_be_refused_as_busy_and_then_stay_unanswered(pool: IpmiPool, fleet: Any) -> None:
    one = target(fleet)
    await chassis.power_state(pool, one)
    bmc(fleet).faults.busy_next = 2  # the question whether it is there, and the order
    order = asyncio.create_task(device.reset(pool, one, warm=True))
    async with asyncio.timeout(10):
        while bmc(fleet).faults.busy_next:
            await asyncio.sleep(0)
        seen = fleet.messages()["ipmi"]
        while fleet.messages()["ipmi"] == seen:  # until it is asked again whether it is there
            await asyncio.sleep(0)
        bmc(fleet).faults.drop_rate = 1.0
        await order
    assert pool.kept_sessions == 0


async def test_who_lost_its_lease_during_the_login_sends_nothing_more(pool: IpmiPool, fleet: Any) -> None:
    async def question() -> None:
        if fleet.sessions()["all"]:
            raise errors.LostLease

    with fence.asking(question), pytest.raises(errors.LostLease):
        await chassis.control(pool, target(fleet), chassis.Control.ON)
    assert await chassis.power_state(pool, target(fleet)) is False


async def test_lost_packets(pool: IpmiPool, fleet: Any) -> None:
    one = target(fleet)
    await chassis.power_state(pool, one)
    bmc(fleet).faults.drop_next = 1
    assert await chassis.power_state(pool, one) is False
    assert pool.kept_sessions == 1


async def test_unsteady_bmc(pool: IpmiPool, fleet: Any) -> None:
    bmc(fleet).faults.drop_rate, bmc(fleet).faults.duplicate_rate = 0.1, 0.3
    one = target(fleet)
    for wanted in (True, False):
        await chassis.control(pool, one, chassis.Control.ON if wanted else chassis.Control.OFF)
        assert await chassis.power_state(pool, one) is wanted


async def test_full_session_table(pool: IpmiPool, fleet: Any) -> None:
    """The caller waits for a slot; the reason is told when none gets free."""
    bmc(fleet).faults.sessions_full = True
    waiting = asyncio.create_task(chassis.power_state(pool, target(fleet)))
    await asyncio.wait([waiting], timeout=0.5)
    assert not waiting.done()
    bmc(fleet).faults.sessions_full = False
    assert await asyncio.wait_for(waiting, 5) is False


@pytest.mark.slow
async def test_session_table_that_stays_full(pool: IpmiPool, fleet: Any) -> None:
    bmc(fleet).faults.sessions_full = True
    with pytest.raises(errors.Unreachable, match="no free session"):
        await chassis.power_state(pool, target(fleet))


async def test_a_bmc_gets_one_command_at_a_time(pool: IpmiPool, fleet: Any) -> None:
    """Each answer takes a while; of commands that were sent together the session would know one answer alone."""
    for index in range(2):
        await chassis.power_state(pool, target(fleet, index))
        bmc(fleet, index).faults.delay = 0.1
    seen, started = fleet.messages()["ipmi"], time.monotonic()
    await asyncio.gather(*(chassis.power_state(pool, target(fleet, n % 2)) for n in range(16)))
    assert time.monotonic() - started >= 8 * 0.1
    assert fleet.messages()["ipmi"] - seen <= 20, "16, and some that a busy host sent twice"
    assert pool.kept_sessions == 2


async def test_a_silent_bmc_is_asked_at_growing_intervals(pool: IpmiPool) -> None:
    loop = asyncio.get_running_loop()
    came: list[float] = []

    class Mute(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: Any) -> None:
            came.append(loop.time())

    transport, _ = await loop.create_datagram_endpoint(Mute, ("127.0.0.1", 0))
    one = Target("127.0.0.1", transport.get_extra_info("sockname")[1], "admin", PASSWORD)
    with pytest.raises(errors.Unreachable):
        await chassis.power_state(pool, one)
    transport.close()
    pauses = [later - earlier for earlier, later in itertools.pairwise(came)]
    assert len(pauses) >= 3, "it was asked again"
    assert pauses == sorted(pauses), "and less and less often"
    assert pauses[-1] > 1.5 * pauses[0]


class Between(asyncio.DatagramProtocol):
    """Stands between client and BMC, and loses what answers RAKP 1 until ``opened`` sessions have been asked for.

    ``deaf``: loses proposals of these kinds of authentication (1 of suite 3, 3 of suite 17), as firmware does that
    drops what it does not know. ``instead``: what every proposal is changed to: authentication, integrity, encryption.
    """

    OPEN, RAKP2 = 0x10, 0x13

    def __init__(
        self, bmc: tuple[str, int], opened: int = 0, deaf: tuple[int, ...] = (), instead: bytes | None = None
    ) -> None:
        self.bmc, self.opened, self.deaf, self.instead = bmc, opened, deaf, instead
        self.asked: set[bytes] = set()
        self.client: Any = None
        self.way: Any = None

    def connection_made(self, transport: Any) -> None:
        self.way = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        kind = data[5] & 0x3F if data[4] == 6 else None  # of RMCP+ packets
        if addr != self.bmc:
            self.client = addr
            if kind == self.OPEN:
                self.asked.add(data)
                if data[28] in self.deaf:
                    return
                if self.instead is not None:
                    changed = bytearray(data)
                    changed[28], changed[36], changed[44] = self.instead
                    data = bytes(changed)
            self.way.sendto(data, self.bmc)
        elif kind != self.RAKP2 or len(self.asked) >= self.opened:
            self.way.sendto(data, self.client)


async def led(one: Target, **between: Any) -> tuple[Target, Between, asyncio.DatagramTransport]:
    """The BMC through a ``Between``; that, and its transport, which the caller closes."""
    loop = asyncio.get_running_loop()
    way, standing = await loop.create_datagram_endpoint(
        lambda: Between((one.address, one.port), **between), ("0.0.0.0", 0)
    )
    port = way.get_extra_info("sockname")[1]
    return msgspec.structs.replace(one, address="127.0.0.1", port=port), standing, way


@pytest.mark.parametrize(("opened", "enters"), [(2, True), (3, False)])
async def test_a_first_proof_without_an_answer_is_begun_anew_once(
    pool: IpmiPool, fleet: Any, opened: int, enters: bool
) -> None:
    through, between, way = await led(target(fleet), opened=opened)
    if enters:
        assert await chassis.power_state(pool, through) is False
    else:
        with pytest.raises(errors.Unreachable, match="gave no answer for 5 s to the IPMI user name"):
            await chassis.power_state(pool, through)
    assert len(between.asked) == 2
    way.close()


@pytest.mark.parametrize(("deaf", "enters"), [((3,), True), ((1, 3), False)])
async def test_a_suite_that_the_bmc_does_not_answer_to_is_followed_by_the_next(
    pool: IpmiPool, fleet: Any, deaf: tuple[int, ...], enters: bool
) -> None:
    through, _, way = await led(target(fleet), deaf=deaf)
    began = time.monotonic()
    if enters:
        assert await chassis.power_state(pool, through) is False
        assert time.monotonic() - began < 5, "after 2.5 s"
    else:
        with pytest.raises(
            errors.Unreachable, match="answers, but not for 8 s to the proposal of cipher suite 3"
        ) as told:
            await chassis.power_state(pool, through)
        assert "set driver_info ipmi_protocol_version to 1.5" in told.value.sentence()
    way.close()


@pytest.mark.parametrize(("named", "instead", "enters"), [(None, 1, False), (17, 3, False), (None, 3, True)])
async def test_nobody_on_the_way_talks_the_client_into_a_weaker_suite(
    pool: IpmiPool, fleet: Any, named: int | None, instead: int, enters: bool
) -> None:
    """The BMC answers with the suite that somebody has put into the proposal."""
    bmc(fleet).suites = frozenset({instead})
    proposal = bytes(suites.BY_NUMBER[instead][1:])
    through, _, way = await led(target(fleet, cipher_suite=named), instead=proposal)
    if enters:
        assert await chassis.power_state(pool, through) is False
    else:
        with pytest.raises(errors.NotSupported, match="offers no cipher suite that we may use"):
            await chassis.power_state(pool, through)
    way.close()


async def test_a_dead_bmc_delays_no_other(pool: IpmiPool, fleet: Any) -> None:
    bmc(fleet, 1).faults.drop_rate = 1.0
    dead = asyncio.create_task(chassis.power_state(pool, target(fleet, 1)))
    started = time.monotonic()
    for _ in range(20):
        await asyncio.gather(*(chassis.power_state(pool, target(fleet, n)) for n in (0, 2)))
    assert time.monotonic() - started < 2
    assert not dead.done()
    with pytest.raises(errors.Unreachable, match="in 8 s"):
        await dead


async def test_restarted_bmc(pool: IpmiPool, fleet: Any) -> None:
    """A BMC that forgot its sessions: the next read logs in again by itself."""
    plan = fleets.Plan(ipmi=1, first="127.33.1.1", password=PASSWORD)
    first = fleets.Fleet(plan)
    await first.start()
    one = target(first)
    await chassis.power_state(pool, one)
    await first.close()
    again = fleets.Fleet(fleets.Plan(ipmi=1, first="127.33.1.1", password=PASSWORD, ipmi_port=one.port))
    await again.start()
    assert await chassis.power_state(pool, one) is False
    await again.close()


async def test_keep_alive_and_idle(fleet: Any) -> None:
    pool = IpmiPool(idle=2.0, keep_alive=0.1)
    await chassis.power_state(pool, target(fleet))
    bmc(fleet).faults.drop_next = 1
    async with asyncio.timeout(5):
        while bmc(fleet).faults.drop_next:  # nobody asks, yet the BMC hears from us
            await asyncio.sleep(0.02)
    assert pool.kept_sessions == 1
    async with asyncio.timeout(5):
        while pool.kept_sessions:
            await asyncio.sleep(0.02)
    await pool.close()


async def test_cancelled_caller_leaves_the_session_usable(pool: IpmiPool, fleet: Any) -> None:
    one = target(fleet)
    await chassis.power_state(pool, one)
    bmc(fleet).faults.delay = 0.3
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await chassis.power_state(pool, one)
    bmc(fleet).faults.delay = 0.0
    await bmc(fleet).hardware.set_power(hardware.PowerAction.ON)
    for _ in range(5):
        assert await chassis.power_state(pool, one) is True
    assert pool.kept_sessions == 1


async def test_a_name_that_cannot_be_one(pool: IpmiPool) -> None:
    with pytest.raises(errors.Unreachable, match="cannot be resolved: it is no host name"):
        await chassis.power_state(pool, Target("bmc..invalid"))


async def test_many_at_once() -> None:
    fleet = fleets.Fleet(fleets.Plan(ipmi=MANY, first="127.34.0.1", password=PASSWORD))
    await fleet.start()
    pool = IpmiPool()
    try:
        targets = [target(fleet, index) for index in range(MANY)]
        async with asyncio.timeout(30):
            for turn in range(3):
                states = await asyncio.gather(*(chassis.power_state(pool, one) for one in targets))
                assert states == [turn > 0] * MANY
                if turn == 0:
                    await asyncio.gather(*(chassis.control(pool, one, chassis.Control.ON) for one in targets))
        assert pool.kept_sessions == MANY
    finally:
        await pool.close()
        await fleet.close()
