"""A real API server on a loopback port over a real store, with two drivers known by their manifests."""

from __future__ import annotations

import asyncio
import base64
import io
import shutil
import socket
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import uvicorn

from ingot.api import server
from ingot.bus.memory import MemoryBus
from ingot.deps import Deps
from ingot.interfaces.registry import Registry
from ingot.settings import Settings
from ingot.store import seal, upgrade
from ingot.store.engine import Store

_FAKE = """
name = "fake-hardware"
summary = "no hardware"
status = "supported"
[provides.power]
fake = "power:Fake"
[provides.boot]
fake = "boot:Fake"
[provides.deploy]
fake = "deploy:Fake"
direct = "deploy:Fake"
[provides.management]
fake = "management:Fake"
[provides.network]
noop = "network:Noop"
flat = "network:Flat"
"""
_ACME = """
name = "acme"
summary = "another one"
status = "beta"
driver_info = [{name = "acme_address", required = true, summary = "URL of the BMC"}]
[provides.power]
acme = "power:Acme"
[uses]
network = ["noop"]
"""


@dataclass
class Reply:
    """One answer: status, headers, parsed body (None when empty)."""

    status: int
    headers: Mapping[str, str]
    body: Any
    raw: bytes

    @property
    def fault(self) -> dict[str, Any]:
        import json

        return json.loads(self.body["error_message"])


@dataclass
class Api:
    """The server under test and a plain HTTP client."""

    url: str
    port: int
    deps: Deps
    session: aiohttp.ClientSession
    auth: tuple[str, str] | None = None
    made: list[str] = field(default_factory=list)

    async def call(
        self, method: str, path: str, body: Any = None, *, version: str | None = "1.115", **more: Any
    ) -> Reply:
        import json

        headers = dict(more.pop("headers", {}))
        if self.auth is not None:
            headers["Authorization"] = "Basic " + base64.b64encode(":".join(self.auth).encode()).decode()
        if version is not None:
            headers["X-OpenStack-Ironic-API-Version"] = version
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        if data is not None and len(data) > 65_536:
            data = io.BytesIO(data)
        if data is not None:
            headers.setdefault("Content-Type", "application/json")
        async with self.session.request(method, f"{self.url}{path}", data=data, headers=headers, **more) as answer:
            raw = await answer.read()
            kind = answer.headers.get("Content-Type", "")
            parsed = json.loads(raw) if raw and "json" in kind else None
            return Reply(answer.status, answer.headers, parsed, raw)

    async def get(self, path: str, **more: Any) -> Any:
        reply = await self.call("GET", path, **more)
        assert reply.status == 200, reply.raw
        return reply.body

    async def node(self, **fields: Any) -> dict[str, Any]:
        reply = await self.call("POST", "/v1/nodes", {"driver": "fake-hardware", **fields})
        assert reply.status == 201, reply.raw
        return reply.body

    async def raw(self, text: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(text)
        await writer.drain()
        async with asyncio.timeout(10):
            answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("empty") / "ingot.db"
    upgrade.upgrade(path)
    return path


@pytest.fixture
def drivers(tmp_path: Path) -> Path:
    root = tmp_path / "drivers"
    for name, text in (("fake", _FAKE), ("acme", _ACME)):
        (root / name).mkdir(parents=True)
        (root / name / "driver.toml").write_text(text)
    return root


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=str(tmp_path), noauth=True, hostname="here", drivers=("fake-hardware", "acme"))


@pytest.fixture
def deps(tmp_path: Path, empty_database: Path, drivers: Path, settings: Settings):
    shutil.copy(empty_database, tmp_path / "ingot.db")
    store = Store(tmp_path / "ingot.db")
    sealer = seal.Sealer(seal.open_keys(tmp_path / "secret.key"))
    yield Deps(settings, store, sealer, Registry(settings.drivers, drivers), MemoryBus())
    store.close()


@pytest.fixture
async def api(deps: Deps) -> AsyncIterator[Api]:
    # With the protocol named: only then asyncio switches off Nagle's algorithm, which would add 40 ms to most answers.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen(100)
    port: int = listener.getsockname()[1]
    app = server.build(deps)
    running = uvicorn.Server(uvicorn.Config(app, log_level="error", ws="wsproto", proxy_headers=False))
    async with asyncio.timeout(60):
        task = asyncio.create_task(running.serve(sockets=[listener]))
        while not running.started:
            await asyncio.sleep(0.01)
    async with aiohttp.ClientSession() as session:
        yield Api(f"http://127.0.0.1:{port}", port, deps, session)
    running.should_exit = True
    async with asyncio.timeout(10):
        await task
    await app.gate.close()
    listener.close()
