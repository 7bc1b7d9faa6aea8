"""The demo's world without a boot: it comes up, survives a SIGKILL of the service, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cli.program import environment, ingot_argv, wait_for
from ingot.cli import client as api
from ingot.cli import deployment
from ingot.cli.demo import farewell, proof
from ingot.cli.demo.artifacts import Artifacts
from ingot.cli.demo.world import Blueprint, World
from ingot.domain import errors

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="namespaces and taps need root"),
]


@pytest.fixture
def artifacts(tmp_path: Path) -> Artifacts:
    """Files with the right names: enough for everything but a boot."""
    for name in ("vmlinuz", "initrd", "disk.raw"):
        (tmp_path / name).write_bytes(b"\0" * 4096)
    return Artifacts(tmp_path, deployment.image(str(tmp_path / "disk.raw"), None), tmp_path, "debian")


@pytest.fixture
def blueprint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Blueprint:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", environment()["PYTHONPATH"])
    return Blueprint(name=f"t{os.getpid()}", memory_mb=512, disk_gib=1)


def namespaces() -> str:
    return subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout


def processes_of(name: str) -> list[str]:
    """Command lines that name the world."""
    found: list[str] = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if f"/{name}/" in line or f"ingot-{name}" in line:
            found.append(line)
    return found


async def test_a_world_comes_up_and_goes_without_a_trace(blueprint: Blueprint, artifacts: Artifacts) -> None:
    async with World(blueprint, artifacts) as world:
        assert [(one.firmware, one.driver) for one in world.machines] == [("bios", "ipmi"), ("uefi", "redfish")]
        assert (await world.call("GET", "/v1"))["id"] == "v1"
        assert f"ingot-{blueprint.name}" in namespaces()
        assert "password" not in repr(world.machines).lower()
        assert world.access.stat().st_mode & 0o077 == 0
        anybody = api.Client(world.url, timeout=5)
        with pytest.raises(errors.IngotError, match="INGOT_PASSWORD"):
            await asyncio.to_thread(anybody.get, "/v1/nodes")
        key = await proof.make_key(world.folder)
        assert key.public.startswith("ssh-ed25519 ")
        assert "ip netns exec" in " ".join(proof.command(world, world.machines[0], key.path))
        code, output, _ = await world.run_inside("ip", "-br", "addr")
        assert code == 0
        assert "192.0.2.1/24" in output
    assert f"ingot-{blueprint.name}" not in namespaces()
    assert processes_of(blueprint.name) == []
    with pytest.raises(errors.Unreachable):
        api.Client(world.url, timeout=2).get("/v1")


async def test_the_service_can_be_killed_and_started_again(blueprint: Blueprint, artifacts: Artifacts) -> None:
    async with World(blueprint, artifacts) as world:
        await world.call("POST", "/v1/nodes", {"name": "kept", "driver": "ipmi"})
        before = world.service.pid
        await world.service.kill()
        assert world.service.pid is None
        with pytest.raises(errors.Unreachable):
            await world.call("GET", "/v1/nodes")
        await world.restart()
        assert world.service.pid not in {None, before}
        assert [one["name"] for one in (await world.call("GET", "/v1/nodes"))["nodes"]] == ["kept"]
    assert processes_of(blueprint.name) == []


async def test_a_second_world_of_the_name_is_refused(blueprint: Blueprint, artifacts: Artifacts) -> None:
    async with World(blueprint, artifacts):
        with pytest.raises(errors.Conflict, match="running already"):
            async with World(blueprint, artifacts):
                pass
        assert f"ingot-{blueprint.name}" in namespaces()


async def test_a_service_that_cannot_start_is_told_by_its_log(blueprint: Blueprint, artifacts: Artifacts) -> None:
    wrong = Blueprint(name=blueprint.name, memory_mb=512, disk_gib=1, settings={"provision_range": "10.0.0.1-10.0.0.9"})
    with pytest.raises(errors.IngotError, match=r"ingot serve ended .*10\.0\.0\."):
        async with World(wrong, artifacts):
            pass
    assert f"ingot-{blueprint.name}" not in namespaces()


def test_what_a_killed_world_left_is_taken_away(blueprint: Blueprint, artifacts: Artifacts, tmp_path: Path) -> None:
    program = (
        "import asyncio, sys\nfrom pathlib import Path\nfrom ingot.cli import deployment\n"
        "from ingot.cli.demo.artifacts import Artifacts\nfrom ingot.cli.demo.world import Blueprint, World\n"
        "async def main():\n"
        "    folder = Path(sys.argv[1])\n"
        "    image = deployment.image(str(folder / 'disk.raw'), None)\n"
        "    async with World(Blueprint(name=sys.argv[2], disk_gib=1), Artifacts(folder, image, folder, 'x')):\n"
        "        print('up', flush=True)\n"
        "        await asyncio.sleep(1000)\n"
        "asyncio.run(main())\n"
    )
    argv = [sys.executable, "-c", program, str(tmp_path), blueprint.name]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, env=environment()) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"up\n"
        child.send_signal(signal.SIGKILL)
        child.wait(10)
    assert processes_of(blueprint.name), "a SIGKILL leaves the service and the rack"

    async def again() -> None:
        async with World(blueprint, artifacts) as world:
            await world.call("GET", "/v1/nodes")

    asyncio.run(again())
    wait_for(lambda: processes_of(blueprint.name) == [])
    assert f"ingot-{blueprint.name}" not in namespaces()


@pytest.mark.parametrize(
    ("moment", "virtual"),
    [
        ("ramdisk", False),
        pytest.param("inspect wait", True, marks=[pytest.mark.qemu, pytest.mark.timeout(600)]),
    ],
)
def test_ctrl_c_in_the_middle_of_the_demo(blueprint: Blueprint, moment: str, virtual: bool) -> None:
    """While it still builds, and when machines, BMCs and service run: nothing stays, exit code 130."""
    argv = ingot_argv("demo", "--name", blueprint.name, "--image", "tiny", "--port", "0")
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()) as child:
        assert child.stdout is not None
        assert any(moment.encode() in line for line in child.stdout)
        assert any(line.startswith("qemu-system") for line in processes_of(blueprint.name)) == virtual
        child.send_signal(signal.SIGINT)
        output, complaints = child.communicate(timeout=60)
    assert child.returncode == 130, output + complaints
    assert b"everything the demo started is gone" in complaints
    assert b"Traceback" not in complaints
    wait_for(lambda: processes_of(blueprint.name) == [])
    assert f"ingot-{blueprint.name}" not in namespaces()


def test_free_port_gives_way(silent_server: str) -> None:
    taken = int(silent_server.rpartition(":")[2])
    assert farewell.free_port(taken) == 0
