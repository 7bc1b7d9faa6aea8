from __future__ import annotations

import contextlib
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ingot_rack import bmc, hardware, places, simulated
from ingot_rack.ipmi import server as ipmi
from ingot_rack.redfish import server as redfish
from ingot_rack.redfish import tree
from rack.tools import PASSWORD, USER, UUID, Tool, run


@pytest.fixture
def facts() -> hardware.Facts:
    disk = hardware.DiskFacts("DISK1", 1 << 30, "virtio")
    return hardware.Facts("n0", UUID, "SN-77", hardware.BootMode.UEFI, 2, 2048, ("52:54:00:00:00:01",), (disk,))


@pytest.fixture
def front(facts: hardware.Facts) -> bmc.Bmc:
    return bmc.Bmc(simulated.Simulated(facts), USER, PASSWORD)


@pytest.fixture
async def ipmi_port(front: bmc.Bmc) -> AsyncIterator[int]:
    server = ipmi.Server({"127.0.0.1": front}, 0)
    yield await server.start()
    await server.close()
    await front.close()


@pytest.fixture
async def redfish_url(front: bmc.Bmc, tmp_path: Path) -> AsyncIterator[str]:
    server = redfish.Server({"127.0.0.1": tree.Front(front, tmp_path / "media")}, 0)
    yield f"http://127.0.0.1:{await server.start()}"
    await server.close()
    await front.close()


@pytest.fixture
def ipmitool(ipmi_port: int) -> Tool:
    async def call(*words: str, password: str = PASSWORD) -> tuple[int, str]:
        where = ("-I", "lanplus", "-H", "127.0.0.1", "-p", str(ipmi_port), "-U", USER, "-E", "-N", "1", "-R", "3")
        return await run("ipmitool", *where, *words, env={"IPMI_PASSWORD": password})

    return call


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of this test's own, with the host's verdict about KVM carried over."""
    verdict = places.cache() / "accel.json"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with contextlib.suppress(FileNotFoundError):
        places.cache().mkdir(parents=True)
        shutil.copy(verdict, places.cache() / "accel.json")
    return tmp_path
