"""A machine's firmware settings as values. May not: do I/O. Invariant: a value is text, whatever its type."""

from __future__ import annotations

import msgspec


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """One setting. What follows ``value`` is what the hardware's own registry says of it; None: it says nothing."""

    name: str
    value: str | None
    attribute_type: str | None = None
    allowable_values: list[str] | None = None
    lower_bound: int | None = None
    upper_bound: int | None = None
    min_length: int | None = None
    max_length: int | None = None
    read_only: bool | None = None
    reset_required: bool | None = None
    unique: bool | None = None
