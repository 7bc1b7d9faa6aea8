"""The logs of consoles on disk."""

from __future__ import annotations

import asyncio
from pathlib import Path

from flows import stand
from ingot.consoles import logs


async def test_logs_are_capped_and_the_oldest_go(tmp_path: Path) -> None:
    async def run_of() -> str:
        return run

    for number in range(logs.KEEP + 3):
        run = f"run{number}"
        log = logs.Log(tmp_path, run_of)
        log.write(f"{number}".encode())
        await log.close()
    assert len({path.stem for path in tmp_path.iterdir()}) == logs.KEEP
    big = logs.Log(tmp_path, run_of)
    for piece in range(30):
        big.write(bytes([65 + piece % 26]) * 100_000)
        await big.close()
    assert sum(path.stat().st_size for path in tmp_path.glob(f"{run}.*")) <= logs.CAP
    assert logs.tail(tmp_path, run, 10) == b"D" * 10


async def test_what_is_said_while_a_log_is_being_written_is_kept_too(tmp_path: Path) -> None:
    asked, told = asyncio.Event(), asyncio.Event()

    async def run_of() -> str:
        asked.set()
        await told.wait()
        if later:
            asyncio.get_running_loop().call_soon(log.write, later.pop())  # once the first are with the disk
        return "run"

    later = [b"last words"]
    log = logs.Log(tmp_path, run_of)
    log.write(b"first ")
    await asyncio.wait_for(asked.wait(), 10)
    told.set()
    await stand.until(lambda: logs.tail(tmp_path, "run", 100).startswith(b"first last words"), 10)
    asked.clear()
    told.clear()
    log.write(b", cut")
    await asyncio.wait_for(asked.wait(), 10)
    told.set()
    await log.close()  # while it is being found out which log it is
    assert b", cut" in logs.tail(tmp_path, "run", 100)


async def test_last_words_are_kept_though_nobody_can_tell_whose_they_are(tmp_path: Path) -> None:
    async def run_of() -> str:
        return await asyncio.Future[str]()  # a database that is away

    log = logs.Log(tmp_path, run_of)
    log.write(b"last words")
    await asyncio.wait_for(log.close(), 10)
    assert logs.tail(tmp_path, logs.IDLE, 100) == b"last words"
