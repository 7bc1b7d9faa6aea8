"""The client of one deploy agent's command API.

Why: a flow starts commands on the ramdisk and looks how they go; the network between may drop any answer.
May not: know nodes or wait for the end of a command. Invariant: a command whose answer was lost is not
started twice: an agent of ours recognises ``ingot_key`` in the params, any other is asked first for a command
of that name that was not there before. Source: the command API of Ironic's ramdisk agent (token in the query).
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from typing import cast
from urllib.parse import quote, urlsplit

import msgspec

from ingot.clients import fence
from ingot.clients.agent import results
from ingot.clients.agent.results import CommandResult, CommandStatus
from ingot.clients.http.client import Call, HttpClient, Reply
from ingot.clients.http.trust import Pem, Trust
from ingot.domain import errors

ATTEMPTS = 3
PAUSE = 0.5  # before the second attempt; doubled before the third
TIMEOUT = 60.0
LOOK_TIMEOUT = 15.0

Params = Mapping[str, object]


class Agent:
    """One agent: its address from the heartbeat, its token, its certificate if it sent one (PEM text)."""

    def __init__(self, http: HttpClient, callback_url: str, token: str, verify_ca_pem: str | None = None) -> None:
        parts = urlsplit(callback_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise errors.Invalid("The agent's callback URL is not an http or https URL.")
        self._http = http
        self._base = callback_url.rstrip("/")
        self._token = token
        self._trust: Trust = Pem(verify_ca_pem) if verify_ca_pem else True
        self._peer = f"The agent at {parts.hostname}"

    def __repr__(self) -> str:
        return f"Agent({self._base})"

    async def commands(self) -> list[CommandResult]:
        """All commands since the agent started, the oldest first.

        Raises ``errors.Unreachable``, ``errors.TimedOut``, ``errors.AccessDenied``, ``errors.Misbehaved``.
        """
        return results.commands(await self._get("/v1/commands/", "the list of commands"))

    async def command(self, ident: str, *, wait: bool = False) -> CommandResult:
        """One command; with ``wait`` the agent answers when it has ended. Raises like ``commands``."""
        path = f"/v1/commands/{quote(ident, safe='')}"
        return results.command(await self._get(path, f"command {ident}", "&wait=true" if wait else ""))

    async def look(self, ident: str) -> CommandResult:
        """``command`` asked once and with little patience, for callers who ask again soon anyway."""
        call = self._call("GET", f"/v1/commands/{quote(ident, safe='')}", timeout=LOOK_TIMEOUT)
        return results.command(self._checked(await self._http.send(call), f"command {ident}"))

    async def find_started(self, name: str, before: Collection[str]) -> CommandResult | None:
        """The latest command of this name that is not among the ids ``before``, or None. Raises like ``commands``."""
        return _newest(await self.commands(), name, before)

    async def start(self, name: str, params: Params, *, before: Collection[str] | None = None) -> CommandResult:
        """Start ``extension.command``; a synchronous one has ended in the answer.

        ``before``: ids of the commands there were, by which one whose answer is lost is found again; None means
        that only a running one of that name is taken for ours.

        Raises ``errors.Conflict`` (busy), ``errors.Invalid`` (params), ``errors.NotSupported`` (unknown
        command), and like ``commands``.
        """
        return await self._post(name, params, wait=False, before=before)

    async def run(self, name: str, params: Params) -> dict[str, object]:
        """Run a short command to its end and give its result.

        Raises ``errors.Misbehaved`` with the agent's words when it failed, and like ``start``.
        """
        ended = await self._post(name, params, wait=True)
        if ended.status is not CommandStatus.SUCCEEDED:
            why = ended.complaint.rstrip(". ") or f"it is {ended.status}"
            raise errors.Misbehaved(f"{self._peer} failed in {name}: {why}.", hint="See the ramdisk's log.")
        return ended.result or {}

    async def _get(self, path: str, what: str, more: str = "") -> Reply:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return self._checked(await self._http.send(self._call("GET", path, more)), what)
            except errors.Unreachable:
                if attempt == ATTEMPTS:
                    raise
            await asyncio.sleep(PAUSE * attempt)
        raise errors.Bug

    async def _post(
        self, name: str, params: Params, *, wait: bool, before: Collection[str] | None = None
    ) -> CommandResult:
        body = msgspec.json.encode({"name": name, "params": dict(params)})
        call = self._call("POST", "/v1/commands/", f"&wait={str(wait).lower()}", body)
        for attempt in range(1, ATTEMPTS + 1):
            await fence.passed()
            try:
                return results.command(self._checked(await self._http.send(call), name))
            except errors.Unreachable:
                if attempt == ATTEMPTS:
                    raise
            await asyncio.sleep(PAUSE * attempt)
            if (known := await self._find_lost(name, params, before)) is not None:
                return known
        raise errors.Bug

    async def _find_lost(self, name: str, params: Params, before: Collection[str] | None) -> CommandResult | None:
        """The command whose answer we lost, if it was started; a silent agent counts as none."""
        try:
            reply = await self._http.send(self._call("GET", "/v1/commands/"))
        except errors.Unreachable:
            return None
        known = results.commands(self._checked(reply, "the list of commands"))
        key = cast("object", params.get("ingot_key"))
        if key is not None and (same := [one for one in known if one.key == key]):
            return same[-1]
        if before is not None:
            return _newest(known, name, before)
        last = known[-1] if known else None
        if last is None or last.name != name.partition(".")[2] or last.status is not CommandStatus.RUNNING:
            return None
        return last

    def _call(
        self, method: str, path: str, more: str = "", body: bytes | None = None, timeout: float = TIMEOUT
    ) -> Call:
        url = f"{self._base}{path}?agent_token={quote(self._token, safe='')}{more}"
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        return Call(method, url, self._peer, headers, body, self._trust, timeout)

    def _checked(self, reply: Reply, what: str) -> Reply:
        if reply.status >= 400:
            raise results.refusal(reply, what)
        return reply


def _newest(known: list[CommandResult], name: str, before: Collection[str]) -> CommandResult | None:
    short = name.partition(".")[2]
    fresh = [one for one in known if one.name == short and one.id not in before]
    return fresh[-1] if fresh else None
