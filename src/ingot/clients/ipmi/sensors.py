"""Reading sensors: the walk over the record repository, then one question per sensor.

Why: records change hardly ever and take most of the messages, so they are kept per BMC while its repository says that
it is unchanged. May not: keep readings. Invariant: a walk ends, whatever a BMC answers.
"""

from __future__ import annotations

import msgspec

from ingot.clients.ipmi import completion, sdr
from ingot.clients.ipmi.client import IpmiPool
from ingot.clients.ipmi.target import Bridge, Target
from ingot.domain import errors

STORAGE, SENSOR = 0x0A, 0x04
GET_INFO, RESERVE, GET_RECORD = 0x20, 0x22, 0x23
GET_FACTORS, GET_THRESHOLDS, GET_READING = 0x23, 0x27, 0x2D
LAST = 0xFFFF
CHUNKS = (0xFF, 32, 16, 8)
"""How much of a record is asked for: all of it, or less where the BMC cannot give that much (code CA)."""
TOO_MUCH = frozenset({0xC7, 0xC8, 0xCA, 0xCE, 0xFF})
RESERVATION_LOST, UPDATING = 0xC5, 0xD0
MOST_RECORDS = 2048
MOST_RESTARTS = 8
REACHABLE = 256  # bytes of a record: the offset to read from is one byte
UNAVAILABLE, SCANNING = 0x20, 0x40


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What a sensor says. ``value`` is None for discrete sensors; ``states`` are their asserted bits.

    ``crossed`` are the thresholds (bits in the order of ``sdr.LIMIT_NAMES``) that the reading is at or beyond;
    ``limits`` those thresholds that can be read, by their index in that order.
    """

    sensor: sdr.Sensor
    value: float | None
    states: int
    crossed: int
    limits: dict[int, float]


async def known(pool: IpmiPool, target: Target) -> list[sdr.Sensor]:
    """The BMC's sensors. Raises errors.NotSupported when it has no repository."""
    stamp = (await pool.command(target, STORAGE, GET_INFO))[:13]
    found = pool.records.find(target, stamp)
    if found is None:
        found = await walk(pool, target)
        pool.records.keep(target, stamp, found)
    return found


async def read(pool: IpmiPool, target: Target) -> list[Reading]:
    """What every sensor of the BMC says now; those that are absent or have no reading are left out."""
    readings: list[Reading] = []
    for sensor in await known(pool, target):
        owner = _owner(target, sensor)
        if owner is None:
            continue
        try:
            found = await _reading(pool, owner, sensor)
        except errors.Unreachable:
            if owner is target:
                raise
            continue  # a controller behind the BMC may be without power
        if found is not None:
            readings.append(found)
    return readings


def _owner(target: Target, sensor: sdr.Sensor) -> Target | None:
    """Who is asked for a sensor: the BMC, or a controller behind it; None for those we have no way to."""
    if sensor.lun or sensor.owner & 1:  # of system software, or behind another unit of the controller
        return None
    if sensor.owner == target.controller:
        return target
    return None if target.bridge else msgspec.structs.replace(target, bridge=Bridge(sensor.channel, sensor.owner))


async def walk(pool: IpmiPool, target: Target) -> list[sdr.Sensor]:
    """All sensors of the repository, in its order."""
    walker = _Walk(pool, target)
    found: list[sdr.Sensor] = []
    number, seen = 0, set[int]()
    while number != LAST and number not in seen and len(seen) < MOST_RECORDS:
        seen.add(number)
        number, record = await walker.record(number)
        found.extend(sdr.parse(record))
    return found


class _Walk:
    """One walk: its reservation, and how much the BMC gives at once."""

    def __init__(self, pool: IpmiPool, target: Target) -> None:
        self._pool, self._target = pool, target
        self._chunk = 0
        self._reservation = b"\0\0"
        self._restarts = 0

    async def record(self, number: int) -> tuple[int, bytes]:
        """(number of the next record, the record's bytes)."""
        data, size = b"", sdr.HEADER
        following = LAST
        while len(data) < size:
            answer = await self._part(number, len(data))
            if answer is None:
                data, size = b"", sdr.HEADER
                continue
            following = int.from_bytes(answer[:2], "little")
            if len(answer) <= 2:
                break  # it gives less than the record's length says: what there is may do
            data += answer[2:]
            if len(data) >= sdr.HEADER:
                size = min(sdr.HEADER + data[4], REACHABLE)
        return following, data[:size]

    async def _part(self, number: int, offset: int) -> bytes | None:
        """The answer of Get SDR from ``offset`` on; None when the record has to be begun anew."""
        while True:
            ask = self._reservation + number.to_bytes(2, "little") + bytes((offset, CHUNKS[self._chunk]))
            body = await self._pool.raw(self._target, STORAGE, GET_RECORD, ask)
            code = body[0]
            if code == completion.SUCCESS:
                return body[1:]
            if code in (RESERVATION_LOST, UPDATING) and self._restarts < MOST_RESTARTS:
                self._restarts += 1
                self._reservation = (await self._pool.command(self._target, STORAGE, RESERVE))[:2]
                return None
            if code not in TOO_MUCH or self._chunk + 1 == len(CHUNKS):
                raise completion.failure(self._target.name, STORAGE, GET_RECORD, code)
            self._chunk += 1


async def _about(pool: IpmiPool, target: Target, command: int, *data: int) -> bytes | None:
    """What the BMC says of one sensor; None when it refuses, which says nothing of the others.

    Raises errors.AccessDenied when the user may read none.
    """
    body = await pool.raw(target, SENSOR, command, bytes(data))
    if body[0] == completion.NOT_ALLOWED:
        raise completion.failure(target.name, SENSOR, command, body[0])
    return None if body[0] else body[1:]


async def _reading(pool: IpmiPool, target: Target, sensor: sdr.Sensor) -> Reading | None:
    answer = await _about(pool, target, GET_READING, sensor.number)
    if answer is None or len(answer) < 2:
        return None
    raw, flags, rest = answer[0], answer[1], int.from_bytes(answer[2:4], "little")
    if flags & UNAVAILABLE or not flags & SCANNING:
        return None
    if not sensor.analog:
        return Reading(sensor=sensor, value=None, states=rest & 0x7FFF, crossed=0, limits={})
    factors = await _factors(pool, target, sensor, raw) if sensor.non_linear else None
    value = sensor.value(raw, factors)
    if value is None:
        return None
    limits = await _limits(pool, target, sensor, factors)
    return Reading(sensor=sensor, value=value, states=0, crossed=rest & 0x3F, limits=limits)


async def _factors(pool: IpmiPool, target: Target, sensor: sdr.Sensor, raw: int) -> sdr.Factors | None:
    """The factors at one reading; None when the BMC does not tell."""
    answer = await _about(pool, target, GET_FACTORS, sensor.number, raw)
    return sdr.factors(answer[1:7]) if answer and len(answer) >= 7 else None


async def _limits(pool: IpmiPool, target: Target, sensor: sdr.Sensor, factors: sdr.Factors | None) -> dict[int, float]:
    """The thresholds that can be read, as numbers; none where the BMC does not tell."""
    answer = await _about(pool, target, GET_THRESHOLDS, sensor.number)
    if answer is None or len(answer) < 7:
        return {}
    found = {index: sensor.value(answer[1 + index], factors) for index in range(6) if answer[0] >> index & 1}
    return {index: value for index, value in found.items() if value is not None}
