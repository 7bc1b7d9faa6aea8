"""The agent's HTTP interface: Ironic's paths, token checks, the bodies.

May not: run anything itself. Invariant: without the agent's token nothing but the version and status pages
is answered.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from ingot_agent import commands, errors, fields, server, version

_WAIT_LIMIT = 240.0


class Api:
    """Answers requests; ``token`` gives the agent's token at that moment ("" before the first lookup)."""

    def __init__(self, executor: commands.Executor, token: Callable[[], str]) -> None:
        self._executor = executor
        self._token = token
        self._started_at = time.time()

    def answer(self, request: server.Request) -> server.Answer:
        """Route one request. Raises the agent's errors, which become faults."""
        words = [word for word in request.path.split("/") if word]
        if words and words[0] in ("status", "commands"):
            words.insert(0, "v1")  # the version may be left out
        match (request.method, words):
            case ("GET", []):
                return 200, _root(request.base)
            case ("GET", ["v1"]):
                return 200, _version_page(request.base)
            case ("GET", ["v1", "status"]):
                return 200, {"started_at": self._started_at, "version": version.VERSION}
            case ("GET", ["v1", "commands"]):
                self._check(request)
                return 200, {"commands": [one.as_dict() for one in self._executor.list()]}
            case ("GET", ["v1", "commands", ident]):
                self._check(request)
                return 200, self._wait(request, self._executor.get(ident))
            case ("POST", ["v1", "commands"]):
                self._check(request)
                return 200, self._post(request)
            case _:
                raise errors.NotFound(f"The agent has no {request.method} {request.path}. See GET /v1/.")

    def trusts(self, query: dict[str, str]) -> bool:
        """Whether a request's query holds the agent's token."""
        given, own = query.get("agent_token", ""), self._token()
        return bool(own) and _same(given.encode(), own.encode())

    def _check(self, request: server.Request) -> None:
        if not self.trusts(request.query):
            raise errors.Unauthorized("The agent token is absent or wrong. Send the token given out at lookup.")

    @staticmethod
    def _wait(request: server.Request, command: commands.Command) -> dict[str, Any]:
        if request.query.get("wait", "").lower() == "true":
            command.done.wait(_WAIT_LIMIT)
        return command.as_dict()

    def _post(self, request: server.Request) -> dict[str, Any]:
        try:
            body: object = json.loads(request.body)
        except ValueError as error:
            raise errors.InvalidCommandParams(f"The body is not JSON: {error}. Send an object.") from None
        order = fields.as_object(body) or {}
        name = fields.text(order, "name")
        if not name:
            raise errors.InvalidCommandParams('The body lacks "name": "extension.command". Name a command.')
        params = fields.as_object(order.get("params") or {})
        if params is None:
            raise errors.InvalidCommandParams('"params" is not an object. Send an object.')
        return self._wait(request, self._executor.start(name, params))


def _version(base: str) -> dict[str, Any]:
    described = {"href": "https://docs.openstack.org/ironic-python-agent/", "rel": "describedby", "type": "text/html"}
    return {"id": "v1", "links": [{"href": f"{base}/v1", "rel": "self"}, described]}


def _root(base: str) -> dict[str, Any]:
    text = "ingot agent, speaking the protocol of Ironic Python Agent"
    return {
        "name": "OpenStack Ironic Python Agent API",
        "description": text,
        "versions": [_version(base)],
        "default_version": _version(base),
    }


def _version_page(base: str) -> dict[str, Any]:
    def links(name: str) -> list[dict[str, str]]:
        return [{"href": f"{base}/v1/{name}/", "rel": "self"}, {"href": f"{base}/{name}/", "rel": "bookmark"}]

    media = {"base": "application/json", "type": "application/vnd.openstack.ironic-python-agent.v1+json"}
    return {"commands": links("commands"), "status": links("status"), "media_types": [media], **_version(base)}


def _same(one: bytes, other: bytes) -> bool:
    """Compare in a time that does not tell where they differ (the hmac module would load all of OpenSSL)."""
    difference = len(one) ^ len(other)
    for left, right in zip(one, other, strict=False):
        difference |= left ^ right
    return difference == 0
