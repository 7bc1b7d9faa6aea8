"""No planted secret is seen anywhere but where it belongs: a whole scenario, watched from outside.

Real BMC protocols and agents' calls by the simulated rack, imaginary machines beside it, a service that is killed and
started again, wrong requests of every kind. Watched: database and its log, every file of the data directory, the
service's log, every API answer, and the command line and environment of every process of this host.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import os
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import pytest

from cli import program
from e2e.stand import free_port
from ingot.cli import client as api
from ingot.cli.demo import service
from ingot_rack import fleet

pytestmark = pytest.mark.slow
LISTS = (
    *("nodes", "nodes/detail", "ports/detail", "chassis", "drivers", "conductors"),
    *("volume/targets?detail=true", "deploy_templates?detail=true", "runbooks?detail=true"),
)
OF_NODE = ("", "/states", "/history?detail=true", "/inventory", "/validate", "/vifs", "/traits", "/bios", "/firmware")
RESTS = {"available", "active", "manageable", "enroll", "deploy failed", "clean failed", "rescue", "error"}
FAILED = {"deploy failed", "clean failed", "error"}


def planted(name: str) -> str:
    """A secret that occurs nowhere by chance."""
    return f"Plant-{name}-{os.urandom(9).hex()}"


class Watch:
    """Looks for every planted secret, plain, in hexadecimal digits and in base64."""

    def __init__(self) -> None:
        self.secrets: dict[str, str] = {}
        self.leaks: set[str] = set()
        self.looks = 0
        self._needles: dict[bytes, str] = {}

    def plant(self, name: str, text: str | None = None) -> str:
        value = text or planted(name)
        if value not in self.secrets.values():
            self.secrets[name] = value
            raw = value.encode()
            self._needles[raw] = name
            self._needles[raw.hex().encode()] = f"{name} (hex)"
            for shift in range(3):
                coded = base64.b64encode(b"\0" * shift + raw)
                self._needles[coded[4 if shift else 0 : -4]] = f"{name} (base64)"
        return value

    def look(self, where: str, data: bytes) -> None:
        self.looks += 1
        for needle, name in tuple(self._needles.items()):
            if needle in data:
                at = data.index(needle)
                around = data[max(0, at - 60) : at].decode("latin-1")
                self.leaks.add(f"{name} in {where}: ...{around}<here>")


class Sampler(threading.Thread):
    """Watches processes and database all the time, from a thread of its own."""

    def __init__(self, watch: Watch, data: Path) -> None:
        super().__init__(daemon=True)
        self._watch, self._data = watch, data
        self._over = threading.Event()

    def run(self) -> None:
        rounds = 0
        while not self._over.wait(0.05):
            for folder in Path("/proc").glob("[0-9]*"):
                if folder.name != str(os.getpid()):
                    for name in ("cmdline", "environ"):
                        with contextlib.suppress(OSError):
                            self._watch.look(f"process {name}", (folder / name).read_bytes())
            rounds += 1
            if rounds % 10 == 0:
                for path in self._data.glob("ingot.db*"):
                    with contextlib.suppress(OSError):
                        self._watch.look(path.name, path.read_bytes())

    def end(self) -> None:
        self._over.set()
        self.join(30)


class Caller:
    """Calls the API and shows every answer to the watch, errors and headers included."""

    def __init__(self, watch: Watch, url: str, headers: dict[str, str]) -> None:
        self._watch, self._url, self._headers = watch, url, headers

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        data = None if body is None else json.dumps(body).encode()
        fixed = {"X-OpenStack-Ironic-API-Version": "1.115", "Content-Type": "application/json"}
        sent = urllib.request.Request(self._url + path, data, {**fixed, **self._headers, **headers}, method=method)
        try:
            with urllib.request.urlopen(sent, timeout=30) as answer:
                status, raw, more = answer.status, answer.read(), str(answer.headers)
        except urllib.error.HTTPError as error:
            status, raw, more = error.code, error.read(), str(error.headers)
        self._watch.look(f"answer to {method} {path.partition('?')[0]} ({status})", raw + more.encode())
        try:
            return status, json.loads(raw) if raw else None
        except ValueError:
            return status, raw

    async def ok(self, method: str, path: str, body: Any = None) -> Any:
        status, found = await asyncio.to_thread(self.call, method, path, body)
        assert status < 300, (method, path, status, found)
        return found

    async def rests(self, name: str, within: float = 90.0) -> dict[str, Any]:
        end = asyncio.get_running_loop().time() + within
        while True:
            node = await self.ok("GET", f"/v1/nodes/{name}")
            if node["provision_state"] in RESTS and node["reservation"] is None:
                return node
            assert asyncio.get_running_loop().time() < end, node
            await asyncio.sleep(0.1)

    async def bring(self, name: str, target: str, **more: Any) -> dict[str, Any]:
        await self.ok("PUT", f"/v1/nodes/{name}/states/provision", {"target": target, **more})
        return await self.rests(name)

    async def read_everything(self, names: list[str]) -> None:
        for path in LISTS:
            await asyncio.to_thread(self.call, "GET", f"/v1/{path}")
        await asyncio.to_thread(self.call, "GET", "/ingot/v1/webhooks")
        for name in names:
            for path in OF_NODE:
                await asyncio.to_thread(self.call, "GET", f"/v1/nodes/{name}{path}")
            for path in ("run", "runs"):
                await asyncio.to_thread(self.call, "GET", f"/ingot/v1/nodes/{name}/{path}")


@contextlib.asynccontextmanager
async def image_server(data: bytes, user: str, password: str) -> AsyncGenerator[str]:
    """Gives ``data`` to who logs in; its URL without the login."""
    expected = b"Basic " + base64.b64encode(f"{user}:{password}".encode())

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            known = expected in head
            body = data if known and head.startswith(b"GET") else b""
            size = len(data) if known else 0
            told = f"HTTP/1.1 {'200 OK' if known else '401 No'}\r\nContent-Length: {size}\r\nConnection: close\r\n\r\n"
            writer.write(told.encode() + body)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


class Scene:
    """One service with its fleet, its users, and everything that is watched."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.watch = Watch()
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        for name in ("vmlinuz", "initrd"):
            (folder / name).write_bytes(b"not booted here")
        fixed = {"host": "127.0.0.1", "port": str(self.port), "provision_address": "127.0.0.1/8", "lease": "2"}
        fixed |= {"files_port": str(free_port()), "ramdisk_dir": str(folder), "power_sync_interval": "1"}
        self.service = service.Service(folder, [], fixed)
        password = self.watch.plant("bmc-password", f"Plant{os.urandom(5).hex()}")  # IPMI has 20 bytes for it
        self.fleet = fleet.Fleet(fleet.Plan(ipmi=1, redfish=1, password=password, api=self.url, first="127.66.0.1"))

    def ingot(self, *words: str, stdin: str | None = None) -> str:
        made = program.run_here(*words, "--data-dir", str(self.service.data), stdin=stdin)
        assert made.exit_code == 0, made.output
        return made.stdout.strip()

    def add_users(self) -> Caller:
        """A user who logs in by password, and a token; both planted."""
        password = self.watch.plant("user-password")
        self.ingot("user", "add", "ann", "--password-stdin", stdin=f"{password}\n")
        token = self.watch.plant("user-token", self.ingot("user", "token", "create", "ann"))
        login = base64.b64encode(f"ann:{password}".encode()).decode()
        self.by_password = Caller(self.watch, self.url, {"Authorization": f"Basic {login}"})
        return Caller(self.watch, self.url, {"X-Auth-Token": token})

    async def start(self) -> None:
        await self.service.start()
        await self.service.wait_ready(api.Client(self.url, timeout=10))

    def plant_tokens(self) -> None:
        """Those of the agents that run now, and of the sessions that are open on BMCs."""
        for name, agent in tuple(self.fleet.agents.items()):
            if agent.token:
                self.watch.plant(f"agent-token-{name}-{agent.token[:4]}", agent.token)
        for token in self.fleet.tokens():
            self.watch.plant(f"bmc-session-{token[:4]}", token)

    def look_at_files(self) -> None:
        self.watch.look("log", self.service.log.read_bytes())
        for path in self.service.data.rglob("*"):
            if path.is_file() and path.name not in {"secret.key", "url.key", "ca.key", "server.pem"}:
                self.watch.look(f"file {path.relative_to(self.service.data)}", path.read_bytes())


