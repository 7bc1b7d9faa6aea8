"""Orders: the small things that can be asked of a machine beside power; each is a short run of its own.

May not: do I/O. Invariant: an order's word is the name of the step that carries it out (``STEP`` names another one).
"""

from __future__ import annotations

from enum import StrEnum


class Order(StrEnum):
    """What can be ordered."""

    BOOT_MODE = "set_boot_mode"
    SECURE_BOOT = "set_secure_boot"
    ATTACH_MEDIA = "attach_media"
    DETACH_MEDIA = "detach_media"
    VENDOR = "call_vendor"
    STEP = "run_step"
    """One step of an interface, for a parent's run."""


DEADLINE = 900.0
"""Seconds an order may take."""
