"""The whole of network boot over a real store: who is answered, and who is remembered."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from faults import catalogue
from ingot.domain import errors, node
from ingot.images.cache import ImageCache
from ingot.netboot import loaders
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


async def test_a_port_that_another_process_made_is_answered(lan: Lan, store: Store, tmp_path: Path) -> None:
    settings = Settings(data_dir=str(tmp_path), provision_interface="srv", provision_address="172.22.9.1/24")
    async with netboot(settings, store).running() as served:
        await enrol(store)
        assert await lan.ask(KNOWN) is None
        await served.admit_known()
        assert await lan.ask(KNOWN, tries=8) is not None


async def test_a_start_that_fails_leaves_no_listener(store: Store, tmp_path: Path, free_port: int) -> None:
    settings = Settings(
        data_dir=str(tmp_path), provision_interface="nosuch0", provision_address="127.0.0.1/24", files_port=free_port
    )
    with pytest.raises(errors.Invalid, match="no network interface nosuch0"):
        async with netboot(settings, store).running():
            raise AssertionError("DHCP cannot be served there")
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", free_port)


@pytest.mark.parametrize("url", ["http://172.22.9.100:6385", "https://api.example:6385"])
def test_ramdisks_call_the_address_they_are_told(store: Store, tmp_path: Path, url: str) -> None:
    settings = Settings(data_dir=str(tmp_path), provision_address="172.22.9.1", agent_api_url=f"{url}/")
    told = netboot(settings, store).agent_parameters()
    assert told.pop("ipa-api-url") == url
    assert bool(told.get("ipa-ca")) == url.startswith("https")


async def boots(store: Store) -> None:
    """The node's machine shall load the ramdisk."""
    await store.run(nodes.change, NODE, driver_internal_info={"boot": {"what": "ramdisk", "params": {}}})


async def get(url: str) -> tuple[int, bytes]:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return answer.status, await answer.read()


async def test_boot_files_and_images_have_addresses_that_only_who_was_told_knows(
    store: Store, tmp_path: Path, free_port: int
) -> None:
    settings = Settings(data_dir=str(tmp_path), provision_address="127.0.0.1", files_port=free_port)
    await enrol(store)
    await boots(store)
    base = f"http://127.0.0.1:{free_port}"
    (tmp_path / "images" / "abc").mkdir(parents=True)
    async with netboot(settings, store).running() as served:
        script = (await get(f"{base}/boot/ipxe/{KNOWN}"))[1].decode()
        initrd = next(word for word in script.split() if word.endswith("/initrd"))
        assert await get(initrd) == (200, b"x")
        seen = served.last_seen(KNOWN)
        assert seen is not None
        assert seen[1].startswith("loaded initrd of the ramdisk; look at its console")
        given = initrd.split("/")[5]
        for guess in (
            f"/boot/ramdisk/{KNOWN}/initrd",
            f"/boot/ramdisk/x/{KNOWN}/initrd",
            f"/boot/ramdisk/{given}/{OTHER}/initrd",
            f"/boot/ramdisk/{given[:-1]}/{KNOWN}/initrd",
            f"/images/{given}/abc/raw",
            "/images/abc/raw",
        ):
            assert (await get(base + guess))[0] == 404, guess
        url = served.image_url("abc", "raw")
        assert url.startswith(f"{base}/images/")
        assert url.endswith("/abc/raw")
        assert "abc" in url
    again = Netboot(settings, store, ImageCache(tmp_path / "images", 1 << 30).find_file)
    async with again.running():
        assert await get(initrd) == (200, b"x"), "a restart of the service must not end a boot"


