"""FRU and LAN parameters: what inventory tools read from a BMC.

Why: clients list these before or after power work and must get true, if small, answers.
May not: act on the machine. Invariant: the FRU area is a valid one (sums right), made from the machine's facts.
Layouts: IPMI Platform Management FRU Information Storage Definition 1.0; IPMI 2.0 sections 34, 23.2.
"""

from __future__ import annotations

import struct

from ingot_rack.hardware import Facts
from ingot_rack.ipmi import commands, wire
from ingot_rack.ipmi.commands import Call, Refusal


def fru_bytes(facts: Facts) -> bytes:
    """A FRU inventory area: header, board area, product area."""
    board = _area(
        bytes([0x01, 0x00, 0x00, 0x00, 0x00, 0x00]),
        (facts.manufacturer, facts.product, facts.serial_number, "IR-1"),
    )
    product = _area(
        bytes([0x01, 0x00, 0x00]),
        (facts.manufacturer, facts.product, "IR-1", "1.0", facts.serial_number, facts.name),
    )
    header = bytes([0x01, 0, 0, 8 // 8, (8 + len(board)) // 8, 0, 0])  # offsets count in 8 bytes
    return header + bytes([wire.checksum(header)]) + board + product


def _area(head: bytes, fields: tuple[str, ...]) -> bytes:
    body = head
    for text in fields:
        encoded = text.encode("latin-1", "replace")[:63]
        body += bytes([0xC0 | len(encoded)]) + encoded
    body += b"\x00\xc1"  # no FRU file id, no more fields
    body += b"\0" * (-(len(body) + 1) % 8)
    body = bytes([body[0], (len(body) + 1) // 8]) + body[2:]
    return body + bytes([wire.checksum(body)])


async def fru_area(call: Call) -> bytes:
    """Get FRU Inventory Area Info: device 0 only."""
    if call.byte(0):
        raise Refusal(commands.NOT_PRESENT)
    return struct.pack("<HB", len(fru_bytes(call.device.bmc.hardware.facts)), 0)


async def fru_read(call: Call) -> bytes:
    """Read FRU Data."""
    if call.byte(0):
        raise Refusal(commands.NOT_PRESENT)
    call.byte(3)
    offset, count = struct.unpack_from("<HB", call.data, 1)
    data = fru_bytes(call.device.bmc.hardware.facts)[offset : offset + min(count, 64)]
    if not data:
        raise Refusal(commands.OUT_OF_RANGE)
    return bytes([len(data)]) + data


async def lan_parameter(call: Call) -> bytes:
    """Get LAN Configuration Parameters: revision, and the few that tools print."""
    if call.byte(0) & 0x80:
        return b"\x11"
    values = {0: b"\x00", 1: b"\x00", 2: bytes(5), 4: b"\x01", 22: b"\x02", 23: b"\x00\x03\x11"}
    value = values.get(call.byte(1))
    if value is None:
        raise Refusal(commands.PARAMETER_UNKNOWN)
    return b"\x11" + value
