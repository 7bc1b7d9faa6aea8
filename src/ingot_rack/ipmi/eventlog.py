"""The system event log of one BMC: records of 16 bytes.

Why: chassis commands write into it, log commands read it. May not: know commands.
Invariant: records are numbered from 1 on without holes until the log is cleared (IPMI 2.0 section 32).
"""

from __future__ import annotations

import dataclasses
import struct
import time

from ingot_rack import errors

CAPACITY = 512
EVENT_RECORD, REVISION = 0x02, 0x04
POWER_SENSOR, POWER_KIND, SPECIFIC = 0x70, 0x09, 0x6F


@dataclasses.dataclass(slots=True)
class Log:
    """The entries; `shift` is what the BMC's clock is ahead of the host's, `added` and `erased` times of that clock."""

    records: list[bytes] = dataclasses.field(default_factory=list[bytes])
    reservation: int = 0
    added: int = 0
    erased: int = 0
    shift: int = 0

    def now(self) -> int:
        """The BMC's clock, in seconds since 1970."""
        return int(time.time()) + self.shift

    def add(self, body: bytes) -> int:
        """Append a record (14 bytes, without its number) and give its number. Raises NotNow when the log is full."""
        if len(self.records) >= CAPACITY:
            raise errors.NotNow("The event log is full", hint="Clear it.")
        number = len(self.records) + 1
        self.records.append(struct.pack("<H", number) + body)
        self.added = self.now()
        return number

    def note_power(self, *, on: bool) -> None:
        """Enter that the power unit was switched: the event "power off", asserted or not. A full log drops it."""
        source = bytes([0x20, 0, REVISION, POWER_KIND, POWER_SENSOR])
        event = bytes([0x80 * on | SPECIFIC, 0, 0xFF, 0xFF])
        if len(self.records) < CAPACITY:
            self.add(struct.pack("<BI", EVENT_RECORD, self.now()) + source + event)

    def clear(self) -> None:
        """Forget everything."""
        self.records.clear()
        self.erased = self.now()
