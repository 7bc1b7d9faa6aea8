"""Reading JSON resources whose shape nobody guarantees.

Why: every field of every BMC may be missing, null or of another type, and that must be an absence, not a crash.
May not: do I/O. Invariant: no function here raises.
"""

from __future__ import annotations

from typing import cast
from urllib.parse import urlsplit

Resource = dict[str, object]


def part(resource: Resource, *names: str) -> Resource:
    """The object below ``names``, one inside the other; empty when one of them is none."""
    found = resource
    for name in names:
        value = found.get(name)
        found = cast("Resource", value) if isinstance(value, dict) else {}
    return found


def items(resource: Resource, name: str) -> list[Resource]:
    """The objects of a list."""
    value = resource.get(name)
    found = cast("list[object]", value) if isinstance(value, list) else []
    return [cast("Resource", item) for item in found if isinstance(item, dict)]


def strings(resource: Resource, name: str) -> list[str]:
    """The texts of a list."""
    value = resource.get(name)
    found = cast("list[object]", value) if isinstance(value, list) else []
    return [item for item in found if isinstance(item, str)]


def text(resource: Resource, name: str) -> str | None:
    """A text that is not empty."""
    value = resource.get(name)
    return value if isinstance(value, str) and value else None


def number(resource: Resource, name: str) -> float | None:
    """A number; true and false are none."""
    value = resource.get(name)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def link(resource: Resource, name: str) -> str | None:
    """The path another resource is linked by."""
    return path_in(part(resource, name))


def links(resource: Resource, name: str) -> list[str]:
    """The paths of a list of links."""
    found = (path_in(item) for item in items(resource, name))
    return [path for path in found if path is not None]


def path_in(linked: Resource) -> str | None:
    """Where a link leads, or a resource is."""
    return text(linked, "@odata.id")


def action(resource: Resource, name: str) -> str | None:
    """Where an action ("Bios.ResetBios") is posted to."""
    return text(part(resource, "Actions", f"#{name}"), "target")


def path_on(origin: str, address: str | None) -> str | None:
    """Where an address that a service tells is on that service: for a path, or a URL of ``origin``; None for others."""
    if address and address.startswith(origin + "/"):
        address = address[len(origin) :]
    return address if address and address.startswith("/") and not address.startswith("//") else None


def path_of(address: str) -> str | None:
    """The path in an address that a header tells; None where there is none, or what it tells is no address."""
    try:
        return urlsplit(address).path or None
    except ValueError:
        return None
