"""Inspecting an imaginary machine: a plausible inventory made from the node's own record."""

from __future__ import annotations

from typing import Any

from ingot.drivers.fake import acts
from ingot.interfaces.context import StepContext
from ingot.interfaces.inspect import InspectInterface
from ingot.interfaces.steps import step

_GIB = 1024**3


class FakeInspect(InspectInterface):
    """Finds one CPU, 4 GiB of memory and one disk, plus the node's ports."""

    @step()
    async def inspect(self, ctx: StepContext) -> None:
        """Store the imaginary inventory."""
        if ctx.driver_info.get("fake_wait"):
            await ctx.deploy.start_ramdisk(ctx)
        await acts.act(ctx, "inspect.inspect", "inspected")
        cards = [{"name": f"eth{index}", "mac_address": port.address} for index, port in enumerate(ctx.ports)]
        inventory: dict[str, Any] = {
            "interfaces": cards,
            "cpu": {"architecture": "x86_64", "count": 1, "model_name": "imaginary", "flags": []},
            "memory": {"total": 4 * _GIB, "physical_mb": 4096},
            "disks": [{"name": "/dev/sda", "size": 100 * _GIB, "model": "imaginary", "rotational": False}],
            "system_vendor": {"manufacturer": "ingot", "product_name": "fake", "serial_number": ctx.node.uuid},
            "boot": {"current_boot_mode": "uefi", "pxe_interface": None},
            "hostname": ctx.node.name,
        }
        await ctx.journal.store_inventory(inventory, {})
