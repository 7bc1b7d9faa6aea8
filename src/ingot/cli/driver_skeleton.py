"""The text of a new driver: a manifest, power and management over one HTTP call each, a README and a test.

Why a table of templates: a newcomer's first driver begins as code that runs and is tested, not as a page to read.
May not: write files. Invariant: what it gives passes its own tests, the linters and the house rules.
"""

from __future__ import annotations

_MANIFEST = """name = "@name@"
summary = "Machines whose power is a file on the conductor: replace this by your BMC"
status = "alpha"

[[driver_info]]
name = "@name@_address"
required = true
summary = "Folder that plays the BMC, one per machine. Required."

[provides.power]
@name@ = "power:@Name@Power"
[provides.management]
@name@ = "management:@Name@Management"

[uses]
power = ["@name@"]
management = ["@name@"]
boot = ["ipxe"]
deploy = ["direct"]
inspect = ["agent", "no-inspect"]
network = ["flat", "noop"]
bios = ["no-bios"]
console = ["no-console"]
firmware = ["no-firmware"]
raid = ["no-raid"]
rescue = ["no-rescue"]
storage = ["noop"]
vendor = ["no-vendor"]
"""

_TARGET = '''"""From a node's driver_info to the BMC, and how to speak with it. Replace the folder by your protocol."""

from __future__ import annotations

import asyncio
from pathlib import Path

from ingot.domain import errors
from ingot.interfaces.context import Context

PROPERTIES = {"@name@_address": "Folder that plays the BMC, one per machine. Required."}


def of(ctx: Context) -> Path:
    """The node's BMC. Raises errors.Invalid when driver_info does not name it."""
    address = ctx.driver_info.get("@name@_address")
    if not address:
        raise errors.Invalid(
            f"Missing required parameter @name@_address in driver_info of node {ctx.node.uuid}",
            hint="Set it: ingot node set NODE driver_info.@name@_address=... .",
        )
    return Path(str(address))


async def read(bmc: Path, name: str, default: str) -> str:
    """What the BMC holds under ``name``. Raises errors.Unreachable when there is no such BMC."""
    return await asyncio.to_thread(_read, bmc, name, default)


async def write(bmc: Path, name: str, value: str) -> None:
    """Have the BMC hold ``value``. Raises errors.Unreachable when there is no such BMC."""
    await asyncio.to_thread(_write, bmc, name, value)


def _read(bmc: Path, name: str, default: str) -> str:
    _check(bmc)
    file = bmc / name
    return file.read_text() if file.exists() else default


def _write(bmc: Path, name: str, value: str) -> None:
    _check(bmc)
    (bmc / name).write_text(value)


def _check(bmc: Path) -> None:
    if not bmc.is_dir():
        raise errors.Unreachable(f"There is no BMC at {bmc}", hint="Check @name@_address in driver_info.")
'''

_POWER = '''"""Power: read it, order it, and wait until it is so."""

from __future__ import annotations

from ingot.domain import power
from ingot.drivers.@name@ import target as targets
from ingot.interfaces import power_wait
from ingot.interfaces.context import Context
from ingot.interfaces.power import PowerInterface


class @Name@Power(PowerInterface):
    """On, off and reboot."""

    def properties(self) -> dict[str, str]:
        """The keys of a BMC."""
        return targets.PROPERTIES

    async def validate(self, ctx: Context) -> None:
        """The BMC must be described."""
        targets.of(ctx)

    async def get(self, ctx: Context) -> power.Power:
        """What the BMC tells."""
        return power.Power(await targets.read(targets.of(ctx), "power", power.Power.OFF))

    async def set(self, ctx: Context, target: power.Target, timeout: float) -> None:
        """Order, then look until it is so; a reboot is off and on."""
        if target == power.Target.REBOOT:
            await self._order(ctx, power.Power.OFF, timeout)
        await self._order(ctx, target.result(), timeout)

    async def _order(self, ctx: Context, wanted: power.Power, timeout: float) -> None:
        bmc = targets.of(ctx)
        if await self.get(ctx) == wanted:
            return
        await targets.write(bmc, "power", wanted)
        await power_wait.until(wanted, lambda: self.get(ctx), timeout, f"The machine of BMC {bmc}")
'''

_MANAGEMENT = '''"""Boot device: set it and read it back."""

from __future__ import annotations

from ingot.drivers.@name@ import target as targets
from ingot.interfaces.context import Context
from ingot.interfaces.management import BootChoice, BootDevice, ManagementInterface

_ALWAYS = "always"


class @Name@Management(ManagementInterface):
    """The next boot, or every boot."""

    boot_devices = (BootDevice.PXE, BootDevice.DISK)

    def properties(self) -> dict[str, str]:
        """The keys of a BMC."""
        return targets.PROPERTIES

    async def validate(self, ctx: Context) -> None:
        """The BMC must be described."""
        targets.of(ctx)

    async def set_boot_device(self, ctx: Context, device: BootDevice, *, persistent: bool) -> None:
        """Have the BMC hold it."""
        await targets.write(targets.of(ctx), "boot", f"{device} {_ALWAYS if persistent else 'once'}")

    async def get_boot_device(self, ctx: Context) -> BootChoice:
        """What the BMC holds; nothing before the first setting."""
        device, _, duration = (await targets.read(targets.of(ctx), "boot", "")).partition(" ")
        return BootChoice(BootDevice(device), duration == _ALWAYS) if device else BootChoice(None, None)
'''

_README = """# @name@

What machines this driver is for, and by which protocol it speaks to them.

| model | firmware | tried by |
|---|---|---|

## Quirks

One line each: what the firmware does, since when, and the source (a document, a bug number, a trace).
"""

_TEST = '''"""The contract suites for @name@. The folder plays the BMC: replace it by a peer of your protocol."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from drivers import place
from interfaces import contracts


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[contracts.Stage]:
    bmc = tmp_path / "bmc"
    bmc.mkdir()
    (bmc / "power").write_text("power off")

    async def vanish() -> None:
        shutil.rmtree(bmc)

    def seen() -> str:
        return (bmc / "power").read_text()

    async with place.opened(tmp_path, drivers=("@name@",)) as site:
        ctx = await site.context("@name@", {"@name@_address": str(bmc)})
        yield contracts.Stage(site.deps, site.calls, ctx.node.uuid, seen_power=seen, incomplete={}, break_peer=vanish)


class TestPower(contracts.PowerContract):
    pass


class TestManagement(contracts.ManagementContract):
    pass
'''

_FILES = {
    "src/ingot/drivers/{name}/__init__.py": "",
    "src/ingot/drivers/{name}/driver.toml": _MANIFEST,
    "src/ingot/drivers/{name}/target.py": _TARGET,
    "src/ingot/drivers/{name}/power.py": _POWER,
    "src/ingot/drivers/{name}/management.py": _MANAGEMENT,
    "src/ingot/drivers/{name}/README.md": _README,
    "tests/drivers/{name}/test_{name}.py": _TEST,
}


def files(name: str) -> dict[str, str]:
    """Path in the checkout -> text, for a driver of this name."""
    return {
        path.format(name=name): text.replace("@name@", name).replace("@Name@", name.capitalize())
        for path, text in _FILES.items()
    }
