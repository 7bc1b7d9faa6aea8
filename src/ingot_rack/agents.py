"""Simulated deploy ramdisks: each asks for its node, heartbeats and obeys commands at once.

Why: a fleet of ten thousand deploys needs ten thousand agents that cost next to nothing.
May not: touch a disk. Invariant: every destructive command is in the journal before it is answered.
The protocol is the one real agents speak: lookup, one-time token, heartbeat, /v1/commands.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import random
import re
import secrets
import uuid
from collections.abc import Callable, Coroutine
from typing import Any, cast

import aiohttp

from ingot_rack import effects, inventory, simulated
from ingot_rack.hardware import PowerState

log = logging.getLogger(__name__)

Json = dict[str, object]
VERSION = "X-OpenStack-Ironic-API-Version"
_STEPS: dict[str, list[Json]] = {
    "clean": [
        {"step": "erase_devices_metadata", "priority": 10, "interface": "deploy", "reboot_requested": False},
        {
            "step": "erase_devices",
            "priority": 0,
            "interface": "deploy",
            "reboot_requested": False,
            "abortable": True,
        },
        {"step": "burnin_cpu", "priority": 0, "interface": "deploy", "reboot_requested": False},
    ],
    "deploy": [
        {"step": "write_image", "priority": 0, "interface": "deploy", "reboot_requested": False},
        {"step": "inject_files", "priority": 0, "interface": "deploy", "reboot_requested": False},
    ],
    "service": [{"step": "burnin_cpu", "priority": 0, "interface": "deploy", "reboot_requested": False}],
}
_RESULTS: dict[str, Json] = {"burnin_cpu": {"rounds": 1234, "errors": 0}}


@dataclasses.dataclass(frozen=True, slots=True)
class Surroundings:
    """What all agents of a fleet share."""

    api: str
    boot_url: str
    port: int
    client: aiohttp.ClientSession
    effects: effects.Effects
    step_seconds: float = 0.0
    inject_priority: int = 0
    inspect: bool = False


class Fault(Exception):
    """A command the agent refuses, with its HTTP status."""

    def __init__(self, status: int, text: str) -> None:
        self.status = status
        super().__init__(text)


class Agent:
    """The ramdisk on one simulated machine, from its network boot until it loses power."""

    def __init__(
        self, around: Surroundings, machine: simulated.Simulated, address: str, *, hangs: bool = False
    ) -> None:
        self._around = around
        self._hangs = hangs
        self._machine = machine
        self._address = address
        self._beat = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self.commands: dict[str, Json] = {}
        self.image: Json = {}
        self.token = ""
        self.node = ""
        self.heartbeats = 0

    @property
    def listens(self) -> bool:
        """Whether it takes commands: not before it was told which node it is."""
        return bool(self.node)

    @property
    def name(self) -> str:
        """The machine's name."""
        return self._machine.facts.name

    def start(self) -> None:
        """Boot."""
        self._spawn(self.run())

    def call(self) -> None:
        """Heartbeat now, as when a command ends."""
        self._beat.set()

    async def close(self) -> None:
        """Lose power."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def run(self) -> None:
        """Live until the power goes; failures to reach the API are retried, as real agents do."""
        script = await self._boot_script()
        if script is None or self._hangs:
            return
        callback = re.search(r"ipa-inspection-callback-url=(\S+)", script)
        url = callback.group(1) if callback else f"{self._around.api}/v1/continue_inspection"
        if callback or self._around.inspect:
            await self._inspect(url)
        timeout = await self._lookup()
        while True:
            pause = timeout * random.uniform(0.3, 0.6) if await self._heartbeat() else random.uniform(1, 3)
            self._beat.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._beat.wait()

    async def _boot_script(self) -> str | None:
        """What the network boot says; None means: not a ramdisk, boot the disk."""
        if not self._around.boot_url:
            return ""
        url = self._around.boot_url.format(mac=self._machine.facts.macs[0])
        for attempt in range(10):
            try:
                async with self._around.client.get(url) as answer:
                    text = await answer.text()
                    return text if answer.status == 200 and "kernel" in text else None
            except (aiohttp.ClientError, TimeoutError) as error:
                log.debug("%s: boot script: %s", self.name, error)
                await asyncio.sleep(min(0.5 * 2**attempt, 30))
        return None

    async def _lookup(self) -> float:
        """Ask who we are until told; the heartbeat timeout."""
        url = f"{self._around.api}/v1/lookup"
        wanted = {"addresses": ",".join(self._machine.facts.macs)}
        delay = 0.5
        while True:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                async with self._around.client.get(url, params=wanted, headers={VERSION: "1.62"}) as answer:
                    if answer.status == 200:
                        return self._learn(cast("Json", await answer.json()))
            await asyncio.sleep(delay * random.uniform(0.7, 1.3))
            delay = min(delay * 2, 60.0)

    def _learn(self, body: Json) -> float:
        node, config = cast("Json", body["node"]), cast("Json", body["config"])
        self.node = str(node["uuid"])
        token = str(config.get("agent_token") or "")
        if len(token) >= 32:
            self.token = token
        elif token and not self.token:
            self.token = secrets.token_hex(32)  # a mask: the token was told before, so this one obeys nobody
        return float(cast("float", config.get("heartbeat_timeout", 300)))

    async def _heartbeat(self) -> bool:
        body: Json = {
            "callback_url": f"http://{self._address}:{self._around.port}",
            "agent_token": self.token,
            "agent_version": "13.0.0",
        }
        url = f"{self._around.api}/v1/heartbeat/{self.node}"
        try:
            async with self._around.client.post(url, json=body, headers={VERSION: "1.68"}) as answer:
                self.heartbeats += 1
                return answer.status < 300
        except (aiohttp.ClientError, TimeoutError) as error:
            log.debug("%s: heartbeat: %s", self.name, error)
            return False

    async def _inspect(self, url: str) -> None:
        body: Json = {"inventory": inventory.tell(self._machine.facts), "error": None}
        for attempt in range(5):
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                async with self._around.client.post(url, json=body, headers={VERSION: "1.84"}) as answer:
                    if answer.status < 300:
                        answered: object = await answer.json(content_type=None)
                        if isinstance(answered, dict) and "config" in answered:
                            self._learn(cast("Json", answered))
                        return
                    if answer.status < 500 and answer.status != 409:
                        return
            await asyncio.sleep(1 + attempt)

    def command(self, name: str, params: Json) -> Json:
        """Carry out a command; its result object. Raises Fault."""
        if any(one["command_status"] == "RUNNING" for one in self.commands.values()):
            raise Fault(409, "agent is busy")
        extension, _, verb = name.partition(".")
        result: Json = {
            "id": str(uuid.uuid4()),
            "command_name": verb,
            "command_status": "RUNNING",
            "command_error": None,
            "command_result": None,
            "command_params": None,
        }
        outcome = self._carry_out(extension, verb, params)
        self.commands[str(result["id"])] = result
        if self._around.step_seconds and verb.startswith(("execute_", "prepare_image")):
            self._spawn(self._finish_later(result, outcome))
        else:
            result |= {"command_status": "SUCCEEDED", "command_result": outcome}
            if verb.startswith("execute_"):
                self.call()
        return result

    async def _finish_later(self, result: Json, outcome: Json) -> None:
        await asyncio.sleep(self._around.step_seconds)
        result |= {"command_status": "SUCCEEDED", "command_result": outcome}
        self.call()

    def _carry_out(self, extension: str, verb: str, params: Json) -> Json:
        if extension in _STEPS:
            return self._step(extension, verb, params)
        match extension, verb:
            case "standby", "prepare_image":
                self._note("write_image")
                return {"result": "prepare_image: image written"}
            case "standby", "run_image":
                self._soon(self._machine.reboot_from_inside, "reboot")
            case "standby", "power_off":
                self._soon(self._machine.poweroff_from_inside, "power off")
            case "standby", "get_partition_uuids":
                return {"root uuid": str(uuid.uuid5(uuid.NAMESPACE_DNS, self.name)), "partitions": {}}
            case ("standby", "sync") | ("rescue", "finalize_rescue") | ("system", "lockdown"):
                pass
            case "image", "install_bootloader":
                self._note("install_bootloader", str(params.get("root_uuid") or ""))
            case "poll", "get_hardware_info":
                return inventory.tell(self._machine.facts)
            case "log", "collect_system_logs":
                return {"system_logs": ""}
            case _:
                raise Fault(404, f"unknown command {extension}.{verb}")
        return {"result": f"{verb}: done"}

    def _step(self, kind: str, verb: str, params: Json) -> Json:
        """List or execute clean, deploy or service steps."""
        if verb == f"get_{kind}_steps":
            versions = {"generic_hardware_manager": "1.2"}
            listed = [
                {**one, "priority": self._around.inject_priority} if one["step"] == "inject_files" else one
                for one in _STEPS[kind]
            ]
            return {f"{kind}_steps": {"GenericHardwareManager": listed}, "hardware_manager_version": versions}
        if verb != f"execute_{kind}_step":
            raise Fault(404, f"unknown command {kind}.{verb}")
        step = cast("Json", params.get("step") or {})
        arguments = cast("Json", step.get("args") or {})
        image = cast("Json", arguments.get("image_info") or {})
        self.image = image or self.image
        self._note(str(step.get("step")), str(image.get("image_type") or ""))
        return {f"{kind}_result": _RESULTS.get(str(step.get("step"))), f"{kind}_step": step}

    def _note(self, kind: str, detail: str = "") -> None:
        self._around.effects.note(self.name, kind, detail)

    def _soon(self, act: Callable[[], None], kind: str) -> None:
        """Act after the answer is on its way, unless the power goes before."""
        self._note(f"agent {kind}")
        self._spawn(self._act_later(act))

    async def _act_later(self, act: Callable[[], None]) -> None:
        await asyncio.sleep(0.05)
        act()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @property
    def alive(self) -> bool:
        """Whether the machine still has power."""
        return self._machine.power is PowerState.ON and bool(self._tasks)
