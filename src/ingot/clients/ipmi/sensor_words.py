"""Words for the numbers in sensor records and event records.

Why: kinds, units, entities and states are numbers on the wire; people read words. May not: decide anything.
Invariant: an unknown number has a word, too. Source: IPMI 2.0 tables 42-2, 42-3, 43-13, 43-15.
"""

from __future__ import annotations

THRESHOLD, SPECIFIC = 0x01, 0x6F
_OEM_KIND, _OEM_ENTITY = 0xC0, 0xD0

KINDS = (
    "Reserved", "Temperature", "Voltage", "Current", "Fan", "Physical Security", "Platform Security", "Processor",
    "Power Supply", "Power Unit", "Cooling Device", "Other", "Memory", "Drive Slot", "POST Memory Resize",
    "System Firmware", "Event Logging", "Watchdog 1", "System Event", "Critical Interrupt", "Button", "Module",
    "Microcontroller", "Add-in Card", "Chassis", "Chip Set", "Other FRU", "Cable", "Terminator", "System Boot",
    "Boot Error", "OS Boot", "OS Stop", "Slot", "ACPI Power State", "Watchdog 2", "Platform Alert", "Entity Presence",
    "Monitor ASIC", "LAN", "Subsystem Health", "Battery", "Session Audit", "Version Change", "FRU State",
)  # fmt: skip

UNITS = (
    "", "degrees C", "degrees F", "degrees K", "Volts", "Amps", "Watts", "Joules", "Coulombs", "VA", "Nits", "lumen",
    "lux", "Candela", "kPa", "PSI", "Newton", "CFM", "RPM", "Hz", "microsecond", "millisecond", "second", "minute",
    "hour", "day", "week", "mil", "inches", "feet", "cu in", "cu feet", "mm", "cm", "m", "cu cm", "cu m", "liters",
    "fluid ounce", "radians", "steradians", "revolutions", "cycles", "gravities", "ounce", "pound", "ft-lb", "oz-in",
    "gauss", "gilberts", "henry", "millihenry", "farad", "microfarad", "ohms", "siemens", "mole", "becquerel", "PPM",
    "", "Decibels", "DbA", "DbC", "gray", "sievert", "color temp deg K", "bit", "kilobit", "megabit", "gigabit",
    "byte", "kilobyte", "megabyte", "gigabyte", "word", "dword", "qword", "line", "hit", "miss", "retry", "reset",
    "overrun", "underrun", "collision", "packets", "messages", "characters", "error", "correctable error",
    "uncorrectable error", "fatal error", "grams",
)  # fmt: skip

RATES = ("", "microsecond", "millisecond", "second", "minute", "hour", "day", "")

ENTITIES = (
    "Unspecified", "Other", "Unknown", "Processor", "Disk or Disk Bay", "Peripheral Bay", "System Management Module",
    "System Board", "Memory Module", "Processor Module", "Power Supply", "Add-in Card", "Front Panel Board",
    "Back Panel Board", "Power System Board", "Drive Backplane", "System Expansion Board", "Other System Board",
    "Processor Board", "Power Unit", "Power Module", "Power Management Board", "Chassis Back Panel Board",
    "System Chassis", "Sub-Chassis", "Other Chassis Board", "Disk Drive Bay", "Peripheral Bay", "Device Bay",
    "Fan Device", "Cooling Unit", "Cable/Interconnect", "Memory Device", "System Management Software",
    "System Firmware", "Operating System", "System Bus", "Group", "Remote Management Device", "External Environment",
    "Battery", "Processing Blade", "Connectivity Switch", "Processor/Memory Module", "I/O Module",
    "Processor/IO Module", "Management Controller Firmware", "IPMI Channel", "PCI Bus", "PCI Express Bus", "SCSI Bus",
    "SATA/SAS Bus", "Processor/Front-Side Bus", "Real Time Clock", "", "Air Inlet",
)  # fmt: skip

_GENERIC = {
    0x01: ("below the lower non-critical limit", "above the lower non-critical limit",
           "below the lower critical limit", "above the lower critical limit",
           "below the lower non-recoverable limit", "above the lower non-recoverable limit",
           "below the upper non-critical limit", "above the upper non-critical limit",
           "below the upper critical limit", "above the upper critical limit",
           "below the upper non-recoverable limit", "above the upper non-recoverable limit"),
    0x02: ("idle", "active", "busy"),
    0x03: ("state deasserted", "state asserted"),
    0x04: ("predictive failure deasserted", "predictive failure asserted"),
    0x05: ("limit not exceeded", "limit exceeded"),
    0x06: ("performance met", "performance lags"),
    0x07: ("OK", "non-critical, from OK", "critical, from less severe", "non-recoverable, from less severe",
           "non-critical, from more severe", "critical, from non-recoverable", "non-recoverable", "monitor",
           "informational"),
    0x08: ("device absent", "device present"),
    0x09: ("device disabled", "device enabled"),
    0x0A: ("running", "in test", "power off", "on line", "off line", "off duty", "degraded", "power save",
           "install error"),
    0x0B: ("fully redundant", "redundancy lost", "redundancy degraded", "non-redundant, sufficient, from redundant",
           "non-redundant, sufficient, from insufficient", "non-redundant, insufficient",
           "redundancy degraded from full", "redundancy degraded from none"),
    0x0C: ("D0", "D1", "D2", "D3"),
}  # fmt: skip

