"""The pool of kept IPMI sessions: the one door to all BMCs.

Why: reading power from ten thousand BMCs each minute is only cheap when sessions are kept
(217 us of CPU for login and read, 45 us for a read alone).
May not: know nodes or drivers. Invariant: a BMC is one row of the table, so its commands run one by one.
"""

from __future__ import annotations

import asyncio
import contextlib

from ingot.clients.ipmi import asking, codec, completion
from ingot.clients.ipmi import bmc as bmc_module
from ingot.clients.ipmi.records import Records
from ingot.clients.ipmi.target import Target
from ingot.clients.ipmi.transport import Transports

IDLE = 180.0  # a session nobody used this long is closed
KEEP_ALIVE = 40.0  # a BMC drops a session after 60 s of silence (IPMI 2.0 section 6.12.15)
TICK = 5.0
CLOSE_DEADLINE = 3.0


class IpmiPool:
    """All BMCs reached from this event loop. Make it inside the loop, and ``close`` it there."""

    def __init__(self, *, idle: float = IDLE, keep_alive: float = KEEP_ALIVE, listen: float = asking.LISTEN) -> None:
        """``listen``: how much longer the first silence of a BMC is listened to, to tell a slow one from a dead one."""
        self._listen = listen
        self._transports = Transports()
        self._bmcs: dict[tuple[str, int], bmc_module.Bmc] = {}
        self.records = Records()
        self._idle = idle
        self._keep_alive = keep_alive
        self._keeper = asyncio.create_task(self._keep(min(TICK, idle / 2, keep_alive)))

    async def command(self, target: Target, netfn: int, command: int, data: bytes = b"") -> bytes:
        """Run one command (``netfn`` even, LUN 0) and give the answer's data without the completion code.

        Raises ``errors.Unreachable`` (no answer, no free session), ``errors.TimedOut`` (busy too long),
        ``errors.AccessDenied``, ``errors.NotSupported`` (unknown command), ``errors.Misbehaved``.
        """
        body = await self.raw(target, netfn, command, data)
        if body[0]:
            raise completion.failure(target.name, netfn, command, body[0])
        return body[1:]

    async def tell(self, target: Target, netfn: int, command: int, data: bytes = b"") -> None:
        """Like ``command``, but sent only once, and no answer is no error: for what stops the BMC from answering."""
        body = await self._bmc(target).command(target, codec.Request(netfn, command, data, target.bridge, once=True))
        if body and body[0]:
            raise completion.failure(target.name, netfn, command, body[0])

    async def find(self, target: Target, netfn: int, command: int, data: bytes = b"") -> bytes | None:
        """Like ``command``, but None when the BMC does not have what is asked for (``completion.ABSENT``)."""
        body = await self.raw(target, netfn, command, data)
        if body[0] in completion.ABSENT:
            return None
        if body[0]:
            raise completion.failure(target.name, netfn, command, body[0])
        return body[1:]

    async def raw(self, target: Target, netfn: int, command: int, data: bytes = b"") -> bytes:
        """Like ``command`` but gives completion code + data, whatever the code; busy codes are retried."""
        return await self._bmc(target).command(target, codec.Request(netfn, command, data, target.bridge))

    def _bmc(self, target: Target) -> bmc_module.Bmc:
        bmc = self._bmcs.get((target.address, target.port))
        if bmc is None:
            bmc = self._bmcs[target.address, target.port] = bmc_module.Bmc(self._transports, target, self._listen)
        return bmc

    @property
    def kept_sessions(self) -> int:
        """How many BMCs we hold a session with."""
        return sum(bmc.entered for bmc in self._bmcs.values())

    async def close(self) -> None:
        """Close all sessions and sockets; the pool cannot be used afterwards."""
        self._keeper.cancel()
        with contextlib.suppress(TimeoutError):  # a BMC in the middle of a long wait keeps its session
            async with asyncio.timeout(CLOSE_DEADLINE):
                ends = (bmc.close() for bmc in self._bmcs.values())
                await asyncio.gather(self._keeper, *ends, return_exceptions=True)
        self._bmcs.clear()
        self._transports.close()

    async def _keep(self, tick: float) -> None:
        """Close idle sessions, touch the others, forget BMCs not used any more."""
        while True:
            await asyncio.sleep(tick)
            now = self._transports.loop.time()
            async with asyncio.TaskGroup() as group:
                for key, bmc in list(self._bmcs.items()):
                    if now - bmc.used >= self._idle:
                        if bmc.kept:
                            group.create_task(bmc.close())
                        elif bmc.idle:
                            del self._bmcs[key]
                    elif bmc.kept and now - bmc.heard >= self._keep_alive:
                        group.create_task(bmc.keep_alive())
            self._transports.prune()
