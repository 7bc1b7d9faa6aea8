"""From a node's driver_info to the BMC it names, and to the controller behind it."""

from __future__ import annotations

import ipaddress
import re
from typing import Any

from ingot.clients.ipmi.target import BMC_ADDRESS, DEFAULT_PORT, Bridge, Privilege, Target, Version
from ingot.domain import errors
from ingot.interfaces.context import Context

PROPERTIES = {
    "ipmi_address": "IP address or hostname of the BMC. Required.",
    "ipmi_username": "Username; default is the NULL user.",
    "ipmi_password": "Password; default is the empty password.",
    "ipmi_port": "UDP port of the BMC; default 623.",
    "ipmi_priv_level": "Privilege level: ADMINISTRATOR (default), OPERATOR, USER, CALLBACK.",
    "ipmi_protocol_version": 'Version of the protocol: "2.0" (default) or "1.5", which sends commands in clear.',
    "ipmi_cipher_suite": "Cipher suite: 1-3, 6-8, 11, 12 or 15-17; default: 17 where the BMC has it, else 3.",
    "ipmi_hex_kg_key": "Kg key as 40 hex digits.",
    "ipmi_bridging": 'Whether a controller behind the BMC is meant: "no" (default), "single" or "dual".',
    "ipmi_target_channel": "Channel to that controller; required with bridging.",
    "ipmi_target_address": "Bus address of that controller; required with bridging.",
    "ipmi_transit_channel": "Channel to the controller in between; required with dual bridging.",
    "ipmi_transit_address": "Bus address of the controller in between; required with dual bridging.",
    "ipmi_local_address": "The sender's address on the last bus; default 0x20.",
    "ipmi_force_boot_device": "Set a persistent boot device again before each power-on; default false.",
    "ipmi_disable_boot_timeout": "Ask the BMC to keep boot flags longer than 60 s; default true.",
    "ipmi_verify_boot_device": "Read a boot device back after it was set; default true.",
}
_ADDRESS_HINT = "Set it: ingot node set NODE driver_info.ipmi_address=... ."
_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
_NEEDED = {
    "single": ("ipmi_target_channel", "ipmi_target_address"),
    "dual": ("ipmi_target_channel", "ipmi_target_address", "ipmi_transit_channel", "ipmi_transit_address"),
}


def of(ctx: Context) -> Target:
    """The node's BMC. Raises errors.Invalid naming the key that is missing or wrong."""
    info = ctx.driver_info
    address = str(info.get("ipmi_address") or "").strip()
    if not address:
        raise errors.Invalid(
            f"Missing the following IPMI credentials in node {ctx.node.uuid}'s driver_info: ['ipmi_address']",
            hint=_ADDRESS_HINT,
        )
    return Target(
        address=address,
        port=_number(info, "ipmi_port", DEFAULT_PORT),
        username=str(info.get("ipmi_username") or ""),
        password=str(info.get("ipmi_password") or ""),
        privilege=_privilege(info),
        cipher_suite=_number(info, "ipmi_cipher_suite", None),
        kg=_kg(info),
        bridge=_bridge(info),
        version=_version(info),
    )


def check(ctx: Context) -> None:
    """What ``validate`` of every interface does: ``of``, and the address must be one. Opens no connection."""
    address = of(ctx).address
    if not _is_address(address):
        raise errors.Invalid(
            f'Invalid IPMI address "{address}" for node {ctx.node.uuid}. Must be a valid IP address or hostname.',
            hint=_ADDRESS_HINT,
        )


def flag(ctx: Context, key: str, *, default: bool) -> bool:
    """A yes-or-no key of driver_info as people write it. Raises errors.Invalid."""
    value = ctx.driver_info.get(key)
    if value is None or value == "":
        return default
    word = str(value).strip().lower()
    if word in {"true", "t", "1", "on", "yes", "y"}:
        return True
    if word in {"false", "f", "0", "off", "no", "n"}:
        return False
    raise errors.Invalid(f"driver_info {key} must be true or false, not {value!r}.", hint=_set_hint(key))


def _is_address(address: str) -> bool:
    try:
        ipaddress.ip_address(address)
    except ValueError:
        labels = address.removesuffix(".").split(".")
        return len(address) <= 253 and all(_LABEL.fullmatch(label) for label in labels)
    return True


def _version(info: dict[str, Any]) -> Version:
    version = str(info.get("ipmi_protocol_version") or Version.V20)
    try:
        return Version(version)
    except ValueError as error:
        raise errors.Invalid(
            f"Invalid IPMI protocol version {version!r} in driver_info.",
            hint='It can be "2.0", or "1.5" for a BMC that has nothing better.',
        ) from error


def terminal_port(ctx: Context) -> int:
    """The TCP port wanted for the node's console; 0: any. Raises errors.Invalid."""
    port: int = _number(ctx.driver_info, "ipmi_terminal_port", 0)
    if not 0 <= port <= 65535:
        raise errors.Invalid(f"driver_info ipmi_terminal_port must be a port, not {port}.", hint="0 to 65535.")
    return port


def _number(info: dict[str, Any], key: str, default: Any) -> Any:
    value: Any = info.get(key)
    if value is None or value == "":
        return default
    try:
        if isinstance(value, bool | float):
            raise TypeError
        return int(value, 0) if isinstance(value, str) and value.strip().lower().startswith("0x") else int(value)
    except (TypeError, ValueError) as error:
        raise errors.Invalid(
            f"driver_info {key} must be a whole number, not {value!r}.", hint=_set_hint(key)
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
        return bytes.fromhex(str(text).removeprefix("0x"))
    except ValueError as error:
        raise errors.Invalid("driver_info ipmi_hex_kg_key is not hexadecimal.", hint="40 hex digits.") from error


def _bridge(info: dict[str, Any]) -> Bridge | None:
    kind = str(info.get("ipmi_bridging") or "no").lower()
    if kind == "no":
        return None
    if kind not in _NEEDED:
        raise errors.Invalid(f"Invalid value for ipmi_bridging: {kind!r}.", hint='One of: "no", "single", "dual".')
    missing = [key for key in _NEEDED[kind] if info.get(key) in (None, "")]
    if missing:
        raise errors.Invalid(f"{missing} not provided.", hint=f'ipmi_bridging "{kind}" needs them.')
    values = [_number(info, key, None) for key in _NEEDED[kind]]
    transit = (values[2], values[3]) if kind == "dual" else None
    return Bridge(values[0], values[1], transit, _number(info, "ipmi_local_address", BMC_ADDRESS))


def _set_hint(key: str) -> str:
    return f"Correct it: ingot node set NODE driver_info.{key}=... ."
