"""Logging in: from the first question to an established session with the wanted privilege.

Why: the RMCP+ set-up (IPMI 2.0 sections 13.14 to 13.25) is its own small protocol with its own errors.
May not: keep sessions or retry a refused login. Invariant: the password never leaves this machine; a BMC that
cannot prove that it knows the password gets no session.
"""

from __future__ import annotations

import asyncio
import hmac
import os
import secrets
import struct
from collections.abc import Sequence

from ingot.clients.ipmi import codec, completion, refusals, suites
from ingot.clients.ipmi.session import Session
from ingot.clients.ipmi.target import Privilege, Target
from ingot.clients.ipmi.transport import Peer, Transport
from ingot.domain import errors

TRIES = (1.0, 1.5, 2.25, 3.25)  # seconds waited for an answer after each sending: 8 s in all
# From RAKP 3 on a repeated packet may find the BMC a step ahead, and then it stays silent: better begin anew.
LATE_TRIES = (1.0, 1.5)
# RAKP 1 likewise, but some BMCs are silent about a user they do not know: so only once, and with one error for both.
NAME_TRIES = (TRIES[:2], TRIES[2:])
LONGEST_TRY = 10.0  # seconds that a slow BMC is given for one answer
LISTEN = 17.0  # how much longer the first silence is listened to: a slow BMC is not a dead one
PROBE_TRIES = (0.5,)  # for the question that many BMCs leave unanswered (ipmi_sim of OpenIPMI 2.0.33)
AUTH_CAPABILITIES = 0x38
CIPHER_SUITES = 0x54
SET_PRIVILEGE = 0x3B
THIS_CHANNEL = 0x0E
NAME_ONLY_LOOKUP = 0x10
SUITE_PAGE = 16
MAX_SUITE_PAGES = 4
NO_ANSWER_HINT = (
    "Check the address, that IPMI over LAN is enabled on the BMC, and that no firewall blocks its UDP port."
)