@contextlib.asynccontextmanager
async def opened(folder: Path) -> AsyncGenerator[tuple[Scene, Caller]]:
    scene = Scene(folder)
    caller = await asyncio.to_thread(scene.add_users)
    sampler = Sampler(scene.watch, scene.service.data)
    sampler.start()
    try:
        await scene.fleet.start()
        await scene.start()
        yield scene, caller
    finally:
        await asyncio.to_thread(sampler.end)
        await scene.service.stop()
        await scene.fleet.close()


async def enrol(scene: Scene, caller: Caller) -> list[str]:
    """The fleet's two machines, an imaginary one, and one with a wrong password; their names."""
    names: list[str] = []
    kg = {"ipmi_hex_kg_key": scene.watch.plant("kg-key", os.urandom(20).hex())}
    for body in [dict(one) for one in scene.fleet.nodes()]:
        ports = body.pop("ports")
        body["driver_info"] = {**body["driver_info"], "snmp_auth_key": scene.watch.plant(f"auth-key-{body['name']}")}
        made = await caller.ok("POST", "/v1/nodes", body)
        for port in ports:
            await caller.ok("POST", "/v1/ports", {"node_uuid": made["uuid"], **port})
        names.append(body["name"])
        if body["driver"] == "ipmi":
            wrong = scene.watch.plant("wrong-bmc", f"Plant{os.urandom(5).hex()}")
            wrong = {**body["driver_info"], "ipmi_password": wrong, **kg}
            await caller.ok("POST", "/v1/nodes", {"driver": "ipmi", "name": "locked-out", "driver_info": wrong})
    deep = {"nested": [{"my_password": scene.watch.plant("deep")}], "url": f"https://u:{scene.watch.plant('url')}@x/y"}
    fields = {"driver": "fake-hardware", "name": "imaginary", "rescue_interface": "fake"}
    made = await caller.ok("POST", "/v1/nodes", {**fields, "driver_info": deep})
    await add_beside(scene.watch, caller, made["uuid"])
    return [*names, "locked-out", "imaginary"]


