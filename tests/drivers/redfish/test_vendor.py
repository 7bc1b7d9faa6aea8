"""Vendor methods and out-of-band inspection of the redfish driver."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from drivers import place
from drivers.redfish import peer
from ingot.clients.redfish import inventory
from ingot.drivers.redfish import target
from ingot.interfaces.management import BootDevice
from ingot_rack.redfish.shapes import SHAPES


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[place.Place]:
    async with place.opened(tmp_path) as opened:
        yield opened


async def test_subscriptions_come_and_go(site: place.Place) -> None:
    async with peer.running("dell") as bmc:
        ctx = await site.context("redfish", bmc.info())
        vendor = ctx.interface("vendor")
        wanted = {"Destination": "https://events.example.org/x", "HttpHeaders": [{"Authorization": "hush-hush"}]}
        made = await vendor.call(ctx, "create_subscription", wanted)
        assert made == {
            "Id": "1",
            "Context": "",
            "Protocol": "Redfish",
            "Destination": "https://events.example.org/x",
            "EventTypes": ["Alert"],
        }
        assert await vendor.call(ctx, "get_subscription", {"id": "1"}) == made
        assert (await vendor.call(ctx, "get_all_subscriptions", {}))["Members@odata.count"] == 1
        await vendor.call(ctx, "delete_subscription", {"id": "1"})
        assert "answered 404" in await place.refusal(vendor.call(ctx, "get_subscription", {"id": "1"}))


@pytest.mark.parametrize(
    ("method", "body", "words"),
    [
        ("create_subscription", {}, "Destination None is not a valid URI"),
        (
            "create_subscription",
            {"Destination": "https://e/", "EventTypes": ["Party"]},
            "Party are not sent",
        ),
        (
            "create_subscription",
            {"Destination": "https://e/", "EventTypes": "Alert"},
            "Alert is not a valid value",
        ),
        ("create_subscription", {"Destination": "https://e/", "Context": 7}, "Context 7 is not a string"),
        ("create_subscription", {"Destination": "https://e/", "HttpHeaders": "x"}, "HttpHeaders x is not a list"),
        ("get_subscription", {}, "id can't be None"),
        ("delete_subscription", {"id": "../Sessions/1"}, "is not the id of a subscription"),
        ("eject_vmedia", {"boot_device": "tape"}, "Boot device tape is not a valid value"),
    ],
)
async def test_bodies_that_cannot_be(site: place.Place, method: str, body: dict[str, Any], words: str) -> None:
    async with peer.running() as bmc:
        ctx = await site.context("redfish", bmc.info())
        assert words in await place.refusal(ctx.interface("vendor").call(ctx, method, body))


async def test_media_are_ejected_by_the_older_name(site: place.Place) -> None:
    async with peer.running("lenovo") as bmc:
        ctx = await site.context("redfish", bmc.info())
        await ctx.management.attach_media(ctx, BootDevice.CDROM, "http://192.0.2.1/a.iso")
        await ctx.interface("vendor").call(ctx, "eject_vmedia", {"boot_device": "usb"})
        assert bmc.machine.media is not None
        await ctx.interface("vendor").call(ctx, "eject_vmedia", {})
        assert bmc.machine.media is None


@pytest.mark.parametrize("shape", SHAPES)
async def test_the_inventory_is_the_machine(site: place.Place, shape: str) -> None:
    async with peer.running(shape) as bmc:
        ctx = await site.context("redfish", bmc.info())
        found = await inventory.read(ctx.kit.redfish, target.of(ctx))
        assert (found["cpu"]["count"], found["cpu"]["architecture"]) == (8, "x86_64")
        assert found["memory"] == {"physical_mb": 65536}
        assert [one["mac_address"] for one in found["interfaces"]] == [place.MAC]
        assert [(one["serial"], one["size"] // peer.GIB) for one in found["disks"]] == [
            (f"DISK{number}", 500) for number in range(1, 5)
        ]
        assert found["system_vendor"]["manufacturer"] == (SHAPES[shape].manufacturer or "Ingot")
        assert found["boot"]["current_boot_mode"] == "uefi"
