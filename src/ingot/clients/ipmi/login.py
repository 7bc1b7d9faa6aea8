"""Logging in by RMCP+ (IPMI 2.0): from the first question to an established session with the wanted privilege.

Why: the set-up (sections 13.14 to 13.25) is its own small protocol with its own errors.
May not: keep sessions or retry a refused login. Invariant: the password never leaves this machine; a BMC that
cannot prove that it knows the password gets no session.
"""

from __future__ import annotations

import hmac
import os
import secrets
import struct

from ingot.clients.ipmi import asking, codec, completion, refusals, suites
from ingot.clients.ipmi.sealed import SealedSession
from ingot.domain import errors

# RAKP 1 repeated may find the BMC a step ahead, as any late packet; and some BMCs are silent about a user they do not
# know. So it is begun anew once, with one error for both.
NAME_TRIES = ((1.0, 1.0), (1.0, 2.0))
PROBE_TRIES = (0.5,)  # for the question that many BMCs leave unanswered (ipmi_sim of OpenIPMI 2.0.33)
CIPHER_SUITES = 0x54
NAME_ONLY_LOOKUP = 0x10
SUITE_PAGE = 16
MAX_SUITE_PAGES = 4
EXTENDED = 0x80


class Login(asking.Asker[SealedSession]):
    """One attempt to log in to one BMC."""

    async def _run(self, opening: tuple[float, ...]) -> SealedSession:
        refused: errors.IngotError = errors.Bug("IPMI login had no cipher suite to try.")
        known = self.agreed if isinstance(self.agreed, suites.Suite) else None
        wanted = [known] if known else await self._choose(opening)
        for suite in wanted:
            others = suite is not wanted[-1]
            try:
                return await self._enter(suite, asking.patience(asking.LATE_TRIES, self.pace) if others else opening)
            except refusals.OtherSuite as error:
                refused = error.error
        raise refused

    async def _enter(self, suite: suites.Suite, opening: tuple[float, ...]) -> SealedSession:
        for tries in NAME_TRIES:
            console_id = self._free_id()
            reply = await self._find(codec.PAYLOAD_OPEN_REQUEST, _open_request(suite, console_id), opening)
            if reply is None:
                raise self._unanswered(suite, sum(opening))
            if reply[1] in refusals.NO_SUCH_SUITE:
                raise refusals.no_such_suite(self._target, reply[1])
            self._accept(reply[1])
            agreed, bmc_id = self._opened(reply, console_id)
            keys = await self._prove(agreed, console_id, bmc_id, tries)
            if keys is not None:
                self.agreed = agreed
                session = SealedSession(self._transport, self.peer, (console_id, bmc_id), agreed, keys)
                return await self._establish(session)
        raise refusals.silent_about_user(self._target, sum(sum(tries) for tries in NAME_TRIES))

    def _unanswered(self, suite: suites.Suite, seconds: float) -> Exception:
        """Nothing to a proposal: from a BMC that answered before it is about the suite, or about RMCP+ as a whole."""
        if not self.pace:
            return asking.no_answer(self._target, seconds)
        return refusals.silent_about_suite(self._target, suite.number, seconds)

    async def _choose(self, opening: tuple[float, ...]) -> list[suites.Suite]:
        await self._check_version(opening)
        if self._target.cipher_suite is not None:
            return [suites.BY_NUMBER[self._target.cipher_suite]]
        numbers = await self._offered()
        wanted = [suite for suite in suites.PREFERRED if suite.number in numbers]
        return wanted or list(suites.PREFERRED)

    async def _check_version(self, opening: tuple[float, ...]) -> None:
        answer = await self._capabilities(EXTENDED | asking.THIS_CHANNEL, opening)
        if answer[0] == completion.SUCCESS and len(answer) >= 5 and not (answer[2] & EXTENDED and answer[4] & 0x02):
            raise refusals.only_older(self._target)

    async def _offered(self) -> set[int]:
        records = b""
        for page in range(MAX_SUITE_PAGES):
            answer = await self._question(CIPHER_SUITES, bytes((asking.THIS_CHANNEL, 0, 0x80 | page)), PROBE_TRIES)
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
        allowed = suites.PREFERRED if wanted is None else (suites.BY_NUMBER[wanted],)
        if agreed is None or agreed not in allowed:
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
        reply = await self._find(codec.PAYLOAD_RAKP1, named, asking.patience(tries, self.pace))
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
        keys = suites.derive(suite, key, target.kg, facts)
        code = suites.rakp3_code(suite, key, facts)
        late = asking.patience(asking.LATE_TRIES, self.pace)
        reply = await self._find(codec.PAYLOAD_RAKP3, head + code, late)
        if reply is None:  # by chance, perhaps
            raise refusals.Again(asking.no_answer(target, sum(late)))
        self._accept(reply[1])
        if not hmac.compare_digest(suites.rakp4_check(suite, keys.sik, facts), reply[8 : 8 + suite.proof_length]):
            raise refusals.wrong_kg(target)
        return keys

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

    async def _find(self, payload_type: int, rest: bytes, waits: tuple[float, ...]) -> bytes | None:
        """Send tag, zero status bytes and ``rest``; gives the answering payload of at least 2 bytes, if one comes."""
        self._number = number = self._transport.next_number()
        first = bytes((number, 0, 0, 0))
        if payload_type == codec.PAYLOAD_OPEN_REQUEST:
            first = bytes((number, self._target.privilege, 0, 0))

        def read(packet: bytes) -> bytes | None:
            opened = codec.read_setup(packet)
            if opened is None or opened.payload_type != payload_type + 1 or len(opened.payload) < 2:
                return None
            return opened.payload if opened.payload[0] == number else None

        return await self._exchange(codec.setup(payload_type, first + rest), read, waits)


def _open_request(suite: suites.Suite, console_id: int) -> bytes:
    algorithms = (suite.authentication, suite.integrity, suite.confidentiality)
    blocks = b"".join(struct.pack("<BHBBHB", kind, 0, 8, number, 0, 0) for kind, number in enumerate(algorithms))
    return struct.pack("<I", console_id) + blocks
