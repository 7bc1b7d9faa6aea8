"""The OpenAPI document: whole, valid for a judge that is not ours, and true where it can be compared."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import programs
from ingot.api import openapi, routing, server, spec, versions, wire
from ingot.api.v1 import provision_body
from ingot.deps import Deps
from ingot.domain import errors

if TYPE_CHECKING:
    from tests.api.conftest import Api


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return json.loads(json.dumps(asyncio.run(openapi.document(server.ROUTES)), default=str))


def operation(document: dict[str, Any], method: str, path: str) -> dict[str, Any]:
    return document["paths"][path][method.lower()]


def asked(document: dict[str, Any], method: str, path: str) -> set[str]:
    parameters = operation(document, method, path)["parameters"]
    return {one["name"] for one in parameters if one.get("in") == "query"}


def test_every_route_is_told_of(document: dict[str, Any]) -> None:
    told = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    routes = server.ROUTES
    assert told == {(route.method, route.path) for route in routes}
    for route in routes:
        shown = operation(document, route.method, route.path)
        assert re.match(r"[A-Z].{7,}[^.]$", shown["summary"]), (route.method, route.path, shown["summary"])
        assert (shown.get("security") == []) == route.public
        if route.method in {"POST", "PATCH"}:
            assert "requestBody" in shown or "{node}/console" in route.path, (route.method, route.path)


def test_operations_have_names_of_their_own(document: dict[str, Any]) -> None:
    names = [one["operationId"] for methods in document["paths"].values() for one in methods.values()]
    assert len(names) == len(set(names))


async def test_an_independent_judge_finds_it_valid(api: Api, tmp_path: Path) -> None:
    file = tmp_path / "openapi.json"
    file.write_text(json.dumps(await api.get("/ingot/v1/openapi.json", version=None)))
    judge = programs.peer("openapi-spec-validator")
    child = await asyncio.create_subprocess_exec(judge, str(file), stdout=asyncio.subprocess.PIPE)
    out, _ = await asyncio.wait_for(child.communicate(), 60)
    assert (child.returncode, out.decode().rstrip().endswith("OK")) == (0, True), out


def test_arguments_are_those_that_the_handlers_read(document: dict[str, Any]) -> None:
    assert {"limit", "marker", "sort_key", "provision_state", "fields"} <= asked(document, "GET", "/v1/nodes")
    assert asked(document, "GET", "/v1/nodes/{node}") == {"fields"}
    assert asked(document, "DELETE", "/v1/nodes/{node}") == set()
    assert asked(document, "GET", "/v1/lookup") == {"addresses", "node_uuid"}


def test_bodies_are_the_types_that_check_them(document: dict[str, Any]) -> None:
    body = operation(document, "POST", "/v1/nodes")["requestBody"]["content"]["application/json"]["schema"]
    draft = document["components"]["schemas"][body["$ref"].rpartition("/")[2]]
    assert draft["required"] == ["driver"]
    assert draft["properties"]["resource_class"]["anyOf"][0]["maxLength"] == 80
    provision = provision_body.SHAPE.make(spec.Schemas())
    assert set(provision["properties"]) == {"target", *provision_body._KEYS}


def test_fields_of_resources_are_those_of_the_microversions(document: dict[str, Any]) -> None:
    node = document["components"]["schemas"]["resource.node"]
    assert set(node["properties"]) == set(versions.fields("node", versions.MAX))
    assert node["properties"]["shard"]["x-since"] == "1.82"
    assert node["properties"]["maintenance"]["type"] == "boolean"


@pytest.mark.parametrize(
    "handler",
    [
        pytest.param(lambda _deps, _request: None, id="that tells nothing"),
        pytest.param(spec.tells("Reads its arguments late")(lambda _deps, _request: _nothing()), id="that reads late"),
    ],
)
def test_a_handler_without_words_or_arguments_is_noticed(handler: routing.Handler) -> None:
    with pytest.raises(errors.Bug):
        asyncio.run(openapi.document((routing.Route("GET", "/v1/odd", handler, 1, "public"),)))


async def _nothing() -> wire.Answer:
    return wire.NO_CONTENT


async def test_what_is_not_public_asks_who_calls(deps: Deps) -> None:
    """Every route, with the real application: 401 before anything else is looked at."""
    import msgspec

    app = server.build(
        Deps(msgspec.structs.replace(deps.settings, noauth=False), deps.store, deps.sealer, *_rest(deps))
    )
    for route in server.ROUTES:
        status = await _status(app, route.method, re.sub(r"{\w+}", "x", route.path))
        assert (status == 401) == (not route.public), (route.method, route.path, status)


def _rest(deps: Deps) -> tuple[Any, Any]:
    return deps.registry, deps.bus


async def _status(app: Any, method: str, path: str) -> int:
    sent: list[dict[str, Any]] = []
    headers = [(b"x-openstack-ironic-api-version", b"latest")]
    scope = {"type": "http", "method": method, "raw_path": path.encode(), "headers": headers, "query_string": b""}

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app({**scope, "scheme": "http", "client": ("192.0.2.1", 1)}, receive, send)
    return sent[0]["status"]
