"""A whole cloud of simulated machines for the benches that harm it: a service and a fleet, each a process of its own.

Why: what a dying service loses can only be told from outside, by machines that remember what was done to them.
Invariant: leaving the context ends both processes; the machines' own journals are below the folder.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import signal
import sys
import time
from collections import Counter
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import aiohttp
from service import ROOT, free_port

from ingot_rack import control

VERSION = {"X-OpenStack-Ironic-API-Version": "1.95"}
LANES = 32
STEP_SECONDS = 1.0
"""What a step takes in a simulated agent: long enough to be cut."""
Json = dict[str, Any]


class Cloud:
    """``bmcs`` simulated machines, half of them with IPMI and half with Redfish, and ``fakes`` of fake-hardware."""

    ours = True
    """Whether it is ingot: only then network boot, the clock and the database are looked at."""

    def __init__(self, folder: Path, bmcs: int, fakes: int, settings: dict[str, str]) -> None:
        self.folder, self.data = folder, folder / "data"
        self.log = folder / "serve.log"
        self.port, self._files = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.control = folder / "fleet.sock"
        self.environment: dict[str, str] = {}
        self.process: asyncio.subprocess.Process | None = None
        self.names: list[str] = []
        self._bmcs, self._fakes, self._settings = bmcs, fakes, settings
        self._stack = contextlib.AsyncExitStack()
        self._client: aiohttp.ClientSession | None = None
        self._uuids: dict[str, str] = {}

    async def __aenter__(self) -> Cloud:
        self.data.mkdir(exist_ok=True)
        (self.folder / "ramdisk").mkdir()
        for name in ("vmlinuz", "initrd"):
            (self.folder / "ramdisk" / name).write_bytes(b"not read by simulated machines")
        (self.folder / "disk.raw").write_bytes(bytes(510) + b"\x55\xaa" + os.urandom(1 << 16) + bytes(1 << 16))
        timeout = aiohttp.ClientTimeout(total=30)
        self._client = aiohttp.ClientSession(self.url, headers=VERSION, timeout=timeout)
        self._stack.push_async_callback(self._client.close)
        try:
            if self._bmcs:
                await self._start_fleet()
            await self.start()
        except BaseException:
            await self._stack.aclose()
            raise
        self._stack.push_async_callback(self.stop)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def start(self) -> None:
        """Start the service; it is not ready yet."""
        fixed = {"provision_address": "127.0.0.1", "files_port": str(self._files), "image_dirs": str(self.folder)}
        fixed |= {"ramdisk_dir": str(self.folder / "ramdisk"), "fake_effects": str(self.folder / "fake.jsonl")}
        words = [word for key, value in {**fixed, **self._settings}.items() for word in ("--set", f"{key}={value}")]
        argv = [sys.executable, "-P", "-m", "ingot.cli.main", "serve", "--noauth", "--data-dir", str(self.data)]
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(*argv, "--port", str(self.port), *words),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONPATH": str(ROOT / "src"), **self.environment},
                start_new_session=True,  # a Ctrl-C is for the bench, which then ends in good order
            )

    async def stop(self) -> None:
        """End the service in good order."""
        if self.process is not None and self.process.returncode is None:
            self.process.terminate()
            async with asyncio.timeout(60):
                await self.process.wait()

    @property
    def pid(self) -> int:
        """The service's process, running or not."""
        assert self.process is not None
        return self.process.pid

    def signal(self, number: signal.Signals) -> None:
        """Send the service a signal, unless it has ended."""
        if self.process is not None and self.process.returncode is None:
            os.kill(self.process.pid, number)

    def node(self, body: Json) -> Json:
        """The node as the service wants it enrolled."""
        return body

    def image(self) -> str:
        """Where the service finds the image."""
        return f"file://{self.folder / 'disk.raw'}"

    async def ready(self, within: float = 120.0) -> None:
        """Wait until the service answers; start it anew when it has ended, as any supervisor does."""
        end = time.monotonic() + within
        while True:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                await self.call("GET", "/v1")
                return
            if time.monotonic() > end:
                raise SystemExit(f"the service did not answer in {within:g} s: {self.tail()}")
            if self.process is not None and self.process.returncode is not None:
                await self.start()
            await asyncio.sleep(0.05)

    def tail(self) -> str:
        return self.log.read_text(errors="replace")[-2000:]

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        """The answer's body; raises aiohttp.ClientError, also for a refusal."""
        assert self._client is not None
        async with self._client.request(method, path, json=body) as answer:
            if answer.status >= 400:
                text = (await answer.text())[:500]
                raise aiohttp.ClientResponseError(
                    answer.request_info, answer.history, status=answer.status, message=text
                )
            return json.loads(await answer.read() or b"null")

    async def text(self, path: str) -> str:
        """The answer's body as it is; raises aiohttp.ClientError."""
        assert self._client is not None
        async with self._client.get(path, raise_for_status=True) as answer:
            return await answer.text()

    async def wall_clock(self) -> float:
        """What the service takes for the time of day (epoch seconds), once it answers."""
        assert self._client is not None
        while True:
            await self.ready()
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                async with self._client.get("/v1") as answer:
                    return parsedate_to_datetime(answer.headers["Date"]).timestamp()

    async def enrol(self) -> None:
        """Make all nodes with their ports; sets ``names``."""
        bodies: list[Json] = []
        if self._bmcs:
            bodies += json.loads((self.folder / "fleet.json").read_text())["nodes"]
        fake = {"driver": "fake-hardware", "driver_info": {"fake_delay": 0.3}}
        bodies += [{"name": f"fake-{number:04d}", **fake} for number in range(self._fakes)]
        waiting = iter(bodies)

        async def lane() -> None:
            for body in waiting:
                cards = body.pop("ports", [])
                made = await self.call("POST", "/v1/nodes", self.node(body))
                self._uuids[made["uuid"]] = made["name"]
                for card in cards:
                    await self.call("POST", "/v1/ports", {"node_uuid": made["uuid"], **card})

        await asyncio.gather(*(lane() for _ in range(LANES)))
        self.names = sorted(self._uuids.values())

    async def choose_image(self, name: str) -> None:
        """Tell a node what it is to become; a release makes it forget."""
        digest = hashlib.sha256((self.folder / "disk.raw").read_bytes()).hexdigest()
        info = {"image_source": self.image(), "image_os_hash_algo": "sha256", "image_os_hash_value": digest}
        await self.call("PATCH", f"/v1/nodes/{name}", [{"op": "add", "path": "/instance_info", "value": info}])

    async def look(self) -> list[Json]:
        """All nodes in short: name, state, last error, who holds it."""
        fields = "uuid,name,provision_state,last_error,reservation"
        found: list[Json] = []
        while True:
            marker = f"&marker={found[-1]['uuid']}" if found else ""
            page = (await self.call("GET", f"/v1/nodes?fields={fields}&limit=1000{marker}"))["nodes"]
            found += page
            if len(page) < 1000:
                return found

    async def break_bmcs(self, **faults: object) -> None:
        """Set faults of all simulated BMCs."""
        await control.call(self.control, {"do": "faults", "set": faults})

    def effects(self) -> Counter[tuple[str, str]]:
        """What the machines themselves remember: how often each effect happened to each of them."""
        found: Counter[tuple[str, str]] = Counter()
        names: tuple[tuple[str, dict[str, str]], ...] = (("fleet.jsonl", {}), ("fake.jsonl", self._uuids))
        for file, rename in names:
            path = self.folder / file
            for line in path.read_text().splitlines() if path.exists() else []:
                entry = json.loads(line)
                name: str = entry["node"]
                found[rename.get(name, name), entry.get("kind") or entry["effect"]] += 1
        return found

    @staticmethod
    async def _end(process: asyncio.subprocess.Process) -> None:
        if process.returncode is None:
            process.terminate()
            async with asyncio.timeout(30):
                await process.wait()

    async def _start_fleet(self) -> None:
        half = self._bmcs // 2
        boot = f"http://127.0.0.1:{self._files}/boot/ipxe/{{mac}}" if self.ours else ""
        argv = [sys.executable, "-P", "-m", "ingot_rack", "fleet", "--ipmi", str(half)]
        argv += ["--redfish", str(self._bmcs - half), "--ipmi-port", "0", "--redfish-port", "0", "--agent-port", "0"]
        argv += ["--first", "127.80.0.1", "--api", self.url, "--boot-url", boot, "--step-seconds", str(STEP_SECONDS)]
        argv += ["--control", str(self.control), "--journal", str(self.folder / "fleet.jsonl")]
        written = self.folder / "fleet.json"
        with (self.folder / "fleet.log").open("wb") as log:
            environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
            process = await asyncio.create_subprocess_exec(
                *(*argv, "--write", str(written)), stdout=log, stderr=log, env=environment, start_new_session=True
            )
        self._stack.push_async_callback(self._end, process)
        async with asyncio.timeout(60):
            while not self.control.exists() or not written.exists():
                if process.returncode is not None:
                    raise SystemExit((self.folder / "fleet.log").read_text()[-2000:])
                await asyncio.sleep(0.05)
