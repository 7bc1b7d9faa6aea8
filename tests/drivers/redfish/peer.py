"""One simulated machine behind a Redfish BMC of a maker's shape, on a socket of its own."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from drivers import place
from ingot_rack import bmc, hardware, simulated
from ingot_rack.hardware import BootMode
from ingot_rack.redfish import server, tree
from ingot_rack.redfish.shapes import SHAPES

PASSWORD = "rack-password"
GIB = 1 << 30


@dataclass
class Peer:
    """The machine, its BMC, and how a node names it."""

    front: tree.Front
    url: str
    server: server.Server

    @property
    def machine(self) -> simulated.Simulated:
        return cast("simulated.Simulated", self.front.bmc.hardware)

    @property
    def faults(self) -> bmc.Faults:
        return self.front.bmc.faults

    @property
    def name(self) -> str:
        return self.url.partition("://")[2]

    def info(self, **changes: Any) -> dict[str, Any]:
        """driver_info; a change to None leaves the key out."""
        values = {"redfish_address": self.url, "redfish_username": "admin", "redfish_password": PASSWORD} | changes
        return {key: value for key, value in values.items() if value is not None}


@contextlib.asynccontextmanager
async def running(
    shape: str = "plain", *, tls: ssl.SSLContext | None = None, media: Path | None = None
) -> AsyncGenerator[Peer]:
    """A UEFI machine with four disks; ``media``: the folder to fetch images into, None fetches none."""
    disks = tuple(hardware.DiskFacts(f"DISK{number}", 500 * GIB, "sas") for number in range(1, 5))
    facts = hardware.Facts(
        "m", "b4b8a4e2-9f52-4c3a-9f5e-0a8f3c1d2e11", "SN-1", BootMode.UEFI, 8, 65536, (place.MAC,), disks
    )
    front = tree.Front(bmc.Bmc(simulated.Simulated(facts), "admin", PASSWORD), media, SHAPES[shape])
    listening = server.Server({"127.0.0.1": front}, 0, tls=tls)
    port = await listening.start()
    try:
        yield Peer(front, f"http{'s' if tls else ''}://127.0.0.1:{port}", listening)
    finally:
        await listening.close()
        await front.bmc.close()
