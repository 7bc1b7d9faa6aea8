"""Who lives: the hash ring of live conductors as their table tells, remembered for a moment.

May not: write. Invariant: what it tells is never older than ``_FRESH`` seconds when it was asked for anew.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ingot.domain import errors, hashring
from ingot.store import conductors, nodes
from ingot.store.engine import Store

_FRESH = 1.0


class Members:
    """``silence``: seconds without a sign of life after which a conductor is taken for dead."""

    def __init__(self, store: Store, clock: Callable[[], float], silence: float) -> None:
        self._store = store
        self._clock = clock
        self.silence = silence
        self._read_at = 0.0
        self._ring = hashring.Ring()

    @property
    def known(self) -> hashring.Ring:
        """The ring as it was read last."""
        return self._ring

    async def ring(self) -> hashring.Ring:
        """The ring of this moment, or one a second old. Raises errors.StoreDown."""
        if not 0 <= self._clock() - self._read_at < _FRESH:
            await self.refresh()
        return self._ring

    async def find_host(self, payload: dict[str, Any]) -> str | None:
        """The conductor that answers a call with this payload: the node's (``node_uuid``), or any (``driver``).

        None where the call is about neither. Raises errors.Unreachable while there is none.
        """
        uuid = payload.get("node_uuid")
        if uuid is None and "driver" not in payload:
            return None
        ring = await self.ring()
        if uuid is None:
            found, group = next(iter(ring.hostnames), None), None
        else:
            group = (await self._store.read(nodes.get_row, uuid, ("conductor_group",)))["conductor_group"]
            found = ring.find(group, uuid)
        if found is None:
            words = f'No conductor of the group "{group}" is alive' if group else "No conductor is alive"
            raise errors.Unreachable(words, hint="Start one with: ingot serve --only conductor.")
        return found

    async def refresh(self) -> None:
        """Read who lives. Raises errors.StoreDown."""
        now = self._clock()
        self._ring = await self._store.read(conductors.find_ring, now - self.silence)
        self._read_at = now
