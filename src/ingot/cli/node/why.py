"""`ingot node why`: what a node's newest run waits for or failed of, with the last words of its machine.

May not: change anything. Invariant: what is not kept is told, with what keeps it.
"""

from __future__ import annotations

from typing import Any

import click

from ingot.cli import board, drawing, jsons, options, output
from ingot.cli import client as api
from ingot.domain import errors

_LINES = 12
_MARKS = {"done": "+", "failed": "!", "running": ">", "waiting": " "}
_AGENT = "agent"


@click.command()
@click.argument("name")
@click.option("--run", "run_id", metavar="RUN", help="Another run of the node than the newest.")
@options.as_json
@options.connection
def why(*, name: str, run_id: str | None, as_json: bool, url: str | None) -> None:
    """Tell what the node NAME waits for, or why it failed.

    With its steps, and the last that the ramdisk's agent and the console said.
    """
    client = api.from_environment(url)
    path = ("runs", run_id) if run_id else ("run",)
    run: dict[str, Any] = client.get(f"/ingot{api.node_path(name, *path)}")
    logged = _agent_log(client, name, run)
    if as_json:
        output.show_json({**run, "agent_log": logged})
        return
    click.echo(f"{name}: {run['kind']} {run['status']}, began {board.duration(run['now'] - run['started_at'])} ago")
    if run["reason"]:
        click.echo(run["reason"])
    for step in jsons.tables(run["plan"]):
        took = jsons.number(step["duration"])
        told = "" if took is None else f" ({board.duration(took)})"
        click.echo(f"  {_MARKS.get(str(step['status']), '~')} {step['title']} {step['status']}{told}")
    last_words("The ramdisk's agent", logged, f"ingot node logs {name} --run {run['id']}", _no_log(run))
    console: Any = run["console"] or {}
    last_words("The console", console.get("tail"), console.get("url"), _NO_CONSOLE)


_NO_CONSOLE = "nothing is kept: set the node's console_interface (ipmi-sol), then the next run is listened to"


def _no_log(run: dict[str, Any]) -> str:
    if run["status"] == "open":
        return "its logs are fetched when the run fails"
    return "its logs are not kept: none were asked for, or it did not answer (ingot node history)"


def _agent_log(client: api.Client, name: str, run: dict[str, Any]) -> str | None:
    """What the agent itself logged in the run; None where it is not kept, or not for who asks."""
    if not run["logs"]:
        return None
    try:
        found = client.find(f"/ingot{api.node_path(name, 'logs')}", run=run["id"])
    except errors.Refused:
        return None
    return jsons.text(jsons.table(jsons.table(found).get("files")).get(_AGENT))


def last_words(who: str, said: str | None, where: str | None, otherwise: str) -> None:
    """Print the end of what was said, and ``where`` all of it is; ``otherwise`` where nothing is kept."""
    lines = [line.rstrip() for line in (said or "").splitlines() if line.strip()]
    if not lines:
        click.echo(f"\n{who}: {otherwise}.")
        return
    click.echo(f"\n{who} said last (all of it: {where}):")
    for line in lines[-_LINES:]:
        click.echo(f"  {drawing.cleaned(click.unstyle(line))}")  # machines, whoever runs them, are not to be obeyed
