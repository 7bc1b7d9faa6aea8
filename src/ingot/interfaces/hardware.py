"""The contracts of what only some hardware can do: console, raid, bios, firmware, rescue, storage, vendor.

Each says what its methods give and take; a driver implements those its hardware has, others stay "no-...".
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import msgspec

from ingot.consoles.line import Line
from ingot.domain import bios, errors, firmware, raid
from ingot.interfaces.context import Context, StepContext
from ingot.interfaces.contract import Interface


class ConsoleInterface(Interface):
    """Access to a machine's serial console. Serving, sharing and logging it is not the driver's work."""

    @abstractmethod
    async def open(self, ctx: Context, *, take: bool = True) -> Line:
        """Open the line. ``take``: where there is one line only, away from who has it; else that is a refusal.

        Raises errors.Unreachable, AccessDenied, NotSupported, Misbehaved.
        """

    def port(self, ctx: Context) -> int:
        """The TCP port that a console of the type socat is to have; 0: any that is free."""
        return 0


class RaidInterface(Interface):
    """Configuration of disks into RAID volumes."""

    async def validate(self, ctx: Context) -> None:
        """A target that is set must be one that can be."""
        if ctx.node.target_raid_config:
            self.check_target(ctx.node.target_raid_config)

    def check_target(self, target: dict[str, Any]) -> None:
        """Raise errors.Invalid unless a node may have this ``target_raid_config`` (not empty)."""
        raid.check(target)

    @abstractmethod
    async def create_configuration(self, ctx: StepContext) -> None:
        """A step: make the volumes of ``node.target_raid_config`` and store what there is then in ``raid_config``.

        ``ctx.args`` may say create_root_volume and create_nonroot_volumes (true unless told), delete_existing.
        Raises errors.Invalid when the target names no volumes or some that cannot be.
        """

    @abstractmethod
    async def delete_configuration(self, ctx: StepContext) -> None:
        """A step: remove every volume, and empty ``raid_config``."""

    def logical_disk_properties(self) -> dict[str, str]:
        """The keys a logical disk may have -> what they mean."""
        return dict(raid.PROPERTIES)


class BiosInterface(Interface):
    """Reading and changing firmware settings."""

    @abstractmethod
    async def list_settings(self, ctx: Context) -> list[bios.Setting]:
        """Each setting as it is in force."""

    @abstractmethod
    async def apply_configuration(self, ctx: StepContext) -> None:
        """A step: set ``ctx.args["settings"]`` ([{"name", "value"}]) and wait until they are in force.

        Ends with ``cache_settings``. Raises errors.Invalid, and changes nothing, when a setting or a value does not
        exist.
        """

    @abstractmethod
    async def factory_reset(self, ctx: StepContext) -> None:
        """A step: back to the maker's settings. Ends with ``cache_settings``."""

    async def cache_settings(self, ctx: StepContext) -> None:
        """Read the settings and keep them as the node's record."""
        await ctx.journal.store_bios(await self.list_settings(ctx))


class FirmwareInterface(Interface):
    """Versions of firmware and their updates."""

    @abstractmethod
    async def list_components(self, ctx: Context) -> list[firmware.Component]:
        """Each component with its version."""

    @abstractmethod
    async def update(self, ctx: StepContext) -> None:
        """A step: install ``ctx.args["settings"]`` ([{"component", "url"}]).

        Ends with ``cache_components``. Raises errors.Invalid, and installs nothing, when a component does not exist.
        """

    async def cache_components(self, ctx: StepContext) -> None:
        """Read the versions and keep them as the node's record."""
        await ctx.journal.store_firmware(await self.list_components(ctx))


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


class VendorMethod(msgspec.Struct, frozen=True, kw_only=True):
    """How a vendor method may be called. ``waits``: the caller gets the method's answer, else only that it began;
    ``exclusive``: refused while a run holds the node; ``attach``: the answer is a file."""

    description: str
    http_methods: tuple[str, ...] = ("POST",)
    waits: bool = True
    exclusive: bool = True
    attach: bool = False


class VendorInterface(Interface):
    """What a vendor offers beyond all contracts, passed through by name."""

    methods: ClassVar[dict[str, VendorMethod]] = {}
    """The methods of a node."""
    driver_methods: ClassVar[dict[str, VendorMethod]] = {}
    """The methods of the driver itself, which need no node."""

    @abstractmethod
    async def call(self, ctx: Context, method: str, body: dict[str, Any]) -> Any:
        """Run one of ``methods``; its JSON-able answer. Raises errors.Invalid for a body that lacks something."""

    async def call_driver(self, method: str, body: dict[str, Any]) -> Any:
        """Run one of ``driver_methods``; its JSON-able answer. Raises errors.Invalid as ``call``."""
        raise errors.NotSupported(f"This driver has no vendor method {method}")
