"""What every route answers to every kind of caller: the defaults that Ironic documents, written down by hand.

Not made from ingot's own rules: tests/api/test_access.py holds the running service against this page.
``+``: may; ``-``: is refused (403); ``?``: is told that there is no such thing (404).

The callers, in the order of the columns: of the whole system (admin, member, reader, service); of the project that
owns the object, and of the one that leases it (admin, manager, member, reader, service each); of a third project
(admin, reader).
"""

from __future__ import annotations

WHO = """
system   owner      lessee     third
a m r s  a g m r s  a g m r s  a r
"""

ROUTES = """
+ + + +  + + + + +  + + + + +  + +      everybody who may read something; lists show what is theirs
    GET /v1/nodes
    GET /v1/nodes/detail
    GET /v1/ports
    GET /v1/ports/detail
    GET /v1/portgroups
    GET /v1/portgroups/detail
    GET /v1/volume/connectors
    GET /v1/volume/targets
    GET /v1/runbooks
    GET /v1/allocations
    GET /v1/chassis/{chassis}/nodes
    GET /v1/chassis/{chassis}/nodes/detail
    GET /ingot/v1/states
    GET /ingot/v1/events

+ + + +  + + + + +  + + + + ?  ? ?      readers of system, owner and lessee
    GET /v1/nodes/{node}
    GET /v1/nodes/{node}/states
    GET /v1/nodes/{node}/management/indicators
    GET /v1/nodes/{node}/management/indicators/{indicator}
    GET /v1/nodes/{node}/bios
    GET /v1/nodes/{node}/bios/{setting}
    GET /v1/nodes/{node}/firmware
    GET /v1/nodes/{node}/vmedia
    GET /v1/nodes/{node}/vifs
    GET /v1/nodes/{node}/traits
    GET /v1/nodes/{node}/children
    GET|DELETE /v1/nodes/{node}/allocation
    GET /v1/nodes/{node}/ports
    GET /v1/nodes/{node}/ports/detail
    GET /v1/nodes/{node}/portgroups
    GET /v1/nodes/{node}/portgroups/detail
    GET /v1/nodes/{node}/volume
    GET /v1/nodes/{node}/volume/connectors
    GET /v1/nodes/{node}/volume/targets
    POST /v1/nodes/{node}/ports
    GET|PATCH|DELETE /v1/nodes/{node}/ports/{below}
    POST /v1/nodes/{node}/portgroups
    GET|PATCH|DELETE /v1/nodes/{node}/portgroups/{below}
    POST /v1/nodes/{node}/volume/connectors
    GET|PATCH|DELETE /v1/nodes/{node}/volume/connectors/{below}
    POST /v1/nodes/{node}/volume/targets
    GET|PATCH|DELETE /v1/nodes/{node}/volume/targets/{below}
    GET /v1/ports/{port}
    GET /v1/portgroups/{portgroup}
    GET /v1/portgroups/{portgroup}/ports
    GET /v1/portgroups/{portgroup}/ports/detail
    POST /v1/portgroups/{portgroup}/ports
    GET|PATCH|DELETE /v1/portgroups/{portgroup}/ports/{below}
    GET /v1/volume/connectors/{ident}
    GET /v1/volume/targets/{ident}
    GET /ingot/v1/nodes/{node}/wait
    GET /ingot/v1/nodes/{node}/sensors

+ + + +  + + + + +  - - - - ?  ? ?      readers of system and owner
    GET /v1/nodes/{node}/history
    GET /v1/nodes/{node}/history/{entry}
    GET /v1/nodes/{node}/inventory
    GET /ingot/v1/nodes/{node}/sel
    GET /ingot/v1/nodes/{node}/run
    GET /ingot/v1/nodes/{node}/runs
    GET /ingot/v1/nodes/{node}/runs/{run}

+ + - +  + + + - -  + + + - ?  ? ?      members of system, owner and lessee
    PATCH /v1/nodes/{node}
    PUT /v1/nodes/{node}/states/power
    PUT /v1/nodes/{node}/states/boot_mode
    PUT /v1/nodes/{node}/states/secure_boot
    POST|DELETE /v1/nodes/{node}/vmedia

+ + - +  + + + - +  + + - - ?  ? ?      members of system and owner, managers of the lessee
    GET /v1/nodes/validate
    GET /v1/nodes/{node}/validate
    PUT|DELETE /v1/nodes/{node}/maintenance
    PUT /v1/nodes/{node}/states/provision
    POST /v1/nodes/{node}/vifs
    DELETE /v1/nodes/{node}/vifs/{vif}
    PATCH /v1/volume/connectors/{ident}
    PATCH /v1/volume/targets/{ident}

+ + - +  + + + - +  - - - - ?  ? ?      members of system and owner
    GET|PUT /v1/nodes/{node}/states/console
    PUT /v1/nodes/{node}/states/raid
    PUT /v1/nodes/{node}/management/indicators/{indicator}
    GET /ingot/v1/nodes/{node}/logs
    GET /ingot/v1/nodes/{node}/runs/{run}/console
    POST /ingot/v1/nodes/{node}/console

+ + - +  + + - - +  - - - - ?  ? ?      members of system, managers of the owner
    GET|PUT /v1/nodes/{node}/management/boot_device
    GET /v1/nodes/{node}/management/boot_device/supported
    PUT /v1/nodes/{node}/management/inject_nmi
    PUT|DELETE /v1/nodes/{node}/traits
    PUT|DELETE /v1/nodes/{node}/traits/{trait}
    PATCH /v1/ports/{port}
    PATCH /v1/portgroups/{portgroup}
    DELETE /ingot/v1/nodes/{node}/sel

+ + - +  + + - - +  + + - - ?  ? ?      members of system, managers of owner and lessee
    DELETE /v1/volume/connectors/{ident}
    DELETE /v1/volume/targets/{ident}

+ + - +  + + - - +  + + - - -  - -      the same for what is to be made: the node is not told about
    POST /v1/volume/connectors
    POST /v1/volume/targets

+ - - +  + + - - +  - - - - ?  ? ?      administrators of system, managers of the owner
    DELETE /v1/ports/{port}
    DELETE /v1/portgroups/{portgroup}

+ - - +  + + - - +  - - - - -  - -      the same for what is to be made
    POST /v1/ports
    POST /v1/portgroups

+ - - +  + - - - +  + - - - +  + -      administrators and services, for their own project
    POST /v1/nodes

+ - - -  + - - - -  - - - - ?  ? ?      administrators of system and owner
    DELETE /v1/nodes/{node}

+ - - -  - - - - -  - - - - ?  ? ?      administrators of the system, for a node
    GET /v1/nodes/{node}/vendor_passthru/methods
    GET|POST|PUT|PATCH|DELETE /v1/nodes/{node}/vendor_passthru
    GET|POST|PUT|PATCH|DELETE /v1/nodes/{node}/vendor_passthru/{method}

+ + + +  - - - - -  - - - - -  - -      readers of the system
    GET /metrics
    GET /v1/volume
    GET /v1/chassis
    GET /v1/chassis/detail
    GET /v1/chassis/{chassis}
    GET /v1/drivers
    GET /v1/drivers/{driver}
    GET /v1/drivers/{driver}/properties
    GET /v1/drivers/{driver}/raid/logical_disk_properties
    GET /v1/shards
    GET /v1/conductors
    GET /v1/conductors/{hostname}
    GET /v1/deploy_templates
    GET /v1/deploy_templates/{ident}
    GET /v1/inspection_rules
    GET /v1/inspection_rules/{rule}

+ + - -  - - - - -  - - - - -  - -      members of the system
    PATCH /v1/chassis/{chassis}

+ - - -  - - - - -  - - - - -  - -      administrators of the system
    POST /v1/chassis
    DELETE /v1/chassis/{chassis}
    GET /v1/drivers/{driver}/vendor_passthru/methods
    GET|POST|PUT|PATCH|DELETE /v1/drivers/{driver}/vendor_passthru
    GET|POST|PUT|PATCH|DELETE /v1/drivers/{driver}/vendor_passthru/{method}
    POST /v1/deploy_templates
    PATCH|DELETE /v1/deploy_templates/{ident}
    POST|DELETE /v1/inspection_rules
    PATCH|DELETE /v1/inspection_rules/{rule}
    POST /v1/events
    GET|POST /ingot/v1/webhooks
    GET|PATCH|DELETE /ingot/v1/webhooks/{webhook}
    GET /ingot/v1/webhooks/{webhook}/deliveries

+ + + +  + + + + +  - - - - +  - -      readers of the project that owns the runbook, and services
    GET /v1/runbooks/{ident}
    GET /v1/runbooks/{ident}/traits

+ + - +  + + - - +  - - - - +  - -      managers of the project that owns the runbook, and services
    PATCH|DELETE /v1/runbooks/{ident}
    PUT|DELETE /v1/runbooks/{ident}/traits
    PUT|DELETE /v1/runbooks/{ident}/traits/{trait}

+ + - +  + + - - +  + + - - +  + -      managers anywhere, for their own project, and services
    POST /v1/runbooks

+ + + +  + + + + ?  ? ? ? ? ?  ? ?      readers of the project that owns the allocation
    GET /v1/allocations/{allocation}

+ + - -  + + + - ?  ? ? ? ? ?  ? ?      members of the project that owns the allocation
    PATCH|DELETE /v1/allocations/{allocation}

+ + - -  + + + - -  + + + - -  + -      members anywhere, for their own project
    POST /v1/allocations

public
    GET|HEAD /
    GET|HEAD /v1
    GET /v1/lookup
    POST /v1/heartbeat/{node}
    POST /v1/continue_inspection
    GET /ingot/v1/openapi.json
    GET /ingot/v1/health
    GET /ingot/v1/ready
    GET /ingot/v1/console/{ticket}
    GET /ingot/v1/static/{file}
"""

