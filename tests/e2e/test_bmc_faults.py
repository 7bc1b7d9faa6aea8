"""A BMC that cannot be reached or refuses us: the node stays in enroll and says why."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest
import pytest_asyncio

from e2e import stand, way

pytestmark = [pytest.mark.timeout(300), pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[stand.Stand]:
    async with stand.opened(tmp_path_factory.mktemp("stand"), pairs=2, agents=False) as opened:
        yield opened


async def refused(place: stand.Stand, index: int, **access: object) -> str:
    """Why the machine cannot be managed with this driver_info."""
    machine = place.machines[index]
    await place.enrol(machine, **access)
    await way.ask(place, machine, "manage")
    node = await way.reach(place, machine, "enroll", within=120)
    assert node["target_provision_state"] is None
    told = str(node["last_error"])
    assert (await way.history(place, machine))[-1].endswith(told)
    return told.removeprefix("flow.read_power: ")


async def test_an_ipmi_bmc_at_a_wrong_address(place: stand.Stand) -> None:
    port = stand.free_port()
    told = await refused(place, 0, ipmi_address="127.0.0.1", ipmi_port=port)
    assert told == (
        f"No IPMI answer from 127.0.0.1:{port} in 25 s. Check the address, that IPMI over LAN is enabled on the BMC, "
        "and that no firewall blocks its UDP port."
    )


async def test_a_redfish_bmc_at_a_wrong_address(place: stand.Stand) -> None:
    port = stand.free_port()
    told = await refused(place, 2, redfish_address=f"http://127.0.0.1:{port}")
    assert told == (
        f"Redfish service 127.0.0.1:{port} cannot be reached: Connection refused. Check address, cabling and firewall."
    )


async def test_a_wrong_password_of_an_ipmi_bmc(place: stand.Stand) -> None:
    told = await refused(place, 1, ipmi_password="certainly-wrong")
    address = place.fleet.addresses[place.machines[1].name]
    assert told == (
        f"BMC {address}:{place.fleet.ports['ipmi']} does not accept the password of the IPMI user 'admin'. "
        "Correct ipmi_password in driver_info (some BMCs say this for an unknown user, too)."
    )
    assert "certainly-wrong" not in place.service.log.read_text()


async def test_a_wrong_password_of_a_redfish_bmc(place: stand.Stand) -> None:
    told = await refused(place, 3, redfish_password="certainly-wrong")
    address = place.fleet.addresses[place.machines[3].name]
    assert told == (
        f"Redfish service {address}:{place.fleet.ports['redfish']} refuses the user 'admin' or the password (401). "
        "Correct redfish_username and redfish_password in driver_info; after several wrong ones a BMC may also lock "
        "the account for some minutes."
    )
    assert "certainly-wrong" not in place.service.log.read_text()
