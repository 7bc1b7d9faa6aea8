"""The command API of all simulated agents, on one listener.

Why: the conductor connects to an agent's address; the accepted connection's own address tells which agent is meant.
May not: know what a command does. Invariant: no command is taken without the agent's token.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from aiohttp import web

from ingot_rack import agents
from ingot_rack.agents import Agent, Fault, Json


class Server:
    """Serves `agents`, a live mapping from IPv4 address to the agent running there."""

    def __init__(self, running: Mapping[str, Agent], port: int) -> None:
        self._running = running
        self._port = port
        self._runner: web.AppRunner | None = None

    async def start(self) -> int:
        """Listen on all addresses; the port in use."""
        app = web.Application()
        app.router.add_get("/", _discover)
        app.router.add_get("/v1/status", self._status)
        for path in ("/v1/commands", "/v1/commands/"):
            app.router.add_post(path, self._command)
            app.router.add_get(path, self._commands)
        app.router.add_get("/v1/commands/{ident}", self._result)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        await web.TCPSite(self._runner, "0.0.0.0", self._port, backlog=4096).start()
        return int(self._runner.addresses[0][1])

    async def close(self) -> None:
        """Stop listening."""
        if self._runner:
            await self._runner.cleanup()

    def _agent(self, request: web.Request) -> Agent:
        transport = request.transport
        if transport is None:
            raise web.HTTPBadRequest
        agent = self._running.get(str(transport.get_extra_info("sockname")[0]))
        if agent is None or not agent.listens:
            transport.abort()  # no ramdisk runs there, or not yet: a real one would not even answer
            raise web.HTTPNotFound
        return agent

    def _trusted(self, request: web.Request) -> Agent:
        agent = self._agent(request)
        if agent.token and request.query.get("agent_token") != agent.token:
            raise web.HTTPUnauthorized(text='{"faultcode":"Client","faultstring":"wrong agent token"}')
        return agent

    async def _status(self, request: web.Request) -> web.Response:
        self._agent(request)
        return web.json_response({"started_at": 0.0, "version": "13.0.0"})

    async def _command(self, request: web.Request) -> web.Response:
        agent = self._trusted(request)
        body = cast("Json", await request.json())
        try:
            return web.json_response(agent.command(str(body.get("name")), cast("Json", body.get("params") or {})))
        except Fault as fault:
            refusal = {"faultcode": "Client", "faultstring": str(fault)}
            return web.json_response(refusal, status=fault.status)

    async def _commands(self, request: web.Request) -> web.Response:
        return web.json_response({"commands": list(self._trusted(request).commands.values())})

    async def _result(self, request: web.Request) -> web.Response:
        found = self._trusted(request).commands.get(request.match_info["ident"])
        if found is None:
            raise web.HTTPNotFound
        return web.json_response(found)


async def _discover(request: web.Request) -> web.Response:
    del request
    return web.json_response({"name": "Simulated agent", "version": agents.VERSION, "versions": [{"id": "v1"}]})
