"""Writes the reference pages that come from code: settings, commands, provision states, routes, rules.

Why: a page kept by hand goes stale. May not: know a fact of its own; words about a setting belong to its docstring,
those about a command to its help. Invariant: the same code gives the same pages (tests/docs compares them).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import click

from ingot import settings
from ingot.api import patch_rules, policy, server, spec
from ingot.api.ext import metrics as fleet
from ingot.cli import main
from ingot.domain import roles, states
from ingot.store import events, statistics, triggers
from ingot.telemetry import counts, process

ROOT = Path(__file__).parent.parent
REFERENCE = ROOT / "docs/reference"
HOW = "INGOT_WRITE_DOCS=1 ./ingot docs"
NOTE = f"<!-- Written by docs/generate.py from {{source}}; change that, then run: {HOW} -->"
WIDTH = 100
PLACES = {
    "INGOT_URL": "the API's URL (default `http://127.0.0.1:6385`)",
    "INGOT_USER": "user name, for HTTP basic",
    "INGOT_PASSWORD": "password",
    "INGOT_TOKEN": "a token, instead of user name and password",
    "INGOT_CACERT": "file with the certificate of the authority that vouches for an `https://` API",
}


def settings_page() -> str:
    """Every setting with its type, default and meaning, in the order of settings.py."""
    head = f"""# Settings

{NOTE.format(source="src/ingot/settings.py")}

No setting is needed to start. Later sources win: defaults, a TOML file, `INGOT_<NAME>` in the environment (upper case),
`--set NAME=VALUE` and the options of a command. The file is the one that `--config` or INGOT_CONFIG names, else
`$XDG_CONFIG_HOME/ingot/ingot.toml` or `/etc/ingot/ingot.toml` if there is one. `ingot config show` tells what is in
force. Lists are written with commas outside of TOML. Times are in seconds, sizes in bytes; "none" means that the
value is derived. An unknown name is an error.

| setting | type | default | meaning |
|---|---|---|---|
"""
    rows = [f"| `{name}` | {kind} | {default} | {words} |\n" for name, kind, default, words in _settings()]
    return head + "".join(rows)


def _settings() -> Iterator[tuple[str, str, str, str]]:
    values = settings.Settings()
    for name, annotation, words in settings.describe():
        kind = annotation.replace(" | ", " or ").replace("tuple[str, ...]", "list of str")
        yield name, kind, _default(getattr(values, name)), words.replace("``", "`")


def _default(value: object) -> str:
    if value is None or value in ("", ()):
        return "none" if value != () else "empty"
    if isinstance(value, tuple):
        return str(value).strip("(),").replace("'", "`")  # pyright: ignore[reportUnknownArgumentType]  only printed
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def cli_page() -> str:
    """The help of every command, word for word."""
    head = f"""# Commands

{NOTE.format(source="the help of src/ingot/cli")}

