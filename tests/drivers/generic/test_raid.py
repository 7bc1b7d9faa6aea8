"""Software RAID as the conductor judges it; the agent makes it (ramdisk/test_raid.py, e2e/test_mirror.py)."""

from __future__ import annotations

from typing import Any

import pytest

from ingot.domain import errors
from ingot.drivers.generic.raid import AgentRaid


def volume(level: str, **more: Any) -> dict[str, Any]:
    return {"controller": "software", "raid_level": level, "size_gb": 100, **more}


@pytest.mark.parametrize(
    "volumes",
    [
        [volume("1", size_gb="MAX")],
        [volume("1"), volume("5", size_gb="MAX", physical_disks=[{"size": "> 100"}] * 3)],
        [volume("1"), volume("1+0")],
    ],
)
def test_what_can_be_made(volumes: list[dict[str, Any]]) -> None:
    AgentRaid().check_target({"logical_disks": volumes})


@pytest.mark.parametrize(
    ("volumes", "told"),
    [
        ([volume("1")] * 3, "one or two logical disks"),
        ([volume("1") | {"controller": "RAID.1"}], 'each logical disk needs "controller": "software"'),
        ([volume("5")], "the first logical disk must be RAID 1"),
        ([volume("1"), volume("5+0")], "its levels are 0, 1, 5, 6, 1\\+0"),
        ([volume("1", size_gb="much")], "RAID config validation error"),
    ],
)
def test_what_cannot(volumes: list[dict[str, Any]], told: str) -> None:
    with pytest.raises(errors.Invalid, match=told):
        AgentRaid().check_target({"logical_disks": volumes})
