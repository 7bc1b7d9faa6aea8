"""What every implementation of an interface must do, whatever hardware it speaks to.

Each suite takes a context whose machine is off, and ``truth``: what the machine itself says, past the driver.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ingot.domain import errors, power
from ingot.interfaces.context import Context
from ingot.interfaces.management import BootChoice
from ingot.interfaces.registry import Registry


async def power_suite(ctx: Context, truth: Callable[[], bool], *, soft: bool = True) -> None:
    """Every target from off and from on; the order returns once it is so, and twice is as good as once."""
    driver = ctx.power
    assert driver.properties().keys() <= {field.name for field in ctx.registry.driver(ctx.node.driver).driver_info}
    await driver.validate(ctx)
    assert await driver.get(ctx) == power.Power.OFF
    for target in driver.targets:
        if not soft and target in {power.Target.SOFT_OFF, power.Target.SOFT_REBOOT}:
            continue
        for start in (power.Target.OFF, power.Target.ON):
            await driver.set(ctx, start, 20)
            assert truth() is (start == power.Target.ON)
            for _ in range(2):
                await driver.set(ctx, target, 20)
                assert truth() is (target.result() == power.Power.ON), (start, target)
                assert await driver.get(ctx) == target.result()


async def management_suite(ctx: Context) -> None:
    """What is set is what is told, for every device and both durations."""
    driver = ctx.management
    await driver.validate(ctx)
    for device in driver.boot_devices:
        for persistent in (False, True):
            await driver.set_boot_device(ctx, device, persistent=persistent)
            assert await driver.get_boot_device(ctx) == BootChoice(device, persistent)


async def network_suite(ctx: Context) -> None:
    """A vif goes to a free port, once; list, attach and detach agree."""
    driver = ctx.network
    await driver.validate(ctx)
    assert driver.list_vifs(ctx) == []
    port, info = driver.choose_port(ctx, {"id": "net-1"})
    assert port.uuid in {each.uuid for each in ctx.ports}
    assert info["tenant_vif_port_id"] == "net-1"
    with pytest.raises(errors.Invalid, match="not enough free physical ports"):
        driver.choose_port(ctx, {"id": "net-1", "port_uuid": "no-such-port"})
    with pytest.raises(errors.Invalid, match="is not attached"):
        driver.find_vif(ctx, "net-1")


def manifest_suite(registry: Registry, name: str) -> dict[str, Any]:
    """Everything the manifest names can be loaded, and its keys are what the implementations read."""
    found = registry.driver(name)
    loaded = {kind: registry.implementation(kind, own) for kind, names in found.provides.items() for own in names}
    keys = {field.name for field in found.driver_info}
    for one in loaded.values():
        assert set(one.properties()) <= keys
    for kind, names in found.uses.items():
        for each in names:
            if not each.startswith("no-"):
                registry.implementation(kind, each)
    return loaded
