"""The table of all commands: extension and name, as conductors post them.

May not: hold state besides the node last looked up. Invariant: every name here is one of Ironic's agent
protocol, except those of the extension ``ingot``.
"""

from __future__ import annotations

import os
import threading

from ingot_agent import (
    blockdev,
    bootloader,
    collect,
    commands,
    disks,
    drivers,
    errors,
    fields,
    firmware,
    image,
    inventory,
    log,
    machine,
    nics,
    partition,
    programs,
    rootdisk,
)
from ingot_agent.commands import Entry, Params, Progress, Result
from ingot_agent.context import Context

_LINGER = 30.0  # seconds a conductor that was killed may take to ask for the same rescue again
_GRACE = 0.5  # the answer to the order must leave the machine first


def _root_disk(context: Context, params: Params) -> disks.Disk:
    return rootdisk.find(fields.find_object(params, "node") or context.node, context.roots)


def _go_down(verb: str) -> None:
    """Flush, then reboot or power off; the kernel is asked directly when the program cannot."""
    os.sync()
    threading.Event().wait(_GRACE)
    if not programs.run([verb, "-f"]).succeeded:
        with open("/proc/sysrq-trigger", "w", encoding="ascii") as trigger:
            trigger.write("b" if verb == "reboot" else "o")


def _power(verb: str) -> commands.Function:
    def run(_: Params, progress: Progress) -> Result:
        progress.begin(f"the machine goes down ({verb})")
        threading.Thread(target=_go_down, args=(verb,), daemon=True).start()
        return f"{verb} has begun"

    return run


def _sync(_: Params, __: Progress) -> Result:
    os.sync()
    return "file systems flushed"


def _prepare_image(context: Context) -> commands.Function:
    def run(params: Params, progress: Progress) -> Result:
        info = fields.find_object(params, "image_info")
        if info is None:
            raise errors.InvalidCommandParams("prepare_image lacks image_info. Send it.")
        wanted = image.order(info, fields.text(params, "configdrive"))
        return image.write(wanted, context.node, context.config, context.roots, progress)

    return run


def _partition_uuids(context: Context) -> commands.Function:
    def run(params: Params, _: Progress) -> Result:
        with blockdev.opened(_root_disk(context, params).name, exclusive=False) as device:
            return partition.uuids(device)

    return run


def _install_bootloader(context: Context) -> commands.Function:
    def run(params: Params, progress: Progress) -> Result:
        uefi = machine.is_uefi(context.roots) and params.get("target_boot_mode") != "bios"
        root_uuid = fields.text(params, "root_uuid")
        if not uefi and not root_uuid:
            return "the image's own boot code serves, nothing to install"
        disk = _root_disk(context, params).name
        if root_uuid:
            return bootloader.install(disk, root_uuid, context.roots, progress, uefi=uefi)
        progress.begin("making the boot entry")
        done = firmware.install(disk, context.roots)
        os.sync()
        return done

    return run


def _bootc(_: Params, __: Progress) -> Result:
    raise errors.AgentError(
        "This ramdisk cannot install a bootable container: it has no podman. Deploy an image instead."
    )


def _finalize_rescue(context: Context) -> commands.Function:
    def run(params: Params, progress: Progress) -> Result:
        from ingot_agent import passwords, rescue

        hashed = fields.text(params, "rescue_password")
        if not hashed:
            raise errors.InvalidCommandParams("finalize_rescue lacks rescue_password. Send it, hashed if you can.")
        if not params.get("hashed"):
            hashed = passwords.hash_password(hashed.encode(), passwords.salt())
        keys: list[object] = params.get("ingot_ssh_keys") or []
        progress.begin("opening the rescue login")
        drivers.wait_for_disks()  # who logs in comes for the disks, and the agent may end before they are there
        rescue.open_login(hashed, [str(key) for key in keys], context.roots)
        threading.Timer(_GRACE, _leave, (context,)).start()
        return "the user rescue may log in"

    return run


def _leave(context: Context) -> None:
    """The machine is its tenant's now, and so is its network."""
    from ingot_agent import rescue

    context.let_go(_LINGER)
    rescue.renew_addresses()


