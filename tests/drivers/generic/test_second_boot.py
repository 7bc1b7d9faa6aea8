"""A machine that hangs in its network boot is switched off and on once more, and nothing else happens twice."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from drivers import world
from faults import catalogue
from ingot_rack.hardware import PowerState

pytestmark = pytest.mark.slow
TIMEOUT = 48.0  # a quarter of it is how long a machine may be silent, three quarters when it is too late: two looks
SLACK = 15.0  # of a busy host


async def started(of: world.World, name: str) -> dict[str, Any]:
    """The node once its deployment has ended."""
    await of.bring(name, "manage", "provide")
    return await of.deploy(name, within=120)


def effects(of: world.World, name: str) -> list[str]:
    return [one.kind for one in of.fleet.effects.all if one.node == name]


async def test_one_that_hangs_is_started_once_more(tmp_path: Path) -> None:
    plan = {"ipmi": 2, "redfish": 1, "first": "127.65.7.1"}
    more = {"ramdisk_timeout": TIMEOUT, "automated_clean": "false"}
    async with world.opened(tmp_path, plan, **more) as opened:
        once, always, healthy = [await opened.enrol(number) for number in range(3)]
        opened.fleet.hanging.update({once: 1, always: 9})
        nodes = await asyncio.gather(*(started(opened, name) for name in (once, always, healthy)))
        assert [node["provision_state"] for node in nodes] == ["active", "deploy failed", "active"]
        deployed = ["start", "write_image", "install_bootloader", "stop", "start"]
        assert effects(opened, healthy) == deployed
        assert effects(opened, once) == ["start", "stop", *deployed], "the disk is written once"
        assert effects(opened, always) == ["start", "stop", "start", "stop"], "once more, not over and over"
        assert opened.fleet.machines[always].power is PowerState.OFF
        told = str(nodes[1]["last_error"])
        seen = r"\S+ asked for its boot script and was told to load the ramdisk \(\d+ s ago, nothing since\); .*"
        again = r"it had hung and was switched off and on again (\d+) s after its first start"
        waited = r"Waited (\d+) s for the ramdisk's first call \(usual 90 s\)"
        found = re.search(rf"{waited}: {seen}; {again}\. Look at the machine's console\.$", told)
        assert found, told
        assert TIMEOUT <= float(found[1]) <= TIMEOUT + SLACK, told
        assert TIMEOUT / 4 <= float(found[2]) <= TIMEOUT * 3 / 4 + SLACK, told
        catalogue.told("netboot-hung-twice", told)
        history = (await opened.call("GET", f"/v1/nodes/{once}/history"))["history"]
        texts = [(await opened.call("GET", f"/v1/nodes/{once}/history/{one['uuid']}"))["event"] for one in history]
        assert any(one.startswith("Switched off and on again, for it hangs in its network boot: ") for one in texts)
