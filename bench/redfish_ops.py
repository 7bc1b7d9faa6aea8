"""Messages and CPU per Redfish operation: ingot's client and sushy, against one BMC of the rack, in one run.

Run: ./ingot bench redfish_ops [--rounds N]     CPU is that of the client's own process (user and system), in
microseconds per operation; the BMC runs in a third process. Messages are counted by the BMC. Both clients keep a
session; "cold" includes the login.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import report

from ingot.clients.redfish import sensors, systems
from ingot.clients.redfish.client import RedfishPool
from ingot.clients.redfish.systems import Boot, BootEnabled
from ingot.clients.redfish.target import Target

PASSWORD = "bench-password"
SERVER = """
import asyncio, sys
from aiohttp import web
from ingot_rack import bmc, hardware, simulated
from ingot_rack.redfish import server, tree
async def main():
    facts = hardware.Facts("m", "u", "s", hardware.BootMode.UEFI, 8, 65536, ("52:54:00:00:00:01",), ())
    front = tree.Front(bmc.Bmc(simulated.Simulated(facts), "admin", sys.argv[1]))
    listening = server.Server({"127.0.0.1": front}, 0)
    port = await listening.start()
    async def count(request):
        return web.json_response(listening.requests)
    app = web.Application(); app.router.add_get("/", count)
    runner = web.AppRunner(app); await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(port, runner.addresses[0][1], flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""
SUSHY = """
import json, sys, time, urllib.request, warnings
warnings.simplefilter("ignore")
import sushy
from sushy import auth
url, counter, password, rounds = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
def messages():
    return json.load(urllib.request.urlopen(counter))
def measure(work, times):
    before, cpu = messages(), time.process_time()
    for _ in range(times):
        work()
    spent = time.process_time() - cpu
    return {"messages": round((messages() - before) / times, 2), "cpu_us": round(spent / times * 1e6)}
def connect():
    return sushy.Sushy(url, auth=auth.SessionAuth("admin", password), verify=False)
def cold():
    connect().get_system("/redfish/v1/Systems/1").power_state
system = connect().get_system("/redfish/v1/Systems/1")
def power():
    system.refresh(force=True); system.power_state
def boot():
    system.set_system_boot_options(sushy.BootSource.PXE, enabled=sushy.BootSourceOverrideEnabled.ONCE)
def sensors():
    system.refresh(force=True)
    for chassis in system.chassis:
        chassis.refresh(force=True)
        chassis.thermal.refresh(force=True); chassis.power.refresh(force=True)
        [s.reading_celsius for s in chassis.thermal.temperatures], [s.reading for s in chassis.thermal.fans]
        [s.last_power_output_watts for s in chassis.power.power_supplies]
    system.storage.refresh(force=True)
    for storage in system.storage.get_members():
        storage.refresh(force=True)
print(json.dumps({"cold power read": measure(cold, 10), "power read": measure(power, rounds),
    "boot override": measure(boot, rounds), "sensors": measure(sensors, rounds)}))
"""


async def messages(counter: str) -> int:
    async with aiohttp.ClientSession() as client, client.get(counter) as answer:
        return int(await answer.json())


async def measure(counter: str, work: Callable[[], Awaitable[object]], times: int) -> dict[str, float]:
    before, cpu = await messages(counter), time.process_time()
    for _ in range(times):
        await work()
    spent = time.process_time() - cpu
    return {
        "messages": round((await messages(counter) - before) / times, 2),
        "cpu_us": round(spent / times * 1e6),
    }


async def ours(url: str, counter: str, rounds: int) -> dict[str, dict[str, float]]:
    target = Target(url, "/redfish/v1/Systems/1", "admin", PASSWORD)

    async def cold() -> None:
        pool = RedfishPool()
        await systems.power_state(pool, target)
        await pool.close()

    pool = RedfishPool()
    wanted = Boot("Pxe", BootEnabled.ONCE)
    await sensors.read(pool, target)
    found = {
        "cold power read": await measure(counter, cold, 10),
        "power read": await measure(counter, lambda: systems.power_state(pool, target), rounds),
        "boot override": await measure(counter, lambda: systems.set_boot(pool, target, wanted), rounds),
        "sensors": await measure(counter, lambda: sensors.read(pool, target), rounds),
    }
    await pool.close()
    return found


def main() -> None:
    parser = report.parser(__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    wanted = parser.parse_args()
    rounds, taking = wanted.rounds, report.Taking(wanted)
    peers = os.environ.get("INGOT_PEERS_PYTHON", str(Path.home() / ".cache/ingot/venv-peers/bin/python"))
    bmc = subprocess.Popen([sys.executable, "-c", SERVER, PASSWORD], stdout=subprocess.PIPE, text=True)
    try:
        assert bmc.stdout is not None
        port, counting = bmc.stdout.readline().split()
        url, counter = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{counting}/"
        result = {"ingot": asyncio.run(ours(url, counter, rounds))}
        command = [peers, "-c", SUSHY, url, counter, PASSWORD, str(rounds)]
        result["sushy"] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=300).stdout)
        rows: list[report.Row] = [
            {"operation": name, "ingot": one, "sushy": theirs, "CPU, times": round(theirs["cpu_us"] / one["cpu_us"], 1)}
            for name, one in result["ingot"].items()
            for theirs in [result["sushy"][name]]
        ]
        taking.tell(f"power read: {rows[1]['CPU, times']} times less CPU than sushy", rows=rows)
    finally:
        bmc.terminate()
        bmc.wait(10)


if __name__ == "__main__":
    main()