async def add_beside(watch: Watch, caller: Caller, uuid: str) -> None:
    """What has secrets of its own beside nodes."""
    volume = {"node_uuid": uuid, "volume_type": "iscsi", "boot_index": 0, "volume_id": "v1"}
    properties = {"auth_username": "u", "auth_password": watch.plant("volume")}
    await caller.ok("POST", "/v1/volume/targets", {**volume, "properties": properties})
    step = {"interface": "bios", "step": "apply_configuration", "args": {"password": watch.plant("step")}}
    await caller.ok("POST", "/v1/deploy_templates", {"name": "CUSTOM_T", "steps": [{**step, "priority": 10}]})
    await caller.ok("POST", "/v1/runbooks", {"name": "CUSTOM_R", "steps": [{**step, "order": 1}]})
    hook = {"url": "http://127.0.0.1:9/told", "secret": watch.plant("webhook")}
    await caller.ok("POST", "/ingot/v1/webhooks", hook)


def wrong_requests(watch: Watch, names: list[str]) -> Iterator[tuple[str, str, Any]]:
    """Requests that hold secrets and are refused: none may be told again."""
    node = f"/v1/nodes/{names[0]}"
    secret = watch.plant("refused")
    yield "PATCH", node, [{"op": "test", "path": "/driver_info/ipmi_password", "value": secret}]
    yield (
        "PATCH",
        node,
        [
            {"op": "replace", "path": "/driver_info/ipmi_password", "value": secret},
            {"op": "replace", "path": "/nosuch", "value": 1},
        ],
    )
    yield "POST", "/v1/nodes", {"driver": "ipmi", "driver_info": {"ipmi_password": secret}, "nosuch": 1}
    yield "POST", "/v1/nodes", {"driver": "nosuch", "driver_info": {"ipmi_password": secret}}
    yield "PUT", f"{node}/states/provision", {"target": "active", "configdrive": {"user_data": secret}, "nosuch": 1}
    yield "PUT", f"{node}/states/provision", {"target": "rescue", "rescue_password": [secret]}
    step = {"interface": "deploy", "step": "x", "args": {"password": secret}, "nosuch": 1}
    yield "PUT", f"{node}/states/provision", {"target": "clean", "clean_steps": [step]}
    yield "POST", f"/v1/heartbeat/{names[0]}", {"callback_url": "http://x", "agent_token": secret, "nosuch": 1}
    yield "POST", f"/v1/heartbeat/{names[0]}", {"callback_url": "http://x", "agent_token": secret}


