"""What BMCs of a maker want differently, as data.

Why: a table can be read, counted and dropped again; conditions spread over the code cannot.
May not: do I/O. Invariant: each flag names its hardware and its source.
"""

from __future__ import annotations

import msgspec


class Quirks(msgspec.Struct, frozen=True):
    """Departures from the standard; all False for a faithful BMC."""

    usb_cd: bool = False  # boots virtual media only from UsbCd, although Cd is on offer
    whole_boot: bool = False  # wants target, duration and mode in every change of Boot


BY_MANUFACTURER = {
    # X11 and X12 show virtual media as a USB drive; booting from "Cd" fails (note in sushy's system.py).
    "supermicro": Quirks(usb_cd=True),
    # AMI MegaRAC, also sold as ASRock Rack, refuses a partial Boot object (drivers list of Ironic).
    "ami": Quirks(whole_boot=True),
    "asrockrack": Quirks(whole_boot=True),
}
NONE = Quirks()


def find(manufacturer: object) -> Quirks:
    """The quirks of a ComputerSystem's ``Manufacturer`` value, of any type; none for an unknown one."""
    if not isinstance(manufacturer, str):
        return NONE
    return BY_MANUFACTURER.get(manufacturer.lower().replace(" ", ""), NONE)
