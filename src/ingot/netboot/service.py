"""Network boot as one part: DHCP and TFTP by dnsmasq, boot scripts, ramdisk and images by our file server.

What a machine boots is rendered from its node's row when it asks, so nothing is written per boot and any process
with the database can answer. May not: change a node. Invariant: only MAC addresses of known ports are answered.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import structlog
from sqlalchemy.exc import SQLAlchemyError

from ingot.domain import errors
from ingot.netboot import advertise, dhcp, dnsmasq, handouts, loaders, media, passes, processors, pxe
from ingot.netboot.fileserver import FileServer
from ingot.netboot.handouts import FindImage, Handouts, Sources
from ingot.settings import Settings
from ingot.store import nodes, ports, seal
from ingot.store.engine import Store
from ingot.store.paging import Page
from ingot.tls import wanted

_log = structlog.get_logger("ingot.netboot")
URL_KEY = "url.key"
"""Name, in the data directory, of the file of keys for passes."""
_MEDIA_LIFETIME = passes.LONGEST
"""Seconds a BMC can read a boot image: many read it piece by piece as long as the ramdisk starts."""
_IMAGE_LIFETIME = passes.LONGEST
"""Seconds an order's image can be fetched: longer than a write may take (drivers/generic/direct.py)."""
_ANY = ("0.0.0.0", "::")
_ALL = 1_000_000
_RESTART_USUAL = 10.0
"""Seconds in which a dnsmasq that died for once serves again."""
_TIDY = 60.0
"""Seconds after which a deleted port is answered no more (rarely: each time DHCP is started anew), and one that another
process made is answered here, too."""


def _check_ipxe(_ramdisk: Path, *, arm64: bool) -> None:
    """x86 machines' iPXE was laid out at the start; not every distribution has ARM64's."""
    if arm64:
        loaders.get(loaders.Program.IPXE_ARM64)


_CHECKS = {
    "ipxe": _check_ipxe,
    "http-ipxe": _check_ipxe,
    "pxe": pxe.check,
    "http": media.check,
    "media": media.check,
    "redfish-https": media.check,
}


