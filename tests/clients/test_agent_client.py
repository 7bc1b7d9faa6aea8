"""The agent client against a small agent with a bad network, and against our own agent's server."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from ingot.clients.agent import results
from ingot.clients.agent.client import Agent
from ingot.clients.agent.results import CommandStatus, Progress
from ingot.clients.http.client import HttpClient, Reply
from ingot.domain import errors
from ingot_agent import api, commands, server
from ingot_rack.redfish import tls

TOKEN = "t0ken/with=odd&characters-and-32-of-them"


class Ramdisk:
    """An agent written for this test from the protocol's description; ``lose`` answers vanish on their way."""

    def __init__(self, *, ours: bool) -> None:
        self.ours = ours
        self.lose = 0
        self.refuse: tuple[int, Any] | None = None
        self.commands: list[dict[str, Any]] = []

    async def serve(self, request: web.Request) -> web.StreamResponse:
        if request.query.get("agent_token") != TOKEN:
            return web.json_response({"faultcode": "Client", "faultstring": "Wrong token."}, status=401)
        answer = self.refuse or await self.answer(request)
        if self.lose:
            self.lose -= 1
            assert request.transport is not None
            request.transport.abort()
        return web.json_response(answer[1], status=answer[0])

    async def answer(self, request: web.Request) -> tuple[int, Any]:
        ident = request.path.removeprefix("/v1/commands/")
        if request.method == "GET":
            if not ident:
                return 200, {"commands": self.commands}
            found = [one for one in self.commands if one["id"] == ident]
            return (200, found[0]) if found else (404, {"faultstring": "No such command."})
        body = await request.json()
        key = body["params"].get("ingot_key")
        for one in self.commands:
            if self.ours and key and one.get("ingot_key") == key:
                return 200, one
        if any(one["command_status"] == "RUNNING" for one in self.commands):
            return 409, {"faultcode": "Client", "faultstring": "Agent is busy."}
        return 200, self.begin(body["name"], key, wait=request.query["wait"] == "true")

    def begin(self, name: str, key: str | None, *, wait: bool) -> dict[str, Any]:
        one: dict[str, Any] = {
            "id": f"c{len(self.commands)}",
            "command_name": name.partition(".")[2],
            "command_params": {},
            "command_status": "SUCCEEDED" if wait else "RUNNING",
            "command_error": None,
            "command_result": {"said": name} if wait else None,
        }
        if self.ours:
            one |= {"ingot_key": key, "ingot_progress": {"done": 5, "total": 10, "phase": "writing"}}
        self.commands.append(one)
        return one


@pytest.fixture
async def http() -> AsyncIterator[HttpClient]:
    client = HttpClient()
    yield client
    await client.close()


@pytest.fixture(params=[True, False], ids=["ours", "upstream"])
async def ramdisk(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Ramdisk, str]]:
    ramdisk = Ramdisk(ours=request.param)
    app = web.Application()
    app.router.add_route("*", "/v1/commands/{tail:.*}", ramdisk.serve)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield ramdisk, f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def test_commands(http: HttpClient, ramdisk: tuple[Ramdisk, str]) -> None:
    far, url = ramdisk
    agent = Agent(http, url, TOKEN)
    assert await agent.commands() == []
    assert await agent.run("standby.sync", {}) == {"said": "standby.sync"}
    started = await agent.start("deploy.execute_deploy_step", {"ingot_key": "run-1/2"})
    assert (started.name, started.status) == ("execute_deploy_step", CommandStatus.RUNNING)
    assert started.progress == (Progress(5, 10, "writing") if far.ours else None)
    far.commands[-1] |= {"command_status": "FAILED", "command_error": {"type": "X", "details": "No disk."}}
    ended = await agent.command(started.id)
    assert (ended.status, ended.complaint) == (CommandStatus.FAILED, "No disk.")
    assert [one.id for one in await agent.commands()] == ["c0", "c1"]


@pytest.mark.parametrize("lost", [1, 2])
async def test_a_lost_answer_starts_nothing_twice(http: HttpClient, ramdisk: tuple[Ramdisk, str], lost: int) -> None:
    far, url = ramdisk
    agent = Agent(http, url, TOKEN)
    await agent.run("standby.sync", {})
    far.lose = lost
    started = await agent.start("clean.execute_clean_step", {"ingot_key": "run-1/3"})
    assert started.id == "c1"
    assert len(far.commands) == 2


