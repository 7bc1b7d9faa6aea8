"""``/v1/deploy_templates`` and ``/v1/runbooks``: two resources of one form. May not: judge a step (services)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from ingot.api import access, columns, paging, patch_rules, query, spec, versions, wire
from ingot.deps import Deps
from ingot.domain import errors, ids, patch, secrets, traits
from ingot.services import steplists as service
from ingot.store import steplists as store

_SHORT = ("uuid", "name", "links")
_SORTABLE = frozenset({"uuid", "name", "created_at", "updated_at"})


_ITEM = spec.Owned(lambda resource: spec.one(resource.word))
_ITEMS = spec.Owned(lambda resource: spec.page(resource.word, resource.word))
_DRAFT = spec.Owned(lambda resource: spec.of(resource.draft))


class Resource:
    """One of the two. ``make``: an item out of a body of this microversion; ``draft``: what such a body holds."""

    def __init__(
        self,
        word: str,
        items: store.StepLists[Any],
        make: Callable[[dict[str, Any], int], Any],
        draft: type[msgspec.Struct],
    ) -> None:
        self.word, self.store, self.draft, self._make = word, items, draft, make

    @spec.tells("Make a template or runbook", 201, answer=_ITEM, body=_DRAFT)
    async def create(self, deps: Deps, request: wire.Request) -> wire.Answer:
        """POST."""
        query.Query(request)
        body = self._owned(request.caller, request.object(self.word))
        made = self._make(body, request.version)
        stored = await deps.store.run(self.store.create, deps.sealer, made)
        return wire.created(self._shown(request, stored, None), request.href("v1", self.word, stored.uuid))

    @spec.tells("List templates or runbooks, a page at a time", answer=_ITEMS)
    async def index(self, deps: Deps, request: wire.Request) -> wire.Answer:
        """GET of the collection."""
        asked = query.Query(request, *query.PAGING, "fields", "detail", "project")
        names = columns.of_list(self.word, asked, request.version, _SHORT, detail=False)
        page = asked.page(_SORTABLE)
        project = self._project(request.caller, asked.text("project"))
        found = await deps.store.read(self.store.list_page, deps.sealer, page, project)
        body = {self.word: [self._shown(request, each, names) for each in found]}
        more = columns.repeated(asked, _SHORT)
        return wire.ok(paging.add_next(body, request.href("v1", self.word), page, [one.uuid for one in found], more))

    @spec.tells("Show one template or runbook", answer=_ITEM)
    async def show(self, deps: Deps, request: wire.Request) -> wire.Answer:
        """GET of one."""
        names = columns.of_one(self.word, query.Query(request, "fields"), request.version)
        found = await deps.store.read(self.store.get, deps.sealer, _ident(request))
        return wire.ok(self._shown(request, found, names))

    @spec.tells("Change a template or runbook", answer=_ITEM, body=spec.PATCH)
    async def change(self, deps: Deps, request: wire.Request) -> wire.Answer:
        """PATCH of one."""
        query.Query(request)
        operations = patch.parse(request.json(), escapes=request.version >= 98)
        change = Change(self.store, self._roots(request.version), lambda body: self._make(body, request.version))
        patch.check_roots(operations, change.roots)
        await self._check_patch(deps, request, operations)
        found = await deps.store.run(service.change, deps, _ident(request), operations, change)
        return wire.ok(self._shown(request, found, None))

    @spec.tells("Forget a template or runbook", 204)
    async def destroy(self, deps: Deps, request: wire.Request) -> wire.Answer:
        """DELETE of one."""
        query.Query(request)
        found = await deps.store.read(self.store.get, deps.sealer, request.args["ident"])
        await deps.store.run(self.store.destroy, found.uuid)
        return wire.NO_CONTENT

    def _owned(self, _caller: wire.Caller, body: dict[str, Any]) -> dict[str, Any]:
        """The body of a new item with its owner, where items have one."""
        return body

    def _project(self, _caller: wire.Caller, _asked: str | None) -> str | None:
        """The project to which a list is narrowed."""
        return None

    async def _check_patch(self, deps: Deps, request: wire.Request, operations: tuple[patch.Operation, ...]) -> None:
        """Ask the rules of the fields that are patched, where fields have rules."""

    def _names(self, version: int) -> tuple[str, ...]:
        return versions.fields(self.word, version)

    def _roots(self, version: int) -> tuple[str, ...]:
        fixed = {"uuid", "created_at", "updated_at", "links", "traits"}
        hidden = ("description",) if self.word == "deploy_templates" else ()
        return (*(name for name in self._names(version) if name not in fixed), *hidden)

    def _shown(self, request: wire.Request, found: Any, names: tuple[str, ...] | None) -> dict[str, Any]:
        values: dict[str, Any] = msgspec.to_builtins(found)
        values["links"] = request.links(self.word, found.uuid)
        shown = {name: values[name] for name in names or self._names(request.version)}
        return secrets.split(shown, {})[0]


class Runbooks(Resource):
    """Runbooks have owners: projects make and change their own, and see public ones beside them."""

    def _owned(self, caller: wire.Caller, body: dict[str, Any]) -> dict[str, Any]:
        if caller.system:
            return body
        if body.get("owner") and body["owner"] != caller.project:
            raise errors.Invalid(
                "Cannot create a runbook as a project scoped admin with an owner other than your own project.",
                hint="Leave the owner out.",
            )
        if body.get("public"):
            raise errors.Invalid(
                "Cannot create a public runbook as a project scoped admin.", hint="Ask an administrator to publish it."
            )
        return {**body, "owner": caller.project}

    def _project(self, caller: wire.Caller, asked: str | None) -> str | None:
        return access.project_of_list(caller, "runbook", asked)

    async def _check_patch(self, deps: Deps, request: wire.Request, operations: tuple[patch.Operation, ...]) -> None:
        await access.require(
            deps, request.caller, "runbooks", request.args["ident"], *patch_rules.of_runbook(operations)
        )


def _ident(request: wire.Request) -> str:
    """The item of the path. Raises errors.Invalid for what can be neither a UUID nor a name."""
    found = request.args["ident"]
    if not ids.is_label(found):
        raise errors.Invalid(f"Expected UUID or name for ident: {found}")
    return found


class Change(msgspec.Struct, frozen=True):
    """What services/steplists.py needs to know of a resource to patch one of its items."""

    store: store.StepLists[Any]
    roots: tuple[str, ...]
    make: Callable[[dict[str, Any]], Any]


TEMPLATES = Resource("deploy_templates", store.TEMPLATES, service.template, service.TemplateDraft)
RUNBOOKS = Runbooks("runbooks", store.RUNBOOKS, service.runbook, service.RunbookDraft)


@spec.tells("The traits of a runbook", answer=spec.fields(traits=list[str]))
async def list_traits(deps: Deps, request: wire.Request) -> wire.Answer:
    """GET /v1/runbooks/{ident}/traits."""
    query.Query(request)
    found = await deps.store.read(store.RUNBOOKS.get, deps.sealer, request.args["ident"])
    return wire.ok({"traits": found.traits})


@spec.tells("Replace the traits of a runbook", 204, body=spec.fields(traits=list[str]))
async def replace_traits(deps: Deps, request: wire.Request) -> wire.Answer:
    """PUT /v1/runbooks/{ident}/traits."""
    query.Query(request)
    given: Any = request.object("body").get("traits")
    if not isinstance(given, list):
        raise errors.Invalid("Schema error for body: traits must be a list", hint='Send {"traits": [...]}.')
    wanted = [traits.check(one) for one in given]  # pyright: ignore[reportUnknownVariableType]  JSON
    await deps.store.run(service.set_traits, deps, request.args["ident"], wanted, None)
    return wire.NO_CONTENT


@spec.tells("Give a runbook a trait", 204)
async def add_trait(deps: Deps, request: wire.Request) -> wire.Answer:
    """PUT /v1/runbooks/{ident}/traits/{trait}."""
    query.Query(request)
    if body := ", ".join(repr(name) for name in request.object("trait")):
        raise errors.Invalid(
            f"Schema error for body: Additional properties are not allowed ({body} was unexpected)", hint="Send none."
        )
    trait = traits.check(request.args["trait"])
    await deps.store.run(service.set_traits, deps, request.args["ident"], [trait], set[str]())
    where = request.href("v1", "runbooks", request.args["ident"], "traits", trait)
    return wire.Answer(204, b"", ((b"location", where.encode()),))


@spec.tells("Take one trait, or all, from a runbook", 204)
async def remove_traits(deps: Deps, request: wire.Request) -> wire.Answer:
    """DELETE /v1/runbooks/{ident}/traits and .../{trait}; one that is not there is no error."""
    query.Query(request)
    trait = request.args.get("trait")
    await deps.store.run(service.set_traits, deps, request.args["ident"], [], None if trait is None else {trait})
    return wire.NO_CONTENT
