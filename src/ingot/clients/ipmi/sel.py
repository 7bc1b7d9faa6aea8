"""The system event log (SEL): read it, clear it.

Why: a machine's own word on what went wrong. May not: judge entries. Invariant: reading ends, whatever a BMC answers.
Source: IPMI 2.0 sections 31 and 32.
"""

from __future__ import annotations

import asyncio

import msgspec

from ingot.clients.ipmi.client import IpmiPool
from ingot.clients.ipmi.target import Target
from ingot.domain import errors

STORAGE = 0x0A
GET_INFO, RESERVE, GET_ENTRY, CLEAR = 0x40, 0x42, 0x43, 0x47
FIRST, LAST = 0x0000, 0xFFFF
ENTRY = 16
ERASE, ASK, ERASED = 0xAA, 0x00, 0x01
CLEAR_DEADLINE, PAUSE = 30.0, 0.25
EVENT, FIRST_OEM, FIRST_WITHOUT_TIME = 0x02, 0xC0, 0xE0
CLOCK_UNSET = 0x20000000
"""Times below are seconds since the BMC's own start (section 37.1)."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One record. ``at``: seconds since 1970 by the BMC's clock, None when it was not set or the record has no time.

    ``kind``, ``sensor``, ``event``: sensor type, sensor number and event/reading type of events (below 0xC0);
    ``offset`` is what happened, ``asserted`` whether it came or went, ``data`` the record's last bytes.
    """

    number: int
    record: int
    at: int | None
    kind: int = 0
    sensor: int = 0
    event: int = 0
    offset: int = 0
    asserted: bool = True
    data: bytes = b""


async def read(pool: IpmiPool, target: Target) -> list[Entry]:
    """Every entry, oldest first."""
    count = int.from_bytes((await pool.command(target, STORAGE, GET_INFO))[1:3], "little")
    found: list[Entry] = []
    number = FIRST
    while len(found) < count and number != LAST:
        ask = b"\0\0" + number.to_bytes(2, "little") + b"\0\xff"
        answer = await pool.find(target, STORAGE, GET_ENTRY, ask)
        if answer is None:
            break  # cleared meanwhile
        if len(answer) < 2 + ENTRY:
            raise errors.Misbehaved(f"BMC {target.name} sent an event record of {len(answer) - 2} bytes, not 16.")
        number = int.from_bytes(answer[:2], "little")
        found.append(parse(answer[2 : 2 + ENTRY]))
    return found


async def clear(pool: IpmiPool, target: Target) -> None:
    """Empty the log and wait until it is. Raises errors.TimedOut when erasing does not end."""
    reservation = (await pool.command(target, STORAGE, RESERVE))[:2]
    action = ERASE
    try:
        async with asyncio.timeout(CLEAR_DEADLINE):
            while True:
                done = await pool.command(target, STORAGE, CLEAR, reservation + b"CLR" + bytes((action,)))
                if not done or done[0] & 0x0F == ERASED:
                    return
                action = ASK
                await asyncio.sleep(PAUSE)
    except TimeoutError as error:
        raise errors.TimedOut(
            f"BMC {target.name} did not finish clearing its event log in {CLEAR_DEADLINE:g} s.",
            hint="Wait, or reset the BMC.",
        ) from error


def parse(record: bytes) -> Entry:
    """One record of 16 bytes."""
    number, kind = int.from_bytes(record[:2], "little"), record[2]
    seconds = int.from_bytes(record[3:7], "little")
    at = seconds if CLOCK_UNSET <= seconds < 0xFFFFFFFF else None
    if kind >= FIRST_WITHOUT_TIME:
        return Entry(number=number, record=kind, at=None, data=record[3:])
    if kind >= FIRST_OEM:
        return Entry(number=number, record=kind, at=at, data=record[7:])
    return Entry(
        number=number,
        record=kind,
        at=at,
        kind=record[10],
        sensor=record[11],
        event=record[12] & 0x7F,
        offset=record[13] & 0x0F,
        asserted=not record[12] & 0x80,
        data=record[13:],
    )
