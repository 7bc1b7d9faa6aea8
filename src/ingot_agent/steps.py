"""The steps this agent offers for cleaning, deploying and servicing, and how they are run.

May not: know HTTP. Invariant: a step list and its execution come from one table, so what is listed can be
run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ingot_agent import commands, disks, efiboot, erase, errors, fields, hints, image, settings, version

Run = Callable[[dict[str, Any], dict[str, Any], commands.Progress], str]  # node, args, progress -> what was done


@dataclass(frozen=True)
class Step:
    """One step in Ironic's words; ``kinds`` says where it may be used, with its priority there."""

    step: str
    kinds: dict[str, int]
    run: Run
    abortable: bool = False
    argsinfo: dict[str, Any] = field(default_factory=dict)

    def listing(self, kind: str) -> dict[str, Any]:
        """The protocol's description."""
        return {
            "step": self.step,
            "interface": "deploy",
            "priority": self.kinds[kind],
            "reboot_requested": False,
            "abortable": self.abortable,
            "argsinfo": self.argsinfo or None,
        }


def _argument(text: str, required: bool = False) -> dict[str, Any]:
    return {"description": text, "required": required}


class Steps:
    """All steps of one machine."""

    def __init__(self, config: settings.Settings, roots: settings.Roots) -> None:
        self._config = config
        self._roots = roots
        arguments = {
            "image_info": _argument("Where the image is and what it must hash to.", required=True),
            "configdrive": _argument("Config drive: base64 of gzip, or an address."),
        }
        self._steps = (
            Step("erase_devices_metadata", {"clean": 99, "deploy": 0}, self._erase_metadata, abortable=True),
            Step("erase_devices", {"clean": 10}, self._erase_devices, abortable=True),
            Step("clean_uefi_nvram", {"clean": 0, "deploy": 0}, self._clean_nvram),
            Step("write_image", {"deploy": 0, "service": 0}, self._write_image, argsinfo=arguments),
        )

    def listing(self, kind: str) -> dict[str, Any]:
        """Answer get_<kind>_steps."""
        steps = [step.listing(kind) for step in self._steps if kind in step.kinds]
        return {
            f"{kind}_steps": {"ingot_generic": steps},
            "hardware_manager_version": version.HARDWARE_MANAGERS,
        }

    def execute(self, kind: str, params: commands.Params, progress: commands.Progress) -> dict[str, Any]:
        """Run one step. Raises VersionMismatch, InvalidCommandParams, or what the step raises."""
        wanted, node = fields.find_object(params, "step"), fields.find_object(params, "node") or {}
        if wanted is None:
            raise errors.InvalidCommandParams("The command lacks its step. Send it as an object.")
        seen = params.get(f"{kind}_version")
        if seen and seen != version.HARDWARE_MANAGERS:
            text = f"The steps were listed by {seen}, this agent has {version.HARDWARE_MANAGERS}. List them again."
            raise errors.VersionMismatch(text)
        name = wanted.get("step")
        step = next((one for one in self._steps if one.step == name and kind in one.kinds), None)
        if step is None:
            known = ", ".join(one.step for one in self._steps if kind in one.kinds)
            raise errors.InvalidCommandParams(f"There is no {kind} step {name!r}. This agent knows: {known}.")
        result = step.run(node, fields.find_object(wanted, "args") or {}, progress)
        echo = {key: value for key, value in wanted.items() if key != "args"}  # args hold the config drive
        return {f"{kind}_result": result, f"{kind}_step": echo}

    def _disks(self, node: dict[str, Any]) -> list[disks.Disk]:
        found = disks.find_all(self._roots)
        barred = hints.skipped(found, hints.of_node(node)[1])
        return [disk for disk in found if disk not in barred]

    def _erase_metadata(self, node: dict[str, Any], _: dict[str, Any], progress: commands.Progress) -> str:
        found = self._disks(node)
        progress.begin(f"wiping the metadata of {len(found)} disks")
        erase.on_all(found, erase.metadata)
        return f"wiped {', '.join(disk.name for disk in found) or 'no disks'}"

    def _erase_devices(self, node: dict[str, Any], _: dict[str, Any], progress: commands.Progress) -> str:
        found = self._disks(node)
        progress.begin(f"erasing {len(found)} disks", sum(disk.size for disk in found))
        erase.on_all(found, lambda path: erase.everything(path, progress))
        return f"erased {', '.join(disk.name for disk in found) or 'no disks'}"

    def _clean_nvram(self, _: dict[str, Any], __: dict[str, Any], progress: commands.Progress) -> str:
        progress.begin("removing boot entries")
        return efiboot.clean(self._roots)

    def _write_image(self, node: dict[str, Any], args: dict[str, Any], progress: commands.Progress) -> str:
        info = fields.find_object(args, "image_info")
        if info is None:
            raise errors.InvalidCommandParams("The step write_image lacks image_info. Send it in args.")
        wanted = image.order(info, fields.text(args, "configdrive"))
        return image.write(wanted, node, self._config, self._roots, progress)
