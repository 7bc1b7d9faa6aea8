"""Keystone's tokens where Keystone fails, says nonsense, or is asked too often; test_scopes.py has the real one."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from msgspec.structs import replace

from ingot.api import auth, limits, wire
from ingot.clients import keystone
from ingot.domain import errors
from ingot.services import users
from ingot.settings import Settings

if TYPE_CHECKING:
    from tests.api.conftest import Api

    from ingot.deps import Deps


def token(**about: Any) -> dict[str, Any]:
    ends = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)
    shown = {"user": {"name": "ann"}, "expires_at": ends.isoformat(), "roles": [{"name": "Member"}]}
    return {"token": {**shown, **about}}


@dataclass
class Judge:
    """A server that answers as it was told, and counts."""

    status: int = 200
    body: Any = field(default_factory=lambda: token(project={"id": "p1", "domain": {"id": "default"}}))
    asked: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    pause: float = 0.0
    url: str = ""

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append((request.headers["X-Auth-Token"], request.headers["X-Subject-Token"]))
        await asyncio.sleep(self.pause)
        if self.status == 0:
            assert request.transport is not None
            request.transport.close()
        if isinstance(self.body, str):
            return web.Response(status=self.status, text=self.body)
        return web.json_response(self.body, status=self.status)


@pytest.fixture
def settings(tmp_path: Path, judge: Judge) -> Settings:
    return Settings(data_dir=str(tmp_path), hostname="here", drivers=("fake-hardware",), keystone_url=judge.url)


@pytest.fixture
async def judge() -> AsyncIterator[Judge]:
    made = Judge()
    app = web.Application()
    app.router.add_get("/v3/auth/tokens", made.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


def gate(deps: Deps) -> auth.Gate:
    return auth.Gate(deps, limits.Limits(5.0, deps.clock))


async def test_a_token_is_asked_about_once_a_minute_and_never_beyond_its_end(deps: Deps, judge: Judge) -> None:
    now = [deps.clock()]
    one = gate(replace(deps, clock=lambda: now[0]))
    for _ in range(3):
        caller = await one.caller({"x-auth-token": "t"}, "")
    assert (caller.name, caller.project, caller.system) == ("ann", "p1", False)
    assert caller.roles == {"everyone", "member", "reader"}
    assert judge.asked == [("t", "t")]
    now[0] += auth.REMEMBER + 1
    ends = datetime.datetime.fromtimestamp(now[0] + 10, datetime.UTC).isoformat()
    judge.body = token(system={"all": True}, expires_at=ends)
    assert (await one.caller({"authorization": "Bearer t"}, "")).system
    now[0] += 11
    judge.status = 404
    with pytest.raises(wire.NoToken):
        await one.caller({"x-auth-token": "t"}, "")
    await one.close()


@pytest.mark.parametrize("about", [{}, {"domain": {"id": "default"}}, {"project": None, "system": None}])
async def test_roles_outside_of_projects_and_the_system_give_nothing(deps: Deps, judge: Judge, about: Any) -> None:
    judge.body = token(**about)
    one = gate(deps)
    caller = await one.caller({"x-auth-token": "t"}, "")
    assert (caller.roles, caller.project, caller.system) == ({"everyone"}, None, False)
    await one.close()


async def test_while_keystone_fails_local_users_are_let_in(api: Api, deps: Deps, judge: Judge) -> None:
    await users.put(deps.store, "bob", "bob-password")
    _, text = await users.create_token(deps.store, "bob", role=None, label="", lifetime=30)
    sentences: list[str] = []
    for status, body in (
        (500, "x"),
        (503, ""),
        (300, "{}"),
        (200, "nonsense"),
        (200, '{"x":' * 9999),
        (200, {"token": {}}),
        (0, ""),
    ):
        judge.status, judge.body = status, body
        reply = await api.call("GET", "/v1/nodes", headers={"X-Auth-Token": "gAAAA-secret"})
        assert reply.status in {500, 503}, (status, reply.raw)
        sentences.append(reply.fault["faultstring"])
        assert (await api.call("GET", "/v1/nodes", headers={"X-Auth-Token": text})).status == 200
    assert "answered 500 when asked about a token" in sentences[0]
    assert not [one for one in sentences if "secret" in one or judge.url.partition("//")[2] not in one]
    judge.status, both = 200, {"X-Auth-Token": "gAAAA-secret", "X-Service-Token": text}
    assert (await api.call("GET", "/v1/nodes", headers=both)).status == 401
    assert set(judge.asked) == {("gAAAA-secret", "gAAAA-secret")}, "a token of ours is nobody else's business"
    api.auth = ("bob", "bob-password")
    assert (await api.call("GET", "/v1/nodes")).status == 200


async def test_behind_others_at_a_keystone_that_hangs_nobody_waits_for_ever(deps: Deps, judge: Judge) -> None:
    judge.pause = 600.0
    one = auth.Gate(deps, limits.Limits(5.0, deps.clock), patience=0.3)
    async with asyncio.timeout(10):
        ends = await asyncio.gather(
            *(one.caller({"x-auth-token": f"t{number}"}, "") for number in range(40)), return_exceptions=True
        )
    assert {type(end) for end in ends} == {errors.TimedOut}
    assert str(ends[-1]).startswith(f"Keystone at {judge.url.partition('//')[2]} did not tell of a token in 0.3 s")
    assert len(judge.asked) < len(ends)
    judge.pause = 0.0
    assert (await one.caller({"x-auth-token": "t0"}, "")).name == "ann"
    await one.close()


async def test_who_has_no_token_is_told_where_to_get_one(api: Api, judge: Judge) -> None:
    judge.status = 401
    for headers in ({}, {"X-Auth-Token": "x"}, {"X-Auth-Token": "\u00e9"}):
        for _ in range(15):
            reply = await api.call("GET", "/v1/nodes", headers=headers)
        assert (reply.status, reply.body["error"]["title"]) == (401, "Unauthorized")
        assert reply.headers["WWW-Authenticate"] == f'Keystone uri="{judge.url}/v3"'
    assert len(judge.asked) == 1, "what was refused a moment ago is not asked about again"


async def test_made_up_tokens_cost_keystone_little_and_nobody_else_anything(deps: Deps, judge: Judge) -> None:
    now = [deps.clock()]
    one = gate(replace(deps, clock=lambda: now[0]))

    async def ask(text: str, address: str = "192.0.2.1") -> type[Exception] | None:
        try:
            await one.caller({"x-auth-token": text}, address)
        except (wire.NoToken, errors.TooMany) as refused:
            return type(refused)
        return None

    assert await ask("good") is None
    judge.status, judge.pause = 404, 0.01
    ends = await asyncio.gather(*(ask(f"made up {number}") for number in range(200)))
    assert set(ends) == {wire.NoToken, errors.TooMany}
    assert len(judge.asked) < 1 + 30 + 16 + 1, "a burst, and those on their way meanwhile"
    before = len(judge.asked)
    assert {await ask(f"more {number}") for number in range(50)} == {errors.TooMany}
    assert len(judge.asked) == before
    judge.status = 200
    assert [await ask("good"), await ask("another", "192.0.2.2")] == [None, None], "who is known is never refused"
    assert await ask("made up 0") is wire.NoToken, "it is remembered for some seconds, and costs nothing"
    now[0] += 60
    assert await ask("made up 0") is None
    await one.close()


async def test_a_ca_that_cannot_be_read_is_no_fault_of_the_callers(tmp_path: Path) -> None:
    one = keystone.Keystone("https://127.0.0.1:1/v3", str(tmp_path / "none.pem"))
    with pytest.raises(errors.Unreachable, match="cannot be used") as caught:
        await one.find("t")
    assert caught.value.hint == "Correct the setting keystone_ca."
    await one.close()


@pytest.mark.parametrize(
    "url",
    ["keystone:5000", "ftp://host/v3", "http:///v3", "http://user:word@host/v3", "http://[::1/v3", "http://host:x/v3"],
)
def test_an_address_that_cannot_be_is_refused_at_the_start(url: str) -> None:
    with pytest.raises(errors.Invalid, match="keystone_url"):
        keystone.Keystone(url, None)
