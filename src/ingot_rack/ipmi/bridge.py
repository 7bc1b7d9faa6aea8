"""Send Message: reaching the controllers behind a BMC over its internal buses.

Why: in blade enclosures and multi-node servers one BMC answers for several others.
May not: know sockets. Invariant: a message without the tracking bit is refused, as a session channel demands
(IPMI 2.0 sections 6.13 and 22.7).
"""

from __future__ import annotations

from ingot_rack.ipmi import commands, session, suites, table, wire

SEND_MESSAGE = (0x06, 0x34)
TRACKED = 0x40
NO_SUCH_ADDRESS = 0x83  # "NAK on write": nobody at this bus address


def behind(device: commands.Device, channel: int, address: int) -> commands.Device | None:
    """The controller at a bus address behind this one, or None."""
    front = device.bmc.satellites.get((channel, address))
    if front is None:
        return None
    known = device.behind.get(front)
    if known is None:
        guid = suites.guid(front.hardware.facts.uuid)
        known = device.behind[front] = commands.Device(front, guid, session.Sessions(front, guid))
    return known


async def answers(device: commands.Device, opened: session.Opened, request: wire.Request) -> list[bytes]:
    """The messages a Send Message is answered with: the receipt, then what the controllers behind say."""
    if opened.privilege < session.PRIVILEGE_USER:
        return [wire.build_response(request, commands.NOT_ALLOWED)]
    if len(request.data) < 8:
        return [wire.build_response(request, commands.SHORT)]
    if request.data[0] & 0xC0 != TRACKED:
        return [wire.build_response(request, commands.INVALID_DATA)]
    address = request.data[1]
    next_one = behind(device, request.data[0] & 0x0F, address)
    if next_one is None:
        return [wire.build_response(request, NO_SUCH_ADDRESS)]
    receipt = wire.build_response(request, commands.OK)
    inner = wire.parse_request(request.data[1:], address)
    if (inner.netfn, inner.command) == SEND_MESSAGE:
        return [receipt, *await answers(next_one, opened, inner)]
    code, data = await table.run(inner.netfn, inner.command, commands.Call(next_one, opened, inner.data))
    return [receipt, wire.build_response(inner, code, data)]
