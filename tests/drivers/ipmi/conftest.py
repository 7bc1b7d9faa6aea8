"""One simulated machine behind an IPMI BMC of the rack, and a site with the product's own clients."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from drivers import place
from drivers.ipmi.single import PASSWORD, Single
from ingot.interfaces.context import Context
from ingot_rack import fleet as fleets


@pytest.fixture
async def one() -> AsyncIterator[Single]:
    fleet = fleets.Fleet(fleets.Plan(ipmi=1, first="127.61.0.1", password=PASSWORD))
    await fleet.start()
    yield Single(fleet)
    await fleet.close()


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[place.Place]:
    async with place.opened(tmp_path) as opened:
        yield opened


@pytest.fixture
async def ctx(site: place.Place, one: Single) -> Context:
    return await site.context("ipmi", one.info())
