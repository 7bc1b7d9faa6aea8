"""Creating and changing deploy templates and runbooks: their form, and one unit of work each."""

from __future__ import annotations

import re
from typing import Annotated, Any

import msgspec
from sqlalchemy import Connection

from ingot.deps import Deps
from ingot.domain import errors, ids, node, patch, schema_texts, secrets, steplists, traits, typed
from ingot.services import drafts
from ingot.store import steplists as store

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
_Text = Annotated[str, msgspec.Meta(max_length=255)]
_Number = Annotated[int, msgspec.Meta(ge=0)]
_NAME = re.compile(r"[A-Za-z0-9\-._~]+")
TRAITS_SINCE = 112
"""Microversion in which runbooks got traits and free names."""


class TemplateStep(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A step of a deploy template."""

    interface: _Name
    step: _Name
    args: dict[str, Any]
    priority: _Number


class RunbookStep(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A step of a runbook."""

    interface: _Name
    step: _Name
    order: _Number
    args: dict[str, Any] = {}


class TemplateDraft(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A deploy template as clients write it."""

    name: _Name
    steps: Annotated[list[TemplateStep], msgspec.Meta(min_length=1)]
    uuid: str | None = None
    extra: dict[str, Any] | None = None
    description: _Text | None = None


class RunbookDraft(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A runbook as clients write it."""

    name: _Name
    steps: Annotated[list[RunbookStep], msgspec.Meta(min_length=1)]
    uuid: str | None = None
    extra: dict[str, Any] | None = None
    description: _Text | None = None
    disable_ramdisk: bool | None = None
    public: bool | None = None
    owner: _Text | None = None


def template(body: dict[str, Any], version: int) -> steplists.DeployTemplate:
    """A deploy template out of a body. Raises errors.Invalid."""
    draft = _convert(body, TemplateDraft, "template")
    traits.check(draft.name)
    return steplists.DeployTemplate(**_shared(draft))


def runbook(body: dict[str, Any], version: int) -> steplists.Runbook:
    """A runbook out of a body; its name must be a trait before 1.112. Raises errors.Invalid."""
    if version < TRAITS_SINCE and "description" in body:
        raise errors.Invalid("Schema error for runbook: description is new in 1.112", hint="Ask for that version.")
    draft = _convert(body, RunbookDraft, "runbook")
    if version < TRAITS_SINCE:
        traits.check(draft.name)
    elif not _NAME.fullmatch(draft.name):
        raise errors.Invalid(f"Schema error for runbook: '{draft.name}' is no name", hint="Use letters, digits, -._~.")
    if draft.public and draft.owner:
        raise errors.Invalid("There cannot be an owner for a public runbook", hint="Remove one of them.")
    return steplists.Runbook(
        **_shared(draft),
        disable_ramdisk=bool(draft.disable_ramdisk),
        public=bool(draft.public),
        owner=draft.owner,
    )


def change(
    connection: Connection,
    deps: Deps,
    ident: str,
    operations: tuple[patch.Operation, ...],
    resource: Any,
) -> Any:
    """Apply a JSON patch to the item ``ident`` of ``resource`` (api/v1/steplists.py); the item as it is then.

    Masked secrets that are written back stay what they were. Raises errors.NotFound, Invalid, Conflict.
    """
    found = resource.store.get(connection, deps.sealer, ident)
    before = {name: getattr(found, name) for name in resource.roots}
    shown = secrets.split(before, {})[0]
    after: dict[str, Any] = patch.apply(shown, operations)
    public, hidden = secrets.split(after, before)
    after = {key: value for key, value in secrets.merge(public, hidden).items() if value is not None}
    made = resource.make({**after, "uuid": found.uuid})
    kept = {"created_at": found.created_at, "updated_at": found.updated_at}
    if isinstance(found, steplists.Runbook):
        kept["traits"] = found.traits
    value = msgspec.structs.replace(made, **kept)
    if value != found:
        resource.store.change(connection, deps.sealer, value)
    return resource.store.get(connection, deps.sealer, found.uuid)


async def with_runbook(
    deps: Deps, found: node.Node, verb: str, params: dict[str, Any], *, by_name: bool
) -> dict[str, Any]:
    """The parameters of a request with the steps of its runbook in place of its name.

    Raises errors.NotFound, or Invalid when the node may not use it.
    """
    book = await deps.store.read(store.RUNBOOKS.get, deps.sealer, params["runbook"])
    book.check_use(found.uuid, found.traits, by_name=by_name)
    rest = {key: value for key, value in params.items() if key != "runbook"}
    return {**rest, f"{verb}_steps": book.ordered(), "disable_ramdisk": book.disable_ramdisk}


def set_traits(connection: Connection, deps: Deps, ident: str, add: list[str], remove: set[str] | None) -> None:
    """Add traits to a runbook and take others away; ``remove`` None takes all it had."""
    found = store.RUNBOOKS.get(connection, deps.sealer, ident)
    kept = [] if remove is None else [one for one in found.traits if one not in remove]
    wanted = sorted({*kept, *add})
    store.RUNBOOKS.change(connection, deps.sealer, msgspec.structs.replace(found, traits=wanted), touch=False)


def _shared(draft: TemplateDraft | RunbookDraft) -> dict[str, Any]:
    """What both have; every step checked."""
    steps: list[dict[str, Any]] = [msgspec.to_builtins(step) for step in draft.steps]
    word = "deploy" if isinstance(draft, TemplateDraft) else "runbook"
    for step in steps:
        steplists.check_allowed(word, step["interface"], step["step"])
        if step["interface"] not in steplists.INTERFACES:
            raise errors.Invalid(
                f"Schema error: '{step['interface']}' is not one of {sorted(steplists.INTERFACES)}",
                hint="Correct the interface.",
            )
    steplists.refuse_repeated(steps)
    if draft.uuid is not None and not ids.is_uuid(draft.uuid):
        raise errors.Invalid(f"Expected UUID for uuid: {draft.uuid}")
    return {
        "uuid": (draft.uuid or ids.new()).lower(),
        "name": draft.name,
        "steps": steps,
        "extra": draft.extra or {},
        "description": draft.description,
    }


def _convert(body: dict[str, Any], kind: Any, what: str) -> Any:
    """``body`` as a draft; numbers may come as text, as Ironic allows."""
    steps: Any = body.get("steps")
    if isinstance(steps, list):
        steps = [_with_number(step) for step in steps]  # pyright: ignore[reportUnknownVariableType]  JSON
    flags = {name: drafts.flag(name, body[name]) for name in ("disable_ramdisk", "public") if name in body}
    given = {**body, **flags, **({"steps": steps} if "steps" in body else {})}
    try:
        return typed.convert(given, kind)
    except msgspec.ValidationError as error:
        text = f"Schema error for {what}: {schema_texts.told(error, given)}"
        raise errors.Invalid(text, hint="Correct the field and send again.") from error


def _with_number(step: Any) -> Any:
    if not isinstance(step, dict):
        return step
    found: dict[str, Any] = dict(step)  # pyright: ignore[reportUnknownArgumentType]  JSON
    for key in ("priority", "order"):
        if isinstance(found.get(key), str) and found[key].isdecimal() and len(found[key]) < 10:
            found[key] = int(found[key])
    return found
