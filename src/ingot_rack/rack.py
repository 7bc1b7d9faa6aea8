"""A rack as a process of its own, seen from outside: started, found by its name, ended.

Why: a demo, a test or the command line wants one by a description, and rid of it also after a kill.
May not: know machines or wire formats. Invariant: after `down` nothing of the rack's name runs.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from pathlib import Path
from typing import cast

from ingot_rack import errors, network, places, processes, specs

Json = dict[str, object]
MARK = "ingot_rack"


def control_socket(name: str) -> Path:
    """The control socket of a rack by name."""
    return places.sockets(places.rack(name)) / "control.sock"


def write_state(folder: Path, state: Json) -> None:
    """Write the state file so that readers see all of it or nothing; it holds passwords, hence 0600."""
    temporary = folder / "state.json.new"
    temporary.touch(mode=0o600)
    temporary.write_text(json.dumps(state, indent=2))
    temporary.replace(folder / "state.json")


def read_state(name: str) -> Json | None:
    """The state of the rack of this name, or None when it is not up."""
    try:
        return cast("Json", json.loads((places.rack(name) / "state.json").read_text()))
    except (OSError, ValueError):
        return None


def refuse_second(name: str) -> None:
    """Raise RackError when another process runs a rack of this name."""
    if processes.find(places.rack(name) / "rack.pid", MARK) not in {None, os.getpid()}:
        raise errors.RackError(f"The rack {name} is up already", hint="Take it down first.")


async def end_machines(folder: Path) -> int:
    """End the QEMU processes a killed rack left in its folder; how many there were."""
    ended = 0
    for pid_file in sorted((folder / "machines").glob("*/qemu.pid")):
        ended += await processes.end(pid_file, str(places.sockets(pid_file.parent) / "qmp.sock"))
    return ended


async def start(spec_file: Path, *, seconds: float = 30.0) -> Json:
    """Start a rack in a process of its own and wait until it is ready; its state as `Rack.describe` tells it."""
    spec = specs.read(spec_file)
    folder = places.rack(spec.name)
    refuse_second(spec.name)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    (folder / "state.json").unlink(missing_ok=True)
    log_file = folder / "rack.log"
    with log_file.open("wb") as log:
        argv = (sys.executable, "-m", "ingot_rack", "serve", "--detach", str(spec_file))
        process = await asyncio.create_subprocess_exec(*argv, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        async with asyncio.timeout(seconds):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
        await down(spec.name)
    state = read_state(spec.name)
    if state is None:
        tail = log_file.read_text(errors="replace")[-800:].strip()
        raise errors.RackError(f"The rack {spec.name} did not come up: {tail}", hint=f"See {log_file}.")
    return state


async def down(name: str, *, purge: bool = False) -> bool:
    """End a rack, running or killed, and all it left; purge removes its disks too. False when nothing ran."""
    folder = places.rack(name)
    state = read_state(name)
    found = await processes.end(folder / "rack.pid", MARK, seconds=20)
    found = bool(await end_machines(folder)) or found
    await _remove_networks(name, state or {})
    (folder / "state.json").unlink(missing_ok=True)
    if purge:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
    return found


async def _remove_networks(name: str, state: Json) -> None:
    """Remove the networks of this rack's name: the one its state tells, and the default one."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return
    machines = cast("list[Json]", state.get("machines", []))
    addresses = tuple(str(one["bmc_address"]) for one in machines) if state.get("bridge") else ()
    told = cast("str | None", state.get("namespace")) or None
    for namespace in {told, f"ingot-{name}", None}:
        await network.Network(name, namespace, bmc_addresses=() if namespace else addresses).remove()
