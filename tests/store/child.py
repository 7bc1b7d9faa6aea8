"""A process for the store tests: writes rows and prints each once durable, makes a schema, or fills its disk."""

from __future__ import annotations

import asyncio
import importlib
import os
import resource
import sys
from pathlib import Path

from sqlalchemy import Connection, text

from ingot.domain import errors
from ingot.store import upgrade
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
    mode, path = sys.argv[1], Path(sys.argv[2])
    if mode == "upgrade":
        importlib.import_module("alembic.command")  # loaded before the race begins

        print("go", flush=True)
        upgrade.upgrade(path)
        print("done", flush=True)
        return
    store = Store(path)
    asyncio.run({"write": write, "fill": fill}[mode](store))
    store.close()


if __name__ == "__main__":
    main()
