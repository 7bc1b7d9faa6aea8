"""A ramdisk that never calls: the deadline passes, and last_error says how far the machine got."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import aiohttp
import pytest

from e2e import stand, way

pytestmark = pytest.mark.timeout(300)


async def test_a_machine_that_never_boots_the_ramdisk(tmp_path: Path) -> None:
    async with stand.opened(tmp_path, agents=False, ramdisk_timeout="3") as place:
        (machine, _) = place.machines
        await place.enrol(machine)
        await way.ask(place, machine, "manage")
        await way.reach(place, machine, "manageable")
        await way.ask(place, machine, "inspect")
        node = await way.reach(place, machine, "inspect failed", within=120)
        told = str(node["last_error"])
        assert told.startswith("inspect.inspect: Waited ")
        assert told.endswith(
            f"s for the ramdisk's first call (usual 90 s): no DHCP request seen from {machine.mac} since power-on; "
            "wrong VLAN, cable or NIC order, or it booted from elsewhere. Look at the machine's console."
        )
        assert place.fleet.machines[machine.name].power == "off"


async def test_what_is_seen_is_told_while_it_is_waited_for(tmp_path: Path) -> None:
    files_port = str(stand.free_port())
    async with stand.opened(tmp_path, agents=False, ramdisk_timeout="600", files_port=files_port) as place:
        (machine, _) = place.machines
        await place.enrol(machine)
        await way.ask(place, machine, "manage")
        await way.reach(place, machine, "manageable")
        await way.ask(place, machine, "inspect")

        async def told(words: str) -> bool:
            run = await way.run_of(place, machine)
            return words in str(run["reason"]) and words in str(run["wait"])

        nothing = f"no DHCP request seen from {machine.mac} since power-on"
        await way.until(place, machine, nothing, lambda: told(nothing), within=60)
        script = f"http://127.0.0.1:{files_port}/boot/ipxe/{machine.mac}"
        async with aiohttp.ClientSession() as session, session.get(script) as answer:
            assert answer.status == 200
        silent = "asked for its boot script and was told to load the ramdisk"
        await way.until(place, machine, silent, lambda: told(silent), within=60)
        await way.ask(place, machine, "abort")
        await way.reach(place, machine, "inspect failed", within=60)


async def test_the_last_line_of_its_console_is_told(tmp_path: Path) -> None:
    async with stand.opened(tmp_path, agents=False, ramdisk_timeout="600") as place:
        (machine, _) = place.machines
        port = stand.free_port()
        await place.enrol(machine, ipmi_terminal_port=port)
        patch = [{"op": "add", "path": "/console_interface", "value": "ipmitool-socat"}]
        await place.call("PATCH", f"/v1/nodes/{machine.name}", patch)
        await place.call("PUT", f"/v1/nodes/{machine.name}/states/console", {"enabled": True})

        async def served() -> bool:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return True
            return False

        await way.until(place, machine, "its console served", served, within=60)
        await way.ask(place, machine, "manage")
        await way.reach(place, machine, "manageable")
        await way.ask(place, machine, "inspect")
        await way.reach(place, machine, "inspect wait")
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"\r\n\x1b[1;31mKernel panic\x1b[0m - not syncing: VFS: Unable to mount root fs\r\n\x1b[2J \r\n")

        async def told() -> bool:
            run = await way.run_of(place, machine)
            words = '; its console says "Kernel panic - not syncing: VFS: Unable to mount root fs"'
            return words in str(run["reason"])

        await way.until(place, machine, "the panic", told, within=60)
        writer.close()
        await way.ask(place, machine, "abort")
        await way.reach(place, machine, "inspect failed", within=60)
