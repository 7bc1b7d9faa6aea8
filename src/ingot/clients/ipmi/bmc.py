"""One BMC as the pool keeps it: its lock, its session, logging in again, waiting while it is busy.

Why: all patience with a single BMC is here, so that the pool is only a table.
May not: know other BMCs. Invariant: one command at a time, and at most one session.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy

from ingot.clients import fence
from ingot.clients.ipmi import asking, clear_login, codec, completion, login, refusals
from ingot.clients.ipmi.clear import Auth
from ingot.clients.ipmi.session import NoWay, Session
from ingot.clients.ipmi.target import Target, Version
from ingot.clients.ipmi.transport import Transports
from ingot.clients.let_in import LetIn
from ingot.domain import errors
from ingot.telemetry import counts

KEPT_TRIES = (1.0, 1.5)  # a kept session that stays silent this long counts as lost
DEADLINE = 20.0  # for logging in, beside the time that telling slow from dead takes
FIRST_PAUSE = 0.1
LONGEST_PAUSE = 2.0
CLOSE_WAIT = 0.5
FIRST_TRIES, LAST_TRIES = asking.TRIES[:2], asking.TRIES[2:]
ALIVE = codec.Request(0x06, 0x01)  # Get Device ID: harmless, and every BMC knows it


class Bmc:
    """One BMC: its lock, its session and what we learned about it."""

    def __init__(self, transports: Transports, target: Target, listen: float) -> None:
        self._transports = transports
        self._target = target
        self._listen = listen
        self._silent = False  # whether it was silent when last asked
        self._let_in = LetIn()
        self._lock = asyncio.Lock()
        self._session: Session | None = None
        self._agreed: asking.Agreed = None  # what protected messages in the last session
        self._pace = 0.0  # seconds that its answers take: the last one, or what is left of the memory of slower ones
        self._lane = 0
        self._entered = False  # whether a login has ever got to its end, or near it
        self._new_port = False  # whether this BMC lets us in again only from another port
        self._failed: tuple[float, errors.IngotError] | None = None
        self.used = self.heard = transports.loop.time()

    @property
    def idle(self) -> bool:
        """Whether it may be forgotten: no session, nobody waits, and it never let us in by MD5: that has to last."""
        return self._session is None and not self._lock.locked() and self._agreed is not Auth.MD5

    @property
    def entered(self) -> bool:
        """Whether it holds a session."""
        return self._session is not None

    @property
    def kept(self) -> bool:
        """Whether it holds a session and nobody uses it now."""
        return self._session is not None and not self._lock.locked()

    async def command(self, target: Target, asked: codec.Request) -> bytes:
        """Completion code + data of one command; b"" for one sent only once that got no answer."""
        with counts.BMC_CALLS.timed("ipmi"):
            return await self._command(target, asked)

    async def _command(self, target: Target, asked: codec.Request) -> bytes:
        came = self._transports.loop.time()
        self.used = came
        async with self._lock:
            self._fail_with_the_others(came)
            try:
                login_as = target if asked.bridge is None else target.login
                body = await self._once(login_as, asked)
                if body[:1] and body[0] in completion.BUSY:
                    body = await self._insist(login_as, asked)
            except NoWay as refused:
                raise completion.no_way(target.name, refused.code) from None
            except (errors.Unreachable, errors.AccessDenied) as error:
                self._failed = (self._transports.loop.time(), error)
                if isinstance(error, errors.Unreachable):
                    error.bmc = f"BMC {target.name}"
                raise
            self.heard = self._transports.loop.time()
            self._let_in.still(self.heard)
            return body

    async def keep_alive(self) -> None:
        """Touch the session so that the BMC does not drop it; a lost session is simply forgotten."""
        async with self._lock:
            session = self._session
            if session is None:
                return
            with contextlib.suppress(errors.Unreachable):
                if await self._try(session, ALIVE, KEPT_TRIES) is None:
                    self._forget()
            self.heard = self._transports.loop.time()

    async def close(self) -> None:
        """Close the session if there is one."""
        async with self._lock:
            session, self._session = self._session, None
            if session is not None:
                with contextlib.suppress(errors.Unreachable):
                    await session.close(CLOSE_WAIT)

    def _fail_with_the_others(self, came: float) -> None:
        """Spare callers that queued up behind a dead BMC the same wait one after the other."""
        if self._failed is not None and self._failed[0] >= came:
            raise copy.copy(self._failed[1])

    async def _once(self, target: Target, asked: codec.Request) -> bytes:
        if asked.once:
            return await self._tell(target, asked)
        session = self._session
        if session is not None and (target is self._target or target == self._target):
            await fence.passed()
            body = await self._try(session, asked, KEPT_TRIES)
            if body is not None:
                return body
            self._forget()
        session = await self._login(target)
        await fence.passed()  # again: a login may take long
        body = await self._try(session, asked, asking.TRIES)
        if body is None:
            self._forget()
            raise asking.no_answer(target, sum(asking.TRIES))
        return body

    async def _tell(self, target: Target, asked: codec.Request) -> bytes:
        """Send once over a session that was just seen to work; b"" when no answer comes."""
        await self._once(target, ALIVE)
        session = self._session
        await fence.passed()
        body = await self._try(session, asked, KEPT_TRIES[:1]) if session else None
        if body is None:
            self._forget()
        return body or b""

    async def _try(self, session: Session, asked: codec.Request, waits: tuple[float, ...]) -> bytes | None:
        try:
            body = await session.request(asked, asking.patience(waits, self._pace))
        except errors.Unreachable:
            self._forget()
            raise
        if body is not None:
            self._pace = max(session.took, self._pace / 2)
        return body

    async def _insist(self, target: Target, asked: codec.Request) -> bytes:
        """Ask a busy BMC again until it answers or the deadline passes; the last answer is given then."""
        loop = self._transports.loop
        ends, pause = loop.time() + completion.BUSY_DEADLINE, FIRST_PAUSE
        while True:
            await asyncio.sleep(pause)
            body = await self._once(target, asked)
            pause = min(pause * 2, LONGEST_PAUSE)
            if not body or body[0] not in completion.BUSY or loop.time() + pause > ends:
                return body

    async def _login(self, target: Target) -> Session:
        if self._session is not None:
            session, self._session = self._session, None
            await session.close(CLOSE_WAIT)  # it belongs to other credentials
        if target != self._target:
            self._target, self._agreed = target, None
        loop = self._transports.loop
        ends, pause = loop.time() + DEADLINE, FIRST_PAUSE
        try:
            async with asyncio.timeout(DEADLINE + self._listen):
                while True:
                    try:
                        return await self._enter(target)
                    except refusals.Again as again:
                        if loop.time() + pause > ends:
                            raise again.error from None
                    await asyncio.sleep(pause)
                    pause = min(pause * 2, LONGEST_PAUSE)
        except TimeoutError:
            raise errors.TimedOut(
                f"The IPMI login to {target.name} did not end in {DEADLINE + self._listen:g} s.",
                hint=asking.NO_ANSWER_HINT,
            ) from None

    async def _enter(self, target: Target) -> Session:
        """Log in; a BMC that let us in before but is silent now is tried from another port, too."""
        if not self._entered:
            return await self._login_once(target, self._lane, asking.TRIES)
        if not self._new_port:
            with contextlib.suppress(errors.Unreachable):
                return await self._login_once(target, self._lane, FIRST_TRIES)
        session = await self._login_once(target, self._lane + 1, LAST_TRIES)
        self._new_port = True
        return session

    async def _login_once(self, target: Target, lane: int, opening: tuple[float, ...]) -> Session:
        transport, peer = await self._transports.find(target.address, target.port, lane)
        # Telling a slow BMC from a dead one takes long: only at first, and for as long as it is a slow one.
        listen = 0.0 if self._silent or opening is FIRST_TRIES else self._listen
        kind = clear_login.ClearLogin if target.version is Version.V15 else login.Login
        attempt = kind(transport, peer, target, listen, self._agreed)
        try:
            session = await attempt.run(opening)
        except refusals.UnknownUser as unknown:
            raise self._denied(target, unknown.error) from None
        except errors.Unreachable as error:
            if opening is not FIRST_TRIES:
                self._silent = not isinstance(error, errors.TimedOut)
            raise
        except errors.NotSupported:
            if target.version is Version.V20:  # another suite may do; of 1.5 nothing less than before is taken
                self._agreed = None
            raise
        except refusals.Again:
            self._entered = True
            raise
        self._session, self._agreed, self._lane, self._entered = session, attempt.agreed, lane, True
        self._pace = max(self._pace, attempt.pace)
        self._silent = False
        self._let_in.note(target, self._transports.loop.time())
        return session

    def _denied(self, target: Target, error: errors.IngotError) -> errors.IngotError:
        """The BMC disowns a user: what that means of one who was let in with the same password before."""
        seconds = self._let_in.ago(target, self._transports.loop.time())
        return error if seconds is None else refusals.locked_out(target, seconds)

    def _forget(self) -> None:
        if self._session is not None:
            self._session.abandon()
            self._session = None
