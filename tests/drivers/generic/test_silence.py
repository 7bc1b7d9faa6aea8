"""What boot ``ipxe`` says of a machine that does not call: from the real file server, and from dnsmasq's own lines."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from drivers import place, world
from faults import catalogue
from ingot import app
from ingot.drivers.generic import boot_plan
from ingot.images.cache import ImageCache
from ingot.netboot.service import Netboot
from ingot.netboot.trace import Trace
from ingot.settings import Settings
from ingot.store import nodes


@contextlib.asynccontextmanager
async def served(folder: Path) -> AsyncGenerator[tuple[place.Place, str]]:
    """A site whose boot files are served for real on loopback, and their URL."""
    port = world.free_port()
    (folder / "ramdisk").mkdir()
    for name in ("vmlinuz", "initrd"):
        (folder / "ramdisk" / name).write_bytes(b"x" * 1000)
    more: dict[str, Any] = {"provision_address": "127.0.0.1", "files_port": port}
    deps = app.make_deps(Settings(data_dir=str(folder), **more))
    netboot = Netboot(deps.settings, deps.store, ImageCache(folder / "images", 1 << 30).find_file)
    async with netboot.running(), place.opened(folder, netboot, **more) as site:
        yield site, f"http://127.0.0.1:{port}/boot"
    deps.store.close()


async def fetch(url: str) -> bytes:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        assert answer.status == 200
        return await answer.read()


async def test_every_stage_over_http(tmp_path: Path) -> None:
    async with served(tmp_path) as (site, url):
        ctx = await site.context("ipmi", {"ipmi_address": "127.0.0.1"}, cards=2)
        one, two = ctx.macs()
        since = time.time() - 1
        assert await ctx.boot.explain_silence(ctx, since) == (
            f"no DHCP request seen from {one}, {two} since power-on; wrong VLAN, cable or NIC order, or it booted from "
            "elsewhere"
        )
        catalogue.told("netboot-no-dhcp", await ctx.boot.explain_silence(ctx, since))
        await fetch(f"{url}/ipxe/{one}")
        assert await ctx.boot.explain_silence(ctx, since) == (
            f"{one} asked for its boot script and was told to start from its disk (0 s ago, nothing since); find out "
            "who switched it on: no run had it load the ramdisk"
        )
        catalogue.told("netboot-told-disk", await ctx.boot.explain_silence(ctx, since))
        info: dict[str, Any] = {"boot": {"what": "ramdisk", "params": {}}}
        await site.deps.store.run(nodes.change, ctx.node.uuid, driver_internal_info=info)
        script = (await fetch(f"{url}/ipxe/{two}")).decode()
        kernel = next(word for word in script.split() if word.endswith("/vmlinuz"))
        assert await ctx.boot.explain_silence(ctx, since) == (
            f"{two} asked for its boot script and was told to load the ramdisk (0 s ago, nothing since); look at its "
            "console, and whether it reaches the file server (setting files_port)"
        )
        catalogue.told("netboot-after-script", await ctx.boot.explain_silence(ctx, since))
        await fetch(kernel)
        catalogue.told("netboot-after-kernel", await ctx.boot.explain_silence(ctx, since))
        assert await ctx.boot.explain_silence(ctx, since) == (
            f"{two} loaded vmlinuz of the ramdisk (0 s ago, nothing since); look at its console (does the rest fit "
            "into its memory?)"
        )
        assert "no DHCP request seen" in str(await ctx.boot.explain_silence(ctx, time.time() + 1)), "an earlier boot"
        (tmp_path / "ramdisk" / "initrd").unlink()
        sentence = f"There is no deploy ramdisk in {tmp_path}/ramdisk. Make one with ingot ramdisk build."
        assert await ctx.boot.explain_silence(ctx, since) == sentence
        catalogue.told("netboot-no-ramdisk", sentence)
        assert sentence in await place.refusal(ctx.boot.validate(ctx))


class Watched:
    """A provisioning network of which only dnsmasq's log is known."""

    def __init__(self) -> None:
        self.trace = Trace()

    def api_url(self) -> str:
        return "http://127.0.0.1:1"

    def agent_parameters(self) -> dict[str, str]:
        return {"ipa-api-url": self.api_url()}

    def image_url(self, key: str, file: str) -> str:
        return f"http://127.0.0.1:1/{key}/{file}"

    async def admit(self, addresses: list[str]) -> None:
        raise AssertionError(addresses)

    def last_seen(self, address: str) -> tuple[float, str] | None:
        event = self.trace.find(address)
        return (event.at, self.trace.sentence(address, 0).removeprefix(f"{address} ")) if event else None

    def problem(self, how: str, cpu_arch: object = None) -> str | None:
        return None


