"""RMCP+ and RAKP status codes as domain errors.

Why: "wrong user" and "wrong password" need different cures, and the BMC often says which it is.
May not: do I/O. Invariant: no message contains a password or key. Source: IPMI 2.0 table 13-15.
"""

from __future__ import annotations

from ingot.clients.ipmi import completion
from ingot.clients.ipmi.target import Target
from ingot.domain import errors

TABLE_FULL = 0x01
TABLE_FULL_AT_ROLE = 0x0B
INVALID_INTEGRITY_CHECK = 0x0F
NO_SUCH_SUITE = frozenset({0x04, 0x05, 0x06, 0x07, 0x10, 0x11})
WRONG_PRIVILEGE = frozenset({0x09, 0x0A})
WRONG_NAME = frozenset({0x0C, 0x0D})
# 0x0F after RAKP 3: the BMC has proved in RAKP 2 that it knows our password, so it has lost count, for
# example by answering a repeated RAKP 1 with a new random number.
STALE_SESSION = frozenset({0x02, 0x08, INVALID_INTEGRITY_CHECK})

OTHER_SUITE = "Enable cipher suite 17 or 3 on the BMC."
NO_USER = (
    "Check ipmi_username, and that this user is enabled for IPMI over LAN on the BMC; many BMCs say this of a user "
    "they have locked out after wrong passwords, too, for some minutes."
)

MEANINGS = {
    0x01: "no free session",
    0x02: "invalid session id",
    0x03: "invalid payload type",
    0x04: "invalid authentication algorithm",
    0x05: "invalid integrity algorithm",
    0x06: "no matching authentication payload",
    0x07: "no matching integrity payload",
    0x08: "inactive session id",
    0x09: "invalid role",
    0x0A: "privilege level not allowed",
    0x0B: "no free session at this privilege level",
    0x0C: "invalid name length",
    0x0D: "unknown user name",
    0x0E: "unknown GUID",
    0x0F: "invalid integrity check value",
    0x10: "invalid encryption algorithm",
    0x11: "no such cipher suite",
    0x12: "illegal parameter",
}


class Again(Exception):
    """The BMC cannot open a session just now; ``error`` says why, for when trying again does not help."""

    def __init__(self, error: errors.IngotError) -> None:
        super().__init__(error.message)
        self.error = error


def failure(target: Target, status: int) -> errors.IngotError | Again:
    """What a status other than 0 in the session set-up means."""
    text = _text(target, status)
    if status in (TABLE_FULL, TABLE_FULL_AT_ROLE):
        hint = "Close other IPMI sessions (a BMC often has only four), or reset the BMC."
        return Again(errors.Unreachable(text, hint=hint))
    if status in STALE_SESSION:
        return Again(errors.Misbehaved(text))
    if status in WRONG_NAME:
        return errors.AccessDenied(
            f"BMC {target.name} says that it has no IPMI user {target.username!r}.", hint=NO_USER
        )
    if status in WRONG_PRIVILEGE:
        hint = "Raise the user's privilege on the BMC, or set ipmi_priv_level to what it has."
        return errors.AccessDenied(f"{text[:-1]}, asked for {target.privilege.name}.", hint=hint)
    return errors.Misbehaved(text)


def wrong_password(target: Target) -> errors.AccessDenied:
    """The BMC knows the user but its key-exchange code does not match our password."""
    return errors.AccessDenied(
        f"BMC {target.name} does not accept the password of the IPMI user {target.username!r}.",
        hint="Correct ipmi_password in driver_info (some BMCs say this for an unknown user, too).",
    )


def locked_out(target: Target, seconds: float) -> errors.AccessDenied:
    """The BMC disowns a user whom it let in with the same password before, ``seconds`` ago."""
    return errors.AccessDenied(
        f"BMC {target.name} says that it has no IPMI user {target.username!r}, whom it let in {seconds:.0f} s ago: it "
        "has locked the account, or somebody has removed or disabled it.",
        hint="Wait until the lock ends, some minutes after the last wrong password, and look for who sends them.",
    )


def too_slow(target: Target, seconds: float, patience: float) -> errors.TimedOut:
    """The BMC answered, but long after it could be of use."""
    return errors.TimedOut(
        f"BMC {target.name} is too slow: its answer took {seconds:.0f} s, and after {patience:g} s it counts as lost.",
        hint="Restart the BMC, end other programs that ask it, and look at its network.",
    )


def silent_about_user(target: Target, seconds: float) -> errors.Unreachable:
    """The BMC never answered to the user name; some firmware does so for unknown users."""
    return errors.Unreachable(
        f"BMC {target.name} gave no answer for {seconds:g} s to the IPMI user name {target.username!r}.",
        hint="Check ipmi_username: some BMCs do not answer to a user they do not know.",
    )


def wrong_kg(target: Target) -> errors.AccessDenied:
    """The password is right but the session keys differ: the Kg key."""
    given = "differs from" if target.kg else "is missing here but set on"
    return errors.AccessDenied(f"The Kg key {given} BMC {target.name}.", hint="Correct ipmi_hex_kg_key in driver_info.")


def privilege_refused(target: Target, code: int) -> errors.AccessDenied:
    """Set Session Privilege Level failed with a completion code."""
    return errors.AccessDenied(
        f"BMC {target.name} refuses the privilege {target.privilege.name} to the IPMI user "
        f"{target.username!r} (code {code:02X}: {completion.meaning(code)}).",
        hint="Raise the user's privilege on the BMC, or set ipmi_priv_level to what it has.",
    )


def no_such_suite(target: Target, status: int) -> errors.NotSupported:
    """The BMC does not know the cipher suite we proposed."""
    return errors.NotSupported(_text(target, status), hint=OTHER_SUITE)


def _text(target: Target, status: int) -> str:
    why = MEANINGS.get(status, "unknown reason")
    return f"BMC {target.name} refused the IPMI login: {why} (status {status:02X})."
