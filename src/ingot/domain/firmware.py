"""A machine's firmware components as values. May not: do I/O. Invariant: a component's name is unique on its node."""

from __future__ import annotations

import msgspec


class Component(msgspec.Struct, frozen=True, kw_only=True):
    """One component as the hardware tells it: "bios", "bmc", "nic:<id>"; None: not told."""

    component: str
    current_version: str | None
    vendor: str | None = None
    model: str | None = None
    serial_number: str | None = None
