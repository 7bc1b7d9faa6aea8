"""The steps this agent offers for cleaning, deploying and servicing, and how they are run.

May not: know HTTP. Invariant: a step list and its execution come from one table, so what is listed can be
run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ingot_agent import (
    burnin,
    burnin_network,
    commands,
    disks,
    drivers,
    efiboot,
    erase,
    errors,
    fields,
    image,
    inject,
    keeping,
    log,
    machine,
    raid,
    rootdisk,
    settings,
    version,
)

Outcome = str | dict[str, Any]
Run = Callable[[dict[str, Any], dict[str, Any], commands.Progress], Outcome]  # node, args, progress -> what was done


@dataclass(frozen=True)
class Step:
    """One step in Ironic's words; ``kinds`` says where it may be used, with its priority there."""

    step: str
    kinds: dict[str, int]
    run: Run
    abortable: bool = True
    argsinfo: dict[str, Any] = field(default_factory=dict[str, Any])
    interface: str = "deploy"

    def listing(self, kind: str) -> dict[str, Any]:
        """The protocol's description."""
        return {
            "step": self.step,
            "interface": self.interface,
            "priority": self.kinds[kind],
            "reboot_requested": False,
            "abortable": self.abortable,
            "argsinfo": self.argsinfo or None,
        }


def _wipe(group: erase.Group) -> dict[str, str]:
    return {disk.name: erase.metadata(disk) for disk in group.disks}


def _argument(text: str, required: bool = False) -> dict[str, Any]:
    return {"description": text, "required": required}


_WRITE_ARGUMENTS = {
    "image_info": _argument("Where the image is and what it must hash to.", required=True),
    "configdrive": _argument("Config drive: base64 of gzip, or an address."),
}
_RAID_ARGUMENTS = {
    "raid_config": _argument("The configuration to apply, as target_raid_config.", required=True),
    "delete_existing": _argument("Whether present arrays are removed first (true unless said otherwise)."),
}
_INJECT_ARGUMENTS = {
    "files": _argument(
        "Objects of path, content (base64, or a URL that may name {node[uuid]}, {ports[0][address]}) or deleted: true; "
        "partition (number or device; else the one that has the path's first folder), mode, dirmode, owner, group. "
        "Those of the node's property inject_files come first."
    ),
    "verify_ca": _argument("Whether the certificates of https servers are checked (as for images unless said)."),
}
_NVRAM_ARGUMENTS = {"match_patterns": _argument("Regular expressions: only boot entries whose label fits one go.")}


