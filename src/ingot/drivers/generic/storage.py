"""Storage for machines that use their own disks only."""

from __future__ import annotations

from ingot.interfaces.hardware import StorageInterface


class NoopStorage(StorageInterface):
    """No remote volumes."""
