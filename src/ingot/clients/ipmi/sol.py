"""Serial over LAN: a machine's serial console through its BMC (IPMI 2.0 sections 15 and 24).

Why a session and a socket of its own: a console lasts for hours, and some BMCs tell sessions apart by our port.
May not: interpret the bytes. Invariant: a byte is sent to the machine once, however often its packet is repeated;
a byte from the machine is given on once, and acknowledged only when there was room for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct

from ingot.clients.ipmi import asking, codec, completion, login, refusals
from ingot.clients.ipmi.sealed import SealedSession
from ingot.clients.ipmi.session import Session
from ingot.clients.ipmi.target import Target, Version
from ingot.clients.ipmi.transport import Transports
from ingot.domain import errors

ACTIVATE, DEACTIVATE, GET_DEVICE_ID = 0x48, 0x49, 0x01
SERIAL, INSTANCE = 1, 1
ALREADY_ACTIVE = 0x80
REFUSALS = {
    0x80: "its serial console is held by another session",
    0x81: "serial over LAN is disabled",
    0x82: "its limit of serial sessions is reached",
    0x83: "it serves the serial console only without encryption",
    0x84: "it serves the serial console only with encryption it did not agree to",
}
NACK, BREAK = 0x40, 0x10
UNAVAILABLE, ENDED = 0x20, 0x10  # in what the BMC says of itself
RETRY, RETRIES = 0.5, 12
PATIENCE = (1.0, 1.5, 2.5)
KEEP_ALIVE = 20.0
MISSES = 2
ROOM = 256 * 1024
HEADER = 4


class SolLine:
    """An open line. ``read`` by one task; ``write`` by any, one after another."""

    def __init__(self, session: SealedSession, transports: Transports, name: str, largest: int) -> None:
        self._session, self._transports, self._name = session, transports, name
        self._largest = max(1, min(largest - HEADER, 255))
        self._heard = bytearray()
        self._wake = asyncio.Event()
        self._writing = asyncio.Lock()
        self._sequence = 0
        self._answer: asyncio.Future[tuple[int, int]] | None = None
        self._seen = (0, 0)  # sequence and length of the last packet taken
        self._reason: str | None = None
        self._closed = False
        session.on_serial = self._receive
        self._keeper = asyncio.create_task(self._keep())

    async def read(self) -> bytes:
        """What the machine said; b"" once the line has ended and all of it was read."""
        while not self._heard:
            if self._reason is not None:
                return b""
            self._wake.clear()
            await self._wake.wait()
        data = bytes(self._heard)
        self._heard.clear()
        return data

    async def write(self, data: bytes) -> None:
        """Type ``data``; returns when the BMC has taken it. Raises errors.Unreachable once the line has ended."""
        async with self._writing:
            while data:
                data = data[await self._send(data[: self._largest], 0) :]

    async def send_break(self) -> None:
        """A serial break."""
        async with self._writing:
            await self._send(b"", BREAK)

    async def close(self) -> None:
        """Give the console back to the BMC and log out, waiting a second or two for its word at most."""
        if self._closed:
            return
        self._closed = True
        held = self._reason is None  # a console that was taken over is not ours to give back
        self._end("it was closed")
        self._keeper.cancel()
        await asyncio.gather(self._keeper, return_exceptions=True)
        payload = struct.pack("<BBI", SERIAL, INSTANCE, 0)
        with contextlib.suppress(errors.Unreachable):
            if held:
                await self._session.request(codec.Request(codec.NETFN_APP, DEACTIVATE, payload), PATIENCE[:1])
            await self._session.close(PATIENCE[0])
        self._session.forget()
        self._transports.close()

    async def _send(self, data: bytes, operation: int) -> int:
        """Send one packet until it is acknowledged; how many of its bytes were taken."""
        self._sequence = self._sequence % 15 + 1
        packet = bytes([self._sequence, 0, 0, operation]) + data
        loop = asyncio.get_running_loop()
        for _ in range(RETRIES):
            if self._reason is not None:
                break
            self._answer = answer = loop.create_future()
            self._session.send_serial(packet)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RETRY):
                    taken, status = await answer
                if (taken and data) or not (status & NACK or data):
                    return min(taken, len(data))
                await asyncio.sleep(RETRY)  # the line cannot take more just now
        self._end("it takes no more input")
        raise errors.Unreachable(
            f"The serial console of BMC {self._name} has ended: {self._reason}", hint="Open it again."
        )

    def _receive(self, payload: bytes) -> None:
        sequence, acked, taken, status = payload[0] & 0x0F, payload[1] & 0x0F, payload[2], payload[3]
        if acked and acked == self._sequence and self._answer is not None and not self._answer.done():
            self._answer.set_result((taken, status))
        if sequence and (data := payload[HEADER:]):
            self._take(sequence, data)
        if status & ENDED and not status & NACK:
            self._end("the BMC has ended it")

    def _take(self, sequence: int, data: bytes) -> None:
        """Keep what is new in a packet and acknowledge it; without room stay silent, the BMC sends it again."""
        if len(self._heard) + len(data) > ROOM:
            return
        known = self._seen[1] if self._seen[0] == sequence else 0
        self._heard += data[known:]
        self._seen = (sequence, len(data))
        with contextlib.suppress(errors.Unreachable):
            self._session.send_serial(bytes([0, sequence, len(data), 0]))
        self._wake.set()

    def _end(self, reason: str) -> None:
        if self._reason is None:
            self._reason = reason
            self._wake.set()

    async def _keep(self) -> None:
        """Touch the session: BMCs drop a silent one after 60 s, and one that is gone answers no more."""
        missed = 0
        while missed < MISSES:
            await asyncio.sleep(KEEP_ALIVE if not missed else 1.0)
            try:
                answer = await self._session.request(codec.Request(codec.NETFN_APP, GET_DEVICE_ID), PATIENCE)
            except errors.Unreachable:
                answer = None
            missed = missed + 1 if answer is None else 0
        self._end("the BMC does not answer any more")


def check(target: Target) -> None:
    """Raises errors.NotSupported for a BMC that is spoken to by IPMI 1.5."""
    if target.version is Version.V15:
        raise errors.NotSupported(
            "Serial over LAN came with IPMI 2.0, and driver_info has ipmi_protocol_version 1.5.",
            hint="Choose the console interface no-console; or remove ipmi_protocol_version if the BMC has IPMI 2.0.",
        )


async def open_line(target: Target, *, take: bool = True) -> SolLine:
    """Log in and activate the console. ``take``: one that another session holds is taken over, else left to it.

    Raises errors.Unreachable, AccessDenied, NotSupported (IPMI 1.5, serial over LAN is disabled, or held), Misbehaved.
    """
    check(target)
    transports = Transports()
    try:
        transport, peer = await transports.find(target.address, target.port, 0)
        session = await login.Login(transport, peer, target).run()
        try:
            largest = await _activate(session, target, take=take)
        except BaseException:  # one that is given up, too: the BMC has few sessions
            await session.close(PATIENCE[0])
            raise
    except refusals.Verdict as verdict:
        transports.close()
        raise verdict.error from None
    except BaseException:
        transports.close()
        raise
    return SolLine(session, transports, target.name, largest)


async def _activate(session: SealedSession, target: Target, *, take: bool) -> int:
    """The bytes a packet to the BMC may have."""
    asked = codec.Request(codec.NETFN_APP, ACTIVATE, bytes((SERIAL, INSTANCE, session.flags, 0, 0, 0)))
    answer = await _ask(session, target, asked)
    if answer[0] == ALREADY_ACTIVE and take:
        # Left over from a conductor that was killed, or held by somebody's ipmitool: the console is ours to serve.
        await _ask(
            session, target, codec.Request(codec.NETFN_APP, DEACTIVATE, struct.pack("<BBI", SERIAL, INSTANCE, 0))
        )
        answer = await _ask(session, target, asked)
    if answer[0] != completion.SUCCESS:
        why = REFUSALS.get(answer[0])
        if why is None:
            raise completion.failure(target.name, codec.NETFN_APP, ACTIVATE, answer[0])
        raise errors.NotSupported(
            f"BMC {target.name} does not open its serial console: {why}",
            hint="See its serial over LAN settings (ipmitool sol info).",
        )
    if len(answer) < 11:
        raise errors.Misbehaved(f"BMC {target.name} sent a malformed answer to Activate Payload.")
    _, largest, _, port = struct.unpack_from("<IHHH", answer, 1)
    if port not in {0, 0xFFFF, target.port, 623}:
        raise errors.NotSupported(
            f"BMC {target.name} serves its serial console on another UDP port ({port})",
            hint="Set its SOL payload port to the one of IPMI.",
        )
    return largest


async def _ask(session: Session, target: Target, asked: codec.Request) -> bytes:
    answer = await session.request(asked, PATIENCE)
    if answer is None:
        raise asking.no_answer(target, sum(PATIENCE))
    return answer
