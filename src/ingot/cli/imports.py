"""`ingot import`: machines from another service's database. May not: judge (ingot.imports does).

Invariant: without --apply nothing is written, and never is a machine touched.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from ingot.cli import configuration, options, output
from ingot.domain import errors

if TYPE_CHECKING:
    from ingot.deps import Deps
    from ingot.imports import plan as plans
    from ingot.imports import records
    from ingot.imports.verdicts import Choices

_SHOWN = 20
"""Reasons that are listed one by one; --json has all."""


@click.group("import")
def group() -> None:
    """Take over machines from another service's database; without --apply only tell what would come.

    No machine is powered, booted or erased, and the other database is only read.
    """


@group.command("ironic")
@click.option("--database", required=True, metavar="URL|@FILE", help="Ironic's database, or a file that holds its URL.")
@click.option("--apply", is_flag=True, help="Do it; without this only the plan is shown.")
@click.option("--interrupted", is_flag=True, help="Take nodes that are being worked on, too, as failed.")
@click.option("--replace", multiple=True, metavar="KIND:OLD=NEW", help="Another driver or interface; may be repeated.")
@options.as_json
@configuration.source
def ironic(
    database: str, apply: bool, interrupted: bool, replace: tuple[str, ...], as_json: bool, **source: Any
) -> None:
    """Take over an Ironic database.

    Nodes with all that belongs to them, templates, runbooks, rules, allocations.

    A URL looks like mysql://ironic@db.example/ironic; one with a password belongs into a file (--database @FILE).
    """
    from ingot.imports import ironic, verdicts

    choices = verdicts.Choices(interrupted=interrupted, replace=_replacements(replace))
    _bring(_Wanted("ironic", ironic, database, choices, apply, as_json), source)


@group.command("nova-baremetal")
@click.option("--database", required=True, metavar="URL|@FILE", help="Its database, or a file that holds the URL.")
@click.option("--apply", is_flag=True, help="Do it; without this only the plan is shown.")
@click.option("--interrupted", is_flag=True, help="Take nodes that are being worked on, too, as failed.")
@options.as_json
@configuration.source
def nova_baremetal(database: str, apply: bool, interrupted: bool, as_json: bool, **source: Any) -> None:
    """Take over machines of Nova's old driver. It is the bare-metal one, with the tables bm_nodes and bm_interfaces."""
    from ingot.imports import nova_baremetal, verdicts

    choices = verdicts.Choices(interrupted=interrupted)
    _bring(_Wanted("nova-baremetal", nova_baremetal, database, choices, apply, as_json), source)


def _replacements(values: tuple[str, ...]) -> dict[tuple[str, str], str]:
    from ingot.domain import node

    found: dict[tuple[str, str], str] = {}
    for key, new in options.pairs(values, "--replace").items():
        kind, _, old = key.partition(":")
        if kind not in ("driver", *node.INTERFACES) or not old:
            raise click.UsageError(f'--replace takes KIND:OLD=NEW with a kind of interface or "driver", not "{key}".')
        found[kind, old] = new
    return found


class _Wanted(NamedTuple):
    """One import as it was asked for. ``way``: the module that knows the other service (ingot.imports)."""

    kind: str
    way: Any
    database: str
    choices: Choices
    apply: bool
    as_json: bool


def _bring(wanted: _Wanted, source: dict[str, Any]) -> None:
    from ingot import app
    from ingot.imports import source as sources

    deps = app.make_deps(configuration.load(**source))
    try:
        with sources.opened(options.read_value(wanted.database).strip()) as there:
            asyncio.run(_carry_out(deps, wanted, there))
    finally:
        deps.store.close()


