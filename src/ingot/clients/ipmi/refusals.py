"""What BMCs say against a login, as domain errors: status codes of RMCP+ and RAKP, and silence.

Why: "wrong user" and "wrong password" need different cures, and the BMC often says which it is.
May not: do I/O. Invariant: no message contains a password or key. Source: IPMI 2.0 table 13-15.
"""

from __future__ import annotations

from ingot.clients import let_in
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

CLOSE_OTHERS = "Close other IPMI sessions (a BMC often has only four), or reset the BMC."
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

OTHER_KINDS = {1: "MD2", 5: "a maker's own kind of code"}


class Verdict(Exception):
    """An end of a login whose kind decides what is done next; ``error`` is what a caller is told of it."""

    def __init__(self, error: errors.IngotError) -> None:
        super().__init__(error.message)
        self.error = error


class Again(Verdict):
    """The BMC cannot open a session just now; trying again may help."""


class OtherSuite(Verdict):
    """The BMC does not take the cipher suite we proposed; another may help."""


class UnknownUser(Verdict):
    """The BMC disowns the user, or has locked it out."""


def failure(target: Target, status: int) -> errors.IngotError | Verdict:
    """What a status other than 0 in the session set-up means."""
    text = _text(target, status)
    if status in (TABLE_FULL, TABLE_FULL_AT_ROLE):
        return Again(errors.Unreachable(text, hint=CLOSE_OTHERS))
    if status in STALE_SESSION:
        return Again(errors.Misbehaved(text))
    if status in WRONG_NAME:
        return unknown_user(target)
    if status in WRONG_PRIVILEGE:
        hint = "Raise the user's privilege on the BMC, or set ipmi_priv_level to what it has."
        return errors.AccessDenied(f"{text[:-1]}, asked for {target.privilege.name}.", hint=hint)
    return errors.Misbehaved(text)


def unknown_user(target: Target) -> UnknownUser:
    """The BMC has no such user, or says so of one whom it has locked out."""
    text = f"BMC {target.name} says that it has no IPMI user {target.username!r}."
    return UnknownUser(errors.AccessDenied(text, hint=NO_USER))


def wrong_password(target: Target) -> errors.AccessDenied:
    """The BMC knows the user but its key-exchange code does not match our password."""
    return errors.AccessDenied(
        f"BMC {target.name} does not accept the password of the IPMI user {target.username!r}.",
        hint="Correct ipmi_password in driver_info (some BMCs say this for an unknown user, too).",
    )


def locked_out(target: Target, seconds: float) -> errors.AccessDenied:
    """The BMC disowns a user whom it let in with the same password before, ``seconds`` ago."""
    refused = f"BMC {target.name} says that it has no IPMI user {target.username!r}"
    return let_in.locked_out(refused, seconds, "removed or disabled it")


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


def no_such_suite(target: Target, status: int) -> OtherSuite:
    """The BMC does not know the cipher suite we proposed."""
    return OtherSuite(errors.NotSupported(_text(target, status), hint="Enable cipher suite 17 or 3 on the BMC."))


def silent_about_suite(target: Target, suite: int, seconds: float) -> OtherSuite:
    """The BMC answers, but not to the cipher suite we proposed; some firmware drops what it does not know."""
    text = f"BMC {target.name} answers, but not for {seconds:g} s to the proposal of cipher suite {suite}."
    hint = (
        "Enable cipher suite 17 or 3 and IPMI 2.0 (RMCP+) on the BMC; for one that has IPMI 1.5 alone set driver_info "
        "ipmi_protocol_version to 1.5."
    )
    return OtherSuite(errors.Unreachable(text, hint=hint))


def only_older(target: Target) -> errors.NotSupported:
    """A BMC without RMCP+, of a node that does not ask for less."""
    return errors.NotSupported(
        f"BMC {target.name} speaks only IPMI 1.5.",
        hint="Enable IPMI 2.0 (RMCP+) on the BMC; where it has none, set driver_info ipmi_protocol_version to 1.5.",
    )


def not_older(target: Target, offered: int) -> errors.NotSupported:
    """A BMC without a kind of IPMI 1.5 session that we know; ``offered`` are the bits of those that it has."""
    has = ", ".join(name for bit, name in OTHER_KINDS.items() if offered & 1 << bit)
    if has:
        return errors.NotSupported(
            f"BMC {target.name} offers IPMI 1.5 with {has} alone.", hint="Enable MD5 for IPMI 1.5 on the BMC."
        )
    return errors.NotSupported(
        f"BMC {target.name} offers no IPMI 1.5.",
        hint="Remove ipmi_protocol_version from driver_info: IPMI 2.0 is better, and nearly every BMC has it.",
    )


def weaker(target: Target) -> errors.Misbehaved:
    """IPMI 1.5: the BMC, or somebody on the way, wants the password in clear where MD5 did before."""
    return errors.Misbehaved(
        f"BMC {target.name} let us in with MD5 before, and offers only weaker kinds of IPMI 1.5 now.",
        hint="Find out who changed that, the BMC or somebody on the way; if it is meant, restart the conductor.",
    )


def proof_unanswered(target: Target, seconds: float) -> errors.AccessDenied:
    """IPMI 1.5: a wrong password is met with silence, by which alone it can be told."""
    return errors.AccessDenied(
        f"BMC {target.name} gave no answer for {seconds:g} s to the password of the IPMI user {target.username!r}, "
        "though it answers else: so BMCs of IPMI 1.5 treat a wrong one.",
        hint="Correct ipmi_password in driver_info.",
    )


def table_full(target: Target, code: int) -> Again:
    """IPMI 1.5: no session is free, for anybody, this user or this privilege."""
    text = f"BMC {target.name} refused the IPMI login: no free session (code {code:02X})."
    return Again(errors.Unreachable(text, hint=CLOSE_OTHERS))


def _text(target: Target, status: int) -> str:
    why = MEANINGS.get(status, "unknown reason")
    return f"BMC {target.name} refused the IPMI login: {why} (status {status:02X})."
