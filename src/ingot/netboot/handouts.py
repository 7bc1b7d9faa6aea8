"""What machines fetch from us over HTTP: boot scripts, loaders, the ramdisk's files, images.

Everything is answered from the node's row when the machine asks, so any process with the database gives the same
answer. May not: change a node. Invariant: of machines that belong to no node nothing is remembered.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Connection

from ingot.domain import errors, node
from ingot.netboot import filenames, ipxe, neighbours, processors
from ingot.netboot.fileserver import FileServer
from ingot.netboot.httpwire import Answer, BytesAnswer, FileAnswer, Request
from ingot.netboot.passes import Passes
from ingot.netboot.ramdisk import APPENDED, FILES, Ramdisk, appended, normal_mac
from ingot.netboot.sharing import Sharing
from ingot.store import nodes, ports
from ingot.store.engine import Store

FindImage = Callable[[str, str], Awaitable[Path | None]]
"""Gives the path of a cached image's file ("raw", "chunks") by the image's key, None when there is none."""

_ISO = "application/vnd.efi-iso"
_EMULATED = "no_timer_check"
"""An emulator on a busy host is late with timer interrupts, and Linux, which counts them at its start, panics ("IO-APIC
+ timer doesn't work", arch/x86/kernel/apic/io_apic.c; seen with QEMU 7.2 and no KVM). Under KVM it does not count."""
_BOOT_LIFETIME = 3600.0
"""Seconds a machine has to load kernel and initrd after its script; its firmware asks for a new script then."""
# What a machine was seen to do; after a semicolon what to do should nothing follow.
_FROM_DISK = (
    "asked for its boot script and was told to start from its disk; find out who switched it on: no run had it load "
    "the ramdisk"
)
_FROM_RAMDISK = (
    "asked for its boot script and was told to load the ramdisk; look at its console, and whether it reaches the file "
    "server (setting files_port)"
)
_NEXT = {"vmlinuz": "does the rest fit into its memory?", "initrd": "a driver of its card that the kernel lacks?"}


class Sources(msgspec.Struct, frozen=True):
    """Where things are.

    ``ramdisk``: the folder with kernel and initrd, and below it ``arm64`` with those for such machines; ``media``: that
    of boot images; ``url``: our file server; ``api_url``: the API; ``kernel_params`` go to
    every ramdisk whose node has none of its own.
    """

    ramdisk: Path
    tftp_root: Path
    media: Path
    url: str
    api_url: str
    kernel_params: str
    find_image: FindImage
    passes: Passes


class Handouts:
    """Answers machines, and remembers what each known one fetched last."""

    def __init__(self, store: Store, sources: Sources) -> None:
        self._store = store
        self._sources = sources
        self._fetched: dict[str, tuple[float, str]] = {}
        self._sharing = Sharing()

    def mount(self, server: FileServer) -> None:
        """Put everything below its path."""
        server.mount("/boot/ipxe", self._script)
        server.mount("/boot/ramdisk", self._ramdisk_file)
        server.mount(filenames.HTTP_PATH, self._loader)
        server.mount("/boot/media", self._boot_image)
        server.mount("/images", self._image_file)

    def last_fetch(self, address: str) -> tuple[float, str] | None:
        """(epoch seconds, words) of the last thing a MAC address fetched."""
        return self._fetched.get(address)

    def ramdisk(self, params: dict[str, str], mac: str | None) -> Ramdisk:
        """What a machine's ramdisk is told, from the parameters of its node's boot plan."""
        params = dict(params)
        api_url = params.pop("ipa-api-url", self._sources.api_url)
        usual = appended(params.pop(APPENDED, None), self._sources.kernel_params)
        virtual = processors.read(self._sources.ramdisk).variant == "cloud"
        extra = [usual, *([_EMULATED] if virtual else [])]
        return Ramdisk(api_url, params, " ".join(extra).strip(), mac)

    async def _script(self, rest: str, request: Request) -> BytesAnswer:
        """The iPXE script for the MAC address in the path, from the row of its node."""
        address = normal_mac(rest)
        found = await self._store.read(_find_node, address)
        if found is None:
            return _text(ipxe.render_unknown(address, self._sources.api_url))
        plan: dict[str, Any] = found.driver_internal_info.get("boot") or {}
        if plan.get("what") != "ramdisk":
            self._note(address, _FROM_DISK)
            uefi = found.boot_mode == "uefi"
            return _text(ipxe.render_local_disk(ipxe.Firmware.UEFI if uefi else ipxe.Firmware.BIOS))
        self._note(address, _FROM_RAMDISK)
        given = self._sources.passes.give(f"ramdisk/{address}", _BOOT_LIFETIME)
        base = f"{self._sources.url}/boot/ramdisk/{given}/{address}"
        return _text(ipxe.render_ramdisk(self.ramdisk(plan.get("params") or {}, address), base))

    async def _ramdisk_file(self, rest: str, request: Request) -> FileAnswer | None:
        given, _, asked = rest.partition("/")
        address, _, file = asked.partition("/")
        processor, _, name = file.rpartition("/")
        if name not in FILES:
            return None
        address = normal_mac(address)
        self._check_pass(f"ramdisk/{address}", given)
        found = await self._store.read(_find_node, address)
        if found is not None:
            self._note(address, f"loaded {name} of the ramdisk; look at its console ({_NEXT[name]})")
        return FileAnswer(processors.folder(self._sources.ramdisk, arm64=processor == processors.ARM64) / name)

    async def _loader(self, rest: str, request: Request) -> FileAnswer | None:
        """What firmware that boots over HTTP gets: iPXE, as by TFTP, or the boot image of its node.

        The type tells firmware which of the two it is (UEFI 2.10, section 24.7.3.1).
        """
        if rest not in {filenames.X64, filenames.ARM64, filenames.IPXE_SCRIPT}:
            return None
        address = await asyncio.to_thread(neighbours.mac_of, request.client)
        found = await self._store.read(_find_node, address) if address else None
        if found is not None and address and rest != filenames.IPXE_SCRIPT:
            self._note(address, "asked for its boot program over HTTP; look at its console (Secure Boot?)")
            plan: dict[str, Any] = found.driver_internal_info.get("boot") or {}
            image = find_iso(self._sources.media / found.uuid) if plan.get("how") == "http" else None
            if image is not None:
                return FileAnswer(image, _ISO)
        return FileAnswer(self._sources.tftp_root / rest, "application/efi" if rest.endswith(".efi") else None)

    async def _boot_image(self, rest: str, request: Request) -> FileAnswer | None:
        given, _, asked = rest.partition("/")
        uuid, _, name = asked.partition("/")
        self._check_pass(f"media/{uuid}", given)
        image = find_iso(self._sources.media / uuid)
        if image is None or image.name != name:
            return None
        self._note(uuid, "has its boot image read")
        return FileAnswer(image, _ISO)

    async def _image_file(self, rest: str, request: Request) -> Answer:
        given, _, asked = rest.partition("/")
        key, _, name = asked.partition("/")
        self._check_pass(f"image/{key}", given)
        if name == "sources":
            return self._sharing.answer(key, request)
        path = await self._sources.find_image(key, name)
        return None if path is None else FileAnswer(path)

    def _check_pass(self, thing: str, given: str) -> None:
        if not self._sources.passes.fits(thing, given):
            raise errors.NotFound(
                "This address was never given out, or its time is over", hint="Each boot and each order gets a new one."
            )

    def _note(self, address: str, words: str) -> None:
        self._fetched[address] = (time.time(), words)


def find_iso(folder: Path) -> Path | None:
    """The boot image in a node's folder, None when there is none."""
    return next(iter(folder.glob("*.iso")), None)


def _find_node(connection: Connection, address: str) -> node.Node | None:
    port = ports.find(connection, address)
    return None if port is None else nodes.find(connection, port.node_uuid)


def _text(script: str) -> BytesAnswer:
    return BytesAnswer(script.encode(), "text/plain")
