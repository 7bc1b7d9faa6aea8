"""Completion codes: what a BMC says about a command, as domain errors.

Why: one table decides what is retried, refused or reported. May not: do I/O.
Invariant: code 0x00 is the only success. Source: IPMI 2.0 table 5-2.
"""

from __future__ import annotations

from ingot.domain import errors

SUCCESS = 0x00
BUSY = frozenset({0xC0, 0xC3, 0xC4, 0xCF, 0xD2})  # the same request may work a moment later
BUSY_DEADLINE = 20.0  # how long it is asked again

MEANINGS = {
    0xC0: "the BMC is busy",
    0xC1: "the BMC does not know this command",
    0xC2: "the command is not valid for this LUN",
    0xC3: "the BMC timed out inside",
    0xC4: "the BMC is out of space",
    0xC5: "the reservation was cancelled",
    0xC6: "the request data was cut off",
    0xC7: "the request data has the wrong length",
    0xC8: "the request data is too long",
    0xC9: "a parameter is out of range",
    0xCA: "the BMC cannot return that many bytes",
    0xCB: "the sensor, data or record is not present",
    0xCC: "the BMC calls a data field invalid",
    0xCD: "the command is illegal for this sensor or record",
    0xCE: "the BMC could not give an answer",
    0xCF: "the BMC saw a duplicate request",
    0xD0: "the SDR repository is being updated",
    0xD1: "the BMC is in firmware update mode",
    0xD2: "the BMC is starting",
    0xD3: "the destination is not available",
    0xD4: "the privilege level is too low for this command, or the firmware firewall forbids it",
    0xD5: "the command is not possible in the present state",
    0xD6: "the sub-function is disabled",
    0xFF: "unspecified error",
}
NO_WAY = {
    0x80: "invalid session handle",
    0x81: "lost arbitration on the bus",
    0x82: "a bus error",
    0x83: "nobody answers at that bus address",
}
NOT_ALLOWED = 0xD4
UNSUPPORTED = frozenset({0xC1, 0xC2, 0xD6})
ABSENT = frozenset({0xC1, 0xCB, 0xCD, 0xD5})  # no such command, record or sensor, or not at present


def meaning(code: int) -> str:
    """A completion code in words."""
    return MEANINGS.get(code, "a code of this command's own or of the vendor")


def failure(name: str, netfn: int, command: int, code: int) -> errors.IngotError:
    """The error for an unsuccessful completion code from the BMC called ``name``."""
    if code in BUSY:
        text = f"BMC {name} stayed busy for {BUSY_DEADLINE:g} s (code {code:02X}: {meaning(code)})."
        return errors.TimedOut(text, hint="Wait, or reset the BMC.")
    text = f"BMC {name} refused IPMI command {netfn:02X}/{command:02X} with code {code:02X}: {meaning(code)}."
    if code in UNSUPPORTED:
        return errors.NotSupported(text)
    if code == NOT_ALLOWED:
        return errors.AccessDenied(text, hint="Give the IPMI user the administrator privilege on the BMC.")
    return errors.Misbehaved(text)


def no_way(name: str, code: int) -> errors.IngotError:
    """The error for a BMC that cannot pass a command on to a controller behind it (sections 22.7)."""
    why = NO_WAY.get(code) or meaning(code)
    text = f"BMC {name} cannot be reached: the one in front of it says {code:02X}, {why}."
    return errors.Unreachable(text, hint="Check ipmi_target_channel, ipmi_target_address and the transit ones.")
