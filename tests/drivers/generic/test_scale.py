"""Two hundred machines at once, through the API, to active: none is lost, and nothing destructive happens twice."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from drivers import world

MANY = 100
ONCE = ("erase_devices_metadata", "write_image", "install_bootloader")


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_two_hundred_machines(tmp_path: Path) -> None:
    plan = {"ipmi": MANY, "redfish": MANY, "first": "127.66.0.1"}
    async with world.opened(tmp_path, plan) as cloud:
        names = [await cloud.enrol(number) for number in range(2 * MANY)]

        async def all_to(target: str, state: str, within: float) -> None:
            for name in names:
                await cloud.order(name, target)

            async def arrived() -> bool:
                listed = (await cloud.call("GET", "/v1/nodes?fields=name,provision_state,last_error&limit=1000"))[
                    "nodes"
                ]
                wrong = [node for node in listed if node["last_error"]]
                assert not wrong, wrong[:3]
                return Counter(node["provision_state"] for node in listed) == {state: len(names)}

            await cloud.until(arrived, within)

        await all_to("manage", "manageable", 120)
        await all_to("provide", "available", 240)
        await asyncio.gather(*(cloud.choose_image(name) for name in names))
        await all_to("active", "active", 240)
        seen = Counter((one.node, one.kind) for one in cloud.fleet.effects.all)
        assert {kind: sum(seen[name, kind] for name in names) for kind in ONCE} == dict.fromkeys(ONCE, len(names))
        assert max(seen[name, kind] for name in names for kind in ONCE) == 1