From a checkout the program is `./ingot`, installed it is `ingot`. `./ingot` also has `test`, `check`, `bench` and
`docs`, which [CONTRIBUTING](../../CONTRIBUTING.md#everyday-commands) explains.

"""
    words = "".join(f"- `{name}`: {meaning}\n" for name, meaning in PLACES.items())
    parts = [head, "Commands that call the API read from the environment:\n\n", words]
    parts += [f"\n## {path}\n\n```text\n{text}\n```\n" for path, text in _helps(main.root, "ingot")]
    return "".join(parts)


def _helps(command: click.Command, path: str) -> Iterator[tuple[str, str]]:
    # The settings of the program itself: click remembers a command's help option as it was first asked for.
    names = main.CONTEXT["help_option_names"]
    context = click.Context(
        command, info_name=path, terminal_width=WIDTH, max_content_width=WIDTH, help_option_names=names
    )
    yield path, "\n".join(line.rstrip() for line in command.get_help(context).splitlines())
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            if inner is not None and not inner.hidden:
                yield from _helps(inner, f"{path} {name}")


def states_page() -> str:
    """States, verbs and transitions as domain/states.py has them."""
    return f"""# Provision states

{NOTE.format(source="src/ingot/domain/states.py")}

A *stable* state rests. A *transient* state works, a *wait* state waits for the ramdisk or its agent, a *hold* state for
an operator, a *failed* state for somebody to look. A run that outlasts the deadlines of the states it passes is failed;
a hold lasts until `unhold` or `abort`.
The exit verb is what to send to leave the state, for a transient state once its run has failed.
[When a node is stuck](../playbooks/node-stuck.md) says what each unstable state waits for.

| state | kind | aims at | usual | deadline | exit verb |
|---|---|---|---|---|---|
{_state_rows()}
## Verbs

What `PUT /v1/nodes/{{node}}/states/provision` takes as `target`, and what each does to the state. A verb that the
state does not know, or that the interfaces of the node cannot do, is refused with a sentence.

| verb | from microversion | event | possible in |
|---|---|---|---|
{_verb_rows()}
## Transitions

| state | event: next state |
|---|---|
{_transition_rows()}
## The usual way

```mermaid
stateDiagram-v2
{_diagram()}```
"""


def _state_rows() -> str:
    rows: list[str] = []
    for state, row in states.TABLE.items():
        times = f"{_span(row.usual)} | {_span(row.deadline)}"
        rows.append(f"| `{state}` | {row.kind} | {row.target or ''} | {times} | `{row.exit_verb}` |")
    return "\n".join(rows) + "\n"


def _span(seconds: int | None) -> str:
    if seconds is None:
        return ""
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds % size == 0:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _verb_rows() -> str:
    rows: list[str] = []
    for verb, (event, first) in states.VERBS.items():
        where = ", ".join(f"`{state}`" for state, known in states.TRANSITIONS.items() if event in known)
        rows.append(f"| `{verb}` | 1.{first} | {event} | {where} |")
    return "\n".join(rows) + "\n"


def _transition_rows() -> str:
    rows = [
        f"| `{state}` | {', '.join(f'{event}: `{after}`' for event, after in known.items())} |"
        for state, known in states.TRANSITIONS.items()
    ]
    return "\n".join(rows) + "\n"


_USUAL = """
enroll, verifying, manageable, inspecting, inspect wait, cleaning, clean wait, available, deploying, wait call-back,
active, deleting
"""


def _diagram() -> str:
    lines = ["    [*] --> enroll"]
    usual = [states.State(name.strip()) for name in _USUAL.split(",")]
    for state in usual:
        for event, after in states.TRANSITIONS[state].items():
            if after in usual:
                lines.append(f"    {_identifier(state)} --> {_identifier(after)}: {event}")
    names = [f'    state "{state}" as {_identifier(state)}' for state in usual if _identifier(state) != state]
    return "\n".join([*names, *lines]) + "\n"


def _identifier(state: str) -> str:
    return state.replace(" ", "_").replace("-", "_")


def extensions_page() -> str:
    """What the API has beyond Ironic's: the routes below /ingot/v1, as the route table and the handlers tell."""
    return f"""# The API beyond Ironic's

{NOTE.format(source="src/ingot/api/server.py")}

Below `/v1` ingot answers as Ironic does, and no way else; what Ironic lacks is below `/ingot/v1` and has no
microversions. Every route, also those of `/v1`, is described in OpenAPI 3.1 at `/ingot/v1/openapi.json`, with its
arguments, bodies, answers and refusals; that document is made of the code that answers.

| route | what it does | rule |
|---|---|---|
{_extension_rows()}
## Metrics

What `/metrics` tells Prometheus; each label's values come from a closed set, and none names a node or a person.
[Watching](../howto/watching.md#prometheus) says how to have it scraped.

| metric | type | what it is |
|---|---|---|
{_metric_rows()}
## Events

What `/ingot/v1/events` tells, as server-sent events whose data is a JSON object: `id`, `at` (epoch seconds), `kind`,
`node` (UUID), `name` (the node's), and what the kind adds. Everybody sees what they may read: a project's members the
events of the nodes that their project owned or leased when it happened. The journal keeps the newest {triggers.KEPT}.
[Watching](../howto/watching.md) has examples.

| kind | what happened |
|---|---|
{_event_rows()}"""


def _metric_rows() -> str:
    none = statistics.Numbers(nodes={}, maintenance=0, runs={}, overdue=0, webhook_lag=0)
    families = [*(one.family() for one in counts.ALL), *process.families(), *fleet.families(none, 0)]
    return "".join(f"| `{one.name}` | {one.kind} | {one.words} |\n" for one in families)


def _event_rows() -> str:
    return "".join(f"| `{kind}` | {words} |\n" for kind, words in events.KINDS.items())


def _extension_rows() -> str:
    rows: list[str] = []
    for route in server.ROUTES:
        told = spec.find(route.handler)
        if told is not None and not route.path.startswith("/v1") and route.path != "/":
            who = "everybody" if route.public else f"`{route.rule}`"
            rows.append(f"| `{route.method} {route.path}` | {told.summary} | {who} |\n")
    return "".join(rows)


def access_page() -> str:
    """The table of rules, the fields of a node that have rules of their own, and the rule of every route."""
    return f"""# Who may do what

{NOTE.format(source="src/ingot/api/policy.py")}

The rules have Ironic's names and say what its default policy says; those that begin with `ingot:` are of routes that
Ironic lacks. [Users and authentication](../howto/users-and-auth.md) says how callers get roles.

A column is a kind of caller: one whose role holds in the whole system; one whose project owns the object; one whose
project leases it, which only nodes can be; anybody, wherever the role holds. A cell is the least role of that caller
that may: `{" > ".join(roles.LADDER)}`. `{roles.SERVICE}` stands beside them, and where it may it is named. A port, port
group or volume is owned and leased as its node is. The last column: where `rbac_service_role_elevated_access` is on,
the role `{roles.SERVICE}` in the project `rbac_service_project_name` may, whosever the object is. What a caller may not
see is answered with 404, as if it were not there; what it may see and not do with 403 and a sentence that says who may.
{_rule_tables()}
## Fields of a node

A patch has to pass the rule of every field that it touches.

| field | rule |
|---|---|
{_field_rows()}
## Routes

| route | rule |
|---|---|
{_rule_rows()}"""


def _rule_tables() -> str:
    parts: list[str] = []
    head = "\n| rule | system | owner | lessee | anybody | elevated |\n|---|---|---|---|---|---|\n"
    for block in policy.ROWS.strip().split("\n\n"):
        lines = [line for line in block.splitlines() if not line.startswith("# rule ")]
        if lines[0].startswith("# "):
            parts.append(f"\n## {lines.pop(0)[2:].capitalize()}\n")
        else:
            parts.append("\n## For everyone and for nobody\n")
        parts.append(head + "".join(_rule_row(line) for line in lines))
    return "".join(parts)


def _rule_row(line: str) -> str:
    name, *cells = line.split()
    shown = ["" if cell == "-" else cell.replace("+", " or ") for cell in cells]
    elevated = roles.SERVICE if policy.TABLE[name].elevated else ""
    return f"| `{name}` | {' | '.join(shown)} | {elevated} |\n"


def _field_rows() -> str:
    named = "".join(f"| `{field}` | `{rule}` |\n" for field, rule in sorted(patch_rules.NODE_FIELDS.items()))
    cleaning = f"| `automated_clean`, when it is set to false | `{patch_rules.NO_CLEANING}` |\n"
    return f"{named}{cleaning}| any other | `{patch_rules.ANY}` |\n"


def _rule_rows() -> str:
    return "".join(
        f"| `{route.method} {route.path}` | {'everybody' if route.public else f'`{route.rule}`'} |\n"
        for route in server.ROUTES
    )


PAGES: dict[str, Callable[[], str]] = {
    "settings.md": settings_page,
    "cli.md": cli_page,
    "states.md": states_page,
    "extensions.md": extensions_page,
    "access.md": access_page,
}


def write() -> None:
    """Write every page."""
    for name, make in PAGES.items():
        (REFERENCE / name).write_text(make())


if __name__ == "__main__":
    write()
