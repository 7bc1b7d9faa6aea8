"""Whole racks as users start them: a process of its own, its namespace, and what a killed one leaves."""

from __future__ import annotations

import asyncio
import base64
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import aiohttp
import pytest

from ingot_rack import control, errors, network, processes, rack
from rack import tools
from rack.tools import run, serial_text, until

pytestmark = pytest.mark.qemu

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="making namespaces and bridges needs root")
NAME = f"t{os.getpid()}"
SPEC = f"""
name = "{NAME}"
network = {{network}}
[[machines]]
name = "a"
memory_mb = 256
disk_gib = 0.1
[[machines]]
name = "b"
memory_mb = 256
disk_gib = 0.1
bmc = "redfish"
[[machines]]
name = "c"
kind = "simulated"
password = "given-password"
ipmi_versions = "1.5 2.0"
"""


@pytest.fixture
async def spec_file(own_cache: Path) -> AsyncIterator[Path]:
    path = own_cache / "rack.toml"
    path.write_text(SPEC.format(network="false"))
    yield path
    await rack.down(NAME, purge=True)


def machines(state: dict[str, object]) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in cast("list[dict[str, Any]]", state["machines"])}


def copied(pid_file: Path, folder: Path) -> Path:
    """The same process number in a file that no end of a rack removes."""
    copy = folder / "left.pid"
    copy.write_text(pid_file.read_text())
    return copy


async def ask(**request: object) -> Any:
    return await control.call(rack.control_socket(NAME), request)


async def test_up_status_control_down(spec_file: Path, tmp_path: Path) -> None:
    state = await rack.start(spec_file)
    told = machines(state)
    assert told["c"]["password"] == "given-password"
    assert (rack.places.rack(NAME) / "state.json").stat().st_mode & 0o077 == 0, "it holds passwords"
    with pytest.raises(errors.RackError, match="is up already"):
        await rack.start(spec_file)
    code, output = await run(sys.executable, "-m", "ingot_rack", "serve", str(spec_file))
    assert (code, "is up already" in output) == (1, True), "a second one would end the machines of the first"
    assert await ask(do="power", machine="a", action="on") == "on"
    assert machines(await ask(do="status"))["a"]["power"] == "on"
    picture = tmp_path / "p.png"
    assert await ask(do="screenshot", machine="a", path=str(picture)) == str(picture)
    assert picture.read_bytes().startswith(b"\x89PNG")
    log = Path(told["a"]["serial_log"])
    await until(lambda: "SeaBIOS" in serial_text(log), what="the firmware's first words")
    with pytest.raises(errors.RackError, match="no machine 'z'"):
        await ask(do="power", machine="z", action="on")
    with pytest.raises(errors.RackError, match="'explode'"):
        await ask(do="power", machine="a", action="explode")
    left = copied(Path(told["a"]["folder"]) / "qemu.pid", tmp_path)
    assert processes.find(left, NAME) is not None
    assert await rack.down(NAME)
    assert not await rack.down(NAME), "nothing is left to end"
    assert processes.find(left, NAME) is None


@pytest.mark.peer
async def test_a_broken_bmc_by_control(spec_file: Path) -> None:
    one = machines(await rack.start(spec_file))["c"]
    where = ("-I", "lanplus", "-H", one["bmc_address"], "-p", str(one["bmc_port"]), "-U", one["user"])
    command = ("ipmitool", *where, "-P", one["password"], "-N", "1", "-R", "1", "power", "status")
    assert await run(*command) == (0, "Chassis Power is off\n")
    older = ("ipmitool", "-I", "lan", *command[3:])
    assert await run(*older) == (0, "Chassis Power is off\n")
    await ask(do="faults", machine="c", set={"drop_rate": 1.0})
    assert (await run(*command))[0] != 0
    await ask(do="faults", machine="c", set={"drop_rate": 0})
    assert (await run(*command))[0] == 0


async def test_a_killed_rack_is_cleaned_up(spec_file: Path, tmp_path: Path) -> None:
    state = await rack.start(spec_file)
    await ask(do="power", machine="a", action="on")
    pid_file = Path(machines(state)["a"]["folder"]) / "qemu.pid"
    os.kill(int(str(state["pid"])), signal.SIGKILL)
    await until(lambda: processes.find(rack.places.rack(NAME) / "rack.pid", "ingot_rack") is None)
    mark = str(rack.places.sockets(pid_file.parent) / "qmp.sock")
    left = copied(pid_file, tmp_path)
    assert processes.find(left, mark) is not None, "QEMU outlives a killed rack"
    assert await rack.down(NAME)
    assert processes.find(left, mark) is None
    again = await rack.start(spec_file)
    assert machines(again)["a"]["uuid"] == machines(state)["a"]["uuid"]


async def test_up_after_a_kill_ends_the_leftovers(spec_file: Path, tmp_path: Path) -> None:
    state = await rack.start(spec_file)
    await ask(do="power", machine="a", action="on")
    left = copied(Path(machines(state)["a"]["folder"]) / "qemu.pid", tmp_path)
    assert processes.find(left, "ingot") is not None
    os.kill(int(str(state["pid"])), signal.SIGKILL)
    await until(lambda: processes.find(rack.places.rack(NAME) / "rack.pid", "ingot_rack") is None)
    await rack.start(spec_file)
    assert processes.find(left, "ingot") is None