FIELDS = """
+ + - +  + + + - -  + + + - ?  ? ?      members of system, owner and lessee
    description resource_class protected protected_reason maintenance extra
    automated_clean=true
+ + - +  + + + - +  + + - - ?  ? ?      members of system and owner, managers of the lessee
    instance_info instance_name
+ + - +  + + + - +  - - - - ?  ? ?      members of system and owner
    name driver_info properties instance_uuid lessee network_data retired retired_reason
+ + - +  + + - - +  - - - - ?  ? ?      members of system, managers of the owner
    driver bios_interface boot_interface console_interface deploy_interface firmware_interface inspect_interface
    management_interface network_interface power_interface raid_interface rescue_interface storage_interface
    vendor_interface
+ + - -  - - - - -  - - - - ?  ? ?      members of the system
    owner conductor_group parent_node
+ - - -  - - - - -  - - - - ?  ? ?      administrators of the system
    chassis_uuid shard disable_power_off automated_clean=false
"""


def read(table: str) -> list[tuple[str, str]]:
    """Every item of a table with its pattern, one letter for each caller ("" for the word public)."""
    found: list[tuple[str, str]] = []
    pattern = ""
    for line in table.splitlines():
        if not line.startswith(" ") and line.strip():
            letters = line.split("      ")[0]
            pattern = "" if letters == "public" else letters.replace(" ", "")
        elif line.strip():
            found.extend((item, pattern) for item in _items(line.strip()))
    return found


def _items(line: str) -> list[str]:
    if " /" not in line:
        return line.split()
    methods, path = line.split()
    return [f"{method} {path}" for method in methods.split("|")]