async def test_reads_survive_two_lost_answers(http: HttpClient, ramdisk: tuple[Ramdisk, str]) -> None:
    far, url = ramdisk
    far.lose = 2
    assert await Agent(http, url, TOKEN).commands() == []
    far.lose = 9
    with pytest.raises(errors.Unreachable):
        await Agent(http, url, TOKEN).commands()


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, errors.Invalid), (404, errors.NotSupported), (409, errors.Conflict), (500, errors.Misbehaved)],
)
async def test_refusals(
    http: HttpClient, ramdisk: tuple[Ramdisk, str], status: int, kind: type[errors.IngotError]
) -> None:
    far, url = ramdisk
    far.refuse = (status, {"faultstring": "Because."})
    with pytest.raises(kind, match="Because"):
        await Agent(http, url, TOKEN).run("standby.sync", {})


async def test_wrong_token_is_told_and_not_shown(http: HttpClient, ramdisk: tuple[Ramdisk, str]) -> None:
    with pytest.raises(errors.AccessDenied) as caught:
        await Agent(http, ramdisk[1], "other-token").commands()
    assert "other-token" not in caught.value.sentence()
    with pytest.raises(errors.Unreachable) as gone:
        await Agent(http, "http://127.0.0.1:1", "other-token").commands()
    assert "other-token" not in gone.value.sentence()


async def test_certificate_from_the_heartbeat(http: HttpClient) -> None:
    context, pem = tls.context(["127.0.0.1"])
    other = tls.context(["127.0.0.1"])[1].decode()
    assert isinstance(context, ssl.SSLContext)
    app = web.Application()
    app.router.add_route("*", "/v1/commands/{tail:.*}", Ramdisk(ours=True).serve)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    url = f"https://127.0.0.1:{runner.addresses[0][1]}"
    assert await Agent(http, url, TOKEN, pem.decode()).commands() == []
    for wrong in (None, other):
        with pytest.raises(errors.Misbehaved, match="not trusted"):
            await Agent(http, url, TOKEN, wrong).commands()
    with pytest.raises(errors.Invalid, match="PEM"):
        await Agent(http, url, TOKEN, "no certificate").commands()
    await runner.cleanup()


@given(st.binary(max_size=200) | st.just(b'{"commands": [{"id": 1}]}') | st.just(b'{"id": "x"}'))
def test_garbage_is_misbehaviour(body: bytes) -> None:
    reply = Reply(200, {}, body, "The agent at x")
    for decode in (results.command, results.commands):
        with pytest.raises(errors.Misbehaved):
            decode(reply)
    assert results.refusal(reply, "a.b").message


async def test_our_own_agent(http: HttpClient) -> None:
    """The server of the deploy agent itself, with one command that we let run and end."""
    release = asyncio.Event()
    loop = asyncio.get_running_loop()

    def slow(_: Any, progress: Any) -> dict[str, Any]:
        progress.done, progress.total, progress.phase = 1, 2, "testing"
        asyncio.run_coroutine_threadsafe(release.wait(), loop).result(20)
        return {"ended": True}

    table = {"test.slow": commands.Entry(slow, asynchronous=True)}
    executor = commands.Executor(lambda: table, lambda: None)
    told = api.Api(executor, lambda: TOKEN)
    serving = server.Server("127.0.0.1", 0, told.answer, told.trusts)
    serving.start()
    try:
        agent = Agent(http, f"http://127.0.0.1:{serving.port}", TOKEN)
        first = await agent.start("test.slow", {"ingot_key": "k"})
        assert (await agent.start("test.slow", {"ingot_key": "k"})).id == first.id
        assert first.status is CommandStatus.RUNNING
        with pytest.raises(errors.Conflict):
            await agent.start("test.slow", {"ingot_key": "another"})
        release.set()
        ended = await agent.command(first.id, wait=True)
        assert (ended.status, ended.result) == (CommandStatus.SUCCEEDED, {"ended": True})
        with pytest.raises(errors.NotSupported):
            await agent.start("test.unknown", {})
    finally:
        serving.close()
