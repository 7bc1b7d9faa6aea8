"""The baremetal command, unchanged, on what a machine can do: a real server, conductor and imaginary machine."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from api.test_peers import Cli
from flows import stand
from ingot import app
from ingot.domain import states
from ingot.services import provisioning

if TYPE_CHECKING:
    from tests.api.conftest import Api

    from ingot.deps import Deps

pytestmark = [pytest.mark.peer, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
async def deps(tmp_path: Path) -> AsyncIterator[Deps]:
    made = app.make_deps(stand.settings(tmp_path, noauth=True, hostname="here"))
    async with stand.conductor(made):
        yield made
    made.store.close()


async def test_the_baremetal_command_reaches_what_a_machine_can_do(api: Api, deps: Deps, tmp_path: Path) -> None:
    kinds = ("bios", "console", "firmware", "raid", "vendor")
    given = {f"{kind}_interface": "fake" for kind in kinds}
    uuid = await stand.add_node(deps, states.State.ENROLL, name="n1", **given)
    await provisioning.request(deps, uuid, "manage", {})
    await stand.ended(deps, uuid, 30)
    cli = Cli(api, tmp_path)
    found = await cli("node", "bios", "setting", "list", "n1")
    assert {row["name"] for row in found} == {"BootMode", "QuietBoot", "Virtualization"}
    assert (await cli("node", "bios", "setting", "show", "n1", "BootMode"))["value"] == "Uefi"
    assert {row["component"] for row in await cli("node", "firmware", "list", "n1")} == {"bios", "bmc"}
    await cli.plain("node", "console", "enable", "n1")

    async def enabled() -> bool:
        return (await stand.get_node(deps, uuid)).console_enabled

    await stand.until(enabled)
    shown = await cli("node", "console", "show", "n1")
    assert (shown["console_enabled"], shown["console_info"]["type"]) == (True, "ingot")
    await cli.plain("node", "console", "disable", "n1")
    listed = await cli("node", "passthru", "list", "n1")
    assert {row["Name"] for row in listed} == {"blink", "blink_slowly", "echo"}
    await cli.plain("node", "passthru", "call", "n1", "echo", "--arg", "a=1")
    assert "does not support HTTP DELETE" in await cli.fails(
        "node", "passthru", "call", "n1", "echo", "--http-method", "DELETE"
    )
    target = {"logical_disks": [{"size_gb": 100, "raid_level": "1", "is_root_volume": True}]}
    await cli.plain("node", "set", "n1", "--target-raid-config", json.dumps(target))
    assert (await stand.get_node(deps, uuid)).target_raid_config == target
    wrong = json.dumps({"logical_disks": [{"size_gb": 100, "raid_level": "seven"}]})
    assert "RAID config validation error" in await cli.fails("node", "set", "n1", "--target-raid-config", wrong)
    for words in (("boot", "mode", "set", "n1", "bios"), ("secure", "boot", "on", "n1"), ("inject", "nmi", "n1")):
        await cli.plain("node", *words)
        await stand.ended(deps, uuid)
    node = await stand.get_node(deps, uuid)
    assert (node.boot_mode, node.secure_boot) == ("bios", True)
    assert stand.effects(tmp_path, uuid)[-1] == "nmi"
    rows = await cli("driver", "raid", "property", "list", "fake-hardware")
    assert {"raid_level", "size_gb"} <= {row["property"] for row in rows}
    assert await cli("driver", "passthru", "list", "fake-hardware") == []
    verdicts = {row["Interface"]: row["Result"] for row in await cli("node", "validate", "n1")}
    assert all(verdicts[kind] is True for kind in ("bios", "console", "firmware", "raid"))