async def test_an_arm_machine_gets_the_ramdisk_of_its_processor(store: Store, tmp_path: Path, free_port: int) -> None:
    settings = Settings(data_dir=str(tmp_path), provision_address="127.0.0.1", files_port=free_port)
    await enrol(store)
    await boots(store)
    async with netboot(settings, store).running():
        script = (await get(f"http://127.0.0.1:{free_port}/boot/ipxe/{KNOWN}"))[1].decode()
        url = next(word for word in script.split() if word.endswith("/initrd"))
        initrd, x86 = (url.replace("${buildarch}", one) for one in ("arm64", "x86_64"))
        assert await get(initrd) == (200, b"x"), "the only one there is"
        (tmp_path / "ramdisk/arm64").mkdir()
        for name in ("vmlinuz", "initrd"):
            (tmp_path / "ramdisk/arm64" / name).write_bytes(b"arm")
        assert await get(initrd) == (200, b"arm")
        assert await get(x86) == (200, b"x")
        assert await get(url.replace("/${buildarch}", "")) == (200, b"x"), "as an earlier version gave it out"


async def test_an_arm_machine_is_refused_what_this_host_lacks(store: Store, tmp_path: Path, free_port: int) -> None:
    settings = Settings(data_dir=str(tmp_path), provision_address="127.0.0.1", files_port=free_port)
    served = netboot(settings, store)
    (tmp_path / "ramdisk/manifest.json").write_text('{"architecture": "amd64"}')
    assert served.problem("pxe", "x86_64") is None
    where = tmp_path / "ramdisk/arm64"
    lacking = f"There is no deploy ramdisk for ARM64 in {where}. Make one with ingot ramdisk build --arch arm64."
    assert served.problem("pxe", "aarch64") == lacking
    catalogue.told("netboot-no-arm64-ramdisk", lacking)
    (tmp_path / "ramdisk/arm64").mkdir()
    for name in ("vmlinuz", "initrd"):
        (tmp_path / "ramdisk/arm64" / name).write_bytes(b"arm")
    if loaders.find(loaders.Program.SHIM_ARM64) is None:
        for how in ("pxe", "media"):
            assert "'the signed shim for ARM64' is not installed" in str(served.problem(how, "aarch64"))
    if loaders.find(loaders.Program.IPXE_ARM64) is None:
        assert "choose the boot interface pxe" in str(served.problem("ipxe", "aarch64"))


async def test_an_x86_machine_is_not_given_an_arm_ramdisk(store: Store, tmp_path: Path) -> None:
    served = netboot(Settings(data_dir=str(tmp_path), provision_address="127.0.0.1"), store)
    (tmp_path / "ramdisk/manifest.json").write_text('{"architecture": "arm64"}')
    assert f"The deploy ramdisk in {tmp_path}/ramdisk is for ARM64, and this" in str(served.problem("pxe", "x86_64"))
    assert served.problem("pxe") is None, "nobody has said yet what it is"


async def test_a_ramdisk_for_virtual_machines_alone_counts_no_timer_interrupts(
    store: Store, tmp_path: Path, free_port: int
) -> None:
    settings = Settings(data_dir=str(tmp_path), provision_address="127.0.0.1", files_port=free_port)
    await enrol(store)
    await boots(store)
    async with netboot(settings, store).running():
        for manifest, given in (("{}", False), ('{"variant": "full"}', False), ('{"variant": "cloud"}', True)):
            (tmp_path / "ramdisk" / "manifest.json").write_text(manifest)
            script = (await get(f"http://127.0.0.1:{free_port}/boot/ipxe/{KNOWN}"))[1].decode()
            assert (" no_timer_check" in script) == given, manifest


async def test_strangers_are_told_no_boot_file(store: Store, tmp_path: Path, free_port: int) -> None:
    settings = Settings(data_dir=str(tmp_path), provision_address="127.0.0.1", files_port=free_port)
    await enrol(store)
    async with netboot(settings, store).running() as served:
        stranger = "52:54:00:ee:01:99"
        assert b"vmlinuz" not in (await get(f"http://127.0.0.1:{free_port}/boot/ipxe/{stranger}"))[1]
        assert served.last_seen(stranger) is None
