"""Who may call: HTTP basic against local users, roles, and noauth on loopback only."""

from __future__ import annotations

import asyncio
import base64
import os
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import msgspec
import pytest
from msgspec.structs import replace

import programs
from ingot.api import auth, limits, listen, policy, server
from ingot.domain import errors
from ingot.services import users
from ingot.settings import Settings
from ingot.store import tokens
from ingot.store import users as user_rows

if TYPE_CHECKING:
    from tests.api.conftest import Api

    from ingot.deps import Deps


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=str(tmp_path), hostname="here", drivers=("fake-hardware",))


async def test_without_credentials_only_public_routes_answer(api: Api) -> None:
    for path in ("/", "/v1", "/ingot/v1/health"):
        assert (await api.call("GET", path)).status == 200
    for path in ("/v1/nodes", "/v1/nodes/x", "/nosuch", "/v1/drivers", "/ingot/v1/states"):
        reply = await api.call("GET", path)
        assert (reply.status, reply.body["error"]["code"]) == (401, 401)
        assert reply.headers["WWW-Authenticate"].startswith("Basic ")
    assert (await api.call("GET", "/v1/lookup")).status == 400


async def test_roles_decide(api: Api, deps: Deps) -> None:
    for name, role in (("ann", "admin"), ("max", "member"), ("rea", "reader")):
        await users.put(deps.store, name, f"{name}-password", role)
    api.auth = ("ann", "ann-password")
    await api.node(name="n1")
    patch = [{"op": "add", "path": "/extra/a", "value": 1}]
    for name, create, change, read in (("rea", 403, 403, 200), ("max", 403, 200, 200), ("ann", 409, 200, 200)):
        api.auth = (name, f"{name}-password")
        reply = await api.call("POST", "/v1/nodes", {"driver": "fake-hardware", "name": "n1"})
        assert reply.status == create
        assert (await api.call("PATCH", "/v1/nodes/n1", patch)).status == change
        assert (await api.call("GET", "/v1/nodes/n1")).status == read


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("Basic", 400),
        ("Basic !!", 400),
        ("Basic YQ==", 400),
        ("Basic /////w==", 400),
        ("Basic YW4AOng=", 400),
        ("Bearer x", 401),
        ("Basic OnA=", 401),
        ("basic YW5uOndyb25n", 401),
    ],
)
async def test_bad_credentials_are_refused(api: Api, deps: Deps, header: str, status: int) -> None:
    await users.put(deps.store, "ann", "ann-password")
    reply = await api.call("GET", "/v1/nodes", headers={"Authorization": header})
    assert (reply.status, reply.body["error"]["code"]) == (status, status)


async def test_long_passwords_are_never_cut(api: Api, deps: Deps) -> None:
    await users.put(deps.store, "ann", "x" * 72)
    api.auth = ("ann", "x" * 73)
    assert (await api.call("GET", "/v1/nodes")).status == 401
    api.auth = ("ann", "x" * 72)
    assert (await api.call("GET", "/v1/nodes")).status == 200
    with pytest.raises(errors.Invalid):
        await users.put(deps.store, "bob", "x" * 73)


async def test_a_proved_password_is_remembered_and_a_wrong_one_is_not(api: Api, deps: Deps) -> None:
    await users.put(deps.store, "ann", "ann-password")
    api.auth = ("ann", "ann-password")
    assert (await api.call("GET", "/v1/nodes")).status == 200
    loop = asyncio.get_running_loop()
    began = loop.time()
    for _ in range(20):
        assert (await api.call("GET", "/v1/nodes")).status == 200
    # bcrypt takes a quarter of a second each time
    assert loop.time() - began < 2
    api.auth = ("ann", "ann-passwore")
    assert (await api.call("GET", "/v1/nodes")).status == 401


