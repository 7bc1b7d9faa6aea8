"""``/v1/drivers``: the hardware types of this installation, told from their manifests.

May not: import a driver. Invariant: what is listed here can be set as a node's driver.
"""

from __future__ import annotations

from typing import Any

from ingot.api import query, spec, versions, wire
from ingot.deps import Deps
from ingot.domain import errors, node

_KINDS_SINCE = {"storage": 33, "rescue": 38, "bios": 40, "firmware": 86}
_DYNAMIC = 30


@spec.tells("The hardware types of this installation", answer=spec.fields(drivers=list[dict[str, Any]]))
async def index(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /v1/drivers."""
    asked = query.Query(request, "type", "detail", "fields")
    fields, detail = _fields(asked, request.version), asked.flag("detail")
    if fields and detail:
        raise errors.Invalid("Can not specify ?detail=True and fields in the same request.")
    if detail is not None:
        versions.require(request.version, _DYNAMIC)
    versions.require_filters("driver", asked.names(), request.version)
    kind = asked.text("type")
    if kind not in {None, "classic", "dynamic"}:
        raise errors.Invalid(
            '"type" filter must be one of "classic" or "dynamic", if specified.', hint="Correct or leave it out."
        )
    names = () if kind == "classic" else deps.registry.enabled
    hosts = await _hosts(deps)
    shown = [_shown(deps, request, name, hosts, bool(detail or fields)) for name in names]
    return wire.ok({"drivers": [_pick(one, fields) for one in shown]})


@spec.tells("Show one hardware type", answer=spec.of(dict[str, Any]))
async def show(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /v1/drivers/{driver}."""
    asked = query.Query(request, "fields")
    fields = _fields(asked, request.version)
    versions.require_filters("driver", asked.names(), request.version)
    name = known(deps, request)
    body = _shown(deps, request, name, await _hosts(deps), request.version >= _DYNAMIC)
    return wire.ok(_pick(body, fields))


@spec.tells("The keys of driver_info that a hardware type knows", answer=spec.of(dict[str, str]))
async def properties(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /v1/drivers/{driver}/properties."""
    query.Query(request)
    manifest = deps.registry.driver(known(deps, request))
    return wire.ok(
        {entry.name: entry.summary + (" Required." if entry.required else "") for entry in manifest.driver_info}
    )


@spec.tells("The keys by which a RAID volume is described", answer=spec.of(dict[str, str]))
async def raid_properties(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /v1/drivers/{driver}/raid/logical_disk_properties."""
    query.Query(request)
    return wire.ok(await deps.bus.call("raid_properties", driver=known(deps, request)))


def known(deps: Deps, request: wire.Request) -> str:
    """The driver of the path. Raises errors.NotFound."""
    name = request.args["driver"]
    if name not in deps.registry.enabled:
        raise errors.NotFound(
            f"Could not find the following driver(s) or hardware type(s): {name}.",
            hint=f"Drivers here: {', '.join(deps.registry.enabled)}.",
        )
    return name


async def _hosts(deps: Deps) -> list[str]:
    """The live conductors; before any has joined, the one of this host."""
    return list((await deps.members.ring()).hostnames) or [deps.hostname]


def _shown(deps: Deps, request: wire.Request, name: str, hosts: list[str], detail: bool) -> dict[str, Any]:
    body: dict[str, Any] = {
        "name": name,
        "hosts": hosts,
        "links": request.links("drivers", name),
    }
    if request.version >= 14:
        body["properties"] = request.links("drivers", name, "properties")
    if request.version >= _DYNAMIC:
        body["type"] = "dynamic"
    if detail:
        for kind in node.INTERFACES:
            if request.version >= _KINDS_SINCE.get(kind, _DYNAMIC):
                choices = deps.registry.names(name, kind)
                default, enabled = _of_kind(kind)
                body |= {default: choices[0], enabled: list(choices)}
    return body


def _fields(asked: query.Query, version: int) -> tuple[str, ...] | None:
    """The argument ``fields``, judged even where there is no driver to show. Raises errors.Invalid."""
    given = asked.words("fields")
    if given is None or version < versions.filters_since("driver")["fields"]:
        return given
    kinds = [kind for kind in node.INTERFACES if version >= _KINDS_SINCE.get(kind, _DYNAMIC)]
    known = [*versions.fields("driver", version), *(name for kind in kinds for name in _of_kind(kind))]
    if wrong := [name for name in given if name not in known]:
        raise errors.Invalid(f'Field(s) "{", ".join(wrong)}" are not valid', hint=f"There are: {', '.join(known)}.")
    return given


def _of_kind(kind: str) -> tuple[str, str]:
    return f"default_{kind}_interface", f"enabled_{kind}_interfaces"


def _pick(body: dict[str, Any], fields: tuple[str, ...] | None) -> dict[str, Any]:
    if fields is None:
        return body
    return {name: value for name, value in body.items() if name in fields or name == "links"}