class Netboot:
    """Everything a machine without an operating system needs from us. Use inside ``running()``."""

    def __init__(self, settings: Settings, store: Store, find_image: FindImage) -> None:
        self._settings = settings
        self._store = store
        self._ramdisk = settings.ramdisk
        self._files = FileServer()
        self._network = dhcp.of(settings)
        self._host = dhcp.host(settings)
        self._passes = passes.Passes(seal.open_keys(settings.data / URL_KEY))
        self._dnsmasq: dnsmasq.Dnsmasq | None = None
        self._tftp_root = settings.data / "dnsmasq" / "tftp"
        self._media = settings.data / "media"
        places = (self._ramdisk, self._tftp_root, self._media, self._files_url, self.api_url())
        self._handouts = Handouts(store, Sources(*places, settings.kernel_params, find_image, self._passes))

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[Netboot]:
        """Serve while the context lasts; without a provisioning network in the settings nothing is served."""
        if self._host is None:
            yield self
            return
        self._handouts.mount(self._files)
        await self._files.start(self._host, self._settings.files_port)
        tasks: list[asyncio.Task[None]] = []
        try:
            child = await self._start_dnsmasq()
            tasks = [] if child is None else [child, *self._beside_dhcp()]
            for task in tasks:
                task.add_done_callback(_tell_end)
            yield self
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._files.stop()

    def api_url(self) -> str:
        """The API as the ramdisk reaches it."""
        if self._settings.agent_api_url:
            return self._settings.agent_api_url.rstrip("/")
        return f"{self._scheme}://{dhcp.url_host(self._host or self._settings.host)}:{self._settings.port}"

    def agent_parameters(self) -> dict[str, str]:
        """The kernel parameters by which a ramdisk's agent finds the API and knows it again."""
        found = {"ipa-api-url": self.api_url()}
        if self.api_url().startswith("https:"):
            from ingot.tls import server as tls

            found["ipa-ca"] = tls.authority_of(self._settings).parameter()
        return found

    def image_url(self, key: str, file: str) -> str:
        """A cached image's ``raw`` data, its ``chunks`` map or its ``sources``, as a ramdisk reaches it, for hours."""
        return f"{self._files_url}/images/{self._passes.give(f'image/{key}', _IMAGE_LIFETIME)}/{key}/{file}"

    async def dhcp_runs(self) -> bool:
        """Whether dnsmasq serves; true where the settings want none."""
        return self._dnsmasq is None or self._dnsmasq.health.running

    async def admit(self, addresses: list[str]) -> None:
        """Answer these MAC addresses from now on."""
        if self._dnsmasq is not None:
            for address in addresses:
                await asyncio.to_thread(self._dnsmasq.add, address)

    async def forget_deleted(self) -> None:
        """Answer the MAC addresses of deleted ports no more; one restart of DHCP for all of them."""
        if self._dnsmasq is None:
            return
        # Read before the ports: an address that is admitted in between has its port already.
        answered = await asyncio.to_thread(self._dnsmasq.answered)
        deleted = sorted(answered - set(await self._known()))
        if deleted:
            _log.info("ports were deleted: DHCP is started again without them", addresses=deleted)
            await self._dnsmasq.remove(deleted)

    async def admit_known(self) -> None:
        """Answer the ports that another conductor admitted, too: its machines may be ours at any moment."""
        if self._dnsmasq is not None:
            answered = await asyncio.to_thread(self._dnsmasq.answered)
            await self.admit(sorted(set(await self._known()) - answered))

    async def make_iso(self, uuid: str, params: dict[str, str]) -> str:
        """The URL of a boot image for the node ``uuid``, made if there is none; good for some hours."""
        folder = self._media / uuid
        present = await asyncio.to_thread(handouts.find_iso, folder)
        told = self._handouts.ramdisk(params, None)
        found = await self._store.read(nodes.find, uuid)
        arm64 = found is not None and processors.is_arm64(found.properties.get("cpu_arch"))
        image = present or await asyncio.to_thread(media.build, folder, told, self._ramdisk, arm64=arm64)
        return f"{self._files_url}/boot/media/{self._passes.give(f'media/{uuid}', _MEDIA_LIFETIME)}/{uuid}/{image.name}"

    async def remove_iso(self, uuid: str) -> None:
        """Take away the node's boot image; its URL leads nowhere then."""
        await asyncio.to_thread(shutil.rmtree, self._media / uuid, ignore_errors=True)

    def last_seen(self, address: str) -> tuple[float, str] | None:
        """The last thing a MAC address did on the provisioning network."""
        fetched = self._handouts.last_fetch(address)
        found = [] if fetched is None else [fetched]
        event = self._dnsmasq.trace.find(address) if self._dnsmasq else None
        if event is not None and self._dnsmasq is not None:
            words = self._dnsmasq.trace.sentence(address, 0).removeprefix(f"{address} ")
            found.append((event.at, words))
        return max(found, default=None)

    def strangers(self, since: float) -> list[str]:
        """The MAC addresses of no known port that asked for an address since then, latest first."""
        return self._dnsmasq.trace.refused(since) if self._dnsmasq else []

    async def lay_pxe(self, addresses: list[str], params: dict[str, str]) -> None:
        """Let these MAC addresses load the ramdisk by PXELINUX or the signed GRUB; files that are there stay."""
        told = self._handouts.ramdisk(params, None)
        for address in addresses:
            if not await asyncio.to_thread(pxe.has, self._tftp_root, address):
                await asyncio.to_thread(pxe.write, self._tftp_root, address, told, self._ramdisk)

    async def remove_pxe(self, addresses: list[str]) -> None:
        """Take away what ``lay_pxe`` made."""
        for address in addresses:
            await asyncio.to_thread(pxe.remove, self._tftp_root, address)

    async def settle(self) -> None:
        """Wait while DHCP is started again, but no longer than ``_RESTART_USUAL``; ``problem`` tells what came out."""
        if self._dnsmasq is not None and not self._dnsmasq.health.running:
            with suppress(errors.TimedOut):
                await self._dnsmasq.wait_ready(_RESTART_USUAL)

    def problem(self, how: str, cpu_arch: object = None) -> str | None:
        """Why machines with such a processor cannot boot this way now, None if they can.

        ``how``: "ipxe", "pxe", "http", "http-ipxe", "media" or "redfish-https"; ``cpu_arch``: the node's property.
        """
        if self._host is None:
            return "Network boot is off: set provision_interface to the interface that machines boot on"
        if self._dnsmasq is not None and not self._dnsmasq.health.running:
            return f"DHCP does not run: {self._dnsmasq.health.reason}"
        arm64 = processors.is_arm64(cpu_arch)
        try:
            processors.check(self._ramdisk, cpu_arch)
            _CHECKS[how](self._ramdisk, arm64=arm64)
        except (errors.NotFound, errors.NotSupported) as error:
            return error.sentence()
        return None

    @property
    def _scheme(self) -> str:
        """Of the listener that hears the ramdisk: the API's own if it listens on all addresses."""
        served = self._host if self._settings.host not in _ANY else None
        return wanted.scheme(self._settings, served or self._settings.host)

    @property
    def _files_url(self) -> str:
        return f"http://{dhcp.url_host(self._host or self._settings.host)}:{self._settings.files_port}"

    async def _start_dnsmasq(self) -> asyncio.Task[None] | None:
        if self._network is None:
            return None
        known = await self._known()
        state = self._settings.data / "dnsmasq"
        self._dnsmasq = dnsmasq.Dnsmasq(self._network, state, self._files_url, _tell)
        await asyncio.to_thread(self._dnsmasq.prepare, known)
        child = asyncio.create_task(self._dnsmasq.run(), name="DHCP")
        ready = asyncio.create_task(self._dnsmasq.wait_ready())
        await asyncio.wait({child, ready}, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if child.done():
            await child
        return child

    def _beside_dhcp(self) -> list[asyncio.Task[None]]:
        """What else runs while DHCP is served."""
        tasks = [asyncio.create_task(self._tidy(), name="tidying of DHCP")]
        if self._network is not None and self._network.version == 4 and self._dnsmasq is not None:
            no_router = advertise.run(self._network.interface, self._dnsmasq.answers)
            tasks.append(asyncio.create_task(no_router, name="answers about IPv6 routers"))
        return tasks

    async def _known(self) -> list[str]:
        return [port.address for port in await self._store.read(ports.list_page, Page(limit=_ALL))]

    async def _tidy(self) -> None:
        while True:
            await asyncio.sleep(_TIDY)
            try:
                await self.forget_deleted()
                await self.admit_known()
            except (OSError, SQLAlchemyError, errors.IngotError) as error:
                _log.warning("deleted ports are still answered by DHCP", reason=type(error).__name__)


def _tell_end(task: asyncio.Task[None]) -> None:
    """Nobody waits for these tasks, so one that ended by itself would do so unheard."""
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("a part of network boot ended; start ingot again", part=task.get_name(), reason=repr(error))


def _tell(health: dnsmasq.Health) -> None:
    if health.running:
        _log.info("DHCP and TFTP are served")
    else:
        _log.warning("DHCP and TFTP are not served", reason=health.reason)
