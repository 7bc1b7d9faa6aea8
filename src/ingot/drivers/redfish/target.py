"""From a node's driver_info to the Redfish service it names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ingot.clients.http import trust
from ingot.clients.redfish import service
from ingot.clients.redfish.target import AuthType, Target
from ingot.domain import errors
from ingot.interfaces.context import Context, StepContext

PROPERTIES = {
    "redfish_address": "The URL address to the Redfish controller. Required.",
    "redfish_system_id": "The canonical path to the system resource; needed only where there are several.",
    "redfish_username": "User account with admin/server-profile access privilege.",
    "redfish_password": "User account password.",
    "redfish_verify_ca": "true (default), false, or the path of a CA file or of a folder of them.",
    "redfish_auth_type": "auto (default), session, basic or none.",
    "redfish_tls_minimum_version": "Oldest TLS version to agree to: 1.1, 1.2 or 1.3.",
    "redfish_tls_ciphers": "TLS ciphers to offer, as OpenSSL writes them, with colons between.",
    "firmware_update_unresponsive_bmc_wait": "Means nothing here: ingot waits until a BMC answers again.",
}
_FALSE = {"false", "0", "no", "off"}
_TRUE = {"true", "1", "yes", "on"}


def of(ctx: Context) -> Target:
    """The node's Redfish service. Raises errors.Invalid naming the key that is missing or wrong.

    In a step of a run, what is sent from here on tells of a slow or absent BMC.
    """
    if isinstance(ctx, StepContext):
        journal = ctx.journal

        async def tell(words: str) -> None:
            await journal.report(0, None, words)

        service.teller.set(tell)
    info = ctx.driver_info
    if not info.get("redfish_address"):
        raise errors.Invalid(
            f"Missing required parameter redfish_address in driver_info of node {ctx.node.uuid}",
            hint="Set it: ingot node set NODE driver_info.redfish_address=https://... .",
        )
    kind = str(info.get("redfish_auth_type") or AuthType.AUTO).lower()
    if kind not in set(AuthType):
        raise errors.Invalid(f"redfish_auth_type {kind!r} is not valid.", hint=f"One of: {', '.join(AuthType)}.")
    return Target(
        address=str(info["redfish_address"]).strip(),
        system_id=_system(info),
        username=str(info.get("redfish_username") or ""),
        password=str(info.get("redfish_password") or ""),
        verify_ca=_verify(info),
        auth_type=AuthType(kind),
        tls_minimum=_tls_minimum(info),
        tls_ciphers=str(info["redfish_tls_ciphers"]) if info.get("redfish_tls_ciphers") else None,
    )


def check_ca(target: Target) -> None:
    """Raise errors.Invalid when the CA file that the node names is not on this conductor."""
    if isinstance(target.verify_ca, str) and not Path(target.verify_ca).exists():
        raise errors.Invalid(
            f"redfish_verify_ca names {target.verify_ca}, which does not exist on this conductor",
            hint="Give the path of a CA file (PEM), true or false.",
        )


def _system(info: dict[str, Any]) -> str | None:
    value = info.get("redfish_system_id")
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise errors.Invalid(
            f"redfish_system_id {value!r} is not valid.", hint="A path, for example /redfish/v1/Systems/1."
        )
    return value


def _tls_minimum(info: dict[str, Any]) -> str | None:
    value = info.get("redfish_tls_minimum_version")
    if value is None or value == "":
        return None
    if str(value) not in trust.VERSIONS:
        raise errors.Invalid(
            f"redfish_tls_minimum_version {value!r} is not valid.", hint=f"One of: {', '.join(trust.VERSIONS)}."
        )
    return str(value)


def _verify(info: dict[str, Any]) -> bool | str:
    value = info.get("redfish_verify_ca", True)
    text = str(value).lower()
    if text in _TRUE | _FALSE:
        return text in _TRUE
    return str(value)
