"""Commands of the system event log: read, add, clear, its clock.

Why: operators read and clear it. May not: decide what is worth an entry.
Invariant: the log is cleared only under a valid reservation (IPMI 2.0 section 31).
"""

from __future__ import annotations

import struct
import time

from ingot_rack import errors
from ingot_rack.ipmi import commands, eventlog
from ingot_rack.ipmi.commands import Call, Refusal

NO_SPACE, RESERVATION_LOST = 0xC4, 0xC5
FIRST_WITHOUT_TIME = 0xE0
_ERASE, _ASK = 0xAA, 0x00


async def info(call: Call) -> bytes:
    """Get SEL Info: entries, free bytes, times of the last changes; it can be reserved."""
    log = call.device.log
    free = (eventlog.CAPACITY - len(log.records)) * 16
    return struct.pack("<BHHIIB", 0x51, len(log.records), free, log.added, log.erased, 0x02)


async def reserve(call: Call) -> bytes:
    """Reserve SEL: a new number, which ends the one before."""
    call.device.log.reservation = call.device.log.reservation % 0xFFFF + 1
    return struct.pack("<H", call.device.log.reservation)


async def entry(call: Call) -> bytes:
    """Get SEL Entry: the next one's number, and the wanted bytes of this one."""
    call.byte(5)
    _, number, offset, count = struct.unpack_from("<HHBB", call.data)
    records = call.device.log.records
    index = {0: 1, 0xFFFF: len(records)}.get(number, number) - 1
    if not 0 <= index < len(records):
        raise Refusal(commands.NOT_PRESENT)
    following = index + 2 if index + 1 < len(records) else 0xFFFF
    return struct.pack("<H", following) + records[index][offset : offset + count]


async def add(call: Call) -> bytes:
    """Add SEL Entry: the caller's record under our number, with our time where its kind has one."""
    call.byte(15)
    body = call.data[2:16]
    if body[0] < FIRST_WITHOUT_TIME:
        body = body[:1] + struct.pack("<I", call.device.log.now()) + body[5:]
    try:
        return struct.pack("<H", call.device.log.add(body))
    except errors.NotNow as error:
        raise Refusal(NO_SPACE) from error


async def clear(call: Call) -> bytes:
    """Clear SEL: done at once, and so it says."""
    action = call.byte(5)
    if call.data[2:5] != b"CLR" or action not in {_ERASE, _ASK}:
        raise Refusal(commands.INVALID_DATA)
    if struct.unpack_from("<H", call.data)[0] != call.device.log.reservation:
        raise Refusal(RESERVATION_LOST)
    if action == _ERASE:
        call.device.log.clear()
    return b"\x01"


async def get_time(call: Call) -> bytes:
    """Get SEL Time."""
    return struct.pack("<I", call.device.log.now())


async def set_time(call: Call) -> bytes:
    """Set SEL Time."""
    call.byte(3)
    call.device.log.shift = int(struct.unpack_from("<I", call.data)[0] - time.time())
    return b""
