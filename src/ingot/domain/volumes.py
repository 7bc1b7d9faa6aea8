"""Remote disks of a node: by which of its addresses it reaches storage (connectors), and what is there (targets).

May not: do I/O. Invariant: the properties of a target that is shown hold no secret; secrets travel apart.
"""

from __future__ import annotations

from typing import Any

import msgspec


class Connector(msgspec.Struct, frozen=True, kw_only=True):
    """An address of the node on a storage network. ``type``: iqn, ip, mac, wwnn, wwpn, ... (not checked)."""

    uuid: str
    node_uuid: str
    type: str
    connector_id: str
    extra: dict[str, Any] = {}
    created_at: str | None = None
    updated_at: str | None = None


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A volume for the node. ``volume_type``: iscsi, fibre_channel, ...; ``boot_index``: 0 for the one to boot from."""

    uuid: str
    node_uuid: str
    volume_type: str
    volume_id: str
    boot_index: int
    properties: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    created_at: str | None = None
    updated_at: str | None = None