async def _carry_out(deps: Deps, wanted: _Wanted, there: Any) -> None:
    from ingot.imports import plan as plans
    from ingot.imports import records, writing

    plan: plans.Plan = wanted.way.planned(there, await deps.store.read(plans.taken), deps.registry, wanted.choices)
    if not wanted.as_json:
        _show(plan)
    record = None
    if wanted.apply and (plan.nodes or any(plan.shared.values())):
        record = records.keep(deps.settings.data, wanted.kind, plan)
        tell = _progress(len(plan.nodes))
        plan.stays += await writing.write(deps, plan, lambda batch: wanted.way.parts(there, batch), tell)
        await records.take_prints(deps, record)
    if wanted.as_json:
        output.show_json({**plan.summary(), "applied": record.name if record else None})
        return
    _close(plan, record, apply=wanted.apply)


def _progress(total: int) -> Any:
    def tell(done: int) -> None:
        if sys.stderr.isatty():
            click.echo(f"\r{done} of {total} nodes", nl=done >= total, err=True)

    return tell


def _show(plan: plans.Plan) -> None:
    version = f" (version {plan.version})" if plan.version else ""
    click.echo(f"{plan.source}{version}")
    rows = [{"kind": kind, "there": there, "come": come} for kind, (there, come) in plan.counts.items() if there]
    output.show_rows(rows, ("kind", "there", "come"))
    if plan.present:
        click.echo(f"{plan.present} nodes are here already and stay as they are.")
    _list("States they come in", plan.states)
    _list("Different here", plan.notes)
    _reasons(plan.stays)


def _list(title: str, counts: Counter[str]) -> None:
    if counts:
        click.echo(f"\n{title}:")
        for text, count in counts.most_common():
            click.echo(f"  {count:>7}  {text}")


def _reasons(stays: list[plans.Stays]) -> None:
    if not stays:
        return
    _list("Stay behind", Counter(one.reason for one in stays))
    for one in stays[:_SHOWN]:
        click.echo(f"  {one.kind} {one.name or ''} {one.uuid}: {one.reason}".replace("  ", " "))
    if len(stays) > _SHOWN:
        click.echo(f"  and {len(stays) - _SHOWN} more; --json lists all")


def _close(plan: plans.Plan, record: records.Record | None, *, apply: bool) -> None:
    if record is None:
        say = "Nothing was to be done." if apply else "Nothing was written. Say --apply to do it."
        click.echo(f"\n{say}")
        return
    lost = [one for one in plan.stays if one.reason.startswith("Something of it")]
    _reasons(lost)
    click.echo(f"\n{len(plan.nodes) - len(lost)} nodes are here now. To take it back: ingot import undo {record.name}")


@group.command("list")
@options.as_json
@configuration.source
def list_(as_json: bool, **source: Any) -> None:
    """List what was imported into this data directory."""
    from ingot.imports import records

    found = records.all_of(configuration.load(**source).data)
    rows = [{"name": one.name, "nodes": len(one.nodes), "source": one.source} for one in found]
    output.show_rows(rows, ("name", "nodes", "source"), as_json=as_json)


@group.command()
@click.argument("name", required=False)
@click.option("--apply", is_flag=True, help="Do it; without this only what would go is shown.")
@configuration.source
def undo(name: str | None, apply: bool, **source: Any) -> None:
    """Forget what an import brought. Default: the newest; nodes worked on or changed since stay.

    No machine is touched.
    """
    from ingot import app
    from ingot.imports import records

    deps = app.make_deps(configuration.load(**source))
    try:
        record = records.get(deps.settings.data, name)
        done = asyncio.run(records.undo(deps, record, really=apply))
    finally:
        deps.store.close()
    click.echo(f"{record.name}, from {record.source}:")
    _list(
        "Gone" if apply else "Would go", Counter({kind.replace("_", " "): n for kind, n in done.removed.items() if n})
    )
    for uuid, why in done.kept.items():
        click.echo(f"  node {uuid} stays: {why}")
    if not apply:
        click.echo("\nNothing was removed. Say --apply to do it.")
    elif done.kept:
        raise errors.Conflict(f"{len(done.kept)} nodes stay", hint="Delete them one by one if they are to go.")
