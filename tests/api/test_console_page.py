"""The console's page in a real browser: a machine's serial line is read and typed into, and an old address says so."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from api import browser
from api.test_console import switched
from flows import stand
from ingot import app
from ingot.consoles import tickets
from ingot_rack import fleet as fleets

if TYPE_CHECKING:
    from tests.api.conftest import Api

    from ingot.deps import Deps

PASSWORD = "sol-password"
ROWS = "document.querySelector('.xterm-rows')"
VALID, SPENT = "This console link is not valid (any more)", "Ask for the console again."


class Clock:
    """The service's time, which can be moved."""

    ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def deps(tmp_path: Path, clock: Clock) -> AsyncIterator[Deps]:
    made = app.make_deps(stand.settings(tmp_path, noauth=True, hostname="here", drivers=("fake-hardware", "ipmi")))
    async with stand.conductor(timed := msgspec.structs.replace(made, clock=clock)):
        yield timed
    made.store.close()


@pytest.fixture
async def machine() -> AsyncIterator[fleets.Fleet]:
    fleet = fleets.Fleet(fleets.Plan(ipmi=1, first="127.36.0.1", password=PASSWORD))
    await fleet.start()
    yield fleet
    await fleet.close()


async def page_of(api: Api, fleet: fleets.Fleet) -> str:
    """The address of the page of a machine's serial console over IPMI."""
    address = next(iter(fleet.addresses.values()))
    info = {"ipmi_address": address, "ipmi_port": fleet.ports["ipmi"], "ipmi_username": "admin"}
    given = {"driver": "ipmi", "name": "n1", "driver_info": {**info, "ipmi_password": PASSWORD}}
    assert (await api.call("POST", "/v1/nodes", {**given, "console_interface": "ipmi-sol"})).status == 201
    return str((await switched(api, on=True))["console_info"]["url"])


@pytest.mark.peer
@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_it_shows_the_machine_and_types_into_it(
    api: Api, clock: Clock, machine: fleets.Fleet, tmp_path: Path
) -> None:
    link = await page_of(api, machine)
    async with browser.opened(tmp_path / "profile") as page:
        await page.open(link)
        await page.until(f"{ROWS}?.innerText.includes('sim-00000 login:')")
        assert "You have the keyboard, nobody else watches" in await page.text("#state")
        empty = await page.picture()
        await page.evaluate("document.querySelector('.xterm-helper-textarea').focus()")
        await page.type("who am i")
        await page.until(f"{ROWS}.innerText.includes('login: who am i')")
        assert await page.picture() != empty, "letters are painted, too"
        for wide, high in ((1400, 900), (500, 400)):
            await page.send(
                "Emulation.setDeviceMetricsOverride", width=wide, height=high, deviceScaleFactor=1, mobile=False
            )
            await page.until("document.documentElement.scrollWidth <= window.innerWidth")
            await page.until(
                "document.querySelector('.xterm-screen').getBoundingClientRect().bottom <= window.innerHeight"
            )
        assert page.complaints == [], "neither scripts nor the security policy have anything to say"
        clock.ahead = tickets.LIFE + 1
        await page.type("!")
        await page.until(f"{ROWS}.innerText.includes('who am i!')")
        await page.open(link)
        await page.until(f"document.querySelector('#state')?.textContent.includes({VALID!r})")
        assert (await page.text("#state")).endswith(SPENT)
