"""The control connection to QEMU, against a peer that answers too late."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from ingot_rack import errors, qmp


class Slow:
    """Speaks as QEMU does, but keeps the answer to `slow` until `free` is set."""

    def __init__(self) -> None:
        self.free = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'{"QMP": {}}\n')
        while line := await reader.readline():
            asked = json.loads(line)
            if asked["execute"] == "slow":
                await self.free.wait()
            writer.write(json.dumps({"return": asked.pop("execute"), **asked}).encode() + b"\n")
        writer.close()


async def test_an_answer_that_comes_too_late_is_not_taken_for_the_next_ones(tmp_path: Path) -> None:
    peer, path = Slow(), tmp_path / "qmp.sock"
    server = await asyncio.start_unix_server(peer.serve, str(path))
    connection = await qmp.connect(path, lambda event, data: None)
    with pytest.raises(errors.RackError, match=r"did not answer slow in 0\.1 s"):
        await connection.execute("slow", seconds=0.1)
    peer.free.set()
    assert await connection.execute("query-status") == "query-status"
    await connection.close()
    server.close()
