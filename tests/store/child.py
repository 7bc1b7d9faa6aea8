"""A process for the store tests: writes rows and prints each once durable, makes a schema, or fills its disk."""

from __future__ import annotations

import asyncio
import importlib
import os
import resource
import signal
import sys
import threading
from pathlib import Path

from sqlalchemy import Connection, text

from ingot.domain import errors
from ingot.store import claims, upgrade
from ingot.store.engine import Store


def put(connection: Connection, name: str, filler: str = "x") -> None:
    statement = text(
        "INSERT INTO users (name, password_hash, role, created_at) VALUES (:name, :filler, 'admin', 'now')"
    )
    connection.execute(statement, {"name": name, "filler": filler})


def put_pair(connection: Connection, name: str) -> None:
    put(connection, name)
    put(connection, f"{name}-b")


async def write(store: Store) -> None:
    async def one(part: int) -> None:
        for number in range(1_000_000):
            name = f"{os.getpid()}-{part}-{number}"
            await store.run(put_pair, name)
            print(name, flush=True)

    await asyncio.gather(*(one(part) for part in range(8)))


def add_one(connection: Connection, name: str) -> None:
    """Read, think, write: right only while nobody else writes meanwhile."""
    seen = connection.execute(text("SELECT password_hash FROM users WHERE name = :name"), {"name": name}).scalar_one()
    os.sched_yield()
    changed = text("UPDATE users SET password_hash = :value WHERE name = :name")
    connection.execute(changed, {"value": str(int(seen) + 1), "name": name})


async def count(store: Store) -> None:
    """Add to one number, often; and claim runs until none is left. Prints the ids claimed."""

    async def adding() -> None:
        for _ in range(25):
            await store.run(add_one, "counter")

    await asyncio.gather(*(adding() for _ in range(4)))
    while taken := await store.run(claims.claim, f"host-{os.getpid()}/1", 10.0, 50.0, 3):
        for lease in taken:
            print(lease.run_id, flush=True)


async def hold(store: Store) -> None:
    """Stop in the middle of a unit, as a process that is paused or cut off does."""

    def stop(connection: Connection) -> None:
        put(connection, "never")
        print("held", flush=True)
        os.kill(os.getpid(), signal.SIGSTOP)
        threading.Event().wait(100)  # the signal takes a moment

    await store.run(stop)


async def fill(store: Store) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    present = sum(file.stat().st_size for file in Path(store.where).parent.iterdir())
    resource.setrlimit(resource.RLIMIT_FSIZE, (present + 400_000, hard))
    try:
        for number in range(1000):
            await store.run(put, f"row {number}", "x" * 20_000)
            print(f"row {number}", flush=True)
    except errors.Unreachable as error:
        print(f"refused: {error.sentence()}", flush=True)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    await store.run(put, "after")
    print("after", flush=True)


def main() -> None:
    mode, where = sys.argv[1], sys.argv[2]
    place = where if "://" in where else Path(where)
    if mode == "upgrade":
        importlib.import_module("alembic.command")  # loaded before the race begins

        print("go", flush=True)
        upgrade.upgrade(place)
        print("done", flush=True)
        return
    store = Store(place)
    asyncio.run({"write": write, "fill": fill, "count": count, "hold": hold}[mode](store))
    store.close()


if __name__ == "__main__":
    main()
