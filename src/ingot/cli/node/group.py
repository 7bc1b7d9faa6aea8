"""The table of `ingot node` commands. May not: import any of them."""

from __future__ import annotations

import click

from ingot.cli.lazy import Entry, LazyGroup

_READ, _WRITE, _VERBS = "ingot.cli.node.read", "ingot.cli.node.write", "ingot.cli.node.verbs"
_MACHINE, _HARDWARE = "ingot.cli.node.machine", "ingot.cli.node.hardware"

COMMANDS = {
    "list": Entry(_READ, "list_nodes", "List nodes."),
    "show": Entry(_READ, "show", "Show everything known of a node."),
    "create": Entry(_WRITE, "create", "Enrol a node with its BMC and network cards."),
    "set": Entry(_WRITE, "set_fields", "Change fields of a node."),
    "delete": Entry(_WRITE, "delete", "Remove nodes."),
    "manage": Entry(_VERBS, "manage", "Check the BMC; the node becomes manageable."),
    "inspect": Entry(_VERBS, "inspect", "Find out what a node consists of."),
    "clean": Entry(_VERBS, "clean", "Run given cleaning steps."),
    "provide": Entry(_VERBS, "provide", "Clean the node and make it available."),
    "deploy": Entry("ingot.cli.node.deploy", "deploy", "Write an operating system and start it."),
    "rebuild": Entry(_VERBS, "rebuild", "Deploy again with the same settings."),
    "undeploy": Entry(_VERBS, "undeploy", "Take the instance down and clean the node."),
    "adopt": Entry(_VERBS, "adopt", "Take over a machine that runs already."),
    "service": Entry(_VERBS, "service", "Run steps on a node whose instance stays."),
    "rescue": Entry("ingot.cli.node.rescue", "rescue", "Boot a ramdisk with a login in place of the instance."),
    "unrescue": Entry(_VERBS, "unrescue", "Boot the rescued instance again."),
    "unhold": Entry(_VERBS, "unhold", "Let a node go on that a step holds."),
    "abort": Entry(_VERBS, "abort", "Stop what the node is doing."),
    "watch": Entry("ingot.cli.node.watch", "watch", "Show live what nodes do and wait for."),
    "why": Entry("ingot.cli.node.why", "why", "Tell what a node waits for or why it failed, with logs."),
    "power": Entry(_WRITE, "power", "Switch a node on, off, or restart it."),
    "maintenance": Entry(_WRITE, "maintenance", "Take a node out of service, or back."),
    "validate": Entry(_READ, "validate", "Tell which interfaces have all they need."),
    "history": Entry(_READ, "history", "Tell what happened to a node."),
    "logs": Entry("ingot.cli.node.logs", "logs", "Show what the ramdisk logged in a failed run."),
    "inventory": Entry(_READ, "inventory", "Show what inspection found."),
    "console": Entry("ingot.cli.node.console", "console", "Open a node's serial console."),
    "sensors": Entry(_MACHINE, "sensors", "Show what the sensors say now."),
    "sel": Entry(_MACHINE, "sel", "Show the BMC's event log."),
    "boot": Entry(_MACHINE, "boot", "Show or change boot device, boot mode and secure boot."),
    "media": Entry(_MACHINE, "media", "Show, fill or empty virtual drives."),
    "indicator": Entry(_MACHINE, "indicator", "List or switch lamps."),
    "nmi": Entry(_MACHINE, "nmi", "Send a non-maskable interrupt."),
    "passthru": Entry(_MACHINE, "passthru", "List or call methods of the vendor."),
    "bios": Entry(_HARDWARE, "bios", "Show or change firmware settings."),
    "firmware": Entry(_HARDWARE, "firmware", "Show or update firmware versions."),
    "raid": Entry(_HARDWARE, "raid", "Show, make or remove RAID volumes."),
}


@click.group(cls=LazyGroup, table=COMMANDS)
def node() -> None:
    """Enrol, deploy, watch and repair servers.

    The API is found by --url or INGOT_URL; INGOT_USER and INGOT_PASSWORD say who you are.
    """
