"""The order to write an image: what a node's instance_info asks for, in the words of the agent's protocol.

May not: talk to the agent. Invariant: the agent is sent to our own cache, never to a user's address.
"""

from __future__ import annotations

import asyncio
from typing import Any

from ingot.domain import errors
from ingot.images import configdrive, entries, partitions, source
from ingot.images.cache import Phase
from ingot.interfaces import agent
from ingot.interfaces.context import StepContext

_IMAGE = "image"


async def order(ctx: StepContext) -> agent.Params:
    """What the agent is told: the image (in our cache from now on), the config drive, the node."""
    image = await _fetch(ctx)
    await ctx.once(_IMAGE, lambda: _value(image.key))
    args = {"image_info": _image_info(ctx, image), "configdrive": await _config_drive(ctx)}
    return {
        "step": {"interface": "deploy", "step": "write_image", "priority": 80, "args": args},
        "node": node_fields(ctx),
        "ports": agent.port_fields(ctx.ports),
    }


async def boot_order(ctx: StepContext, mode: str | None) -> agent.Params:
    """The order to make the machine start from its disk: for a partition image it names the file systems."""
    uuids = dict.fromkeys(("root_uuid", "efi_system_part_uuid", "prep_boot_part_uuid"))
    who = {"node": node_fields(ctx)} if agent.is_ours(ctx) else {}  # any other remembers whose disk it wrote
    if partitions.is_wanted(ctx.instance_info):
        found = await agent.client(ctx).run("standby.get_partition_uuids", who)
        uuids |= {"root_uuid": found.get("root uuid"), "efi_system_part_uuid": found.get("efi system partition uuid")}
    return {**uuids, "target_boot_mode": mode or "bios", **who}


async def judged(ctx: StepContext, error: errors.Misbehaved) -> errors.Misbehaved:
    """The error to raise for a write that failed: an image whose bytes rotted in our cache is removed from it."""
    key = ctx.memo.get(f"{ctx.index}:{_IMAGE}")
    if key is None or "checksum" not in error.message or not await ctx.kit.images.doubt(key):
        return error
    return errors.Misbehaved(
        f"{error.message.rstrip('.')}. The image was damaged in the image cache and is removed from it",
        hint="Deploy again: the image is fetched anew. Check the conductor's disk.",
    )


async def _value(value: str) -> str:
    return value


async def _fetch(ctx: StepContext) -> entries.CachedImage:
    """The image in our cache; progress is shown while it comes."""
    latest: list[tuple[Phase, int, int | None]] = []

    def heard(phase: Phase, done: int, total: int | None) -> None:
        latest[:] = [(phase, done, total)]

    async def tell() -> None:
        while True:
            await asyncio.sleep(1)
            for phase, done, total in latest:
                await ctx.journal.report(done, total, f"image: {phase}")

    telling = asyncio.create_task(tell())
    try:
        info = {"image_pull_secret": ctx.driver_info.get("image_pull_secret"), **ctx.instance_info}
        wanted = source.from_instance_info(info, ctx.node.properties.get("cpu_arch"))
        return await ctx.kit.images.fetch(wanted, heard)
    finally:
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)


async def _config_drive(ctx: StepContext) -> str | None:
    """The config drive of the request as the agent takes it: base64 of a gzipped ISO, None without one."""
    wanted = ctx.params.get("configdrive") or ctx.instance_info.get("configdrive")
    if not wanted:
        return None
    name = ctx.instance_info.get("display_name") or ctx.node.name or ctx.node.uuid
    return await configdrive.payload(wanted, {"uuid": ctx.node.instance_uuid or ctx.node.uuid, "name": name})


def _image_info(ctx: StepContext, image: entries.CachedImage) -> dict[str, Any]:
    """The agent protocol's image_info for a cached raw image, with our chunk map beside it."""
    around = partitions.order(ctx.instance_info, image.size) if partitions.is_wanted(ctx.instance_info) else {}
    return {
        **around,
        "id": image.key,
        "urls": [ctx.kit.boot.image_url(image.key, "raw")],
        "disk_format": "raw",
        "container_format": "bare",
        "stream_raw_images": True,
        "os_hash_algo": "sha256",
        "os_hash_value": image.sha256,
        "node_uuid": ctx.node.uuid,
        "ingot_chunks": _chunks(ctx, image),
    }


def _chunks(ctx: StepContext, image: entries.CachedImage) -> dict[str, str]:
    """Where our agent finds the chunk map, and where it asks which chunk to fetch from whom."""
    told = {"url": ctx.kit.boot.image_url(image.key, "chunks"), "digest": image.chunks_digest}
    if ctx.kit.settings.image_sharing:
        told["sources"] = ctx.kit.boot.image_url(image.key, "sources")
    return told


def node_fields(ctx: StepContext) -> dict[str, Any]:
    """The node as the agent sees it, with the root device hint in force."""
    return {**agent.node_fields(ctx), "instance_info": {**ctx.node.instance_info, **_hints(ctx)}}


def _hints(ctx: StepContext) -> dict[str, Any]:
    """The root device hint in force: the instance's, else the node's."""
    hint = ctx.instance_info.get("root_device") or ctx.node.properties.get("root_device")
    return {"root_device": hint} if hint else {}