async def deploy(scene: Scene, caller: Caller, names: list[str], where: str, login: str, digest: str) -> None:
    """Images behind a login, right and wrong; a config drive; the service killed in the middle."""
    other = hashlib.sha256(b"not what is in the cache").hexdigest()
    for name, password, value in ((names[0], login, digest), (names[1], scene.watch.plant("wrong-image"), other)):
        source = f"http://puller:{password}@{where}/disk.raw?token={scene.watch.plant(f'query-{name}')}"
        info = {"image_source": source, "image_os_hash_algo": "sha256", "image_os_hash_value": value}
        info |= {"image_pull_secret": scene.watch.plant(f"pull-{name}")}
        patch = [{"op": "add", "path": f"/instance_info/{key}", "value": value} for key, value in info.items()]
        await caller.ok("PATCH", f"/v1/nodes/{name}", patch)
    drive = {"user_data": scene.watch.plant("configdrive"), "meta_data": {"admin_pass": scene.watch.plant("meta")}}
    for name in (names[0], names[1], "imaginary"):
        body = {"target": "active", "configdrive": drive}
        await caller.ok("PUT", f"/v1/nodes/{name}/states/provision", body)
    await scene.service.kill()
    scene.look_at_files()
    await scene.start()
    assert (await caller.rests(names[0]))["provision_state"] == "active"
    refused = await caller.rests(names[1])
    assert (refused["provision_state"], bool(refused["last_error"])) == ("deploy failed", True)
    assert (await caller.rests("imaginary"))["provision_state"] == "active"


@pytest.mark.timeout(300)
async def test_no_planted_secret_is_seen_anywhere(tmp_path: Path) -> None:
    image = bytes(510) + b"\x55\xaa" + os.urandom(1 << 16)
    async with opened(tmp_path) as (scene, caller):
        login = scene.watch.plant("image-login")
        async with image_server(image, "puller", login) as where:
            names = await enrol(scene, caller)
            for name in names:
                node = await caller.bring(name, "manage")
                assert (node["provision_state"] == "manageable") == (name != "locked-out"), node["last_error"]
            for method, path, body in wrong_requests(scene.watch, names):
                status, _ = await asyncio.to_thread(caller.call, method, path, body)
                assert 400 <= status < 500, (method, path, status)
            await scene.by_password.ok("GET", "/v1/nodes")
            almost = {"Authorization": f"Basic {base64.b64encode(b'ann:' + planted('no').encode()).decode()}"}
            assert (await asyncio.to_thread(Caller(scene.watch, scene.url, almost).call, "GET", "/v1/nodes"))[0] == 401
            for name in (*names[:2], "imaginary"):
                assert (await caller.bring(name, "provide"))["provision_state"] == "available"
                scene.plant_tokens()
            await deploy(scene, caller, names, where, login, hashlib.sha256(image).hexdigest())
            scene.plant_tokens()
            for name in (names[0], "imaginary"):
                word = scene.watch.plant(f"rescue-{name}")
                assert (await caller.bring(name, "rescue", rescue_password=word))["provision_state"] == "rescue"
                scene.plant_tokens()
                assert (await caller.bring(name, "unrescue"))["provision_state"] == "active"
            await caller.read_everything(names)
            assert (await caller.bring(names[0], "deleted"))["provision_state"] in {"available", "clean failed"}
            scene.plant_tokens()
            await caller.read_everything(names)
    scene.look_at_files()
    assert len(scene.watch.secrets) >= 24
    kinds = [name.rpartition("-")[0] for name in scene.watch.secrets]
    assert "bmc-session" in kinds
    assert sum(kind.startswith("agent-token") for kind in kinds) >= 2
    assert scene.watch.looks > 1000
    assert scene.watch.leaks == set()


def test_the_watch_itself_sees_what_it_shall(tmp_path: Path) -> None:
    watch = Watch()
    secret = watch.plant("seen")
    for data in (
        secret.encode(),
        b"x" + base64.b64encode(b"y" + secret.encode() + b"zz"),
        secret.encode().hex().encode(),
    ):
        watch.leaks.clear()
        watch.look("here", b"before" + data + b"after")
        assert watch.leaks, data
    watch.leaks.clear()
    sampler = Sampler(watch, tmp_path)
    child = subprocess.Popen(["sleep", "30"], env={"HIDDEN": secret})
    sampler.start()
    try:
        program.wait_for(lambda: bool(watch.leaks), 10)
    finally:
        child.kill()
        child.wait()
        sampler.end()
    assert "process environ" in next(iter(watch.leaks))