class Login:
    """One attempt to log in to one BMC."""

    def __init__(self, transport: Transport, peer: Peer, target: Target, listen: float = 0.0) -> None:
        self.peer = peer
        self._listen = listen  # seconds
        self._transport = transport
        self._target = target
        self._kind: int | None = None  # payload type waited for; None waits for a session-less answer
        self.pace = 0.0  # seconds that the slowest answer took
        self._number = 0  # tag or rqSeq of the running question
        self._answer: asyncio.Future[bytes | None] | None = None
        self.finished = asyncio.Event()

    def receive(self, packet: bytes) -> None:
        """Hand the answer to the running question; drop everything else."""
        waiting = self._answer
        if waiting is None or waiting.done():
            return
        if self._kind is None:
            answer = codec.read_sessionless(packet)
            if answer is not None and answer.rq_seq == self._number and answer.netfn == codec.NETFN_APP | 1:
                waiting.set_result(bytes((answer.command,)) + answer.body)
            return
        opened = codec.read_setup(packet)
        if opened is None or opened.payload_type != self._kind or len(opened.payload) < 2:
            return
        if opened.payload[0] == self._number:
            waiting.set_result(opened.payload)

    async def run(self, known: suites.Suite | None, opening: tuple[float, ...] = TRIES) -> tuple[Session, suites.Suite]:
        """Log in; ``known`` is the suite that worked last time, ``opening`` the patience with a first answer.

        Raises ``refusals.Again`` when a later attempt may work, ``errors.Unreachable``,
        ``errors.AccessDenied``, ``errors.NotSupported``, ``errors.Misbehaved``.
        """
        logins = self._transport.logins
        while (other := logins.get(self.peer)) is not None:  # one BMC under two names: a host name and its address
            await other.finished.wait()
        logins[self.peer] = self
        try:
            return await self._run(known, opening)
        finally:
            del logins[self.peer]
            self.finished.set()

    async def _run(self, known: suites.Suite | None, opening: tuple[float, ...]) -> tuple[Session, suites.Suite]:
        refused: errors.IngotError | None = None
        for suite in [known] if known else await self._choose(opening):
            try:
                return await self._enter(suite, opening)
            except errors.NotSupported as error:
                if error.hint != refusals.OTHER_SUITE:
                    raise
                refused = error
        raise refused or errors.Bug("IPMI login had no cipher suite to try.")

    async def _enter(self, suite: suites.Suite, opening: tuple[float, ...]) -> tuple[Session, suites.Suite]:
        for tries in NAME_TRIES:
            console_id = self._free_id()
            reply = await self._ask(codec.PAYLOAD_OPEN_REQUEST, _open_request(suite, console_id), opening)
            if reply[1] in refusals.NO_SUCH_SUITE:
                raise refusals.no_such_suite(self._target, reply[1])
            self._accept(reply[1])
            agreed, bmc_id = self._opened(reply, console_id)
            keys = await self._prove(agreed, console_id, bmc_id, tries)
            if keys is not None:
                return await self._establish(console_id, bmc_id, agreed, keys), agreed
        raise refusals.silent_about_user(self._target, sum(TRIES))

    async def _choose(self, opening: tuple[float, ...]) -> list[suites.Suite]:
        await self._check_version(opening)
        if self._target.cipher_suite is not None:
            return [suites.BY_NUMBER[self._target.cipher_suite]]
        numbers = await self._offered()
        wanted = [suite for suite in suites.PREFERRED if suite.number in numbers]
        return wanted or list(suites.PREFERRED)

    async def _check_version(self, opening: tuple[float, ...]) -> None:
        data = bytes((0x80 | THIS_CHANNEL, self._target.privilege))
        answer = await self._question(AUTH_CAPABILITIES, data, opening)
        if answer is None:
            raise await self._slow_or_dead(opening)
        if answer[0] == completion.SUCCESS and len(answer) >= 5 and answer[2] & 0x80 and not answer[4] & 0x02:
            raise errors.NotSupported(
                f"BMC {self._target.name} speaks only IPMI 1.5.", hint="Enable IPMI 2.0 (RMCP+) on the BMC."
            )

    async def _slow_or_dead(self, opening: Sequence[float]) -> errors.Unreachable:
        """Why there was no answer: with ``listen`` a late one is waited for, to tell the difference."""
        asked, patience = self._transport.loop.time(), sum(opening)
        self._answer = self._transport.loop.create_future()
        if self._listen and await self._transport.wait(self._answer, self._listen) is not None:
            return refusals.too_slow(self._target, patience + self._transport.loop.time() - asked, patience)
        return no_answer(self._target, sum(TRIES) + self._listen)

    async def _offered(self) -> set[int]:
        records = b""
        for page in range(MAX_SUITE_PAGES):
            answer = await self._question(CIPHER_SUITES, bytes((THIS_CHANNEL, 0, 0x80 | page)), PROBE_TRIES)
            if answer is None or answer[0] != completion.SUCCESS:
                break
            records += answer[2:]
            if len(answer) - 2 < SUITE_PAGE:
                break
        return suites.offered(records)

    def _opened(self, reply: bytes, console_id: int) -> tuple[suites.Suite, int]:
        if len(reply) < 36 or struct.unpack_from("<I", reply, 4)[0] != console_id:
            raise errors.Misbehaved(f"BMC {self._target.name} sent a malformed Open Session Response.")
        agreed = suites.BY_ALGORITHMS.get((reply[16], reply[24], reply[32]))
        wanted = self._target.cipher_suite
        if agreed is None or wanted not in (None, agreed.number):
            raise errors.NotSupported(
                f"BMC {self._target.name} offers no cipher suite that we may use "
                f"(authentication {reply[16]}, integrity {reply[24]}, encryption {reply[32]}).",
                hint="Enable cipher suite 17 or 3 on the BMC, or set ipmi_cipher_suite to the one it has.",
            )
        bmc_id: int = struct.unpack_from("<I", reply, 8)[0]
        return agreed, bmc_id

    async def _prove(
        self, suite: suites.Suite, console_id: int, bmc_id: int, tries: tuple[float, ...]
    ) -> suites.Keys | None:
        """RAKP 1 to 4: both sides prove the password; gives the session keys, None when the BMC leaves RAKP 1 alone."""
        target = self._target
        name = target.username.encode()
        role = NAME_ONLY_LOOKUP | target.privilege
        console_random = os.urandom(16)
        head = struct.pack("<I", bmc_id)
        named = head + console_random + bytes((role, 0, 0, len(name))) + name
        reply = await self._find(codec.PAYLOAD_RAKP1, named, patience(tries, self.pace))
        if reply is None:
            self._give_up(head)
            return None
        self._accept(reply[1])
        if len(reply) < 40 + suite.digest_length:
            raise errors.Misbehaved(f"BMC {target.name} sent a malformed RAKP message 2.")
        facts = suites.Exchange(console_id, bmc_id, console_random, reply[8:24], reply[24:40], role, name)
        key = suites.user_key(target.password)
        if not hmac.compare_digest(suites.rakp2_code(suite, key, facts), reply[40 : 40 + suite.digest_length]):
            self._give_up(head)
            raise refusals.wrong_password(target)
        keys = suites.derive(suite, target.kg or key, facts)
        code = suites.rakp3_code(suite, key, facts)
        reply = await self._ask(codec.PAYLOAD_RAKP3, head + code, patience(LATE_TRIES, self.pace))
        self._accept(reply[1])
        if not hmac.compare_digest(suites.rakp4_check(suite, keys.sik, facts), reply[8 : 8 + suite.check_length]):
            raise refusals.wrong_kg(target)
        return keys

    async def _establish(self, console_id: int, bmc_id: int, suite: suites.Suite, keys: suites.Keys) -> Session:
        """The session, raised to the wanted privilege: it starts at USER (13.15)."""
        session = Session(self._transport, self.peer, (console_id, bmc_id), suite, keys)
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

    def _accept(self, status: int) -> None:
        if status:
            raise refusals.failure(self._target, status)

    def _give_up(self, head: bytes) -> None:
        """Tell the BMC to free the half-open session (RAKP 3 with an error status, 13.22)."""
        payload = bytes((self._number, refusals.INVALID_INTEGRITY_CHECK, 0, 0)) + head
        self._transport.send(codec.setup(codec.PAYLOAD_RAKP3, payload), self.peer)

    def _free_id(self) -> int:
        while (number := secrets.randbits(32)) in self._transport.sessions or not number:
            pass
        return number

    async def _ask(self, payload_type: int, rest: bytes, waits: tuple[float, ...]) -> bytes:
        """``_find``, where silence means that the login failed, or (RAKP 3) that it may do so by chance."""
        reply = await self._find(payload_type, rest, waits)
        if reply is None:
            error = no_answer(self._target, sum(waits))
            raise refusals.Again(error) if payload_type == codec.PAYLOAD_RAKP3 else error
        return reply

    async def _find(self, payload_type: int, rest: bytes, waits: tuple[float, ...]) -> bytes | None:
        """Send tag, zero status bytes and ``rest``; gives the answering payload of at least 2 bytes, if one comes."""
        self._number = (self._number + 1) & 0xFF
        first = bytes((self._number, 0, 0, 0))
        if payload_type == codec.PAYLOAD_OPEN_REQUEST:
            first = bytes((self._number, self._target.privilege, 0, 0))
        self._kind = payload_type + 1
        return await self._exchange(codec.setup(payload_type, first + rest), waits)

    async def _question(self, command: int, data: bytes, waits: Sequence[float]) -> bytes | None:
        """Ask outside a session: completion code + data, or None without an answer."""
        self._number = (self._number + 1) & 0x3F
        self._kind = None
        packet = codec.sessionless(codec.request(codec.NETFN_APP, command, self._number, data))
        reply = await self._exchange(packet, waits)
        return reply[1:] if reply is not None and reply[0] == command else None

    async def _exchange(self, packet: bytes, waits: Sequence[float]) -> bytes | None:
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


def _open_request(suite: suites.Suite, console_id: int) -> bytes:
    algorithms = (suite.authentication, suite.integrity, suites.AES_CBC_128)
    blocks = b"".join(struct.pack("<BHBBHB", kind, 0, 8, number, 0, 0) for kind, number in enumerate(algorithms))
    return struct.pack("<I", console_id) + blocks