class Steps:
    """All steps of one machine."""

    def __init__(self, config: settings.Settings, roots: settings.Roots) -> None:
        self._config = config
        self._roots = roots
        self._ports: list[dict[str, Any]] = []
        anywhere, on_request = {"clean": 0, "service": 0}, {"clean": 0}
        self._steps = (
            Step("erase_devices_metadata", {"clean": 99, "deploy": 0}, self._erase_metadata),
            Step("erase_devices", {"clean": 10}, self._erase_devices),
            Step("erase_devices_express", on_request, self._erase_express),
            Step("erase_pstore", on_request, self._erase_pstore),
            Step("clean_uefi_nvram", {"clean": 0, "deploy": 0}, self._clean_nvram, argsinfo=_NVRAM_ARGUMENTS),
            Step("burnin_cpu", anywhere, lambda node, _, progress: burnin.cpu(node, progress)),
            Step("burnin_memory", anywhere, lambda node, _, progress: burnin.memory(node, roots, progress)),
            Step("burnin_disk", on_request, self._burnin_disk),
            Step("burnin_network", anywhere, lambda node, _, progress: burnin_network.run(node, progress)),
            Step("delete_configuration", anywhere, self._delete_raid, interface="raid"),
            Step("create_configuration", anywhere, self._create_raid, interface="raid"),
            Step(
                "apply_configuration",
                {"deploy": 0, "service": 0},
                self._apply_raid,
                argsinfo=_RAID_ARGUMENTS,
                interface="raid",
            ),
            Step("write_image", {"deploy": 0, "service": 0}, self._write_image, False, _WRITE_ARGUMENTS),
            Step(
                "inject_files",
                dict.fromkeys(("deploy", "service"), config.inject_files_priority),
                self._inject_files,
                argsinfo=_INJECT_ARGUMENTS,
            ),
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
        self._ports = fields.objects(params, "ports")
        result = step.run(node, fields.find_object(wanted, "args") or {}, progress)
        echo = {key: value for key, value in wanted.items() if key != "args"}  # args hold the config drive
        return {f"{kind}_result": result, f"{kind}_step": echo}

    def _disks(self, node: dict[str, Any]) -> tuple[list[disks.Disk], dict[str, str]]:
        """The disks to work on, and of every other one why it is left alone."""
        drivers.require_disks()
        found = rootdisk.all_disks(self._roots)
        left = {disk.name: f"left alone: {disk.barred}" for disk in found if disk.barred}
        kept = keeping.of_node(node, found, self._roots)
        kept.check()
        left |= {disk.name: "left alone: in skip_block_devices" for disk in kept.disks}
        return [disk for disk in found if disk.name not in left], left

    def _erase_metadata(self, node: dict[str, Any], _: dict[str, Any], progress: commands.Progress) -> Outcome:
        found, left = self._disks(node)
        progress.begin(f"wiping the metadata of {len(found)} disks")
        return {"disks": erase.on_all(erase.apart(found), _wipe) | left}

    def _erase_devices(self, node: dict[str, Any], _: dict[str, Any], progress: commands.Progress) -> Outcome:
        found, left = self._disks(node)
        wanted = erase.wishes(node)
        locked = [name for name, why in left.items() if why.endswith("read-only")]
        if locked and not wanted.skip_read_only:
            raise errors.BlockDeviceEraseError(
                f"{', '.join(locked)} cannot be erased: read-only. Unlock it, put it into skip_block_devices, or allow "
                "it to be skipped (driver_internal_info agent_erase_skip_read_only)."
            )
        rounds = wanted.passes + wanted.zeroize
        progress.begin(f"erasing {len(found)} disks", rounds * sum(disk.size for disk in found))
        together = erase.groups(found, left, wanted, self._roots)
        return {"disks": erase.on_all(together, lambda group: erase.everything(group, wanted, progress)) | left}

    def _erase_express(self, node: dict[str, Any], _: dict[str, Any], progress: commands.Progress) -> Outcome:
        found, left = self._disks(node)
        wanted = erase.wishes(node)
        progress.begin(f"erasing {len(found)} disks the quick way")
        together = erase.groups(found, left, wanted, self._roots)
        return {"disks": erase.on_all(together, lambda group: erase.express(group, wanted)) | left}

    def _erase_pstore(self, _: dict[str, Any], __: dict[str, Any], progress: commands.Progress) -> Outcome:
        progress.begin("removing the kernel's kept crash records")
        return machine.erase_pstore(self._roots)

    def _clean_nvram(self, _: dict[str, Any], args: dict[str, Any], progress: commands.Progress) -> Outcome:
        progress.begin("removing boot entries")
        return efiboot.clean(self._roots, fields.texts(args, "match_patterns"))

    def _burnin_disk(self, node: dict[str, Any], _: dict[str, Any], progress: commands.Progress) -> Outcome:
        return burnin.disk(node, self._disks(node)[0], progress)

    def _delete_raid(self, node: dict[str, Any], _: dict[str, Any], progress: commands.Progress) -> Outcome:
        rootdisk.all_disks(self._roots)
        return raid.delete(node, self._roots, progress)

    def _create_raid(self, node: dict[str, Any], _: dict[str, Any], progress: commands.Progress) -> Outcome:
        wanted = raid.target(node)
        rootdisk.all_disks(self._roots)
        raid.create(node, wanted, self._roots, progress)
        return wanted

    def _apply_raid(self, node: dict[str, Any], args: dict[str, Any], progress: commands.Progress) -> Outcome:
        wanted = fields.find_object(args, "raid_config")
        if not wanted:
            raise errors.InvalidCommandParams("The step apply_configuration lacks raid_config. Send it in args.")
        rootdisk.all_disks(self._roots)
        if args.get("delete_existing", True):
            log.line(raid.delete(node, self._roots, progress))
        raid.create(node, wanted, self._roots, progress)
        return wanted

    def _write_image(self, node: dict[str, Any], args: dict[str, Any], progress: commands.Progress) -> Outcome:
        info = fields.find_object(args, "image_info")
        if info is None:
            raise errors.InvalidCommandParams("The step write_image lacks image_info. Send it in args.")
        wanted = image.order(info, fields.text(args, "configdrive"))
        return image.write(wanted, node, self._config, self._roots, progress)

    def _inject_files(self, node: dict[str, Any], args: dict[str, Any], progress: commands.Progress) -> Outcome:
        wanted = inject.wishes(node, args)
        insecure = not args["verify_ca"] if isinstance(args.get("verify_ca"), bool) else self._config.insecure
        source = inject.Source(node, self._ports, self._config, insecure)
        return {"files": inject.carry_out(wanted, source, self._roots, progress)}
