"""Where drivers are tried: a real store in a folder, real wire clients, and the context that calls.py makes of them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, cast

from ingot import app
from ingot.clients.ipmi.client import IpmiPool
from ingot.clients.redfish.client import RedfishPool
from ingot.conductor.calls import Calls
from ingot.deps import Deps
from ingot.domain import errors, ids, node, secrets
from ingot.images.cache import ImageCache
from ingot.interfaces.context import Context
from ingot.interfaces.kit import BootService, Kit
from ingot.netboot.service import Netboot
from ingot.settings import Settings
from ingot.store import nodes, ports

ABSENT = cast("Any", None)
MAC = "52:54:00:dd:00:01"


class Place:
    """One site; ``context`` enrols a node and gives it as drivers see it."""

    def __init__(self, deps: Deps, kit: Kit) -> None:
        self.deps, self.kit = deps, kit
        self.calls = Calls(deps, kit)

    async def context(self, driver: str, info: dict[str, Any], *, cards: int = 1, **fields: Any) -> Context:
        uuid = ids.new()
        shown, hidden = secrets.split(info, {})
        columns: dict[str, Any] = {**self.deps.registry.defaults(driver), **fields}
        value = node.Node(uuid=uuid, driver=driver, driver_info=shown, **columns)
        sealed = self.deps.sealer.seal(uuid, {"driver_info": hidden})
        await self.deps.store.run(nodes.create, value, sealed)
        for number in range(cards):
            address = "52:54:00:" + uuid.replace("-", "")[-4:-2] + ":" + uuid[-2:] + f":{number:02x}"
            await self.deps.store.run(ports.create, node.Port(uuid=ids.new(), node_uuid=uuid, address=address))
        return await self.calls.context(uuid)

    async def again(self, ctx: Context) -> Context:
        """The same node, read anew."""
        return await self.calls.context(ctx.node.uuid)

    async def call(self, verb: str, *args: Any, **kwargs: Any) -> Any:
        """What the API asks of a conductor."""
        return await getattr(self.calls, f"_{verb}")(*args, **kwargs)


@contextlib.asynccontextmanager
async def opened(
    folder: Path, boot: BootService | None = None, listen: float = 0.0, **more: Any
) -> AsyncGenerator[Place]:
    """A site with the real clients; network boot is the product's own, switched off, unless ``boot`` is given.

    ``listen``: how long a silent BMC is listened to beyond the usual, which takes a test's time.
    """
    deps = app.make_deps(Settings(data_dir=str(folder), **more))
    ipmi, redfish = IpmiPool(listen=listen), RedfishPool()
    images = ImageCache(folder / "images", 1 << 30)
    netboot = boot or Netboot(deps.settings, deps.store, images.find_file)
    try:
        yield Place(deps, Kit(deps.settings, ipmi, redfish, ABSENT, images, netboot))
    finally:
        await ipmi.close()
        await redfish.close()
        deps.store.close()


async def refusal(work: Any) -> str:
    """The sentence of the error that ``work`` ends in."""
    try:
        await work
    except errors.IngotError as error:
        return error.sentence()
    raise AssertionError("this should have failed")