def _kexec(context: Context) -> commands.Function:
    def run(params: Params, _: Progress) -> Result:
        from ingot_agent import kexec

        started = kexec.load(_root_disk(context, params).name, context.roots)
        log.line(f"leaving for {started}")
        kexec.go(_GRACE * 2)
        return f"starts {started}"

    return run


def _lockdown(context: Context) -> commands.Function:
    def run(_: Params, __: Progress) -> Result:
        log.line("locked down by the conductor")

        def end() -> None:
            context.lock_down()
            nics.all_down(context.roots)

        threading.Timer(_GRACE, end).start()
        return "locked down"

    return run


def _set_node_info(context: Context) -> commands.Function:
    def run(params: Params, _: Progress) -> Result:
        node = fields.find_object(fields.find_object(params, "node_info") or {}, "node")
        if node is None:
            raise errors.InvalidCommandParams("set_node_info lacks node_info with its node. Send it.")
        context.node = node
        return "node taken over"

    return run


def _check_image(params: Params) -> None:
    info = fields.find_object(params, "image_info")
    if info is None:
        raise errors.InvalidCommandParams("prepare_image lacks image_info. Send it.")
    image.order(info, fields.text(params, "configdrive"))


def _flow(table: dict[str, Entry]) -> commands.Function:
    def run(params: Params, progress: Progress) -> Result:
        flow = fields.objects(params, "flow")
        if not flow:
            raise errors.InvalidCommandParams("start_flow lacks its flow. Send a list of one-command objects.")
        for element in flow:
            for name, arguments in element.items():
                if name not in table or name == "flow.start_flow":
                    raise errors.InvalidCommandParams(f"The flow names {name!r}, which is no command. Correct it.")
                table[name].run(fields.as_object(arguments) or {}, progress)
        return f"{len(flow)} commands done"

    return run


def _step_entries(context: Context) -> dict[str, Entry]:
    """Commands that list and run steps; what the steps need is loaded when the first of them is called."""
    table: dict[str, Entry] = {}

    def lister(kind: str) -> commands.Function:
        def run(params: Params, _: Progress) -> Result:
            from ingot_agent import steps

            context.node = fields.find_object(params, "node") or context.node
            return steps.Steps(context.config, context.roots).listing(kind)

        return run

    def executor(kind: str) -> commands.Function:
        def run(params: Params, progress: Progress) -> Result:
            from ingot_agent import steps

            context.node = fields.find_object(params, "node") or context.node
            return steps.Steps(context.config, context.roots).execute(kind, params, progress)

        return run

    for kind in ("clean", "deploy", "service"):
        table[f"{kind}.get_{kind}_steps"] = Entry(lister(kind))
        table[f"{kind}.execute_{kind}_step"] = Entry(executor(kind), asynchronous=True)
    return table


def table(context: Context) -> dict[str, Entry]:
    """Give every command of this agent by its full name."""
    entries = _step_entries(context)

    def hardware(_: Params, __: Progress) -> Result:
        return inventory.gather(context.config, context.roots)

    def everything(params: Params, _: Progress) -> Result:
        from ingot_agent import collectors

        return collectors.report(context.config, context.roots, fields.text(params, "collectors"))

    entries |= {
        "standby.prepare_image": Entry(_prepare_image(context), asynchronous=True, check=_check_image),
        "standby.execute_bootc_install": Entry(_bootc, asynchronous=True),
        "standby.run_image": Entry(_power("reboot"), asynchronous=True),
        "standby.power_off": Entry(_power("poweroff"), asynchronous=True),
        "standby.sync": Entry(_sync),
        "standby.get_partition_uuids": Entry(_partition_uuids(context)),
        "image.install_bootloader": Entry(_install_bootloader(context), asynchronous=True),
        "rescue.finalize_rescue": Entry(_finalize_rescue(context)),
        "poll.get_hardware_info": Entry(hardware),
        "poll.set_node_info": Entry(_set_node_info(context)),
        "ingot.get_inventory": Entry(everything),
        "ingot.kexec": Entry(_kexec(context)),
        "log.collect_system_logs": Entry(lambda _params, _progress: {"system_logs": collect.bundle()}),
        "system.lockdown": Entry(_lockdown(context)),
    }
    entries["flow.start_flow"] = Entry(_flow(entries), asynchronous=True)
    return entries