@pytest.mark.parametrize(
 ("name", "line", "words"),
    [
        ("dhcp-no-address", "1 DHCPDISCOVER(br0) {mac} no address available",
         "asked for an address and was refused: no address available{}; make the setting provision_range wider"),
        ("dhcp-not-taken", "1 DHCPOFFER(br0) 10.0.0.5 {mac}",
         "was offered 10.0.0.5 and has not taken it{}; look for a second DHCP server on this network"),
        ("dhcp-neighbours-full",
         "1 DHCPOFFER(br0) 10.0.0.5 {mac}\ndnsmasq-dhcp[1]: ARP-cache injection failed: No buffer space available",
         "was offered 10.0.0.5, but this host could not send it: No buffer space available{}; raise "
         "net.ipv4.neigh.default.gc_thresh3 above the number of machines it talks to"),
        ("tftp-blocked", "1 DHCPACK(br0) 10.0.0.5 {mac}",
         "got the address 10.0.0.5, but did not load its boot program{}; look whether TFTP (UDP 69) is blocked"),
    ],
)  # fmt: skip
async def test_dhcp_was_seen(tmp_path: Path, name: str, line: str, words: str) -> None:
    boot = Watched()
    async with place.opened(tmp_path, boot) as site:
        ctx = await site.context("ipmi", {"ipmi_address": "127.0.0.1"})
        mac = ctx.macs()[0]
        now = time.time()
        for one in line.format(mac=mac).splitlines():
            boot.trace.feed(f"dnsmasq-dhcp[1]: {one}", now)
        said = await ctx.boot.explain_silence(ctx, now - 1)
        assert said == f"{mac} {words.format(' (0 s ago, nothing since)')}"
        catalogue.told(name, said)


class Read(Watched):
    """A network on which only the node's boot image was read, at ``at``, and its card was seen, at ``card``."""

    def __init__(self, at: float, card: float = 0.0) -> None:
        super().__init__()
        self.at, self.card = at, card

    def last_seen(self, address: str) -> tuple[float, str] | None:
        return (self.card, "asked for an address") if ":" in address else (self.at, "was read")

    def strangers(self, since: float) -> list[str]:
        return []


async def test_a_boot_image_read_for_an_earlier_boot_does_not_count(tmp_path: Path) -> None:
    async with place.opened(tmp_path, Read(1000.0)) as site:
        ctx = await site.context(
            "redfish", {"redfish_address": "http://127.0.0.1:1"}, boot_interface="redfish-virtual-media"
        )
        assert str(await ctx.boot.explain_silence(ctx, 900.0)).startswith(
            "the BMC has read the boot image, but no DHCP"
        )
        assert str(await ctx.boot.explain_silence(ctx, 1100.0)).startswith("the BMC has not read the boot image")


@pytest.mark.parametrize(
    ("read", "card", "hangs"),
    [
        (5.0, None, False),  # into the drive before the start; nothing yet of the machine itself
        (5.0, -10.0, False),  # its card was seen in an earlier boot
        (5.0, 40.0, True),
        (90.0, 40.0, False),  # it reads on
        (-10.0, 40.0, True),
    ],
)
async def test_a_machine_hangs_that_showed_itself_and_is_silent(
    tmp_path: Path, read: float, card: float | None, hangs: bool
) -> None:
    """All in seconds after a start 100 s ago, of 200 s."""
    since = time.time() - 100
    boot = Read(since + read, 0.0 if card is None else since + card)
    async with place.opened(tmp_path, boot, ramdisk_timeout=200.0) as site:
        ctx = await site.context("ipmi", {"ipmi_address": "127.0.0.1"}, cards=2)
        assert boot_plan.hangs(ctx, since) is hangs
        assert not boot_plan.hangs(ctx, since - 51), "too little time is left"


async def test_a_node_without_cards(tmp_path: Path) -> None:
    async with place.opened(tmp_path) as site:
        ctx = await site.context("ipmi", {"ipmi_address": "127.0.0.1"}, cards=0)
        for kind in (ctx.boot, ctx.network):
            said = await place.refusal(kind.validate(ctx))
            assert said.startswith(f"Node {ctx.node.uuid} has no port with pxe_enabled")
            assert said.endswith("Create one: ingot port create NODE MAC.")
            catalogue.told("netboot-no-port", said)


async def test_network_boot_that_is_off(tmp_path: Path) -> None:
    async with place.opened(tmp_path) as site:
        ctx = await site.context("ipmi", {"ipmi_address": "127.0.0.1"})
        words = "Network boot is off: set provision_interface to the interface that machines boot on"
        said = await place.refusal(ctx.boot.validate(ctx))
        assert said.startswith(words)
        catalogue.told("netboot-off", said)
        assert await ctx.boot.explain_silence(ctx, 0) == words
