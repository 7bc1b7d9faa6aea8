"""What Redfish offers beyond all contracts: event subscriptions, and ejecting media by the older name.

Source of names, HTTP methods and defaults: the vendor passthru methods of Ironic's redfish driver.
"""

from __future__ import annotations

from typing import Any, ClassVar, cast
from urllib.parse import urlsplit

from ingot.clients.redfish import events, media
from ingot.domain import errors
from ingot.drivers.redfish import target
from ingot.interfaces.context import Context
from ingot.interfaces.hardware import VendorInterface, VendorMethod

_MEDIA = {"cd": media.Kind.CD, "dvd": media.Kind.DVD, "usb": media.Kind.USB, "floppy": media.Kind.FLOPPY}


class RedfishVendor(VendorInterface):
    """The five methods of Ironic's redfish vendor interface."""

    methods: ClassVar[dict[str, VendorMethod]] = {
        "create_subscription": VendorMethod(
            description="Have the BMC send its events. Required: Destination, a URL. Optional: Protocol, Context, "
            "EventTypes, HttpHeaders."
        ),
        "delete_subscription": VendorMethod(
            description="End a subscription. Required: id, as the BMC numbers it.", http_methods=("DELETE",)
        ),
        "get_subscription": VendorMethod(
            description="Show a subscription. Required: id, as the BMC numbers it.", http_methods=("GET",)
        ),
        "get_all_subscriptions": VendorMethod(description="List the BMC's subscriptions.", http_methods=("GET",)),
        "eject_vmedia": VendorMethod(
            description="Empty the virtual drives. Optional: boot_device, one of cd, dvd, usb, floppy; else all.",
            waits=False,
        ),
    }

    def properties(self) -> dict[str, str]:
        """The keys of a Redfish service."""
        return target.PROPERTIES

    async def validate(self, ctx: Context) -> None:
        """The service must be described, and a CA file that is named must be here."""
        target.check_ca(target.of(ctx))

    async def call(self, ctx: Context, method: str, body: dict[str, Any]) -> Any:
        """What the service answers; None for what only acts."""
        pool, service = ctx.kit.redfish, target.of(ctx)
        match method:
            case "create_subscription":
                return await events.create(pool, service, _subscription(body))
            case "delete_subscription":
                return await events.delete(pool, service, _ident(body))
            case "get_subscription":
                return await events.get(pool, service, _ident(body))
            case "get_all_subscriptions":
                return await events.list_all(pool, service)
            case "eject_vmedia":
                return await media.eject(pool, service, _kinds(body))
            case _:
                known = ", ".join(self.methods)
                raise errors.Invalid(f'There is no vendor method "{method}"', hint=f"Methods: {known}.")


def _ident(body: dict[str, Any]) -> str:
    if not body.get("id"):
        raise errors.Invalid("id can't be None", hint="Give the id as get_all_subscriptions shows it.")
    return str(body["id"])


def _kinds(body: dict[str, Any]) -> tuple[media.Kind, ...]:
    wanted = body.get("boot_device")
    if not wanted:
        return tuple(media.Kind)
    if str(wanted).lower() not in _MEDIA:
        raise errors.Invalid(f"Boot device {wanted} is not a valid value", hint=f"One of: {', '.join(_MEDIA)}.")
    return (_MEDIA[str(wanted).lower()],)


def _subscription(body: dict[str, Any]) -> dict[str, object]:
    """The subscription a body asks for, with the defaults. Raises errors.Invalid."""
    wanted: dict[str, Any] = {"Protocol": "Redfish", "Context": "", "EventTypes": ["Alert"], **body}
    parts = urlsplit(str(wanted.get("Destination") or ""))
    if not parts.scheme or not parts.hostname:
        raise errors.Invalid(f"Destination {wanted.get('Destination')} is not a valid URI")
    for name in ("Protocol", "Context"):
        if not isinstance(wanted[name], str):
            raise errors.Invalid(f"{name} {wanted[name]} is not a string")
    types: Any = wanted["EventTypes"]
    if not isinstance(types, list) or not all(isinstance(one, str) for one in cast("list[Any]", types)):
        raise errors.Invalid(f"EventTypes {wanted['EventTypes']} is not a valid value")
    if not isinstance(wanted.get("HttpHeaders", []), list):
        raise errors.Invalid(f"HttpHeaders {wanted['HttpHeaders']} is not a list of headers")
    names = ("Destination", "Protocol", "Context", "EventTypes", "HttpHeaders")
    return {name: wanted[name] for name in names if wanted.get(name) not in (None, [])}
