"""Every flow survives SIGKILL at every durable write it makes (see torture.py)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flows.torture import Bench, Scenario, Workshop
from ingot.domain import states

pytestmark = [pytest.mark.torture, pytest.mark.timeout(400)]
S = states.State
ERASE = {"clean_steps": [{"interface": "deploy", "step": "erase_devices_metadata"}]}
WAIT = {"driver_info": {"fake_wait": 0.4}}
FAULT = {"driver_info": {"fake_fault": "power.set"}}
ON: dict[str, Any] = {"power_state": "power on", "rescue_interface": "fake", "bios_interface": "fake"}
PASSWORD = {"rescue_password": "x"}
RESET = {"interface": "bios", "step": "factory_reset"}
PAUSE = {"interface": "power", "step": "wait", "args": {"seconds": 0.2}}
SERVE: dict[str, Any] = {"service_steps": [PAUSE, RESET, {"interface": "power", "step": "reboot"}]}

RULES = str(Path(__file__).with_name("rules.json"))

SCENARIOS = {
    "verify": Scenario(S.ENROLL, "manage", fields={"power_state": None}),
    "inspect": Scenario(S.MANAGEABLE, "inspect"),
    "inspect, with rules": Scenario(S.MANAGEABLE, "inspect", settings={"inspection_rules": RULES}),
    "clean automated": Scenario(S.MANAGEABLE, "provide"),
    "clean manual": Scenario(S.MANAGEABLE, "clean", ERASE),
    "deploy": Scenario(S.AVAILABLE, "active"),
    "rebuild": Scenario(S.ACTIVE, "rebuild", fields={"power_state": "power on"}),
    "tear down": Scenario(S.ACTIVE, "deleted", fields={"power_state": "power on", "instance_name": "tenant"}),
    "power on": Scenario(S.AVAILABLE, "power on"),
    "order": Scenario(S.ACTIVE, "set_boot_mode", {"target": "bios"}),
    "inspect, waiting": Scenario(S.MANAGEABLE, "inspect", fields=WAIT, waits=True),
    "clean, waiting": Scenario(S.MANAGEABLE, "provide", fields=WAIT, waits=True),
    "deploy, waiting": Scenario(S.AVAILABLE, "active", fields=WAIT, waits=True),
    "tear down, waiting": Scenario(S.ACTIVE, "deleted", fields={**WAIT, "power_state": "power on"}, waits=True),
    "deploy, failing and undone": Scenario(S.AVAILABLE, "active", fields=FAULT),
    "tear down, failing": Scenario(S.ACTIVE, "deleted", fields={**FAULT, "power_state": "power on"}),
    "clean, failing": Scenario(
        S.MANAGEABLE, "provide", fields={"driver_info": {"fake_fault": "deploy.erase_devices_metadata"}}
    ),
    "adopt": Scenario(S.MANAGEABLE, "adopt", fields=ON),
    "adopt, failing": Scenario(S.MANAGEABLE, "adopt", fields={**ON, "driver_info": {"fake_delay": "never"}}),
    "rescue, waiting": Scenario(S.ACTIVE, "rescue", PASSWORD, fields={**WAIT, **ON}, waits=True),
    "rescue, failing and undone": Scenario(S.ACTIVE, "rescue", PASSWORD, fields={**FAULT, **ON}),
    "unrescue": Scenario(S.RESCUE, "unrescue", fields=ON),
    "unrescue, failing": Scenario(S.RESCUE, "unrescue", fields={**FAULT, **ON}),
    "service, waiting": Scenario(S.ACTIVE, "service", SERVE, fields=ON, waits=True),
    "service, failing": Scenario(S.ACTIVE, "service", SERVE, fields={**ON, **FAULT}, waits=True),
    "service, given up": Scenario(S.SERVICE_FAILED, "abort", fields=ON),
    "power off, failing": Scenario(S.AVAILABLE, "power off", fields={**FAULT, "power_state": "power on"}),
}
CALLED = {"driver_info": {"fake_wait": "heartbeat"}}
MEANWHILE = {
    "inspect, rebooted while it waits": Scenario(S.MANAGEABLE, "inspect", fields=CALLED, meanwhile="rebooting")
}
"""A conductor has begun these already; test_takeover.py takes over none of them."""


@pytest.fixture(scope="module")
def workshop() -> Iterator[Workshop]:
    made = Workshop()
    yield made
    made.close()


@pytest.mark.parametrize("name", [*SCENARIOS, *MEANWHILE])
async def test_killed_at_every_write_it_ends_as_if_undisturbed(name: str, workshop: Workshop, tmp_path: Path) -> None:
    bench = Bench(tmp_path, workshop, {**SCENARIOS, **MEANWHILE}[name])
    await bench.set_up()
    await bench.torture()
