"""The contracts of what only some hardware can do: console, raid, bios, firmware, rescue, storage, vendor.

Each says what its methods give and take; a driver implements those its hardware has, others stay "no-...".
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from ingot.interfaces.context import Context, StepContext
from ingot.interfaces.contract import Interface


class ConsoleInterface(Interface):
    """Access to a machine's console."""

    @abstractmethod
    async def start(self, ctx: Context) -> None:
        """Begin to serve the console; no error when it is served already."""

    @abstractmethod
    async def stop(self, ctx: Context) -> None:
        """End serving the console; no error when it is not served."""

    @abstractmethod
    async def get(self, ctx: Context) -> dict[str, str]:
        """{"type": ..., "url": ...} of the console that is served. Raises errors.Conflict while none is."""


class RaidInterface(Interface):
    """Configuration of disks into RAID volumes."""

    @abstractmethod
    async def create_configuration(self, ctx: StepContext) -> None:
        """A step: make the volumes of ``node.target_raid_config`` and store what there is then in ``raid_config``.

        Raises errors.Invalid when the target names no volumes or some that cannot be.
        """

    @abstractmethod
    async def delete_configuration(self, ctx: StepContext) -> None:
        """A step: remove every volume, and empty ``raid_config``."""

    def logical_disk_properties(self) -> dict[str, str]:
        """The keys a logical disk may have -> what they mean."""
        return {}


class BiosInterface(Interface):
    """Reading and changing firmware settings."""

    @abstractmethod
    async def list_settings(self, ctx: Context) -> list[dict[str, Any]]:
        """Each setting as {"name", "value", ...}."""

    @abstractmethod
    async def apply_configuration(self, ctx: StepContext) -> None:
        """A step: set ``ctx.args["settings"]`` ([{"name", "value"}]) and wait until they are in force.

        Raises errors.Invalid, and changes nothing, when a setting or a value does not exist.
        """

    @abstractmethod
    async def factory_reset(self, ctx: StepContext) -> None:
        """A step: back to the maker's settings."""


class FirmwareInterface(Interface):
    """Versions of firmware and their updates."""

    @abstractmethod
    async def list_components(self, ctx: Context) -> list[dict[str, Any]]:
        """Each component as {"component", "current_version", ...}."""

    @abstractmethod
    async def update(self, ctx: StepContext) -> None:
        """A step: install ``ctx.args["settings"]`` ([{"component", "url"}]).

        Raises errors.Invalid, and installs nothing, when a component does not exist.
        """


class RescueInterface(Interface):
    """A ramdisk with a login for a machine whose own system is broken."""

    @abstractmethod
    async def rescue(self, ctx: StepContext) -> None:
        """A step: boot the rescue ramdisk with ``ctx.params["rescue_password"]``, which is a hash and kept nowhere.

        Raises errors.Invalid without one.
        """

    @abstractmethod
    async def unrescue(self, ctx: StepContext) -> None:
        """A step: boot the machine's own system again."""


class StorageInterface(Interface):
    """Remote volumes."""

    async def attach_volumes(self, ctx: StepContext) -> None:
        """Make the node's volume targets reachable for it."""

    async def detach_volumes(self, ctx: StepContext) -> None:
        """Undo ``attach_volumes``."""


class VendorInterface(Interface):
    """What a vendor offers beyond all contracts, passed through by name."""

    @abstractmethod
    def methods(self) -> dict[str, dict[str, Any]]:
        """Method name -> {"http_methods", "async", "description", "attach", "require_exclusive_lock"}."""

    @abstractmethod
    async def call(self, ctx: Context, method: str, body: dict[str, Any]) -> Any:
        """Run one of ``methods``; its JSON-able answer. Raises errors.Invalid for one that is not among them."""
