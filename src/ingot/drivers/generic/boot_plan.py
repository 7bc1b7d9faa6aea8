"""What every network boot shares: the plan in the node's row, the checks before it, and what was seen after it.

The plan is two words and the kernel parameters: ``what`` to boot (ramdisk, disk) and ``how``. A new owner of the node
reads it there. May not: touch power or boot device.
"""

from __future__ import annotations

import time
from typing import Any

from ingot.domain import errors
from ingot.interfaces.context import Context, StepContext
from ingot.netboot import menus, ramdisk

_KEY = "boot"
_SHOWN = 3
_BY_IPXE = ("ipxe", "http-ipxe")
"""Ways to boot without GRUB, which takes less than iPXE."""
_CAUSES = "wrong VLAN, cable or NIC order, or it booted from elsewhere"


async def check(ctx: Context, how: str) -> None:
    """There must be a card to boot from, and a provisioning network to boot on, this way. Raises errors.Invalid."""
    if not ctx.macs():
        raise errors.Invalid(
            f"Node {ctx.node.uuid} has no port with pxe_enabled",
            hint="Create one: ingot port create NODE MAC.",
        )
    words = ramdisk.appended(appended(ctx).get(ramdisk.APPENDED), ctx.kit.settings.kernel_params)
    if how not in _BY_IPXE:
        menus.check(words)
    await ctx.kit.boot.settle()
    trouble = problem(ctx, how)
    if trouble:
        raise errors.Invalid(trouble, hint="")


async def write_ramdisk(ctx: StepContext, how: str, params: dict[str, str]) -> None:
    """The machine's next network boot loads the ramdisk with these kernel parameters."""
    await _write(ctx, {"what": "ramdisk", "how": how, "params": params})


async def write_disk(ctx: StepContext) -> None:
    """The machine's network boots go on to its disk."""
    await _write(ctx, {"what": "disk"})


def appended(ctx: Context) -> dict[str, str]:
    """The node's own words for the end of the ramdisk's command line, for its plan; the instance's before the node's.

    Empty where it has none, and gets those of the setting. Raises errors.Invalid for what is no text, no boot script
    can hold, or a lessee may not say.
    """
    own: object = ctx.instance_info.get(ramdisk.APPENDED)
    found: object = ctx.driver_info.get(ramdisk.APPENDED) if own is None else own
    if found is None:
        return {}
    if not isinstance(found, str):
        raise errors.Invalid(f"{ramdisk.APPENDED} must be a text, not {found!r}.")
    ramdisk.appended(found, "")
    if own is not None:
        ramdisk.refuse_trust(found)
    return {ramdisk.APPENDED: found}


def ramdisk_params(ctx: Context) -> dict[str, str] | None:
    """The kernel parameters of the plan in force, None when it is not to boot the ramdisk."""
    plan: dict[str, Any] = ctx.node.driver_internal_info.get(_KEY) or {}
    return dict(plan.get("params") or {}) if plan.get("what") == "ramdisk" else None


async def explain_silence(ctx: Context, how: str, since: float) -> str | None:
    """What DHCP, TFTP and HTTP saw of the machine since it was switched on."""
    trouble = problem(ctx, how)
    if trouble:
        return trouble
    seen = _seen(ctx, since)
    if not seen:
        cards = ", ".join(ctx.macs())
        text = f"no DHCP request seen from {cards} since power-on; {_CAUSES}"
        asked = " or ".join(ctx.kit.boot.strangers(since)[:_SHOWN])
        return f"{text}, or this machine is {asked}, which asked for an address and has no port" if asked else text
    (at, words), mac = max(seen)
    what, _, action = words.partition("; ")
    told = f"{mac} {what} ({max(0.0, _now(ctx) - at):.0f} s ago, nothing since)"
    return f"{told}; {action}" if action else told


def problem(ctx: Context, how: str) -> str | None:
    """Why this machine cannot boot this way right now, None while it can."""
    return ctx.kit.boot.problem(how, ctx.node.properties.get("cpu_arch"))


def was_seen(ctx: Context, since: float) -> bool:
    """Whether one of the machine's cards did anything on the provisioning network since then."""
    return bool(_seen(ctx, since))


def hangs(ctx: Context, since: float) -> bool:
    """Whether a machine that showed itself since then has been silent for long, with time left for another boot.

    One that showed nothing may be busy with its own tests, or be writing its firmware, which take some as long as half
    an hour: they would only begin again. That its BMC read a boot image says nothing of it (many do when they are told
    of one), but is a later sign of a machine that has shown itself.
    """
    now, share = _now(ctx), ctx.kit.settings.ramdisk_timeout / 4
    signs = [at for (at, _), _ in _seen(ctx, since)]
    if not signs:
        return False
    read = ctx.kit.boot.last_seen(ctx.node.uuid)
    last = max(*signs, read[0] if read else 0.0)
    return now - last >= share and now - since <= 3 * share


def _seen(ctx: Context, since: float) -> list[tuple[tuple[float, str], str]]:
    """((epoch seconds, what it did), MAC address) of each card that was seen since then."""
    return [(found, mac) for mac in ctx.macs() if (found := ctx.kit.boot.last_seen(mac)) and found[0] >= since]


async def _write(ctx: StepContext, plan: dict[str, object]) -> None:
    await ctx.keep({_KEY: plan})


def _now(ctx: Context) -> float:
    """The present time of a step's clock; a plain context has none, then of the machine."""
    return ctx.now() if isinstance(ctx, StepContext) else time.time()
