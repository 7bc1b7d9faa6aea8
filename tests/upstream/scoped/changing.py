"""Everything that can be made, changed and asked for, as callers of every kind.

Values are those that are there, or ones that nobody takes, so that one caller's leave changes no other's answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from upstream.call import Call, add, by, delete, flat, patch, post, put, remove, swap, uuid
from upstream.scoped import place
from upstream.sides import ALLOCATIONS

_NODE = f"/v1/nodes/{place.OURS}"
_MADE, _LOT, _BOOK, _PORT = uuid(1, 50), uuid(10, 50), uuid(5, 50), uuid(2, 50)


def _fields(projects: Mapping[str, str]) -> Iterable[Any]:
    yield from (add(f"/{name}", "x") for name in ("description", "resource_class", "protected_reason"))
    yield from (swap(f"/{name}", False) for name in ("protected", "maintenance", "retired", "disable_power_off"))
    yield from (add(path, "x") for path in ("/extra/a", "/instance_info/a", "/driver_info/a", "/properties/a"))
    yield from (swap("/name", "ours"), swap("/driver", "fake-hardware"), swap("/shard", "s1"))
    yield from (swap("/owner", projects["owner"]), swap("/lessee", projects["lessee"]), remove("/chassis_uuid"))
    yield from (swap("/boot_interface", "fake"), swap("/network_interface", "noop"), add("/conductor_group", ""))
    yield from (swap("/automated_clean", True), swap("/automated_clean", False), remove("/parent_node"))
    yield from (add("/instance_uuid", place.TARGET), remove("/instance_uuid"), add("/network_data", {"links": 3}))
    yield swap("/uuid", place.OURS)


def _of_node() -> list[Call]:
    """Of the node; the words are none that a machine could follow."""
    none = {"target": "none"}
    return flat(
        (put(f"{_NODE}/states/{kind}", none) for kind in ("power", "provision", "boot_mode", "secure_boot")),
        put(f"{_NODE}/states/provision", {"target": "clean", "clean_steps": [{"interface": "bios", "step": "x"}]}),
        put(f"{_NODE}/states/provision", {"target": "clean", "runbook": place.OWNED}),
        put(f"{_NODE}/states/provision", {"target": "clean", "runbook": place.BARE}),
        put(f"{_NODE}/states/raid", {"logical_disks": 3}),
        put(f"{_NODE}/states/console", {"enabled": "x"}),
        put(f"{_NODE}/management/boot_device", {"boot_device": "none"}),
        put(f"{_NODE}/management/inject_nmi", {"a": 1}),
        post(f"{_NODE}/vifs", {"a": 1}),
        delete(f"{_NODE}/vifs/{place.TARGET}"),
        (put(f"{_NODE}/traits", {"traits": ["CUSTOM_ONE"]}), put(f"{_NODE}/traits/CUSTOM_ONE")),
        delete(f"{_NODE}/traits/CUSTOM_NONE"),
        put(f"{_NODE}/maintenance", {"reason": "x"}),
        delete(f"{_NODE}/maintenance"),
        post("/v1/nodes/thirds/vifs", {"id": "x"}),
        put("/v1/nodes/thirds/states/power", none),
        put("/v1/nodes/thirds/maintenance", {}),
    )


def _parts() -> list[Call]:
    """Ports and volumes: of the owner's node, and of one that nobody but the third project sees."""
    return flat(
        post("/v1/ports", {"uuid": _PORT, "node_uuid": place.OURS, "address": "52:54:00:00:00:50"}),
        post("/v1/ports", {"uuid": _PORT, "node_uuid": place.THIRDS, "address": "52:54:00:00:00:51"}),
        patch(f"/v1/ports/{_PORT}", add("/extra/a", 1)),
        patch(f"/v1/ports/{place.PORT}", add("/extra/a", 1)),
        patch(f"/v1/portgroups/{place.GROUP}", add("/extra/a", 1)),
        patch("/v1/portgroups/bond1", add("/extra/a", 1)),
        patch(f"/v1/volume/connectors/{place.CONNECTOR}", add("/extra/a", 1)),
        patch(f"/v1/volume/targets/{place.TARGET}", add("/extra/a", 1)),
        patch(f"/v1/volume/targets/{uuid(9, 2)}", add("/extra/a", 1)),
        delete(f"/v1/ports/{_PORT}"),
        delete(f"/v1/volume/targets/{uuid(9, 99)}"),
    )


def _owned(projects: Mapping[str, str]) -> list[Call]:
    """What belongs to a project from its beginning."""
    whose = ({}, *({"owner": projects[name]} for name in ("owner", "third")))
    node = {"uuid": _MADE, "driver": "fake-hardware"}
    lot = {"uuid": _LOT, "resource_class": "none"}
    book = {"uuid": _BOOK, "name": "CUSTOM_MADE", "steps": place.RUNBOOK_STEPS}
    return flat(
        *((post("/v1/nodes", {**node, **owner}), delete(f"/v1/nodes/{_MADE}")) for owner in whose),
        *(
            (post("/v1/allocations", {**lot, **owner}, until=ALLOCATIONS), delete(f"/v1/allocations/{_LOT}"))
            for owner in whose
        ),
        *(
            (post("/v1/runbooks", {**book, **more}), delete(f"/v1/runbooks/{_BOOK}"))
            for more in (*whose, {"public": True})
        ),
        patch(f"/v1/allocations/{place.ALLOCATION}", add("/extra/a", 1)),
        patch(f"/v1/allocations/{place.OTHERS}", add("/extra/a", 1)),
        *(patch(f"/v1/runbooks/{one}", add("/extra/a", 1)) for one in (place.OWNED, place.OPEN, place.BARE)),
        patch(f"/v1/runbooks/{place.OWNED}", swap("/owner", projects["owner"])),
        patch(f"/v1/runbooks/{place.OPEN}", swap("/public", True)),
    )


def _shared() -> list[Call]:
    """What belongs to nobody, and takes the system's administrators."""
    return flat(
        post("/v1/chassis", {"a": 1}),
        patch(f"/v1/chassis/{place.CHASSIS}", add("/extra/a", 1)),
        post("/v1/deploy_templates", {"name": "x"}),
        patch(f"/v1/deploy_templates/{place.TEMPLATE}", add("/extra/a", 1)),
        delete(f"/v1/deploy_templates/{uuid(6, 99)}"),
        post("/v1/inspection_rules", {"actions": 1}),
        delete(f"/v1/inspection_rules/{uuid(7, 99)}"),
        post("/v1/events", {"a": 1}),
        post("/v1/nodes", {}),
        patch("/v1/nodes/thirds", add("/extra/a", 1)),
        delete("/v1/nodes/thirds/ports"),
    )


def asked(projects: Mapping[str, str]) -> list[Call]:
    """What each caller asks."""
    fields = [patch(_NODE, operation) for operation in _fields(projects)]
    return flat(fields, _of_node(), _parts(), _owned(projects), _shared())


def calls(projects: Mapping[str, str]) -> list[Call]:
    """The scenario."""
    return flat(place.made(projects), *(by(who, asked(projects)) for who in place.CALLERS))