async def test_unknown_names_cost_as_much_as_known_ones(deps: Deps) -> None:
    await users.put(deps.store, "ann", "ann-password")
    known = await deps.store.read(user_rows.find, "ann")
    assert known is not None
    gate = auth.Gate(deps, limits.Limits(5.0, deps.clock))

    async def seconds(name: str) -> float:
        header = base64.b64encode(f"{name}:wrong-password".encode()).decode()
        began = time.process_time()
        with pytest.raises(errors.Unauthorized):
            await gate.caller({"authorization": f"Basic {header}"}, "192.0.2.9")
        return time.process_time() - began

    # One step of bcrypt's cost is a factor of two.
    spent = {name: min([await seconds(name) for _ in range(3)]) for name in ("ann", "nobody")}
    assert 0.6 < spent["nobody"] / spent["ann"] < 1.6, spent


@pytest.mark.parametrize(("host", "agents"), [("localhost", "127.0.0.2"), ("0.0.0.0", None), ("127.0.0.2", None)])
async def test_agents_are_heard_whatever_name_the_api_listens_on(deps: Deps, host: str, agents: str | None) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    more: dict[str, object] = {"noauth": False, "host": host, "port": port, "provision_address": "127.0.0.2"}
    more["tls"] = False
    async with (
        listen.listening(replace(deps, settings=msgspec.structs.replace(deps.settings, **more)), print),
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.2:{port}/v1/nodes") as answer,
    ):
        assert answer.status == (404 if agents else 401)


@pytest.mark.parametrize("header", ["X-Auth-Token: {}", "Authorization: Bearer {}", "Authorization: bearer {}"])
async def test_a_token_proves_its_user_until_it_is_revoked(api: Api, deps: Deps, header: str) -> None:
    await users.put(deps.store, "ann", "ann-password")
    ident, text = await users.create_token(deps.store, "ann", role="reader", label="ci", lifetime=60)
    name, _, value = header.format(text).partition(": ")
    assert (await api.call("GET", "/v1/nodes", headers={name: value})).status == 200
    refused = await api.call("POST", "/v1/nodes", {"driver": "fake-hardware"}, headers={name: value})
    assert (refused.status, "It takes the role admin" in refused.fault["faultstring"]) == (403, True)
    [kept] = await deps.store.read(tokens.list_all)
    assert text not in str(kept)
    assert kept.digest == users.digest(text)
    await deps.store.run(tokens.destroy, ident)
    later = replace(deps, clock=lambda: time.time() + auth.REMEMBER + 1)
    with pytest.raises(errors.Unauthorized, match="not known"):
        await auth.Gate(later, limits.Limits(5.0, later.clock)).caller({name.lower(): value}, "192.0.2.9")


async def test_a_token_ends_at_its_second_and_with_its_user(api: Api, deps: Deps) -> None:
    await users.put(deps.store, "ann", "ann-password", "member")
    _, text = await users.create_token(deps.store, "ann", role="admin", label="", lifetime=30)
    now = [time.time()]
    clocked = replace(deps, clock=lambda: now[0])
    gate = auth.Gate(clocked, limits.Limits(5.0, clocked.clock))
    caller = await gate.caller({"x-auth-token": text}, "")
    assert caller.roles == {"everyone", "member", "reader"}, "never more than the user"
    now[0] += 31
    with pytest.raises(errors.Unauthorized, match="has expired") as refused:
        await gate.caller({"x-auth-token": text}, "")
    assert "ingot user token create" in refused.value.hint
    _, text = await users.create_token(deps.store, "ann", role="admin", label="", lifetime=30)
    await deps.store.run(user_rows.destroy, "ann")
    assert (await api.call("GET", "/v1/nodes", headers={"X-Auth-Token": text})).status == 401
    assert await deps.store.read(tokens.list_all) == []


