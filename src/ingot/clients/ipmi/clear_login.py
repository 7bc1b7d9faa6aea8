"""Logging in by IPMI 1.5: a challenge, its answer, and an established session with the wanted privilege.

Why: it is for BMCs that have no RMCP+ and nodes that ask for it; nothing here is tried otherwise.
May not: keep sessions or retry a refused login. Invariant: the best kind of code that the BMC offers is used, so
the password leaves this machine only where the BMC has no MD5. Source: IPMI 2.0 sections 22.13 to 22.18.
"""

from __future__ import annotations

import secrets
import struct

from ingot.clients.ipmi import asking, clear, codec, completion, refusals
from ingot.clients.ipmi.clear import Auth
from ingot.domain import errors

GET_CHALLENGE = 0x39
ACTIVATE = 0x3A
# BMCs do not answer a proof that is wrong, and count it: so each challenge is answered once, and two are asked for.
PROOF_TRIES = (1.0, 2.5)
TABLE_FULL = frozenset({0x81, 0x82, 0x83})
NO_NAME = frozenset({0x81, 0x82})
STALE = frozenset({0x84, 0x85})
TOO_HIGH = 0x86
CHALLENGE_BYTES = 16
ACTIVATED_BYTES = 11
FIRST_NUMBERS = 1 << 30  # of our choice; low enough that a session never comes round to 0


class ClearLogin(asking.Asker[clear.ClearSession]):
    """One attempt to log in to one BMC."""

    async def _run(self, opening: tuple[float, ...]) -> clear.ClearSession:
        auth = self._choose(await self._capabilities(asking.THIS_CHANNEL, opening))
        for wait in PROOF_TRIES:
            temporary, challenge = await self._challenge(auth, opening)
            terms = await self._activate(auth, temporary, challenge, wait)
            if terms is not None:
                self.agreed = auth
                return await self._establish(clear.ClearSession(self._transport, self.peer, terms))
        raise refusals.proof_unanswered(self._target, sum(PROOF_TRIES))

    def _choose(self, answer: bytes) -> Auth:
        self._accept(asking.AUTH_CAPABILITIES, answer, 3)
        auth = next((one for one in clear.BEST_FIRST if answer[2] & 1 << one), None)
        if auth is None:
            raise refusals.not_older(self._target, answer[2])
        if self.agreed is Auth.MD5 and auth is not Auth.MD5:
            raise refusals.weaker(self._target)
        return auth

    async def _challenge(self, auth: Auth, opening: tuple[float, ...]) -> tuple[int, bytes]:
        """The number and the challenge of a session that is to be activated."""
        name = self._target.username.encode().ljust(CHALLENGE_BYTES, b"\0")
        answer = await self._question(GET_CHALLENGE, bytes((auth,)) + name, opening)
        if answer is None:
            raise refusals.silent_about_user(self._target, sum(opening))
        if answer[0] in NO_NAME:
            raise refusals.unknown_user(self._target)
        self._accept(GET_CHALLENGE, answer, 5 + CHALLENGE_BYTES)
        return struct.unpack_from("<I", answer, 1)[0], answer[5 : 5 + CHALLENGE_BYTES]

    async def _activate(self, auth: Auth, temporary: int, challenge: bytes, wait: float) -> clear.Terms | None:
        """Prove the password; what the session is to be held with, or None when the BMC leaves the proof alone."""
        key = clear.key_of(self._target.password)
        self._number = number = self._transport.next_number()
        ours = 1 + secrets.randbelow(FIRST_NUMBERS)
        data = bytes((auth, self._target.privilege)) + challenge + struct.pack("<I", ours)
        message = codec.request(codec.NETFN_APP, ACTIVATE, number, data)

        def read(packet: bytes) -> bytes | None:
            found = clear.parse(packet)
            answer = codec.response(found.message) if found else None
            if found is None or answer is None or answer[:3] != (codec.NETFN_APP | 1, number, ACTIVATE):
                return None
            # A refusal needs no proof; who lets us in has to show that it knows the password, too.
            return answer.body if answer.body[0] or clear.genuine(found, auth, key) else None

        packet = clear.build(auth, key, temporary, 0, message)
        answer = await self._exchange(packet, read, asking.patience((wait,), self.pace))
        if answer is None:
            return None
        self._accept(ACTIVATE, answer, ACTIVATED_BYTES)
        kept, session_id, sequence = struct.unpack_from("<BII", answer, 1)
        if kept not in (auth, Auth.NONE):
            raise errors.Misbehaved(f"BMC {self._target.name} goes on with authentication {kept} instead of {auth}.")
        return clear.Terms(session_id, Auth(kept), key, sequence, ours)

    def _accept(self, command: int, answer: bytes, shortest: int) -> None:
        """Nothing for a good answer. Raises what a refusal means."""
        code, name = answer[0], self._target.name
        if command == ACTIVATE and code in TABLE_FULL:
            raise refusals.table_full(self._target, code)
        if command == ACTIVATE and code == TOO_HIGH:
            raise refusals.privilege_refused(self._target, code)
        if code in completion.BUSY or (command == ACTIVATE and code in STALE):
            raise refusals.Again(completion.failure(name, codec.NETFN_APP, command, code))
        if code:
            raise completion.failure(name, codec.NETFN_APP, command, code)
        if len(answer) < shortest:
            raise errors.Misbehaved(f"BMC {name} sent a malformed answer to IPMI command 06/{command:02X}.")
