"""One Redfish service: its login, its lock, its bad moments.

Why: all patience with a single BMC is here, so that the pool is only a table.
May not: know resources. Invariant: at most one session of ours on the BMC, closed when we leave.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import math
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from urllib.parse import urljoin

import msgspec

from ingot.clients import fence
from ingot.clients.http.client import Call, HttpClient, Reply, Streamed
from ingot.clients.http.line import Line
from ingot.clients.let_in import LetIn
from ingot.clients.redfish import complaints
from ingot.clients.redfish.resources import path_of
from ingot.clients.redfish.sessions import Session, Sessions
from ingot.clients.redfish.target import AuthType, Target
from ingot.domain import errors
from ingot.telemetry import counts

PATIENCE = 20.0  # for a BMC that says that it is busy
CONNECT_PATIENCE = 3.0  # for one that resets or refuses connections; a run has more of it (flows/waits.py)
FIRST_PAUSE = 0.2
LONGEST_PAUSE = 4.0
BUSY = (429, 503)
NO_SESSIONS = (404, 405, 501)
REDIRECTS = (301, 302, 307, 308)
MOST_REDIRECTS = 3
TIMEOUT = 30.0
UPLOAD_TIMEOUT = 1800.0
LOGOUT_TIMEOUT = 5.0
FULL_LASTS = 300.0  # a full session table is looked at again after so long
SLOW = 8.0  # an answer that takes longer is worth a word to whoever waits


Tell = Callable[[str], Awaitable[None]]
teller: ContextVar[Tell | None] = ContextVar("redfish_teller", default=None)
"""Whom to tell of a slow or absent BMC: set by a step of a run for its own task."""


class Service:
    """The BMC behind one origin."""

    def __init__(self, http: HttpClient, sessions: Sessions) -> None:
        self._http = http
        self._sessions = sessions
        self._line = Line(http.contexts)
        self._lock = asyncio.Lock()
        self._target: Target | None = None  # whose login the fields below hold
        self._let_in = LetIn()
        self._token: str | None = None
        self._session: str | None = None  # path of our session resource
        self._basic_until = 0.0  # loop time until which basic stands in for a session
        self.systems: dict[Target, str] = {}  # paths of ComputerSystems that were looked for
        self.expands: bool | None = None  # whether it knows $expand; None: not asked yet
        self.used = asyncio.get_running_loop().time()

    @property
    def idle(self) -> bool:
        """Whether nobody waits for it."""
        return not self._lock.locked()

    async def request(self, target: Target, method: str, path: str, body: bytes | None, etag: str | None) -> Reply:
        """Send with authentication, log in again on 401, be patient while the BMC is busy."""
        with counts.BMC_CALLS.timed("redfish"):
            return await self._request(target, method, path, body, etag)

    async def _request(self, target: Target, method: str, path: str, body: bytes | None, etag: str | None) -> Reply:
        self.used = asyncio.get_running_loop().time()
        async with self._lock:
            headers = {"If-Match": etag} if etag else {}
            reply = await self._patiently(target, method, path, body, headers)
            if reply.status == 401 and self._token is not None:
                self._forget(target)  # the BMC dropped the session: restart, time-out
                reply = await self._patiently(target, method, path, body, headers)
            if reply.status != 401 and self._token is not None:
                self._let_in.note(target.login, asyncio.get_running_loop().time())
            return reply

    async def upload(self, target: Target, path: str, body: Streamed, kind: str) -> Reply:
        """Post a large body of content type ``kind`` once, within ``UPLOAD_TIMEOUT``."""
        async with self._lock:
            headers = {"Accept": "application/json", "Content-Type": kind} | await self._authorization(target)
            url = _url(target, path)
            await fence.passed()
            call = Call("POST", url, target.name, headers, body, target.trust, UPLOAD_TIMEOUT)
            try:
                return await self._http.send(call)
            except errors.Unreachable as error:
                error.bmc = target.name
                raise

    async def close(self) -> None:
        """Delete our session and end the connection; a BMC that does not answer is left alone."""
        async with self._lock:
            await self._log_out()
            self.hang_up()

    def hang_up(self) -> None:
        """End the connection."""
        self._line.close()

    async def _patiently(
        self, target: Target, method: str, path: str, body: bytes | None, headers: dict[str, str]
    ) -> Reply:
        loop = asyncio.get_running_loop()
        started, pause = loop.time(), FIRST_PAUSE
        while True:
            asked = False
            try:
                known = headers | await self._authorization(target)
                await fence.passed()  # not before the login, which may take long
                asked = True
                reply = await self._send(target, method, path, body, known)
                if reply.status not in BUSY:
                    return reply
                problem = complaints.failure(reply, f"{method} {path}")
                ends, pause = started + PATIENCE, max(pause, _retry_after(reply))
            except errors.TimedOut as error:
                error.bmc = target.name
                error.sent = asked and error.sent  # else it is the login whose answer is missing
                raise
            except errors.Unreachable as error:
                problem, ends = error, started + CONNECT_PATIENCE
                if asked and error.sent and method == "POST":
                    ends = 0.0  # an action must not happen twice: who ordered it looks what has become of it
            if loop.time() + pause > ends:
                if isinstance(problem, errors.Unreachable):
                    problem.bmc = target.name
                raise problem
            await _tell(f"{problem.message.rstrip('.')}; trying again for another {ends - loop.time():.0f} s.")
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _send(self, target: Target, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Reply:
        """Send once, following redirects of a GET on the same origin: the token must not go elsewhere."""
        headers = {"Accept": "application/json", "OData-Version": "4.0"} | headers
        if body is not None:
            headers["Content-Type"] = "application/json"
        url = _url(target, path)
        for _ in range(MOST_REDIRECTS):
            call = Call(method, url, target.name, headers, body, target.trust, TIMEOUT)
            reply = await self._answer(call)
            if method != "GET" or reply.status not in REDIRECTS:
                return reply
            url = _redirected(target, url, reply.headers.get("Location", ""))
        raise errors.Misbehaved(f"{target.name} redirects in a circle.")

    async def _answer(self, call: Call) -> Reply:
        """Send, and say so when the answer takes long and there is somebody to tell."""
        tell = teller.get()
        if tell is None:
            return await self._line.send(call)
        sending = asyncio.ensure_future(self._line.send(call))
        try:
            done, _ = await asyncio.wait({sending}, timeout=SLOW)
            if not done:
                words = f"{call.peer} takes long: no answer to {call.method} for {SLOW:.0f} s. It is waited for"
                await tell(f"{words}; if it stays so, restart the BMC and end other programs that ask it.")
            return await sending
        finally:
            if not sending.done():
                sending.cancel()

    async def _authorization(self, target: Target) -> dict[str, str]:
        if not target.username or target.auth_type is AuthType.NONE:
            return {}
        if self._target is None or self._target.login != target.login:
            await self._log_out()
            self._target, self._basic_until = target, 0.0
        if target.auth_type is AuthType.BASIC or asyncio.get_running_loop().time() < self._basic_until:
            pair = f"{target.username}:{target.password}".encode()
            return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}
        if self._token is None and (left := self._sessions.take(target)):
            self._token, self._session = left.token, left.path
        if self._token is None:
            await self._log_in(target)
            if self._token is None:
                return await self._authorization(target)
        return {"X-Auth-Token": self._token}

    async def _log_in(self, target: Target) -> None:
        """Open a session, or let basic stand in where the target allows it and the BMC has none for us."""
        body = msgspec.json.encode({"UserName": target.username, "Password": target.password})
        reply = await self._send(target, "POST", f"{target.root}SessionService/Sessions", body, {})
        token = reply.headers.get("X-Auth-Token")
        if reply.status < 300 and token:
            self._token = token
            self._session = path_of(reply.headers.get("Location", ""))
            self._sessions.opened(target, Session(token, self._session))
            return
        full = complaints.is_session_limit(reply)
        if reply.status in (400, 401, 403) and not full:
            now = asyncio.get_running_loop().time()
            raise complaints.denied(reply, target.username, self._let_in.ago(target.login, now))
        if target.auth_type is AuthType.AUTO and (full or reply.status not in BUSY):
            lasts = FULL_LASTS if full else math.inf
            self._basic_until = asyncio.get_running_loop().time() + lasts
            return
        if reply.status in NO_SESSIONS:
            raise errors.NotSupported(
                f"{target.name} has no session login.", hint="Set redfish_auth_type to auto or basic."
            )
        problem = complaints.failure(reply, "the session login")
        if full:  # whatever the status: sessions end by themselves, so a retry may help
            hint = "Close other sessions on the BMC, or set redfish_auth_type to auto or basic."
            raise errors.Unreachable(problem.message, hint=hint)
        raise problem

    async def _log_out(self) -> None:
        target, session, token = self._target, self._session, self._token
        self._token = self._session = None
        if target is None or session is None or token is None:
            return
        url, headers = target.origin + session, {"X-Auth-Token": token}
        with contextlib.suppress(errors.IngotError):
            await self._line.send(Call("DELETE", url, target.name, headers, None, target.trust, LOGOUT_TIMEOUT))
            self._sessions.ended(target.origin)

    def _forget(self, target: Target) -> None:
        self._token = self._session = None
        self._sessions.ended(target.origin)


async def _tell(words: str) -> None:
    tell = teller.get()
    if tell is not None:
        await tell(words)


def _url(target: Target, path: str) -> str:
    """Where ``path`` is on the service, which has told it: what is none would make the host another one."""
    if not path.startswith("/"):
        raise errors.Misbehaved(f"{target.name} names a resource by what is no path: {path[:80]!r}.")
    return target.origin + path


def _redirected(target: Target, url: str, location: str) -> str:
    """Where a redirect leads. Raises errors.Misbehaved for another server."""
    try:
        found = urljoin(url, location)
    except ValueError:
        raise errors.Misbehaved(f"{target.name} redirects to what is no address.") from None
    if not found.startswith(target.origin + "/"):
        raise errors.Misbehaved(f"{target.name} redirects to another server.")
    return found


def _retry_after(reply: Reply) -> float:
    value = reply.headers.get("Retry-After", "")
    return min(float(value), LONGEST_PAUSE) if value.isdecimal() else 0.0
