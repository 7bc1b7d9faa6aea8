"""Commands that ask for a provision verb, all alike: PUT states/provision, then wait if asked to.

May not: build config drives (deploy.py). Invariant: with --wait the exit code tells whether the node got there.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from ingot.cli import client as api
from ingot.cli import following, jsons, options
from ingot.domain import errors, states

GOALS = {
    "manage": states.State.MANAGEABLE,
    "inspect": states.State.MANAGEABLE,
    "clean": states.State.MANAGEABLE,
    "provide": states.State.AVAILABLE,
    "active": states.State.ACTIVE,
    "rebuild": states.State.ACTIVE,
    "deleted": states.State.AVAILABLE,
    "adopt": states.State.ACTIVE,
    "rescue": states.State.RESCUE,
    "unrescue": states.State.ACTIVE,
    "service": states.State.ACTIVE,
}


def ask(client: api.Client, name: str, verb: str, **body: Any) -> None:
    """Ask for the verb; returns when the API has accepted it."""
    client.call("PUT", api.node_path(name, "states", "provision"), {"target": verb, **body})


def run(names: tuple[str, ...], verb: str, url: str | None, timeout: float | None, **body: Any) -> None:
    """Ask for the verb on each node; ``timeout`` None does not wait for the end."""
    client = api.from_environment(url)
    for name in names:
        ask(client, name, verb, **body)
    wait(client, names, verb, timeout)


def wait(client: api.Client, names: tuple[str, ...], verb: str, timeout: float | None) -> None:
    """Follow the verb that was accepted to its end; ``timeout`` None says how to follow it instead."""
    if timeout is None:
        for name in names:
            click.echo(f'{name}: accepted "{verb}"; follow it with "ingot node watch {name}"')
        return
    if verb in GOALS:
        following.arrive(client, names, timeout, GOALS[verb])
    else:
        following.follow(client, names, timeout)


def _command(name: str, verb: str, text: str) -> click.Command:
    """A command that sends one verb to any number of nodes."""

    @click.command(name, help=text)
    @click.argument("names", nargs=-1, required=True)
    @options.waiting
    @options.connection
    def command(names: tuple[str, ...], wait: bool, timeout: float, url: str | None) -> None:
        run(names, verb, url, timeout if wait else None)

    return command


manage = _command("manage", "manage", "Check that the BMCs of NAMES answer; the nodes become manageable.")
inspect = _command("inspect", "inspect", "Boot NAMES into the ramdisk and record what they consist of.")
provide = _command("provide", "provide", "Clean NAMES and make them available for deployment.")
rebuild = _command("rebuild", "rebuild", "Deploy NAMES again with the same settings.")
undeploy = _command("undeploy", "deleted", "Take the instances of NAMES down, clean the nodes, make them available.")
adopt = _command("adopt", "adopt", "Take over the machines NAMES that run already; nothing is written to them.")
unrescue = _command("unrescue", "unrescue", "Boot the instances of the rescued NAMES again.")
unhold = _command("unhold", "unhold", "Let NAMES go on that a step holds.")
abort = _command("abort", "abort", "Stop what NAMES are doing.")


def _stepped(verb: str, text: str) -> click.Command:
    """A command that sends a verb with the steps to run."""

    @click.command(verb, help=text)
    @click.argument("names", nargs=-1, required=True)
    @click.option("--step", "steps", multiple=True, metavar="INTERFACE.STEP", help="A step to run; may be repeated.")
    @click.option("--steps-file", type=click.Path(path_type=Path), help="The steps as a JSON list, with their args.")
    @click.option("--runbook", help="A runbook that has the steps.")
    @click.option("--no-ramdisk", is_flag=True, help="Do not boot the ramdisk; its agent's steps are refused.")
    @options.waiting
    @options.connection
    def command(
        *,
        names: tuple[str, ...],
        steps: tuple[str, ...],
        steps_file: Path | None,
        runbook: str | None,
        no_ramdisk: bool,
        wait: bool,
        timeout: float,
        url: str | None,
    ) -> None:
        wanted: list[Any] = [_step(text) for text in steps]
        if steps_file is not None:
            wanted += _read_steps(steps_file)
        if bool(wanted) == bool(runbook):
            raise click.UsageError("Say which steps to run: --step INTERFACE.STEP, --steps-file FILE or --runbook.")
        body: dict[str, Any] = {"runbook": runbook} if runbook else {f"{verb}_steps": wanted}
        if no_ramdisk:
            body["disable_ramdisk"] = True
        run(names, verb, url, timeout if wait else None, **body)

    return command


clean = _stepped("clean", "Run cleaning steps on the manageable NAMES, e.g. --step deploy.erase_devices_metadata.")
service = _stepped("service", "Run steps on the active nodes NAMES; their instances stay and are booted again after.")


def _step(text: str) -> dict[str, str]:
    interface, dot, step = text.partition(".")
    if not dot or not step:
        raise click.UsageError(f'"{text}" is no step: say INTERFACE.STEP, e.g. deploy.erase_devices_metadata.')
    return {"interface": interface, "step": step}


def _read_steps(path: Path) -> list[Any]:
    try:
        value: Any = json.loads(path.read_text())
    except OSError as error:
        raise errors.Invalid(f"The steps file {path} cannot be read", hint="Name a text file.") from error
    except ValueError as error:
        raise errors.Invalid(f"The steps file is not JSON: {error}", hint="Correct it.") from error
    if not isinstance(value, list):
        raise errors.Invalid("The steps file is not a JSON list", hint='Write [{"interface": ..., "step": ...}].')
    return jsons.items(value)  # pyright: ignore[reportUnknownArgumentType]  JSON
