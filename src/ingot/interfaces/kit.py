"""The rooms below that interface implementations use: wire clients, image cache, network boot.

Made once by app.py. May not: know a node. The types are imported for checking only, so that a process which never
touches hardware does not load the clients.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

if TYPE_CHECKING:
    from ingot.clients.agent.agents import Agents
    from ingot.clients.ipmi.client import IpmiPool
    from ingot.clients.redfish.client import RedfishPool
    from ingot.images.cache import ImageCache
    from ingot.settings import Settings


class BootService(Protocol):
    """What drivers need of the network boot room."""

    def api_url(self) -> str:
        """The API's URL as a machine on the provisioning network reaches it."""
        ...

    def agent_parameters(self) -> dict[str, str]:
        """The kernel parameters by which a ramdisk's agent finds the API and knows it again."""
        ...

    def image_url(self, key: str, file: str) -> str:
        """The URL of a cached image's file on the provisioning network."""
        ...

    async def admit(self, addresses: list[str]) -> None:
        """Let these MAC addresses have an address and boot files."""
        ...

    async def lay_pxe(self, addresses: list[str], params: dict[str, str]) -> None:
        """Let these MAC addresses load the ramdisk from TFTP without iPXE; files that are there stay.

        Raises errors.NotSupported when a boot loader is not installed, errors.Invalid for an unsafe parameter.
        """
        ...

    async def remove_pxe(self, addresses: list[str]) -> None:
        """Take away what ``lay_pxe`` made."""
        ...

    async def make_iso(self, uuid: str, params: dict[str, str]) -> str:
        """The URL of a boot image with the ramdisk for the node ``uuid``; one that is there is used.

        Raises errors.NotSupported when a program is not installed, errors.Invalid for an unsafe parameter.
        """
        ...

    async def remove_iso(self, uuid: str) -> None:
        """Take away the node's boot image."""
        ...

    def last_seen(self, address: str) -> tuple[float, str] | None:
        """(epoch seconds, words) of the last thing a MAC address did on the provisioning network, None if nothing."""
        ...

    def strangers(self, since: float) -> list[str]:
        """MAC addresses of no known port that asked for an address since then (epoch seconds), latest first."""
        ...

    async def settle(self) -> None:
        """Wait, for some seconds at most, while a part of network boot that died is started again."""
        ...

    def problem(self, how: str, cpu_arch: object = None) -> str | None:
        """Why no machine with such a processor (a node's property) can boot this way right now ("ipxe", "pxe", ...).

        A sentence; None while it works.
        """
        ...


class Kit(msgspec.Struct, frozen=True):
    """Everything an implementation may use beside the node itself. A part is None where this process has none."""

    settings: Settings
    ipmi: IpmiPool
    redfish: RedfishPool
    agents: Agents
    images: ImageCache
    boot: BootService
