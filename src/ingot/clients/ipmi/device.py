"""What a BMC says it is, and restarting the BMC itself.

Why: verify shows the maker and firmware; quirks are picked by manufacturer id.
May not: act on the machine behind the BMC. Invariant: one call is one command. Source: IPMI 2.0 section 20.
"""

from __future__ import annotations

import msgspec

from ingot.clients.ipmi.client import IpmiPool
from ingot.clients.ipmi.target import Target
from ingot.domain import errors

NETFN = 0x06
GET_DEVICE_ID = 0x01
COLD_RESET = 0x02
WARM_RESET = 0x03


class DeviceId(msgspec.Struct, frozen=True):
    """Answer of Get Device ID; ``manufacturer`` is an IANA enterprise number, ``firmware`` like "2.41"."""

    device: int
    firmware: str
    ipmi_version: str
    manufacturer: int
    product: int


async def id(pool: IpmiPool, target: Target) -> DeviceId:
    """The BMC's identity. Raises what ``IpmiPool.command`` raises."""
    answer = await pool.command(target, NETFN, GET_DEVICE_ID)
    if len(answer) < 11:
        raise errors.Misbehaved(f"BMC {target.name} sent a device id of {len(answer)} bytes instead of 11 or more.")
    return DeviceId(
        device=answer[0],
        firmware=f"{answer[2] & 0x7F}.{answer[3]:02x}",  # the minor number is binary-coded decimal
        ipmi_version=f"{answer[4] & 0x0F}.{answer[4] >> 4}",
        manufacturer=int.from_bytes(answer[6:9], "little") & 0xFFFFF,
        product=int.from_bytes(answer[9:11], "little"),
    )


async def reset(pool: IpmiPool, target: Target, *, warm: bool) -> None:
    """Restart the BMC; it is silent for a minute or more afterwards, and may not even answer this."""
    await pool.tell(target, NETFN, WARM_RESET if warm else COLD_RESET)
