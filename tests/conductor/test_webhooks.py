"""Webhooks: real deliveries to a real web server, which judges them by the published rule alone."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from cli.program import environment, free_port, ingot_argv
from ingot.bus.memory import MemoryBus
from ingot.conductor.webhooks import Webhooks
from ingot.deps import Deps
from ingot.domain import errors, ids, node, patch
from ingot.interfaces.registry import Registry
from ingot.services import webhooks as service
from ingot.settings import Settings
from ingot.store import nodes, seal, upgrade
from ingot.store import webhooks as store
from ingot.store.engine import Store
from ingot.store.schema import metadata

KEY = "a key of a good length"


@dataclass
class Receiver:
    """A web server that notes what it is told. ``answers``: statuses to give, the last one for ever."""

    url: str = ""
    answers: list[int] = field(default_factory=lambda: [204])
    told: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.Response:
        self.told.append((dict(request.headers), await request.read()))
        status = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if status == 0:
            await asyncio.sleep(3600)
        return web.Response(status=status, headers={"Location": self.url} if status == 302 else None)

    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.told]


@asynccontextmanager
async def receiving(*answers: int, port: int = 0) -> AsyncIterator[Receiver]:
    receiver = Receiver(answers=list(answers) or [204])
    app = web.Application()
    app.router.add_post("/hook", receiver.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    try:
        yield receiver
    finally:
        await runner.cleanup()


@pytest.fixture
def deps(tmp_path: Path):
    upgrade.upgrade(tmp_path / "ingot.db")
    opened = Store(tmp_path / "ingot.db")
    key = seal.Sealer(seal.open_keys(tmp_path / "secret.key"))
    yield Deps(Settings(data_dir=str(tmp_path)), opened, key, Registry(("fake-hardware",)), MemoryBus())
    opened.close()


@asynccontextmanager
async def delivering(deps: Deps, **more: Any) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(Webhooks(deps, **more).run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


async def something(deps: Deps, name: str) -> None:
    await deps.store.run(nodes.create, node.Node(uuid=ids.new(), driver="fake-hardware", name=name), None)


async def logged(deps: Deps, uuid: str, lines: int) -> list[store.Delivery]:
    """The log of a webhook once it has so many lines: a delivery is logged after its receiver has answered."""
    async with asyncio.timeout(20):
        while len(found := await deps.store.read(store.list_deliveries, uuid)) < lines:
            await asyncio.sleep(0.02)
    return found


def verify(headers: dict[str, str], body: bytes, key: str) -> bool:
    """As docs/howto/watching.md tells receivers to."""
    text = headers["Ingot-Timestamp"].encode() + b"." + body
    wanted = "sha256=" + hmac.new(key.encode(), text, hashlib.sha256).hexdigest()
    return hmac.compare_digest(wanted, headers["Ingot-Signature"])


async def test_events_arrive_signed_in_order_and_no_others(deps: Deps) -> None:
    await something(deps, "before")
    async with receiving() as receiver, delivering(deps):
        hook, made = await service.create(deps, {"url": receiver.url, "kinds": ["node.created", "run"], "secret": KEY})
        assert made is None
        for name in ("n1", "n2", "n3"):
            await something(deps, name)
        found = await deps.store.read(nodes.get, "n1")
        await deps.store.run(nodes.change, found.uuid, fault="of another kind")
        await until(lambda: len(receiver.told) == 3)
        assert [body["name"] for body in receiver.bodies()] == ["n1", "n2", "n3"]
        headers, body = receiver.told[0]
        assert verify(headers, body, KEY)
        assert not verify(headers, body + b" ", KEY)
        assert not verify({**headers, "Ingot-Timestamp": "1"}, body, KEY)
        assert headers["Ingot-Event-Id"] == str(json.loads(body)["id"])
        assert (headers["Ingot-Event"], headers["Ingot-Webhook"]) == ("node.created", hook.uuid)
        log = await logged(deps, hook.uuid, 3)
        assert [(one.outcome, one.status, one.attempt) for one in log] == [("delivered", 204, 1)] * 3
    sealed = await deps.store.read(store.get_secrets, hook.uuid)
    assert KEY not in sealed
    assert deps.sealer.open(hook.uuid, sealed) == KEY


async def test_a_receiver_that_fails_is_tried_again_and_delays_no_other(deps: Deps) -> None:
    async with receiving(500, 302, 204) as shaky, receiving() as steady, receiving(0) as silent, delivering(deps):
        hook, key = await service.create(deps, {"url": shaky.url, "kinds": ["node"]})
        await service.create(deps, {"url": steady.url})
        await service.create(deps, {"url": silent.url})
        await something(deps, "n1")
        await until(lambda: len(steady.told) == 1, 5)
        await until(lambda: len(shaky.told) == 3)
        assert len({body for _, body in shaky.told}) == 1, "the same event each time, a redirection is not followed"
        assert key is not None
        assert all(verify(headers, body, key) for headers, body in shaky.told)
        log = await deps.store.read(store.list_deliveries, hook.uuid)
        assert [(one.status, one.attempt) for one in reversed(log)][:2] == [(500, 1), (302, 2)]
        assert "answered 500, not 2xx" in str(log[-1].reason)
        assert log[-2].at - log[-1].at >= 2.0, "the pause grows"


async def test_what_nobody_takes_is_given_up_and_said(deps: Deps) -> None:
    async with receiving(500) as receiver, delivering(deps, give_up=0.0):
        hook, _ = await service.create(deps, {"url": receiver.url, "secret": KEY})
        await something(deps, "n1")
        await something(deps, "n2")
        await until(lambda: len(receiver.told) == 2)
        async with asyncio.timeout(10):
            while (await deps.store.read(store.get, hook.uuid)).last_event != 2:
                await asyncio.sleep(0.02)
        log = await deps.store.read(store.list_deliveries, hook.uuid)
        assert [one.outcome for one in log] == ["given up", "given up"]
        assert await deps.store.read(store.lag) == 0


async def test_events_that_were_not_kept_are_missed_loudly_and_once(deps: Deps) -> None:
    async with receiving(500, 204) as receiver:
        hook, _ = await service.create(deps, {"url": receiver.url, "secret": KEY})
        for name in ("n1", "n2", "n3"):
            await something(deps, name)
        table = metadata.tables["events"]
        await deps.store.run(lambda connection: connection.execute(table.delete().where(table.c.id < 3)))
        async with delivering(deps):
            log = await logged(deps, hook.uuid, 3)
            assert [one.outcome for one in reversed(log)] == ["lost", "failed", "delivered"]
            assert str(log[-1].reason)[:8] == "2 events"


async def test_a_key_that_cannot_be_opened_stops_nobody_else(deps: Deps) -> None:
    async with receiving() as receiver, delivering(deps) as serving:
        broken, _ = await service.create(deps, {"url": receiver.url, "secret": KEY})
        table = metadata.tables["webhooks"]
        alien = deps.sealer.seal(ids.new(), KEY)
        await deps.store.run(
            lambda connection: connection.execute(
                table.update().where(table.c.uuid == broken.uuid).values(secrets=alien)
            )
        )
        whole, _ = await service.create(deps, {"url": receiver.url, "secret": KEY})
        await something(deps, "n1")
        await until(lambda: len(receiver.told) == 1)
        await something(deps, "n2")
        await until(lambda: len(receiver.told) == 2)
        assert {headers["Ingot-Webhook"] for headers, _ in receiver.told} == {whole.uuid}
        assert not serving.done()


async def test_a_webhook_is_changed_and_switched_off(deps: Deps) -> None:
    async with receiving() as old, receiving() as new, delivering(deps):
        hook, _ = await service.create(deps, {"url": old.url, "secret": KEY})
        other = "another key of good length"
        operations = patch.parse(
            [
                {"op": "replace", "path": "/url", "value": new.url},
                {"op": "add", "path": "/secret", "value": other},
            ],
            escapes=True,
        )
        await service.change(deps, hook.uuid, operations)
        await something(deps, "n1")
        await until(lambda: len(new.told) == 1)
        assert verify(*new.told[0], other)
        off = patch.parse([{"op": "replace", "path": "/enabled", "value": False}], escapes=True)
        await service.change(deps, hook.uuid, off)
        await something(deps, "n2")
        await asyncio.sleep(1.2)
        assert (len(new.told), len(old.told)) == (1, 0)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"url": "ftp://host/x"},
        {"url": "file:///etc/passwd"},
        {"url": "gopher://host"},
        {"url": "javascript:alert(1)"},
        {"url": "//host/x"},
        {"url": "host/x"},
        {"url": "http://"},
        {"url": "http://host:99999/"},
        {"url": "http://host:x/"},
        {"url": "http://[::1/"},
        {"url": "http://user:password@host/"},
        {"url": "http://host/#x"},
        {"url": "http://host/a b"},
        {"url": "http://host/\r\nX-Evil: 1"},
        {"url": "http://host/\u00e9"},
        {"url": "http://host/" + "x" * 3000},
        {"url": 7},
        {"url": "http://host", "kinds": ["odd"]},
        {"url": "http://host", "kinds": "node"},
        {"url": "http://host", "secret": "short"},
        {"url": "http://host", "odd": 1},
    ],
)
async def test_what_can_be_no_webhook_is_refused(deps: Deps, body: dict[str, Any]) -> None:
    with pytest.raises(errors.Invalid):
        await service.create(deps, body)


def start(data: Path, port: int) -> subprocess.Popen[bytes]:
    words = ("serve", "--data-dir", str(data), "--port", str(port))
    with (data / "serve.log").open("ab") as output:
        return subprocess.Popen(ingot_argv(*words), stdout=output, stderr=output, env=environment())


@pytest.mark.torture
async def test_no_kill_loses_a_delivery(tmp_path: Path) -> None:
    """A whole service, killed with events that its receiver was not there to take, and killed while it sends."""
    data, port = tmp_path / "data", free_port()
    words = ingot_argv("user", "add", "ann", "--password-stdin", "--data-dir", str(data))
    subprocess.run(words, input=KEY, text=True, check=True, capture_output=True)
    away = free_port()
    headers = {
        "X-OpenStack-Ironic-API-Version": "latest",
        "Authorization": "Basic " + base64.b64encode(f"ann:{KEY}".encode()).decode(),
    }
    base = f"http://127.0.0.1:{port}"
    child = start(data, port)
    try:
        async with aiohttp.ClientSession(headers=headers) as session:
            await ready(port)
            wish = {"url": f"http://127.0.0.1:{away}/hook", "kinds": ["node.created"], "secret": KEY}
            async with session.post(f"{base}/ingot/v1/webhooks", json=wish) as answer:
                assert answer.status == 201
                hook = await answer.json()
                assert (hook["secret"], KEY in json.dumps(hook)) == (None, False)
            wanted = [f"n{number}" for number in range(40)]
            for name in wanted:
                async with session.post(f"{base}/v1/nodes", json={"driver": "fake-hardware", "name": name}) as answer:
                    assert answer.status == 201
            child.send_signal(signal.SIGKILL)
            child.wait(10)
            child = start(data, port)
            await ready(port)
            async with receiving(port=away) as receiver:
                await until(lambda: len(receiver.told) >= 10, 60)
                child.send_signal(signal.SIGKILL)  # in the middle of sending
                child.wait(10)
                child = start(data, port)
                await ready(port)
                await until(lambda: {body["name"] for body in receiver.bodies()} == set(wanted), 60)
                first = list(dict.fromkeys(body["name"] for body in receiver.bodies()))
                assert first == wanted, "in order, whatever is repeated"
                assert all(verify(*one, KEY) for one in receiver.told)
                assert len(receiver.told) <= len(wanted) + 2, "at most what was under way is repeated"
            async with session.get(f"{base}/ingot/v1/webhooks/{hook['uuid']}/deliveries") as answer:
                log = (await answer.json())["deliveries"]
            assert [one["outcome"] for one in log].count("delivered") >= len(wanted) - 2
            assert KEY.encode() not in b"".join(path.read_bytes() for path in data.glob("ingot.db*"))
    finally:
        child.kill()
        child.wait(10)


async def ready(port: int) -> None:
    def answers() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    await until(answers, 30)


async def test_changes_at_once_keep_each_other(deps: Deps) -> None:
    hook, _ = await service.create(deps, {"url": "http://192.0.2.1/hook"})
    wanted = {"url": "http://192.0.2.2/hook", "description": "told", "kinds": ["run"], "enabled": False}
    await asyncio.gather(
        *(service.change(deps, hook.uuid, (patch.Operation("replace", f"/{k}", v),)) for k, v in wanted.items())
    )
    found = await deps.store.read(store.get, hook.uuid)
    assert (found.url, found.description, list(found.kinds), found.enabled) == tuple(wanted.values())
