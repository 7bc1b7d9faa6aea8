"""Applying inspection rules to a node that was inspected: each rule in turn, highest priority first, then one write.

May not: know how a condition is judged or an action done (domain). Invariants: rules change everything they change in
one unit of work, and once, whatever crashes; a failure names the rule, the part of it and the value, except of
sensitive rules, of which nothing but the part's name is told.
"""

from __future__ import annotations

import asyncio
import copy
from http import HTTPStatus
from pathlib import Path
from typing import Any

import msgspec
import structlog

from ingot.clients.http.client import Call, HttpClient
from ingot.domain import errors, inspection_rules, node, rule_actions, rule_conditions, rule_terms, typed
from ingot.flows import patience
from ingot.interfaces.context import StepContext

_log = structlog.get_logger("ingot.rules")
_KEY = "rules applied"
_JUDGED_WITHIN = 0.5
"""Seconds for one condition; meanwhile nothing else happens in this process."""
_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}


async def apply(ctx: StepContext) -> None:
    """Apply every rule to the node as it is now. Raises errors.Invalid that explains which rule failed and why."""
    if _KEY in ctx.memo:
        return
    file = ctx.kit.settings.inspection_rules
    wanted = [*await ctx.journal.list_rules(), *(await asyncio.to_thread(_built_in, file) if file else [])]
    if not wanted:
        return
    found, ports = await ctx.journal.read_whole()
    told = await ctx.journal.find_inventory()
    inventory, plugin_data = (told[1], told[2]) if told else ({}, {})
    record = rule_actions.Record(_fields(found), list(found.traits), [_fields(port) for port in ports], plugin_data)
    before = copy.deepcopy(record)

    def changes() -> rule_actions.Findings:
        findings = rule_actions.difference(before, record)
        _check_interfaces(ctx, findings.node, found.driver)
        return findings

    for rule in sorted(wanted, key=lambda each: -each.priority):
        await _apply(rule, record, inventory)
        try:
            changes()
        except errors.Refused as error:
            raise _explained(rule, "what it sets", error) from error
    await ctx.journal.keep_findings(changes(), _KEY)


async def _apply(rule: inspection_rules.Rule, record: rule_actions.Record, inventory: dict[str, Any]) -> None:
    hidden = rule_terms.masked(inventory)
    for number, condition in enumerate(rule.conditions, 1):
        try:
            with patience.within(_JUDGED_WITHIN, "its judgement"):
                holds = rule_conditions.holds(condition, _scope(record, hidden))
            if not holds:
                _log.debug("rule does not apply", rule=rule.uuid, condition=condition["op"])
                return
        except errors.Invalid as error:
            raise _explained(rule, f"condition {number} ({condition['op']})", error) from error
    for number, action in enumerate(rule.actions, 1):
        try:
            await _act(rule, action, record, hidden)
        except errors.IngotError as error:
            raise _explained(rule, f"action {number} ({action['op']})", error) from error
    _log.info("rule applied", rule=rule.uuid)


async def _act(
    rule: inspection_rules.Rule, action: dict[str, Any], record: rule_actions.Record, hidden: dict[str, Any]
) -> None:
    form = inspection_rules.ACTIONS[action["op"]]
    loop: Any = action.get("loop")
    items: list[Any] = [loop] if isinstance(loop, dict) else loop or [None]
    for item in items:
        scope = _scope(record, hidden)
        if loop:
            scope["item"] = item
        asked = rule_actions.act(action["op"], rule_conditions.arguments(form, action, scope), record)
        match asked:
            case rule_actions.Said():
                text = "******" if rule.sensitive else asked.text
                _log.log(_LEVELS[asked.level], "rule says", rule=rule.uuid, text=text)
            case rule_actions.Fetch():
                await _fetch(asked)
            case None:
                pass


def _scope(record: rule_actions.Record, hidden: dict[str, Any]) -> dict[str, Any]:
    return {
        "node": {**record.node, "traits": record.traits},
        "inventory": hidden,
        "plugin_data": rule_terms.masked(record.plugin_data),
    }


def _explained(rule: inspection_rules.Rule, part: str, error: errors.IngotError) -> errors.Invalid:
    """What people read of a rule that failed."""
    if rule.sensitive and not isinstance(error, rule_actions.Failed):
        return errors.Invalid(
            f"Inspection rule {rule.uuid}: {part} failed; the rule is sensitive, so no more is told",
            hint="Try the rule without its flag sensitive on a test node.",
        )
    return errors.Invalid(f"Inspection rule {rule.name()}: {part}: {error.message.rstrip('.')}", hint=error.hint)


async def _fetch(asked: rule_actions.Fetch) -> None:
    """GET, again where that may help. Raises errors.Unreachable, errors.Misbehaved."""
    peer = f"The address of api-call ({asked.url.split('/')[2].rpartition('@')[2]})"
    call = Call("GET", asked.url, peer, asked.headers, timeout=asked.timeout, proxy=asked.proxy)
    http = HttpClient()
    try:
        for number in range(asked.tries):
            if await _succeeds(http, call):
                return
            await asyncio.sleep(asked.pause * 2**number)
        status = (await http.send(call)).status
    finally:
        await http.close()
    if status >= HTTPStatus.BAD_REQUEST:
        raise errors.Misbehaved(f"{peer} answered {status}", hint="Look at the log of that service.")


async def _succeeds(http: HttpClient, call: Call) -> bool:
    """Whether there is nothing to gain by asking again soon; what cannot be mended so is left to the last try."""
    try:
        return (await http.send(call)).status < HTTPStatus.BAD_REQUEST
    except errors.Unreachable:
        return False


def _fields(value: node.Node | node.Port) -> dict[str, Any]:
    """All fields by name, in copies that may be changed."""
    return copy.deepcopy(msgspec.structs.asdict(value))


def _check_interfaces(ctx: StepContext, columns: dict[str, Any], driver: str) -> None:
    driver = columns.get("driver", driver)
    for kind in node.INTERFACES:
        chosen = columns.get(f"{kind}_interface")
        if chosen is not None:
            ctx.registry.check(driver, kind, chosen)
    if "driver" in columns:
        ctx.registry.defaults(driver)


def _built_in(path: str) -> list[inspection_rules.Rule]:
    """The rules of the file that the settings name. Raises errors.Invalid naming it."""
    try:
        found: list[dict[str, Any]] = typed.decode(Path(path).read_bytes(), list[dict[str, Any]])
        given = [{"uuid": f"00000000-0000-0000-0000-{number:012x}", **one} for number, one in enumerate(found)]
        made = [typed.convert(one, inspection_rules.Rule) for one in given]
        for rule in made:
            inspection_rules.check(rule, built_in=True)
    except (OSError, msgspec.MsgspecError, errors.Invalid) as error:
        raise errors.Invalid(
            f"The file of inspection rules {path} cannot be used: {error}", hint="It is a JSON list of rules."
        ) from error
    return made
