"""The contract suites run for fake-hardware with the generic networks: the suites' own proof, and the fake's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from flows import stand
from ingot.conductor.calls import Calls
from interfaces import contracts


@pytest.fixture(params=["noop", "flat"])
async def stage(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[contracts.Stage]:
    async with stand.site(tmp_path) as deps:
        uuid = await stand.add_node(deps, network_interface=request.param)
        yield contracts.Stage(deps, Calls(deps, stand.kit(deps)), uuid)


class TestPower(contracts.PowerContract):
    pass


class TestManagement(contracts.ManagementContract):
    pass


class TestBoot(contracts.BootContract):
    pass


class TestDeploy(contracts.DeployContract):
    pass


class TestInspect(contracts.InspectContract):
    pass


class TestNetwork(contracts.NetworkContract):
    pass
