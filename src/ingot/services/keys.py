"""Rotating the key that seals secrets: the order of things, over store/rotation.py.

May not: open a secret for anybody. Invariant: an old key leaves the file only after two looks at the whole database,
far enough apart that no other process can still be writing what it sealed before it saw the new key.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Table

from ingot.domain import errors
from ingot.store import rotation, seal
from ingot.store.engine import Store

_AT_ONCE = 100
"""Rows per unit of work, so that the service's own writes wait for milliseconds only."""
SETTLE = 40.0
"""Seconds between the looks: a write may wait for the database for 30 (store/engine.py)."""
_LOOKS = 100


async def rotate(store: Store, file: Path, tell: Callable[[str], None], settle: float = SETTLE) -> int:
    """Replace the key in ``file`` and seal everything anew; how many rows were. Goes on with a rotation that was cut.

    Raises errors.Conflict when another one runs, errors.TimedOut when rows under the old key keep appearing; both
    keys are kept then.
    """
    with rotation.alone(file.parent):
        return await _rotate(store, file, tell, settle)


async def _rotate(store: Store, file: Path, tell: Callable[[str], None], settle: float) -> int:
    fresh = rotation.begin(file)
    tell("new key made, the old one is kept until all is sealed anew" if fresh else "going on with a rotation")
    sealer = seal.Sealer(seal.KeyFile(file))
    total = await _look(store, sealer)
    tell(f"{total} rows sealed anew; waiting {settle:g} s for what other processes had begun")
    for _ in range(_LOOKS):
        await asyncio.sleep(settle)
        changed = await _look(store, sealer)
        total += changed
        if changed == 0:
            rotation.end(file)
            return total
    raise errors.TimedOut(
        "Rows sealed with the old key keep appearing: a process does not see the new key file",
        hint="Do all processes use this data directory? Restart them, then run the command again.",
    )


async def _look(store: Store, sealer: seal.Sealer) -> int:
    """Look at every row once; how many were sealed anew."""
    return sum([await _look_at(store, table, sealer) for table in rotation.tables()])


async def _look_at(store: Store, table: Table, sealer: seal.Sealer) -> int:
    found = await store.read(rotation.list_sealed, table)
    parts = [found[start : start + _AT_ONCE] for start in range(0, len(found), _AT_ONCE)]
    return sum([await store.run(rotation.reseal, table, part, sealer) for part in parts])
