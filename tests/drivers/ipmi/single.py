"""A fleet of one machine, as the tests of the ipmi driver name its parts."""

from __future__ import annotations

from typing import Any

from ingot_rack import bmc, simulated
from ingot_rack import fleet as fleets

PASSWORD = "rack-password"
NAME = "sim-00000"


class Single:
    """``machine`` is the hardware, ``bmc`` its controller; the address is the fleet's first."""

    def __init__(self, fleet: fleets.Fleet) -> None:
        self.fleet = fleet
        self.machine: simulated.Simulated = fleet.machines[NAME]
        self.bmc: bmc.Bmc = fleet.bmcs[NAME]
        self.port = fleet.ports["ipmi"]
        self.address = fleet.addresses[NAME]
        self.name = f"{self.address}:{self.port}"

    def info(self, **changes: Any) -> dict[str, Any]:
        """driver_info of the machine; a change to None leaves the key out."""
        values: dict[str, Any] = {
            "ipmi_address": self.address,
            "ipmi_port": self.port,
            "ipmi_username": "admin",
            "ipmi_password": PASSWORD,
        }
        return {key: value for key, value in {**values, **changes}.items() if value is not None}

    def break_it(self, **faults: Any) -> None:
        """Set faults of the BMC by name."""
        self.bmc.faults.change(faults)
