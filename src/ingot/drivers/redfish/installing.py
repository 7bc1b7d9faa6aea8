"""Installing firmware images through a Redfish service: begun once, followed to the end, told in the node's history.

Why: two interfaces offer it in Ironic's words: firmware ``update`` by component, management ``update_firmware`` by
image alone. Invariant: an image with a checksum is not given to the BMC before it was found to be right.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import unquote, urlsplit

import msgspec

from ingot.clients.redfish import tasks, updates
from ingot.domain import errors
from ingot.drivers.redfish import restart, target
from ingot.interfaces.context import Context, StepContext, WaitFor

_TIMEOUT = 3600.0
_USUAL = 600.0
_BACK = 1200.0
_DOWNLOAD = 1800.0
_HINT = "See the BMC's task list and its log; do not cut its power."
_ODD = re.compile(r"[^A-Za-z0-9._+-]")
_ALGORITHMS = {40: "sha1", 64: "sha256", 96: "sha384", 128: "sha512"}
Versions = dict[str, str | None]


class Image(msgspec.Struct, frozen=True, kw_only=True):
    """One image. ``component``: what it is for, None lets the BMC find out; ``checksum``: hex, its length says of what
    kind; ``pause``: how long the BMC is let alone after it has taken the image (seconds)."""

    url: str
    component: str | None = None
    checksum: str | None = None
    pause: float = 0.0

    @property
    def file(self) -> str:
        """The file's name, which BMCs go by, in letters that cannot mean anything in the head of a multipart body."""
        return _ODD.sub("_", Path(unquote(urlsplit(self.url).path)).name) or "image"

    @property
    def name(self) -> str:
        """For people."""
        return self.component or self.file


def check_url(url: object, whose: str) -> str:
    """``url`` if it is one that images are fetched from. Raises errors.Invalid."""
    if not isinstance(url, str) or urlsplit(url).scheme not in {"http", "https"}:
        raise errors.Invalid(f"The image of {whose} must have an http or https URL", hint="Serve it by a web server.")
    return url


def check_pause(wait: object) -> float:
    """Ironic's ``wait`` in seconds, 0 where there is none. Raises errors.Invalid."""
    if wait is None:
        return 0.0
    if not isinstance(wait, int) or isinstance(wait, bool) or wait < 1:
        raise errors.Invalid(f"wait must be a whole number of seconds above 0, not {wait!r}")
    return float(wait)


def check_checksum(checksum: object, whose: str) -> str:
    """``checksum`` if it can be one. Raises errors.Invalid."""
    text = checksum.lower() if isinstance(checksum, str) else ""
    if len(text) not in _ALGORITHMS or set(text) - set("0123456789abcdef"):
        kinds = ", ".join(_ALGORITHMS.values())
        raise errors.Invalid(f"The checksum of {whose} is not one of {kinds} in hex digits")
    return text


async def versions(ctx: Context) -> Versions:
    """Component -> the version installed now."""
    found = await updates.list_components(ctx.kit.redfish, target.of(ctx))
    return {one.component: one.current_version for one in found}


async def install(ctx: StepContext, images: list[Image], key: str) -> None:
    """Install ``images`` together, with one restart of the machine where one waits for it. ``key``: notes' name."""
    begun = [
        await _begin(ctx, image, f"begin {key} {image.component or number}") for number, image in enumerate(images)
    ]
    names = " and ".join(one.name for one in images)
    what = WaitFor(f"the firmware of {names} to be installed", _TIMEOUT, _USUAL, hint=_HINT)
    await _let_alone(ctx, max((image.pause for image in images), default=0.0), key)
    monitors = [monitor for monitor in begun if monitor]
    await restart.settle_tasks(ctx, monitors, key, what)


async def wait_for_bmc(ctx: StepContext) -> None:
    """Until the BMC answers with its version: it restarts after an update of its own, and while its services start it
    may say all kinds of things. Refused credentials and a certificate that proves nothing do not mend themselves."""
    said: list[str] = []

    async def answers() -> bool:
        said.clear()
        try:
            return bool((await versions(ctx)).get("bmc"))
        except (errors.AccessDenied, errors.Untrusted):
            raise
        except (errors.Unreachable, errors.Misbehaved, errors.NotFound, errors.NotSupported) as error:
            said.append(error.message)
            return False

    async def why() -> str | None:
        return said[0] if said else None

    await ctx.wait.until(answers, WaitFor("the BMC to come back", _BACK, 180.0, explain=why, hint=_HINT))


async def tell(ctx: StepContext, before: Versions, components: list[str]) -> None:
    """Into the node's history: what each component was and is; an unchanged version is worth a warning."""
    now = await versions(ctx)
    for component in components:
        was, has = before.get(component), now.get(component)
        told = f"The {component} firmware was {was} and is {has}."
        await ctx.journal.note(told, "INFO" if was != has else "WARNING")


async def _let_alone(ctx: StepContext, pause: float, key: str) -> None:
    """Wait ``pause`` seconds from the first time on."""

    async def now() -> float:
        return ctx.now()

    if pause:
        until = await ctx.once(f"{key} let alone from", now) + pause

        async def over() -> bool:
            return ctx.now() >= until

        await ctx.wait.until(over, WaitFor("the time that the request gives the BMC", pause + 60, pause))


async def _begin(ctx: StepContext, image: Image, key: str) -> str | None:
    """Start one installation, once; its task."""
    pool, service = ctx.kit.redfish, target.of(ctx)
    before = await ctx.once(f"{key}: tasks before", lambda: tasks.list_paths(pool, service))

    async def order() -> str | None:
        ways = await updates.service(pool, service)
        for way in filter(None, (ways.simple, ways.push)):  # an order whose answer was lost is not given again
            if begun := await tasks.find_begun(pool, service, before, way):
                return begun
        item = await updates.find_target(pool, service, image.component) if image.component else None
        await ctx.journal.note(f"Installing the {image.component or 'new'} firmware {image.file}.")
        if ways.simple and not image.checksum:
            return await updates.fetch(pool, service, ways.simple, image.url, item)
        with TemporaryDirectory(prefix="firmware-", dir=ctx.kit.settings.data_dir) as folder:
            file = Path(folder, image.file)
            await pool.download(image.url, file, _DOWNLOAD)
            if image.checksum:
                await asyncio.to_thread(_verify, file, image.checksum)
            if ways.push:
                return await updates.push(pool, service, ways.push, file, item)
        return await updates.fetch(pool, service, ways.simple or "", image.url, item)

    return await ctx.once(key, order)


def _verify(file: Path, checksum: str) -> None:
    algorithm = _ALGORITHMS[len(checksum)]
    with file.open("rb") as content:
        found = hashlib.file_digest(content, algorithm).hexdigest()
    if found != checksum:
        raise errors.Invalid(
            f"The firmware image {file.name} has the {algorithm} {found}, not {checksum}",
            hint="Nothing was installed. Correct the checksum or the URL.",
        )
