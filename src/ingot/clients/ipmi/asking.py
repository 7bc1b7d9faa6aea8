"""Questions to a BMC that has let nobody in yet, and what every way to log in has in common.

Why: both versions of the protocol begin with the same question, wait alike, and want the same privilege at the end.
May not: keep sessions or retry a refused login. Invariant: one question at a time, one login at a time per peer.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from ingot.clients.ipmi import codec, completion, refusals, suites
from ingot.clients.ipmi.clear import Auth
from ingot.clients.ipmi.session import Session
from ingot.clients.ipmi.target import Privilege, Target
from ingot.clients.ipmi.transport import Peer, Transport
from ingot.domain import errors

TRIES = (1.0, 1.5, 2.25, 3.25)  # seconds waited for an answer after each sending: 8 s in all
# Late in a login a repeated packet may find the BMC a step ahead, and then it stays silent: better begin anew.
LATE_TRIES = (1.0, 1.5)
LONGEST_TRY = 10.0  # seconds that a slow BMC is given for one answer
LISTEN = 17.0  # how much longer the first silence is listened to: a slow BMC is not a dead one
AUTH_CAPABILITIES = 0x38
SET_PRIVILEGE = 0x3B
THIS_CHANNEL = 0x0E
NO_ANSWER_HINT = (
    "Check the address, that IPMI over LAN is enabled on the BMC, and that no firewall blocks its UDP port."
)

Opened = TypeVar("Opened", bound=Session)
Agreed = suites.Suite | Auth | None
Read = Callable[[bytes], bytes | None]  # the answer in a packet, None where it holds another


class Asker(ABC, Generic[Opened]):
    """One attempt to log in to one BMC. ``agreed``: what protected messages last time; after ``run`` what does now."""

    def __init__(
        self, transport: Transport, peer: Peer, target: Target, listen: float = 0.0, agreed: Agreed = None
    ) -> None:
        self.peer = peer
        self.agreed = agreed
        self.pace = 0.0  # seconds that the slowest answer took
        self.finished = asyncio.Event()
        self._listen = listen  # seconds
        self._transport = transport
        self._target = target
        self._number = 0  # tag or rqSeq of the running question
        self._read: Read | None = None
        self._answer: asyncio.Future[bytes | None] | None = None

    def receive(self, packet: bytes) -> None:
        """Hand the answer to the running question; drop everything else."""
        waiting = self._answer
        if waiting is None or waiting.done() or self._read is None:
            return
        answer = self._read(packet)
        if answer is not None:
            waiting.set_result(answer)

    async def run(self, opening: tuple[float, ...] = TRIES) -> Opened:
        """Log in; ``opening`` is the patience with a first answer.

        Raises ``refusals.Again`` when a later attempt may work, ``refusals.UnknownUser``, ``errors.Unreachable``,
        ``errors.AccessDenied``, ``errors.NotSupported``, ``errors.Misbehaved``.
        """
        logins = self._transport.logins
        while (other := logins.get(self.peer)) is not None:  # one BMC under two names: a host name and its address
            await other.finished.wait()
        logins[self.peer] = self
        try:
            return await self._run(opening)
        finally:
            del logins[self.peer]
            self.finished.set()

    @abstractmethod
    async def _run(self, opening: tuple[float, ...]) -> Opened:
        """``run``, while nobody else logs in there."""

    async def _capabilities(self, channel: int, opening: tuple[float, ...]) -> bytes:
        """Completion code + data of Get Channel Authentication Capabilities. Raises Unreachable for a silent BMC."""
        answer = await self._question(AUTH_CAPABILITIES, bytes((channel, self._target.privilege)), opening)
        if answer is None:
            raise await self._slow_or_dead(opening)
        return answer

    async def _slow_or_dead(self, opening: Sequence[float]) -> errors.Unreachable:
        """Why there was no answer: with ``listen`` a late one is waited for, to tell the difference."""
        asked, patience = self._transport.loop.time(), sum(opening)
        self._answer = self._transport.loop.create_future()
        if self._listen and await self._transport.wait(self._answer, self._listen) is not None:
            return refusals.too_slow(self._target, patience + self._transport.loop.time() - asked, patience)
        return no_answer(self._target, sum(TRIES) + self._listen)

    async def _establish(self, session: Opened) -> Opened:
        """The session, raised to the wanted privilege: it starts at USER (13.15)."""
        done = False
        try:
            if self._target.privilege > Privilege.USER:
                await self._raise_privilege(session)
            done = True
        finally:
            if not done:
                session.abandon()
        return session

    async def _raise_privilege(self, session: Session) -> None:
        asked = codec.Request(codec.NETFN_APP, SET_PRIVILEGE, bytes((self._target.privilege,)))
        tries = patience(LATE_TRIES, self.pace)
        answer = await session.request(asked, tries)
        if answer is None:
            raise refusals.Again(no_answer(self._target, sum(tries)))
        if answer[0] != completion.SUCCESS:
            raise refusals.privilege_refused(self._target, answer[0])

    async def _question(self, command: int, data: bytes, waits: Sequence[float]) -> bytes | None:
        """Ask outside a session: completion code + data, or None without an answer."""
        self._number = number = self._transport.next_number()

        def read(packet: bytes) -> bytes | None:
            answer = codec.read_sessionless(packet)
            return answer.body if answer and answer[:3] == (codec.NETFN_APP | 1, number, command) else None

        packet = codec.sessionless(codec.request(codec.NETFN_APP, command, number, data))
        return await self._exchange(packet, read, waits)

    async def _exchange(self, packet: bytes, read: Read, waits: Sequence[float]) -> bytes | None:
        """Send a packet, again after each of ``waits`` seconds; what ``read`` finds in the answer, or None."""
        self._read = read
        began = self._transport.loop.time()
        for seconds in waits:
            self._answer = self._transport.loop.create_future()
            self._transport.send(packet, self.peer)
            reply = await self._transport.wait(self._answer, seconds)
            if reply is not None:
                self.pace = max(self.pace, self._transport.loop.time() - began)
                return reply
        return None


def patience(tries: tuple[float, ...], pace: float) -> tuple[float, ...]:
    """``tries``, or fewer and longer ones for a BMC whose answers take ``pace`` seconds: repeating does not help it."""
    first = min(2 * pace, LONGEST_TRY)
    return tries if first <= tries[0] else (first,) * min(len(tries), 2)


def no_answer(target: Target, seconds: float) -> errors.Unreachable:
    """The error for a BMC that stays silent."""
    return errors.Unreachable(f"No IPMI answer from {target.name} in {seconds:g} s.", hint=NO_ANSWER_HINT)
