"""The API: its route table, which is the index of the product, and the ASGI application made of it.

One line per route: method, path, what answers, first microversion, policy rule, public or not. May not: hold logic.
Invariant: what is not in the table is not served.
"""

from __future__ import annotations

import msgspec

from ingot.api import dispatch, feed, openapi
from ingot.api.ext import console as console_page
from ingot.api.ext import events as live
from ingot.api.ext import metrics, runs, sensors, status, webhooks
from ingot.api.routing import MIB, Handler, Route
from ingot.api.v1 import (
    agents,
    allocations,
    bios,
    chassis,
    conductors,
    console,
    drivers,
    events,
    firmware,
    history,
    indicators,
    inspection_rules,
    management,
    modes,
    nodes,
    portgroups,
    ports,
    root,
    shards,
    states,
    steplists,
    traits,
    vendor,
    vmedia,
    volumes,
)
from ingot.deps import Deps

_NODE = "/v1/nodes/{node}"
_ALLOCATION = "/v1/allocations/{allocation}"
_PORTGROUP = "/v1/portgroups/{portgroup}"
_RULES = "/v1/inspection_rules"
_TRAITS = "/v1/runbooks/{ident}/traits"
_PASSTHRU = "/v1/drivers/{driver}/vendor_passthru"
_LAMP = f"{_NODE}/management/indicators/{{indicator}}"
_WEBHOOK = "/ingot/v1/webhooks/{webhook}"
_BY_PATH = (
    *(f"{_NODE}/{word}" for word in ("allocation", "bios", "firmware", "history", "inventory", "portgroups", "vifs")),
    f"{_NODE}/vmedia",
    f"{_NODE}/traits/",
    f"{_NODE}/volume/",
    f"{_PORTGROUP}/ports",
    "/v1/deploy_templates",
    "/v1/runbooks",
    "/v1/volume/",
)
"""What below its first microversion is refused as a path that is not there; all else, as its resource refuses."""
_PATH_SINCE = {f"{_NODE}/vmedia": 89}
"""Paths of these that were there before one of their methods."""
_SET_PROVISION = "baremetal:node:set_provision_state"


def _every_method(path: str, handler: Handler, rule: str) -> tuple[Route, ...]:
    """Vendor methods say themselves which HTTP methods they take; their name may stand in the query."""
    return tuple(
        Route(method, where, handler, 1, rule)
        for where in (path, f"{path}/{{method}}")
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE")
    )