async def test_nonsense_makes_no_token(deps: Deps) -> None:
    await users.put(deps.store, "ann", "ann-password")
    for user, role, lifetime, kind in (
        ("bob", "admin", 60, errors.NotFound),
        ("ann", "king", 60, errors.Invalid),
        ("ann", "service", 60, errors.Invalid),
        ("ann", "admin", 0, errors.Invalid),
        ("ann", "admin", 1e12, errors.Invalid),
    ):
        with pytest.raises(kind):
            await users.create_token(deps.store, user, role=role, label="", lifetime=lifetime)


async def test_guessing_is_slowed_down_and_who_knows_is_not(api: Api, deps: Deps) -> None:
    await users.put(deps.store, "ann", "ann-password")
    replies = [await api.call("GET", "/v1/nodes", headers={"X-Auth-Token": f"guess-{n}"}) for n in range(12)]
    assert [one.status for one in replies] == [401] * 10 + [429] * 2
    assert 1 <= int(replies[-1].headers["Retry-After"]) <= 6
    assert "Too many failed logins" in replies[-1].fault["faultstring"]
    api.auth = ("ann", "ann-password")
    assert (await api.call("GET", "/v1/nodes")).status == 200, "another name from the same host is not held back"


async def test_guesses_that_come_at_once_are_slowed_down_as_well(deps: Deps) -> None:
    still = replace(deps, clock=lambda: 1000.0)
    gate = auth.Gate(still, limits.Limits(5.0, still.clock))

    async def guess(number: int) -> int:
        header = base64.b64encode(f"ann:guess-{number}".encode()).decode()
        try:
            await gate.caller({"authorization": f"Basic {header}"}, "192.0.2.9")
        except errors.TooMany:
            return 429
        except errors.Unauthorized:
            return 401
        return 200

    told = await asyncio.gather(*(guess(number) for number in range(16)))
    # Ten are the burst of a name; one more may be looked at beside the tenth.
    assert 10 <= told.count(401) <= 11
    assert told.count(429) == 16 - told.count(401)


async def test_callers_with_one_password_wait_for_one_proof(deps: Deps) -> None:
    await users.put(deps.store, "ann", "ann-password")
    gate = auth.Gate(deps, limits.Limits(5.0, deps.clock))
    header = {"authorization": f"Basic {base64.b64encode(b'ann:ann-password').decode()}"}
    callers = await asyncio.gather(*(gate.caller(header, "192.0.2.9") for _ in range(20)))
    # Each proof makes a caller of its own; two are made side by side.
    assert len({id(one) for one in callers}) <= 2


def test_a_rule_that_is_not_in_the_table_is_refused() -> None:
    with pytest.raises(errors.Forbidden, match="baremetal:nosuch"):
        policy.enforce("baremetal:nosuch", auth.OPERATOR)


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.1", "::", "example.org"])
def test_noauth_is_refused_beyond_loopback(deps: Deps, host: str) -> None:
    open_to_all = msgspec.structs.replace(deps.settings, noauth=True, host=host)
    with pytest.raises(errors.Invalid, match="noauth") as caught:
        server.build(replace(deps, settings=open_to_all))
    assert "ingot user add" in caught.value.sentence()


async def test_a_taken_port_is_told(api: Api, deps: Deps) -> None:
    taken = replace(deps, settings=msgspec.structs.replace(deps.settings, port=api.port))
    with pytest.raises(errors.Conflict, match=str(api.port)):
        async with listen.listening(taken, print):
            pass


@pytest.mark.peer
async def test_the_baremetal_cli_logs_in_by_http_basic(api: Api, deps: Deps, tmp_path: Path) -> None:
    await users.put(deps.store, "ann", "ann-password")
    for password, expected in (("ann-password", 0), ("wrong", 1)):
        child = await asyncio.create_subprocess_exec(
            *(programs.peer("baremetal"), "node", "list"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(tmp_path),
                "OS_ENDPOINT": api.url,
                "OS_AUTH_TYPE": "http_basic",
                "OS_USERNAME": "ann",
                "OS_PASSWORD": password,
            },
        )
        async with asyncio.timeout(60):
            out, _ = await child.communicate()
        assert child.returncode == expected, out
