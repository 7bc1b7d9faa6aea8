"""What is built before the first machine starts: the deploy ramdisk and the image to deploy, at the same time.

May not: build by itself (child processes of `ingot ramdisk build` and `ingot rack image` do, so that they can be
ended). Invariant: both come from caches when nothing has changed.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ingot.cli import deployment
from ingot.cli.board import Board, Line, Mark
from ingot.cli.demo import children
from ingot.domain import errors
from ingot_rack import places


@dataclass(frozen=True)
class Artifacts:
    """``ramdisk``: folder with vmlinuz and initrd; ``user``: who may log in; ``seconds``: what each took."""

    ramdisk: Path
    image: deployment.Image
    image_folder: Path
    user: str
    seconds: dict[str, float] = field(default_factory=dict[str, float])


async def prepare(image: str, board: Board, variant: str = "cloud") -> Artifacts:
    """Build or find both. Raises errors.IngotError."""
    seconds: dict[str, float] = {}
    try:
        async with asyncio.TaskGroup() as group:
            target = places.cache() / "demo" / f"ramdisk-{variant}"
            words = ["ramdisk", "build", "--variant", variant, "--output", str(target), "--json"]
            ramdisk = group.create_task(_build("ramdisk", words, board, seconds))
            system = group.create_task(_build("image", ["rack", "image", image, "--json"], board, seconds))
    except* errors.IngotError as failed:
        raise first_error(failed) from None
    made = system.result()
    path = Path(made["path"])
    return Artifacts(
        ramdisk=Path(ramdisk.result()["folder"]),
        image=deployment.Image(path.as_uri(), "sha256", made["sha256"]),
        image_folder=path.parent,
        user=made["user"],
        seconds=seconds,
    )


def first_error(group: BaseExceptionGroup[errors.IngotError]) -> errors.IngotError:
    """The first error of a group."""
    found = group.exceptions[0]
    return first_error(found) if isinstance(found, BaseExceptionGroup) else found


async def _build(name: str, words: list[str], board: Board, seconds: dict[str, float]) -> Any:
    began = time.monotonic()
    board.put(name, Line("looking", since=began))
    made = await children.build(words, lambda text: board.put(name, Line(text, since=began)))
    seconds[name] = time.monotonic() - began
    board.put(name, Line(f"ready after {seconds[name]:.0f} s: {_told(made)}", Mark.DONE))
    return made


def _told(made: dict[str, Any]) -> str:
    if "sizes" in made:
        return f"{sum(made['sizes'].values()) / 2**20:.1f} MiB, kernel {made.get('kernel_release')}"
    return f"{made['variant']}, {made['size'] / 2**20:.0f} MiB of {made['virtual_size'] / 2**20:.0f} MiB"
