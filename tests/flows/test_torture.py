"""Every flow survives SIGKILL at every durable write it makes (see torture.py)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from flows.torture import Bench, Scenario, Workshop

from ingot.domain import states

pytestmark = [pytest.mark.torture, pytest.mark.timeout(300)]
S = states.State

SCENARIOS = {
    "deploy": Scenario(S.AVAILABLE, "active"),
}


@pytest.fixture(scope="module")
def workshop() -> Iterator[Workshop]:
    made = Workshop()
    yield made
    made.close()


@pytest.mark.parametrize("name", SCENARIOS)
async def test_killed_at_every_write_it_ends_as_if_undisturbed(name: str, workshop: Workshop, tmp_path: Path) -> None:
    bench = Bench(tmp_path, workshop, SCENARIOS[name])
    await bench.set_up()
    await bench.torture()
