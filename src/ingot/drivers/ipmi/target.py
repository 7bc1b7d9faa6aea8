"""From a node's driver_info to the BMC it names."""

from __future__ import annotations

from typing import Any

from ingot.clients.ipmi.target import DEFAULT_PORT, Privilege, Target
from ingot.domain import errors
from ingot.interfaces.context import Context

PROPERTIES = {
    "ipmi_address": "IP address or hostname of the BMC. Required.",
    "ipmi_username": "Username; default is the NULL user.",
    "ipmi_password": "Password; default is the empty password.",
    "ipmi_port": "UDP port of the BMC; default 623.",
    "ipmi_priv_level": "Privilege level: ADMINISTRATOR (default), OPERATOR, USER, CALLBACK.",
    "ipmi_cipher_suite": "Cipher suite 3 or 17; default: 17 where the BMC has it, else 3.",
    "ipmi_hex_kg_key": "Kg key as 40 hex digits.",
    "ipmi_disable_boot_timeout": "Ask the BMC to keep boot flags longer than 60 s; default true.",
}


def of(ctx: Context) -> Target:
    """The node's BMC. Raises errors.Invalid naming the key that is missing or wrong."""
    info = ctx.driver_info
    address = info.get("ipmi_address")
    if not address:
        raise errors.Invalid(
            f"Missing the following IPMI credentials in node {ctx.node.uuid}'s driver_info: ['ipmi_address']",
            hint="Set it: baremetal node set --driver-info ipmi_address=... .",
        )
    return Target(
        address=str(address).strip(),
        port=_number(info, "ipmi_port", DEFAULT_PORT),
        username=str(info.get("ipmi_username") or ""),
        password=str(info.get("ipmi_password") or ""),
        privilege=_privilege(info),
        cipher_suite=_number(info, "ipmi_cipher_suite", None),
        kg=_kg(info),
    )


def _number(info: dict[str, Any], key: str, default: Any) -> Any:
    value: Any = info.get(key)
    if value is None or value == "":
        return default
    try:
        if isinstance(value, bool | float):
            raise TypeError
        return int(value)
    except (TypeError, ValueError) as error:
        raise errors.Invalid(
            f"driver_info {key} must be a whole number, not {value!r}.",
            hint=f"Correct it: baremetal node set --driver-info {key}=... .",
        ) from error


def _privilege(info: dict[str, Any]) -> Privilege:
    name = str(info.get("ipmi_priv_level") or "ADMINISTRATOR")
    try:
        return Privilege[name.upper()]
    except KeyError as error:
        names = ", ".join(level.name for level in Privilege)
        raise errors.Invalid(f"Invalid privilege level {name!r} in driver_info.", hint=f"One of: {names}.") from error


def _kg(info: dict[str, Any]) -> bytes | None:
    text = info.get("ipmi_hex_kg_key")
    if not text:
        return None
    try:
        return bytes.fromhex(str(text))
    except ValueError as error:
        raise errors.Invalid("driver_info ipmi_hex_kg_key is not hexadecimal.", hint="40 hex digits.") from error
