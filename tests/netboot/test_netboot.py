"""The whole of network boot over a real store: who is answered, and who is remembered."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from ingot.domain import node
from ingot.images.cache import ImageCache
from ingot.netboot.service import Netboot
from ingot.settings import Settings
from ingot.store import nodes, ports, upgrade
from ingot.store.engine import Store
from netboot.lan import Lan

KNOWN, OTHER = "52:54:00:ee:01:01", "52:54:00:ee:01:02"
NODE = "11111111-1111-1111-1111-111111111111"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    upgrade.upgrade(tmp_path / "ingot.db")
    made = Store(tmp_path / "ingot.db")
    yield made
    made.close()


async def enrol(store: Store) -> None:
    await store.run(nodes.create, node.Node(uuid=NODE, driver="fake-hardware"), None)
    for number, address in enumerate((KNOWN, OTHER)):
        uuid = f"{number}2222222-2222-2222-2222-222222222222"
        await store.run(ports.create, node.Port(uuid=uuid, address=address, node_uuid=NODE))


def netboot(settings: Settings, store: Store) -> Netboot:
    (settings.data / "ramdisk").mkdir()
    for name in ("vmlinuz", "initrd"):
        (settings.data / "ramdisk" / name).write_bytes(b"x")
    return Netboot(settings, store, ImageCache(settings.data / "images", 1 << 30).find_file)


async def test_a_deleted_port_is_answered_no_more(lan: Lan, store: Store, tmp_path: Path) -> None:
    settings = Settings(data_dir=str(tmp_path), provision_interface="srv", provision_address="172.22.9.1/24")
    await enrol(store)
    async with netboot(settings, store).running() as served:
        await served.forget_deleted()
        assert await lan.ask(OTHER, tries=4) is not None
        await store.run(ports.destroy, "12222222-2222-2222-2222-222222222222")
        await served.forget_deleted()
        assert await lan.ask(KNOWN, tries=8) is not None
        assert await lan.ask(OTHER) is None
        assert served.strangers(0) == [OTHER]


async def test_only_known_addresses_are_remembered(store: Store, tmp_path: Path, free_port: int) -> None:
    settings = Settings(data_dir=str(tmp_path), provision_address="127.0.0.1", files_port=free_port)
    await enrol(store)
    async with netboot(settings, store).running() as served, aiohttp.ClientSession() as session:
        for address in (KNOWN, "52:54:00:ee:01:99"):
            async with session.get(f"http://127.0.0.1:{free_port}/boot/ramdisk/{address}/initrd") as answer:
                assert (answer.status, await answer.read()) == (200, b"x")
        seen = served.last_seen(KNOWN)
        assert seen is not None
        assert seen[1] == "loaded initrd of the ramdisk"
        assert served.last_seen("52:54:00:ee:01:99") is None
