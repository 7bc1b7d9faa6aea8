"""The two discovery documents, ``/`` and ``/v1``. Clients learn the microversion range here.

Invariant: a link to a resource is shown from the microversion on that knows it.
"""

from __future__ import annotations

from typing import Any

from ingot.api import query, spec, versions, wire
from ingot.deps import Deps
from ingot.domain import errors

_RESOURCES: tuple[tuple[str, int], ...] = (
    # link name, first microversion
    ("chassis", 1),
    ("nodes", 1),
    ("ports", 1),
    ("drivers", 1),
    ("lookup", 22),
    ("heartbeat", 22),
    ("portgroups", 23),
    ("volume", 32),
    ("conductors", 49),
    ("allocations", 52),
    ("events", 54),
    ("deploy_templates", 55),
    ("shards", 82),
    ("continue_inspection", 84),
    ("runbooks", 92),
    ("inspection_rules", 96),
)


_DESCRIBED = {
    # Double slashes as Ironic sends them.
    "href": "https://docs.openstack.org//ironic/latest/contributor//webapi.html",
    "rel": "describedby",
    "type": "text/html",
}
_LINKS = list[dict[str, str]]
_VERSION = dict[str, str | _LINKS]
_ROOT = spec.fields(name=str, description=str, default_version=_VERSION, versions=list[_VERSION])
_V1 = spec.of(dict[str, str | dict[str, Any] | list[dict[str, Any]]])


def _version(request: wire.Request) -> dict[str, Any]:
    return {
        "id": "v1",
        "links": [{"href": f"{request.href('v1')}/", "rel": "self"}],
        "status": "CURRENT",
        "min_version": f"1.{versions.MIN}",
        "version": f"1.{versions.MAX}",
    }


@spec.tells("Which versions of the API there are", answer=_ROOT)
async def index(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /: which versions there are."""
    query.Query(request)
    version = _version(request)
    return wire.ok(
        {
            "name": "OpenStack Ironic API",
            "description": "ingot provides and manages bare-metal machines through Ironic's API.",
            "default_version": version,
            "versions": [version],
        }
    )


@spec.tells("Which resources version 1 has, as links", answer=_V1)
async def show(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /v1: which resources there are."""
    query.Query(request)
    base = request.href("v1")
    found: dict[str, Any] = {
        "id": "v1",
        "links": [{"href": f"{base}/", "rel": "self"}, _DESCRIBED],
        "media_types": {"base": "application/json", "type": "application/vnd.openstack.ironic.v1+json"},
        "version": _version(request),
    }
    for name, first in _RESOURCES:
        if request.version >= first:
            found[name] = [
                {"href": f"{base}/{name}/", "rel": "self"},
                {"href": f"{request.href(name)}/", "rel": "bookmark"},
            ]
    return wire.ok(found)


@spec.tells(
    "Refused: what is listed here is made, shown and changed at its own address",
    400,
    body=spec.anything("Not read"),
)
async def malformed(deps: Deps, request: wire.Request) -> wire.Answer:
    """What is listed below another resource is made, shown and changed at its own address alone."""
    query.Query(request)
    raise errors.Invalid("Malformed request URI.", hint="Use the resource's own address, such as /v1/ports.")