_TABLE: tuple[Route, ...] = (
    *(Route(method, "/", root.index, 1, "public", public=True) for method in ("GET", "HEAD")),
    *(Route(method, "/v1", root.show, 1, "public", public=True) for method in ("GET", "HEAD")),
    # nodes
    Route("GET", "/v1/nodes", nodes.index, 1, "baremetal:node:list"),
    Route("POST", "/v1/nodes", nodes.create, 1, "baremetal:node:create"),
    Route("GET", "/v1/nodes/detail", nodes.index_detail, 1, "baremetal:node:list"),
    Route("GET", "/v1/nodes/validate", states.validate, 1, "baremetal:node:validate", asks=True),
    Route("GET", _NODE, nodes.show, 1, "baremetal:node:get"),
    Route("PATCH", _NODE, nodes.change, 1, "baremetal:node:update", asks=True),
    Route("DELETE", _NODE, nodes.destroy, 1, "baremetal:node:delete"),
    Route("GET", f"{_NODE}/validate", states.validate, 1, "baremetal:node:validate"),
    Route("PUT", f"{_NODE}/maintenance", states.set_maintenance, 1, "baremetal:node:set_maintenance"),
    Route("DELETE", f"{_NODE}/maintenance", states.clear_maintenance, 1, "baremetal:node:clear_maintenance"),
    Route("GET", f"{_NODE}/states", states.show, 1, "baremetal:node:get_states"),
    Route("PUT", f"{_NODE}/states/power", states.set_power, 1, "baremetal:node:set_power_state"),
    Route(
        "PUT",
        f"{_NODE}/states/provision",
        states.set_provision,
        1,
        "baremetal:node:set_provision_state",
        limit=64 * MIB,
    ),
    Route("GET", f"{_NODE}/states/console", console.show, 1, "baremetal:node:get_console"),
    Route("PUT", f"{_NODE}/states/console", console.change, 1, "baremetal:node:set_console_state"),
    Route("PUT", f"{_NODE}/states/boot_mode", modes.set_boot_mode, 76, "baremetal:node:set_boot_mode"),
    Route("PUT", f"{_NODE}/states/secure_boot", modes.set_secure_boot, 76, "baremetal:node:set_secure_boot"),
    Route("PUT", f"{_NODE}/states/raid", modes.set_raid, 12, "baremetal:node:set_raid_state", late=406),
    Route("GET", f"{_NODE}/management/boot_device", management.get_boot_device, 1, "baremetal:node:get_boot_device"),
    Route("PUT", f"{_NODE}/management/boot_device", management.set_boot_device, 1, "baremetal:node:set_boot_device"),
    Route(
        "GET",
        f"{_NODE}/management/boot_device/supported",
        management.supported_boot_devices,
        1,
        "baremetal:node:get_boot_device",
    ),
    Route("PUT", f"{_NODE}/management/inject_nmi", management.inject_nmi, 29, "baremetal:node:inject_nmi"),
    Route("GET", f"{_NODE}/management/indicators", indicators.index, 1, "baremetal:node:get_indicator_state"),
    Route("GET", _LAMP, indicators.show, 1, "baremetal:node:get_indicator_state"),
    Route("PUT", _LAMP, indicators.change, 1, "baremetal:node:set_indicator_state"),
    Route("GET", f"{_NODE}/vendor_passthru/methods", vendor.methods, 1, "baremetal:node:vendor_passthru"),
    *_every_method(f"{_NODE}/vendor_passthru", vendor.call, "baremetal:node:vendor_passthru"),
    Route("GET", f"{_NODE}/bios", bios.index, 40, "baremetal:node:bios:get"),
    Route("GET", f"{_NODE}/bios/{{setting}}", bios.show, 40, "baremetal:node:bios:get"),
    Route("GET", f"{_NODE}/firmware", firmware.index, 86, "baremetal:node:firmware:get"),
    Route("GET", f"{_NODE}/vmedia", vmedia.show, 93, "baremetal:node:vmedia:get"),
    Route("POST", f"{_NODE}/vmedia", vmedia.attach, 89, "baremetal:node:vmedia:attach"),
    Route("DELETE", f"{_NODE}/vmedia", vmedia.detach, 89, "baremetal:node:vmedia:detach"),
    Route("GET", f"{_NODE}/vifs", management.list_vifs, 28, "baremetal:node:vif:list"),
    Route("POST", f"{_NODE}/vifs", management.attach_vif, 28, "baremetal:node:vif:attach"),
    Route("DELETE", f"{_NODE}/vifs/{{vif}}", management.detach_vif, 28, "baremetal:node:vif:detach"),
    Route("GET", f"{_NODE}/traits", traits.index, 37, "baremetal:node:traits:list", late=406),
    Route("PUT", f"{_NODE}/traits", traits.replace, 37, "baremetal:node:traits:set", late=406),
    Route("DELETE", f"{_NODE}/traits", traits.clear, 37, "baremetal:node:traits:delete", late=406),
    Route("PUT", f"{_NODE}/traits/{{trait}}", traits.add, 37, "baremetal:node:traits:set", late=405),
    Route("DELETE", f"{_NODE}/traits/{{trait}}", traits.remove, 37, "baremetal:node:traits:delete", late=405),
    Route("GET", f"{_NODE}/history", history.index, 78, "baremetal:node:history:get"),
    Route("GET", f"{_NODE}/history/{{entry}}", history.show, 78, "baremetal:node:history:get"),
    Route("GET", f"{_NODE}/inventory", history.inventory, 81, "baremetal:node:inventory:get"),
    Route("GET", f"{_NODE}/children", history.children, 83, "baremetal:node:get"),
    Route("GET", f"{_NODE}/ports", ports.index_of_node, 1, "baremetal:port:get"),
    Route("GET", f"{_NODE}/ports/detail", ports.index_of_node_detail, 1, "baremetal:port:get"),
    Route("GET", f"{_NODE}/portgroups", portgroups.index_of_node, 24, "baremetal:portgroup:get"),
    Route(
        "GET",
        f"{_NODE}/portgroups/detail",
        portgroups.index_of_node_detail,
        24,
        "baremetal:portgroup:get",
    ),
    # ports
    Route("GET", "/v1/ports", ports.index, 1, "baremetal:port:list"),
    Route("POST", "/v1/ports", ports.create, 1, "baremetal:port:create", asks=True),
    Route("GET", "/v1/ports/detail", ports.index_detail, 1, "baremetal:port:list"),
    Route("GET", "/v1/ports/{port}", ports.show, 1, "baremetal:port:get"),
    Route("PATCH", "/v1/ports/{port}", ports.change, 1, "baremetal:port:update"),
    Route("DELETE", "/v1/ports/{port}", ports.destroy, 1, "baremetal:port:delete"),
    # port groups
    Route("GET", "/v1/portgroups", portgroups.index, 23, "baremetal:portgroup:list"),
    Route("POST", "/v1/portgroups", portgroups.create, 23, "baremetal:portgroup:create", asks=True),
    Route("GET", "/v1/portgroups/detail", portgroups.index_detail, 23, "baremetal:portgroup:list"),
    Route("GET", _PORTGROUP, portgroups.show, 23, "baremetal:portgroup:get"),
    Route("PATCH", _PORTGROUP, portgroups.change, 23, "baremetal:portgroup:update"),
    Route("DELETE", _PORTGROUP, portgroups.destroy, 23, "baremetal:portgroup:delete"),
    Route("GET", f"{_PORTGROUP}/ports", ports.index_of_portgroup, 24, "baremetal:port:get"),
    Route("GET", f"{_PORTGROUP}/ports/detail", ports.index_of_portgroup_detail, 24, "baremetal:port:get"),
    # volumes
    Route("GET", "/v1/volume", volumes.show_root, 32, "baremetal:volume:get"),
    Route("GET", f"{_NODE}/volume", volumes.show_root, 32, "baremetal:volume:get"),
    *(
        route
        for resource in (volumes.CONNECTORS, volumes.TARGETS)
        for route in (
            Route("GET", f"/v1/volume/{resource.word}", resource.index, 32, "baremetal:volume:list"),
            Route("POST", f"/v1/volume/{resource.word}", resource.create, 32, "baremetal:volume:create", asks=True),
            Route("GET", f"/v1/volume/{resource.word}/{{ident}}", resource.show, 32, "baremetal:volume:get"),
            Route("PATCH", f"/v1/volume/{resource.word}/{{ident}}", resource.change, 32, "baremetal:volume:update"),
            Route("DELETE", f"/v1/volume/{resource.word}/{{ident}}", resource.destroy, 32, "baremetal:volume:delete"),
            Route("GET", f"{_NODE}/volume/{resource.word}", resource.index, 32, "baremetal:volume:get"),
        )
    ),
    # what may only be read below its node or port group
    *(
        route
        for path, since, what in (
            (f"{_NODE}/ports", 1, "port"),
            (f"{_NODE}/portgroups", 24, "portgroup"),
            (f"{_PORTGROUP}/ports", 24, "port"),
            (f"{_NODE}/volume/connectors", 32, "volume"),
            (f"{_NODE}/volume/targets", 32, "volume"),
        )
        for route in (
            Route("POST", path, root.malformed, since, f"baremetal:{what}:get"),
            *(
                Route(method, f"{path}/{{below}}", root.malformed, since, f"baremetal:{what}:get")
                for method in ("GET", "PATCH", "DELETE")
            ),
        )
    ),
    # chassis
    Route("GET", "/v1/chassis", chassis.index, 1, "baremetal:chassis:get"),
    Route("POST", "/v1/chassis", chassis.create, 1, "baremetal:chassis:create"),
    Route("GET", "/v1/chassis/detail", chassis.index_detail, 1, "baremetal:chassis:get"),
    Route("GET", "/v1/chassis/{chassis}", chassis.show, 1, "baremetal:chassis:get"),
    Route("PATCH", "/v1/chassis/{chassis}", chassis.change, 1, "baremetal:chassis:update"),
    Route("DELETE", "/v1/chassis/{chassis}", chassis.destroy, 1, "baremetal:chassis:delete"),
    Route("GET", "/v1/chassis/{chassis}/nodes", chassis.index_nodes, 1, "baremetal:node:list"),
    Route("GET", "/v1/chassis/{chassis}/nodes/detail", chassis.index_nodes_detail, 1, "baremetal:node:list"),
    # drivers and conductors
    Route("GET", "/v1/drivers", drivers.index, 1, "baremetal:driver:get"),
    Route("GET", "/v1/drivers/{driver}", drivers.show, 1, "baremetal:driver:get"),
    Route("GET", "/v1/drivers/{driver}/properties", drivers.properties, 1, "baremetal:driver:get_properties"),
    Route(
        "GET",
        "/v1/drivers/{driver}/raid/logical_disk_properties",
        drivers.raid_properties,
        12,
        "baremetal:driver:get_raid_logical_disk_properties",
        late=406,
    ),
    Route("GET", f"{_PASSTHRU}/methods", vendor.driver_methods, 1, "baremetal:driver:vendor_passthru"),
    *_every_method(_PASSTHRU, vendor.driver_call, "baremetal:driver:vendor_passthru"),
    Route("GET", "/v1/conductors", conductors.index, 49, "baremetal:conductor:get"),
    Route("GET", "/v1/conductors/{hostname}", conductors.show, 49, "baremetal:conductor:get"),
    # allocations and shards
    Route("GET", "/v1/allocations", allocations.index, 52, "baremetal:allocation:list"),
    Route("POST", "/v1/allocations", allocations.create, 52, "baremetal:allocation:create", late=405),
    Route("GET", _ALLOCATION, allocations.show, 52, "baremetal:allocation:get"),
    Route("PATCH", _ALLOCATION, allocations.change, 57, "baremetal:allocation:update", late=405),
    Route("DELETE", _ALLOCATION, allocations.destroy, 52, "baremetal:allocation:delete", late=405),
    Route("GET", f"{_NODE}/allocation", allocations.show_of_node, 52, "baremetal:node:get"),
    Route("DELETE", f"{_NODE}/allocation", allocations.destroy_of_node, 52, "baremetal:node:get"),
    Route("GET", "/v1/shards", shards.index, 82, "baremetal:shards:get"),
    # lists of steps
    *(
        Route(method, f"/v1/{resource.word}{below}", handler, since, f"baremetal:{rule}:{what}", late=late)
        for resource, since, rule, listing in (
            (steplists.TEMPLATES, 55, "deploy_template", "get"),
            (steplists.RUNBOOKS, 92, "runbook", "list"),
        )
        for method, below, handler, what, late in (
            ("GET", "", resource.index, listing, 404),
            ("POST", "", resource.create, "create", 405),
            ("GET", "/{ident}", resource.show, "get", 404),
            ("PATCH", "/{ident}", resource.change, "update", 405),
            ("DELETE", "/{ident}", resource.destroy, "delete", 405),
        )
    ),
    Route("GET", f"{_TRAITS}", steplists.list_traits, 112, "baremetal:runbook:get"),
    Route("PUT", f"{_TRAITS}", steplists.replace_traits, 112, "baremetal:runbook:update"),
    Route("DELETE", f"{_TRAITS}", steplists.remove_traits, 112, "baremetal:runbook:update"),
    Route("PUT", f"{_TRAITS}/{{trait}}", steplists.add_trait, 112, "baremetal:runbook:update"),
    Route("DELETE", f"{_TRAITS}/{{trait}}", steplists.remove_traits, 112, "baremetal:runbook:update"),
    Route("GET", _RULES, inspection_rules.index, 96, "baremetal:inspection_rule:get"),
    Route("POST", _RULES, inspection_rules.create, 96, "baremetal:inspection_rule:create", late=405),
    Route("DELETE", _RULES, inspection_rules.destroy_all, 96, "baremetal:inspection_rule:delete", late=405),
    Route("GET", f"{_RULES}/{{rule}}", inspection_rules.show, 96, "baremetal:inspection_rule:get"),
    Route("PATCH", f"{_RULES}/{{rule}}", inspection_rules.change, 96, "baremetal:inspection_rule:update", late=405),
    Route("DELETE", f"{_RULES}/{{rule}}", inspection_rules.destroy, 96, "baremetal:inspection_rule:delete", late=405),
    Route("POST", "/v1/events", events.create, 54, "baremetal:events:post"),
    # the ramdisk's agent
    Route("GET", "/v1/lookup", agents.lookup, 22, "public", public=True, limited="lookup"),
    Route("POST", "/v1/heartbeat/{node}", agents.heartbeat, 22, "public", public=True, limited="heartbeat"),
    Route(
        "POST",
        "/v1/continue_inspection",
        agents.continue_inspection,
        1,
        "public",
        public=True,
        limit=16 * MIB,
        limited="lookup",
    ),
    # what Ironic lacks
    Route("GET", "/ingot/v1/openapi.json", openapi.Document(lambda: ROUTES).show, 1, "public", public=True),
    Route("GET", "/ingot/v1/health", status.health, 1, "public", public=True),
    Route("GET", "/ingot/v1/ready", status.ready, 1, "public", public=True),
    Route("GET", "/metrics", metrics.show, 1, "ingot:metrics:get"),
    Route("GET", "/ingot/v1/states", status.state_table, 1, "ingot:states:get"),
    Route("GET", "/ingot/v1/events", live.index, 1, "ingot:events:get"),
    Route("GET", "/ingot/v1/webhooks", webhooks.index, 1, "ingot:webhook:get"),
    Route("POST", "/ingot/v1/webhooks", webhooks.create, 1, "ingot:webhook:create"),
    Route("GET", _WEBHOOK, webhooks.show, 1, "ingot:webhook:get"),
    Route("PATCH", _WEBHOOK, webhooks.change, 1, "ingot:webhook:update"),
    Route("DELETE", _WEBHOOK, webhooks.destroy, 1, "ingot:webhook:delete"),
    Route("GET", f"{_WEBHOOK}/deliveries", webhooks.deliveries, 1, "ingot:webhook:get"),
    Route("GET", "/ingot/v1/nodes/{node}/wait", live.wait, 1, "baremetal:node:get_states", slow=True),
    Route("GET", "/ingot/v1/nodes/{node}/run", runs.show_last, 1, "ingot:run:get"),
    Route("GET", "/ingot/v1/nodes/{node}/runs", runs.index, 1, "ingot:run:get"),
    Route("GET", "/ingot/v1/nodes/{node}/runs/{run}", runs.show, 1, "ingot:run:get"),
    Route("GET", "/ingot/v1/nodes/{node}/logs", runs.logs, 1, "ingot:run:logs"),
    Route("GET", "/ingot/v1/nodes/{node}/runs/{run}/console", console_page.log, 1, "baremetal:node:get_console"),
    Route("POST", "/ingot/v1/nodes/{node}/console", console_page.ticket, 1, "baremetal:node:get_console"),
    Route("GET", "/ingot/v1/console/{ticket}", console_page.page, 1, "public", public=True),
    Route("GET", "/ingot/v1/static/{file}", console_page.static, 1, "public", public=True),
    Route("GET", "/ingot/v1/nodes/{node}/sensors", sensors.index, 1, "ingot:sensors:get"),
    Route("GET", "/ingot/v1/nodes/{node}/sel", sensors.events, 1, "ingot:sel:get"),
    Route("DELETE", "/ingot/v1/nodes/{node}/sel", sensors.clear_events, 1, "ingot:sel:clear"),
)
ROUTES = tuple(
    msgspec.structs.replace(route, by_path=_PATH_SINCE.get(route.path, route.since))
    if route.path.startswith(_BY_PATH)
    else route
    for route in _TABLE
)


def build(deps: Deps) -> dispatch.App:
    """The ASGI application. Raises errors.Invalid when the settings would serve everyone without asking who it is."""
    return dispatch.App(deps, ROUTES, console_page.socket, feed.Feed(deps).end)
