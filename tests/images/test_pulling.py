from __future__ import annotations

from pathlib import Path

from agent import vm
from images import pulling

MIB = 1 << 20


async def test_an_image_for_many_is_fetched_once_and_costs_the_controller_no_memory(tmp_path: Path) -> None:
    pulled = await pulling.pull(tmp_path, vm.free_port(), 20, 48 * MIB)
    assert (pulled.fetched, pulled.converted) == (1, 1)
    assert pulled.growth < 50 * MIB, "20 readers of 48 MiB"
