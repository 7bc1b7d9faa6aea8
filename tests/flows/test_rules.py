"""Inspection rules in the inspection of an imaginary machine: calls, logs, secrets, and a broken file of rules."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from flows import stand
from ingot.deps import Deps
from ingot.domain import node, runs, states
from ingot.services import inspection_rules, provisioning


@asynccontextmanager
async def service(*statuses: int) -> AsyncGenerator[tuple[str, list[web.Request]]]:
    """A web service that answers with these statuses in turn; its URL and the requests it had."""
    seen: list[web.Request] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(request)
        return web.Response(status=statuses[min(len(seen), len(statuses)) - 1])

    runner = web.AppRunner(web.Application())
    runner.app.router.add_route("*", "/{path:.*}", answer)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", seen
    finally:
        await runner.cleanup()


async def inspect(deps: Deps, *actions: dict[str, Any], **fields: Any) -> tuple[node.Node, runs.Run]:
    """A node after an inspection with one rule, and the run."""
    await inspection_rules.create(deps, {"actions": list(actions), **fields})
    uuid = await stand.add_node(deps, states.State.MANAGEABLE, name="n1")
    async with stand.conductor(deps):
        await provisioning.request(deps, uuid, "inspect", {})
        run = await stand.ended(deps, uuid, 30)
    return await stand.get_node(deps, uuid), run


async def test_a_call_is_repeated_while_the_service_is_busy(tmp_path: Path) -> None:
    async with stand.site(tmp_path) as deps, service(503, 429, 200) as (url, seen):
        args = {"url": f"{url}/seen/{{node.name}}", "headers": {"X-Rule": "1"}, "backoff_factor": 0.01}
        _, run = await inspect(deps, {"op": "api-call", "args": args})
        assert run.status == runs.Status.SUCCEEDED, run.reason
        assert [(one.method, one.path, one.headers["X-Rule"]) for one in seen] == [("GET", "/seen/n1", "1")] * 3


async def test_a_call_that_fails_fails_the_inspection(tmp_path: Path) -> None:
    async with stand.site(tmp_path) as deps, service(404) as (url, seen):
        args = {"url": f"{url}/x?token=hidden", "retries": 1, "backoff_factor": 0.01}
        found, _ = await inspect(deps, {"op": "api-call", "args": args})
        assert (found.provision_state, len(seen)) == (states.State.INSPECT_FAILED, 2)
        assert "action 1 (api-call): The address of api-call (127.0.0.1:" in str(found.last_error)
        assert "answered 404" in str(found.last_error)
        assert "hidden" not in str(found.last_error)


async def test_what_a_sensitive_rule_says_is_logged_masked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with stand.site(tmp_path) as deps:
        said = {"op": "log", "args": {"msg": "it is {node.name}", "level": "warning"}}
        await inspect(deps, said)
        assert "it is n1" in capsys.readouterr().out
    async with stand.site(tmp_path / "other") as deps:
        await inspect(deps, said, sensitive=True)
        output = capsys.readouterr().out
        assert "it is" not in output
        assert "******" in output


@pytest.mark.parametrize("text", ["{", '{"a": 1}', "[{}]", json.dumps([{"actions": [{"op": "bogus", "args": {}}]}])])
async def test_a_broken_file_of_rules_is_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "rules.json"
    file.write_text(text)
    async with stand.site(tmp_path, inspection_rules=str(file)) as deps:
        found, _ = await inspect(deps, {"op": "add-trait", "args": {"name": "CUSTOM_A"}})
        assert found.provision_state == states.State.INSPECT_FAILED
        assert f"The file of inspection rules {file} cannot be used" in str(found.last_error)
        assert found.traits == ()


@pytest.mark.parametrize("op", ["matches", "contains"])
async def test_a_search_that_backtracks_without_end_is_stopped(tmp_path: Path, op: str) -> None:
    """2 to the power of 40 steps otherwise, in which the process would do nothing else."""
    endless = {"op": op, "args": {"value": "a" * 40 + "!", "regex": "^(a+)+$"}}
    async with stand.site(tmp_path) as deps:
        found, _ = await inspect(deps, {"op": "add-trait", "args": {"name": "CUSTOM_A"}}, conditions=[endless])
    assert found.provision_state == states.State.INSPECT_FAILED
    assert f"condition 1 ({op}): its judgement took more than 0.5 s" in str(found.last_error)