_SPECIFIC = {
    0x05: ("chassis intrusion", "drive bay intrusion", "I/O card area intrusion", "processor area intrusion",
           "unplugged from LAN", "unauthorised dock", "fan area intrusion"),
    0x06: ("secure mode violation", "user password violation", "setup password violation",
           "network boot password violation", "other password violation", "out-of-band password violation"),
    0x07: ("internal error", "thermal trip", "built-in self test failed", "hang in POST", "initialisation failed",
           "configuration error", "SMBIOS uncorrectable error", "present", "disabled", "terminator present",
           "throttled", "uncorrectable machine check", "correctable machine check"),
    0x08: ("present", "failure", "predictive failure", "input lost", "input lost or out of range",
           "input out of range", "configuration error", "inactive"),
    0x09: ("power off", "power cycle", "240 VA power down", "interlock power down", "AC lost",
           "soft power control failed", "failure", "predictive failure"),
    0x0C: ("correctable error", "uncorrectable error", "parity error", "scrub failed", "device disabled",
           "correctable error limit reached", "present", "configuration error", "spare", "throttled",
           "critical overtemperature"),
    0x0D: ("present", "fault", "predictive failure", "hot spare", "consistency check", "in critical array",
           "in failed array", "rebuilding", "rebuild aborted"),
    0x0F: ("POST error", "firmware hang", "firmware progress"),
    0x10: ("correctable memory error logging disabled", "event type logging disabled", "log cleared",
           "all logging disabled", "log full", "log almost full", "correctable machine check logging disabled"),
    0x12: ("system reconfigured", "OEM system boot event", "undetermined hardware failure", "auxiliary log entry",
           "platform event action", "clock synchronised"),
    0x13: ("front panel NMI", "bus timeout", "I/O channel check", "software NMI", "PCI parity error",
           "PCI system error", "EISA fail safe timeout", "bus correctable error", "bus uncorrectable error",
           "fatal NMI", "bus fatal error", "bus degraded"),
    0x14: ("power button", "sleep button", "reset button", "latch open", "service request"),
    0x19: ("soft power control failure", "thermal trip"),
    0x1B: ("connected", "configuration error"),
    0x1D: ("power up", "hard reset", "warm reset", "PXE boot asked for", "boot to diagnostic", "OS hard reset",
           "OS warm reset", "restart"),
    0x1E: ("no bootable media", "no boot diskette", "PXE server not found", "invalid boot sector",
           "boot selection timed out"),
    0x1F: ("booted from A:", "booted from C:", "booted from PXE", "booted diagnostic", "booted from CD",
           "booted from ROM", "boot completed"),
    0x20: ("critical stop during load", "run-time critical stop", "graceful stop", "graceful shutdown", "soft shutdown",
           "agent not responding"),
    0x21: ("fault", "identify", "device installed", "ready for installation", "ready for removal", "power off",
           "removal request", "interlock", "disabled", "holds spare"),
    0x22: ("S0 working", "S1", "S2", "S3", "S4", "S5 soft off", "S4 or S5", "G3 mechanical off", "sleeping",
           "G1 sleeping", "S5 by override", "legacy on", "legacy off", "", "unknown"),
    0x23: ("timer expired", "hard reset", "power down", "power cycle", "", "", "", "", "timer interrupt"),
    0x25: ("present", "absent", "disabled"),
    0x27: ("heartbeat lost", "heartbeat"),
    0x28: ("sensor access degraded", "controller access degraded", "controller off line", "controller unavailable",
           "sensor failure", "FRU failure"),
    0x29: ("low", "failed", "present"),
    0x2A: ("session activated", "session deactivated", "invalid user name or password", "account disabled"),
    0x2B: ("hardware change", "firmware change", "hardware incompatible", "firmware incompatible",
           "unsupported hardware", "unsupported firmware", "hardware change succeeded", "firmware change succeeded"),
    0x2C: ("not installed", "inactive", "activation requested", "activating", "active", "deactivation requested",
           "deactivating", "communication lost"),
}  # fmt: skip


def kind(number: int) -> str:
    """A sensor's kind, as "Power Supply"."""
    if number < len(KINDS):
        return KINDS[number]
    return f"OEM {number:#04x}" if number >= _OEM_KIND else f"Unknown {number:#04x}"


def entity(number: int) -> str:
    """What a sensor is on, as "Processor"."""
    if number < len(ENTITIES) and ENTITIES[number]:
        return ENTITIES[number]
    return f"OEM {number:#04x}" if number >= _OEM_ENTITY else f"Unknown {number:#04x}"


def unit(first: int, base: int, modifier: int) -> str:
    """The unit that three bytes of a record name, as "liters per minute" or "percent"."""
    name = UNITS[base] if base < len(UNITS) else f"unit {base}"
    more = UNITS[modifier] if modifier < len(UNITS) else f"unit {modifier}"
    match first >> 1 & 3:
        case 1:
            name = f"{name} per {more}"
        case 2:
            name = f"{name} {more}"
        case _:
            pass
    if rate := RATES[first >> 3 & 7]:
        name = f"{name} per {rate}"
    return f"percent {name}".strip() if first & 1 else name


def state(event: int, sensor_kind: int, offset: int) -> str:
    """What bit ``offset`` of a discrete sensor, or of an event, means; ``event`` is the event/reading type."""
    words = _SPECIFIC.get(sensor_kind, ()) if event == SPECIFIC else _GENERIC.get(event, ())
    return (words[offset] if offset < len(words) else "") or f"state {offset}"