@needs_root
async def test_a_namespace_with_bridge_taps_and_bmcs(spec_file: Path) -> None:
    spec_file.write_text(SPEC.format(network="true"))
    state = await rack.start(spec_file)
    inside = cast("list[str]", state["prefix"])
    code, addresses = await run(*inside, "ip", "-br", "addr")
    assert code == 0
    assert all(word in addresses for word in ("192.0.2.1/24", "198.51.100.1/32", "198.51.100.3/32"))
    _, bridge = await run(*inside, "ip", "-d", "link", "show", str(state["bridge"]))
    assert "stp_state 0" in bridge
    one = machines(state)["b"]
    _, outside = await run("ip", "-br", "addr")
    assert "198.51.100.1" not in outside
    script = f"import urllib.request as u; print(u.urlopen('{one['bmc_url']}/redfish/v1/').status)"
    assert await run(*inside, sys.executable, "-c", script) == (0, "200\n")
    os.kill(int(str(state["pid"])), signal.SIGKILL)
    await until(lambda: processes.find(rack.places.rack(NAME) / "rack.pid", "ingot_rack") is None)
    await rack.down(NAME)
    _, namespaces = await run("ip", "netns")
    assert f"ingot-{NAME}" not in namespaces


@needs_root
async def test_a_guest_asks_for_an_address_on_the_bridge(spec_file: Path) -> None:
    """The machine's DHCP request is heard on the provisioning bridge: the taps carry."""
    spec_file.write_text(SPEC.format(network="true"))
    state = await rack.start(spec_file)
    script = (
        "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(60);"
        "s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1); s.bind(('', 67));"
        "print('ready', flush=True); print(s.recv(2000)[28:34].hex(':'))"
    )
    inside = cast("list[str]", state["prefix"])
    listener = await asyncio.create_subprocess_exec(
        *inside, sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE
    )
    assert listener.stdout is not None
    assert await listener.stdout.readline() == b"ready\n"
    await ask(do="boot", machine="a", device="network", persistent=False)
    await ask(do="power", machine="a", action="on")
    heard, _ = await asyncio.wait_for(listener.communicate(), 70)
    assert heard.decode().strip() == machines(state)["a"]["mac"]


async def test_command_line_sentences(own_cache: Path) -> None:
    code, output = await run(sys.executable, "-m", "ingot_rack", "status", "nobody")
    assert (code, output.endswith("Start it with up.\n")) == (1, True), output
    missing = str(own_cache / "none.toml")
    code, output = await run(sys.executable, "-m", "ingot_rack", "up", missing)
    assert (code, missing in output) == (1, True)


async def test_sigterm_ends_a_foreground_rack(spec_file: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "ingot_rack", "serve", str(spec_file), stderr=asyncio.subprocess.PIPE
    )
    await until(lambda: rack.read_state(NAME) is not None, what="the rack")
    await ask(do="power", machine="a", action="on")
    process.send_signal(signal.SIGTERM)
    _, said = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 0, said
    assert rack.read_state(NAME) is None
    assert not list(rack.places.rack(NAME).glob("machines/*/qemu.pid"))


@needs_root
async def test_a_network_on_the_host_leaves_nothing(own_cache: Path) -> None:
    """Without a namespace all names and addresses go to the host, and all of them go away."""
    net = network.Network(NAME, None, "203.0.113.129/28", ("203.0.113.201",), 2)
    await net.create()
    try:
        _, shown = await run("ip", "-br", "addr")
        assert all(word in shown for word in (net.bridge, net.tap(1), "203.0.113.129/28", "203.0.113.201/32"))
        assert net.prefix() == ()
        await net.create()  # over what a killed rack left
    finally:
        await net.remove()
    _, shown = await run("ip", "-br", "addr")
    assert net.bridge not in shown
    assert "203.0.113" not in shown
    await net.remove()


async def test_virtual_media_by_redfish_boots_the_machine(spec_file: Path, tmp_path: Path) -> None:
    one = machines(await rack.start(spec_file))["b"]
    image = tmp_path / "boot.iso"
    image.write_bytes(tools.boot_cd("FROM-VIRTUAL-CD", tools.HALT))
    login = {"Authorization": "Basic " + base64.b64encode(f"{one['user']}:{one['password']}".encode()).decode()}
    system, manager = "/redfish/v1/Systems/1", "/redfish/v1/Managers/1"
    boot = {"Boot": {"BootSourceOverrideTarget": "Cd", "BootSourceOverrideEnabled": "Once"}}
    async with aiohttp.ClientSession(one["bmc_url"], headers=login, raise_for_status=True) as client:
        insert = f"{manager}/VirtualMedia/Cd/Actions/VirtualMedia.InsertMedia"
        await client.post(insert, json={"Image": image.as_uri()})
        await client.patch(system, json=boot)
        await client.post(f"{system}/Actions/ComputerSystem.Reset", json={"ResetType": "On"})
        log = Path(one["serial_log"])
        await until(lambda: "FROM-VIRTUAL-CD" in serial_text(log), what="the boot from virtual media")
        async with client.get(system) as answer:
            body = await answer.json()
        assert (body["PowerState"], body["Boot"]["BootSourceOverrideEnabled"]) == ("On", "Disabled")
        await client.post(f"{manager}/VirtualMedia/Cd/Actions/VirtualMedia.EjectMedia", json={})
        await client.post(f"{system}/Actions/ComputerSystem.Reset", json={"ResetType": "ForceOff"})
