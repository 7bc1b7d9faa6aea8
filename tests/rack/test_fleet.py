"""A simulated fleet: size, independence of its BMCs, and agents against an Ironic-like API."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from ingot_rack import control, effects, errors, fleet
from ingot_rack.hardware import BootDevice, BootOverride, PowerAction, PowerState
from rack.tools import run, until

TOKEN = "t" * 43


class Api:
    """What an agent needs of an API, and a record of what it was told."""

    def __init__(self) -> None:
        self.looked_up: list[str] = []
        self.heartbeats: list[dict[str, str]] = []
        self.inventories: list[dict[str, object]] = []
        self.refuse_lookups = 0
        self.script = "kernel vmlinuz ipa-api-url={url} ipa-inspection-callback-url={url}/v1/continue_inspection"
        self.url = ""

    async def lookup(self, request: web.Request) -> web.Response:
        if self.refuse_lookups:
            self.refuse_lookups -= 1
            raise web.HTTPNotFound
        self.looked_up.append(request.query["addresses"])
        config = {"heartbeat_timeout": 300, "agent_token": TOKEN}
        return web.json_response({"node": {"uuid": "node-of-" + request.query["addresses"]}, "config": config})

    async def heartbeat(self, request: web.Request) -> web.Response:
        self.heartbeats.append(await request.json())
        return web.Response(status=202)

    async def inspection(self, request: web.Request) -> web.Response:
        self.inventories.append((await request.json())["inventory"])
        return web.Response(status=202)

    async def boot(self, request: web.Request) -> web.Response:
        return web.Response(text=self.script.format(url=self.url) + " for " + request.match_info["mac"])


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    made = Api()
    app = web.Application()
    app.router.add_get("/v1/lookup", made.lookup)
    app.router.add_post("/v1/heartbeat/{node}", made.heartbeat)
    app.router.add_post("/v1/continue_inspection", made.inspection)
    app.router.add_get("/boot/{mac}", made.boot)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


async def test_a_thousand_of_each_start_in_two_seconds() -> None:
    many = fleet.Fleet(fleet.Plan(ipmi=1000, redfish=1000, first="127.40.0.1"))
    began = time.monotonic()
    await many.start()
    assert time.monotonic() - began < 2
    nodes = many.nodes()
    assert len({str(node["ports"]) for node in nodes}) == 2000
    assert len({str(node["driver_info"]) for node in nodes}) == 2000
    async with aiohttp.ClientSession() as client:
        for name in ("sim-01000", "sim-01999"):
            url = f"http://{many.addresses[name]}:{many.ports['redfish']}/redfish/v1/"
            async with client.get(url) as answer:
                assert (await answer.json())["UUID"] == many.machines[name].facts.uuid
        outside = f"http://127.0.0.1:{many.ports['redfish']}/redfish/v1/"
        async with client.get(outside) as answer:
            assert answer.status == 404, "an address that is no BMC answers nothing useful"
    await many.close()


@pytest.mark.peer
async def test_each_address_is_a_bmc_of_its_own() -> None:
    few = fleet.Fleet(fleet.Plan(ipmi=3, first="127.41.0.1"))
    await few.start()
    where = ("-I", "lanplus", "-p", str(few.ports["ipmi"]), "-U", "admin", "-P", few.plan.password)
    assert (await run("ipmitool", *where, "-H", few.addresses["sim-00001"], "power", "on"))[0] == 0
    states = [few.machines[name].power for name in sorted(few.machines)]
    assert states == [PowerState.OFF, PowerState.ON, PowerState.OFF]
    assert few.effects.count("start", "sim-00001") == 1
    await few.close()


async def network_boot(running: fleet.Fleet, name: str) -> None:
    await running.machines[name].set_boot(BootOverride(BootDevice.NETWORK))
    await running.machines[name].set_power(PowerAction.ON)


async def test_an_agent_is_looked_up_beats_and_obeys(api: Api, tmp_path: Path) -> None:
    journal = tmp_path / "effects.jsonl"
    api.refuse_lookups = 1
    plan = fleet.Plan(redfish=2, first="127.42.0.1", api=api.url, boot_url=api.url + "/boot/{mac}", journal=journal)
    few = fleet.Fleet(plan)
    await few.start()
    await network_boot(few, "sim-00001")
    await until(lambda: bool(api.heartbeats), what="a heartbeat")
    assert api.looked_up == list(few.machines["sim-00001"].facts.macs)
    beat = api.heartbeats[0]
    assert (beat["agent_token"], beat["callback_url"]) == (TOKEN, f"http://127.42.0.2:{few.ports['agent']}")
    assert api.inventories[0]["hostname"] == "sim-00001", "the boot script asked for inspection"

    async with aiohttp.ClientSession(beat["callback_url"]) as client:

        async def command(name: str, token: str = TOKEN, **params: object) -> tuple[int, dict[str, object]]:
            body = {"name": name, "params": params}
            async with client.post(f"/v1/commands/?wait=false&agent_token={token}", json=body) as answer:
                return answer.status, await answer.json(content_type=None)

        assert (await command("clean.get_clean_steps", token="wrong"))[0] == 401
        status, result = await command("clean.get_clean_steps")
        assert (status, result["command_status"], result["command_name"]) == (200, "SUCCEEDED", "get_clean_steps")
        status, result = await command("clean.execute_clean_step", step={"step": "erase_devices_metadata"})
        assert result["command_result"] == {"clean_result": None, "clean_step": {"step": "erase_devices_metadata"}}
        await until(lambda: len(api.heartbeats) > 1, what="the beat at the end of a step")
        await command("deploy.execute_deploy_step", step={"step": "write_image"})
        assert (await command("nonsense.do"))[0] == 404
        async with client.get(f"/v1/commands/?agent_token={TOKEN}") as answer:
            assert len((await answer.json())["commands"]) == 3
        await command("standby.run_image")
        await until(lambda: not few.agents, what="the reboot into the disk")
        with pytest.raises(aiohttp.ClientError):
            await command("clean.get_clean_steps")
    assert few.machines["sim-00001"].power is PowerState.ON
    await few.close()
    written = [effect.kind for effect in effects.read(journal)]
    assert written == ["start", "erase_devices_metadata", "write_image", "agent reboot", "stop", "start"]
    assert few.effects.count("write_image") == 1


async def test_a_boot_script_without_a_kernel_starts_no_agent(api: Api) -> None:
    api.script = "sanboot {url}"
    few = fleet.Fleet(fleet.Plan(redfish=1, first="127.43.0.1", api=api.url, boot_url=api.url + "/boot/{mac}"))
    await few.start()
    await network_boot(few, "sim-00000")
    await until(lambda: not any(agent.alive for agent in few.agents.values()), what="the end of the boot")
    assert not api.looked_up
    await few.close()


async def test_a_slow_step_makes_the_agent_busy(api: Api) -> None:
    few = fleet.Fleet(fleet.Plan(redfish=1, first="127.44.0.1", api=api.url, step_seconds=0.5))
    await few.start()
    await network_boot(few, "sim-00000")
    await until(lambda: bool(api.heartbeats))
    agent = next(iter(few.agents.values()))
    result = agent.command("deploy.execute_deploy_step", {"step": {"step": "write_image"}})
    assert result["command_status"] == "RUNNING"
    url = f"{api.heartbeats[0]['callback_url']}/v1/commands/?agent_token={TOKEN}"
    async with aiohttp.ClientSession() as client, client.post(url, json={"name": "standby.sync"}) as answer:
        assert answer.status == 409
    await until(lambda: result["command_status"] == "SUCCEEDED", what="the end of the step")
    await few.close()


async def test_an_order_of_the_agent_does_not_outlive_its_power(api: Api) -> None:
    few = fleet.Fleet(fleet.Plan(redfish=1, first="127.49.0.1", api=api.url))
    await few.start()
    await network_boot(few, "sim-00000")
    await until(lambda: bool(api.heartbeats))
    machine = few.machines["sim-00000"]
    next(iter(few.agents.values())).command("standby.power_off", {})
    await machine.set_power(PowerAction.CYCLE)
    await asyncio.sleep(0.2)
    assert machine.power is PowerState.ON, "switched off by the agent of the boot before"
    assert [one.kind for one in few.effects.all] == ["start", "agent power off", "stop", "start"]
    await few.close()


async def test_control_socket_breaks_and_tells(tmp_path: Path) -> None:
    socket = tmp_path / "c.sock"
    few = fleet.Fleet(fleet.Plan(ipmi=3, first="127.45.0.1", control=socket))
    await few.start()
    assert await control.call(socket, {"do": "faults", "set": {"drop_rate": 1}}) == {"changed": 3}
    assert {one.faults.drop_rate for one in few.bmcs.values()} == {1.0}
    with pytest.raises(errors.RackError, match="no fault 'sleepy'"):
        await control.call(socket, {"do": "faults", "machine": "sim-00001", "set": {"sleepy": True}})
    many = ["sim-00001"] * 10_000
    assert await control.call(socket, {"do": "faults", "machine": many, "set": {}}) == {"changed": 10_000}
    status = await control.call(socket, {"do": "status"})
    assert isinstance(status, dict)
    assert status["machines"] == 3
    await few.close()
    with pytest.raises(errors.RackError, match="No rack listens"):
        await control.call(socket, {"do": "status"})


async def test_a_taken_port_is_told() -> None:
    one = fleet.Fleet(fleet.Plan(redfish=2, first="127.46.0.1"))
    await one.start()
    two = fleet.Fleet(fleet.Plan(redfish=2, first="127.46.0.1", redfish_port=one.ports["redfish"]))
    with pytest.raises(errors.RackError, match="redfish port cannot be used"):
        await two.start()
    await two.close()
    await one.close()


def test_a_torn_journal_line_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "j"
    journal = effects.Effects(path)
    journal.note("n", "write_image", "x")
    journal.close()
    path.write_text(path.read_text() + json.dumps({"at": 1})[:-3])
    assert [one.kind for one in effects.read(path)] == ["write_image"]


async def test_slow_machines_do_not_delay_the_others() -> None:
    few = fleet.Fleet(fleet.Plan(redfish=2, first="127.47.0.1"))
    await few.start()
    few.machines["sim-00000"].delay = 30.0
    pair = base64.b64encode(f"admin:{few.plan.password}".encode()).decode()

    async def switch_on(name: str) -> int:
        url = f"http://{few.addresses[name]}:{few.ports['redfish']}"
        path, order = "/redfish/v1/Systems/1/Actions/ComputerSystem.Reset", {"ResetType": "On"}
        async with (
            aiohttp.ClientSession(url, headers={"Authorization": f"Basic {pair}"}) as client,
            client.post(path, json=order) as answer,
        ):
            return answer.status

    slow = asyncio.create_task(switch_on("sim-00000"))
    await until(lambda: few.messages()["redfish"] == 1, what="the order to the slow one")
    assert await asyncio.wait_for(switch_on("sim-00001"), 20) == 204
    assert [one.power for one in few.machines.values()] == [PowerState.OFF, PowerState.ON]
    slow.cancel()
    await asyncio.gather(slow, return_exceptions=True)
    await few.close()


async def test_fleet_from_the_command_line(tmp_path: Path) -> None:
    nodes, socket, journal = tmp_path / "nodes.json", tmp_path / "c.sock", tmp_path / "j.jsonl"
    ports = ("--ipmi-port", "0", "--redfish-port", "0", "--first", "127.48.0.1")
    argv = (sys.executable, "-m", "ingot_rack", "fleet", "--ipmi", "2", "--redfish", "1", *ports)
    process = await asyncio.create_subprocess_exec(
        *argv,
        *("--write", str(nodes), "--control", str(socket), "--journal", str(journal)),
        env={**os.environ, "INGOT_RACK_PASSWORD": "pass-of-env"},
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    async with asyncio.timeout(20):
        assert b"is up" in await process.stderr.readline()
    told = json.loads(nodes.read_text())["nodes"]
    assert [node["driver"] for node in told] == ["ipmi", "ipmi", "redfish"]
    url, login = told[2]["driver_info"]["redfish_address"], {"UserName": "admin", "Password": "pass-of-env"}
    async with aiohttp.ClientSession(url, raise_for_status=True) as client:
        async with client.post("/redfish/v1/SessionService/Sessions", json=login) as answer:
            token = {"X-Auth-Token": answer.headers["X-Auth-Token"]}
        reset = "/redfish/v1/Systems/1/Actions/ComputerSystem.Reset"
        await client.post(reset, json={"ResetType": "On"}, headers=token)
    status = await control.call(socket, {"do": "status"})
    assert isinstance(status, dict)
    assert (status["machines"], status["on"]) == (3, 1)
    assert [(one.node, one.kind) for one in effects.read(journal)] == [("sim-00002", "start")]
    process.terminate()
    await asyncio.wait_for(process.communicate(), 10)
    assert process.returncode == 0
