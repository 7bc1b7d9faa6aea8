"""Whatever is done to the service, nothing is lost: `./ingot bench nothing_lost` in small."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from ingot.cli.demo import children

BENCH = Path(__file__).parents[2] / "bench" / "nothing_lost.py"


async def suffer(*words: str, within: float) -> dict[str, object]:
    """Run the bench; its figures. Fails when anything was lost, stuck, or done twice."""
    code, printed, complaints = await children.capture([sys.executable, str(BENCH), "--json", *words], within)
    assert code == 0, complaints[-4000:]
    return json.loads(printed)["figures"]


@pytest.mark.torture
@pytest.mark.timeout(600)
async def test_a_small_fleet_survives_everything() -> None:
    figures = await suffer("--nodes", "6", "--fakes", "2", "--kills", "5", "--others", "1", within=560)
    assert figures["killed"] == 5
    assert {figures[word] for word in ("lost", "stuck", "twice", "missing")} == {0}
    assert {figures[harm] for harm in ("stopped", "database held", "clock moved")} == {1}
    assert (os.geteuid() == 0) == (figures["disk filled"] == 1)


@pytest.mark.long
@pytest.mark.timeout(2400)
async def test_a_larger_fleet_survives_everything() -> None:
    figures = await suffer("--nodes", "50", "--fakes", "10", "--kills", "20", within=2300)
    assert {figures[word] for word in ("lost", "stuck", "twice", "missing")} == {0}
