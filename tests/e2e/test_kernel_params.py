"""``kernel_append_params``: a node's own words at the end of its ramdisk's command line, whichever way it boots."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import pytest

from e2e import stand, way
from ingot.cli.demo.world import Machine

pytestmark = pytest.mark.timeout(300)
USUAL = "console=ttyS0,57600"


async def script(port: str, machine: Machine) -> str:
    """What iPXE is told to do, as it asks for it."""
    url = f"http://127.0.0.1:{port}/boot/ipxe/{machine.mac}"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return await answer.text()


async def begin(place: stand.Stand, machine: Machine, boot: str, **more: str) -> None:
    """Have the machine boot its ramdisk that way; ``more``: of instance_info."""
    patch = [{"op": "add", "path": "/boot_interface", "value": boot}]
    patch += [{"op": "add", "path": f"/instance_info/{key}", "value": value} for key, value in more.items()]
    await place.call("PATCH", f"/v1/nodes/{machine.name}", patch)
    await way.ask(place, machine, "inspect")
    await way.reach(place, machine, "inspect wait")


async def end(place: stand.Stand, machine: Machine) -> None:
    await way.ask(place, machine, "abort")
    await way.reach(place, machine, "inspect failed", within=60)
    await way.ask(place, machine, "manage")
    await way.reach(place, machine, "manageable")


async def test_a_node_has_its_own(tmp_path: Path) -> None:
    port = str(stand.free_port())
    async with stand.opened(tmp_path, agents=False, files_port=port, kernel_params=USUAL) as place:
        ipmi, redfish = place.machines
        await place.enrol(ipmi, kernel_append_params="pci=nomsi %default% quiet")
        await place.enrol(redfish)
        for machine in place.machines:
            await way.ask(place, machine, "manage")
            await way.reach(place, machine, "manageable")
        await begin(place, ipmi, "ipxe")
        assert f" pci=nomsi {USUAL} quiet ||" in await script(port, ipmi)
        await end(place, ipmi)
        await begin(place, ipmi, "pxe", kernel_append_params="intel_iommu=on")
        (menu,) = tmp_path.glob(f"**/{ipmi.mac.replace(':', '-')}/grub/grub.cfg")
        assert " 'intel_iommu=on'; then" in menu.read_text()
        assert USUAL not in menu.read_text()
        await end(place, ipmi)
        await begin(place, redfish, "ipxe")
        assert f" {USUAL} ||" in await script(port, redfish)
        await end(place, redfish)
        await begin(place, redfish, "redfish-virtual-media", kernel_append_params="%default% edd=off")
        (image,) = tmp_path.glob("**/media/*/*.iso")
        assert f"'{USUAL}' 'edd=off'; then".encode() in image.read_bytes()
        await end(place, redfish)


async def judged(place: stand.Stand, machine: Machine) -> str:
    """Why the node's boot is refused; "" when it is not."""
    told = (await place.call("GET", f"/v1/nodes/{machine.name}/validate"))["boot"]
    return "" if told["result"] else told["reason"]


async def test_what_no_boot_script_can_hold_is_refused_before_a_boot(tmp_path: Path) -> None:
    async with stand.opened(tmp_path, agents=False) as place:
        machine = place.machines[0]
        await place.enrol(machine)

        async def tried(where: str, value: object) -> str:
            patch = [{"op": "add", "path": f"/{where}/kernel_append_params", "value": value}]
            await place.call("PATCH", f"/v1/nodes/{machine.name}", patch)
            return await judged(place, machine)

        for wrong in ("quiet\nboot", "a && b"):
            assert "boot script" in await tried("driver_info", wrong)
        assert "must be a text, not 7" in await tried("driver_info", 7)
        quoted = 'dyndbg="file drivers/nvme/* +p"'
        assert await tried("driver_info", quoted) == ""
        for boot in ("pxe", "http"):
            await place.call(
                "PATCH", f"/v1/nodes/{machine.name}", [{"op": "add", "path": "/boot_interface", "value": boot}]
            )
            assert "cannot be handed to a kernel by GRUB" in await judged(place, machine)
        assert await tried("driver_info", "quiet") == ""
        elsewhere = "ipa-api-url=http://elsewhere"
        assert await tried("driver_info", elsewhere) == ""
        for mine in (elsewhere, '"ipa-api-url"=x', "ipa-insecure=1", "ipa-advertise-host=elsewhere", "quiet BOOTIF=x"):
            assert "is not the instance's to say" in await tried("instance_info", mine)
        assert await tried("instance_info", "ipa-debug=1") == ""
