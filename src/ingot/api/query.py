"""The query string of a request, read argument by argument; whatever no handler asked for is refused.

May not: know a resource. Invariant: an argument is read or refused, never ignored.
"""

from __future__ import annotations

from ingot.api import wire
from ingot.domain import errors, ids, truth
from ingot.store.paging import Page

MAX_LIMIT = 1000
PAGING = ("limit", "marker", "sort_key", "sort_dir")


class Unexpected(errors.Refused):
    """Arguments were given that nobody reads here. ``allowed``: those that are."""

    def __init__(self, unknown: list[str], allowed: tuple[str, ...]) -> None:
        hint = f"Known here: {', '.join(allowed)}." if allowed else "This takes none."
        super().__init__(f"Unexpected arguments: {', '.join(unknown)}", hint=hint)
        self.allowed = allowed


class Query:
    """Arguments of one request. Raises errors.Invalid at once for names not in ``allowed`` and a ``limit`` in words."""

    def __init__(self, request: wire.Request, *allowed: str) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in request.query:
            self._values.setdefault(name, []).append(value)
        unknown = [name for name in self._values if name not in allowed]
        if unknown:
            raise Unexpected(unknown, allowed)
        self._limit = self._read_limit()

    def names(self) -> tuple[str, ...]:
        """The arguments given."""
        return tuple(self._values)

    def text(self, name: str) -> str | None:
        """One value, None when not given."""
        found = self._values.get(name)
        if found is None:
            return None
        if len(found) != 1:
            raise errors.Invalid(f"Expected one value for {name}: {found}"[:300], hint="Give it once.")
        return found[0]

    def flag(self, name: str) -> bool | None:
        """One truth value, None when not given."""
        found = self.text(name)
        return None if found is None else truth.read(name, found)

    def uuid(self, name: str) -> str | None:
        """One UUID, None when not given."""
        found = self.text(name)
        if found is not None and not ids.is_uuid(found):
            raise errors.Invalid(f"Expected UUID for {name}: {found}")
        return found

    def words(self, name: str) -> tuple[str, ...] | None:
        """A list, comma separated or repeated; None when not given."""
        found = self._values.get(name)
        if found is None:
            return None
        return tuple(word.strip() for text in found for word in text.split(",") if word.strip())

    def page(self, sortable: frozenset[str], *, by_uuid: bool = True) -> Page:
        """Which page of a list is asked for; ``sortable``: the keys it may be ordered by.

        ``by_uuid``: the marker is a UUID, else any text.
        """
        if self._limit <= 0:
            raise errors.Invalid("Limit must be positive")
        key = self.text("sort_key") or "id"
        if key != "id" and key not in sortable:
            raise errors.Invalid(
                f'The sort_key value "{key}" is an invalid field for sorting',
                hint=f"Sort by: {', '.join(sorted(sortable))}.",
            )
        given = self.text("sort_dir")
        direction = "asc" if given is None else given
        if direction not in {"asc", "desc"}:
            raise errors.Invalid(
                f"Invalid sort direction: {direction}. Acceptable values are 'asc' or 'desc'", hint="Use one of them."
            )
        marker = self.uuid("marker") if by_uuid else self.text("marker")
        return Page(limit=self._limit, marker=marker, sort_key=key, descending=direction == "desc")

    def _read_limit(self) -> int:
        text = self.text("limit")
        if text is None:
            return MAX_LIMIT
        try:
            limit = int(text)
        except ValueError as error:
            raise errors.Invalid(f"Expected an integer for limit: {text}") from error
        return min(limit, MAX_LIMIT)


def named(what: str, ident: str) -> str:
    """What names a ``what``: a UUID, in lower case, or a name. Raises errors.Invalid for what can be neither."""
    if ids.is_uuid(ident):
        return ident.lower()
    if not ids.is_name(ident):
        raise errors.Invalid(f"Expected UUID or name for {what}: {ident}")
    return ident


def required(request: wire.Request, name: str) -> object:
    """The one argument of a PUT, in its body or, as old clients do, in the query. Raises errors.Invalid."""
    asked = Query(request, name)
    body = {given: asked.text(given) for given in asked.names()} | request.object(name)
    unknown = sorted(set(body) - {name})
    if unknown:
        raise errors.Invalid(f"Unexpected arguments: {', '.join(unknown)}", hint=f"Known here: {name}.")
    if body.get(name) is None:
        raise errors.Invalid(f"Missing mandatory parameter: {name}", hint="Give it in the body.")
    return body[name]


def chosen_fields(
    request: wire.Request, short: tuple[str, ...], long: tuple[str, ...], *, since: int
) -> tuple[str, ...]:
    """Which fields a list shows: ``short``, those of ``?fields=``, or ``long`` with ``?detail=true``.

    The arguments exist from microversion 1.``since`` on. Raises errors.Invalid.
    """
    asked = Query(request, "detail", "fields")
    if asked.names() and request.version < since:
        raise errors.Invalid(f"Unexpected arguments: {', '.join(asked.names())}", hint=f"They need 1.{since}.")
    fields, detail = asked.words("fields"), asked.flag("detail")
    if fields is not None and detail:
        raise errors.Invalid("Can not specify ?detail=True and fields in the same request.")
    wrong = [name for name in fields or () if name not in {*long, "created_at", "updated_at", "links"}]
    if wrong:
        raise errors.Invalid(f'Field(s) "{", ".join(wrong)}" are not valid', hint=f"There are: {', '.join(long)}.")
    if fields is not None:
        return tuple(name for name in fields if name in long)
    return long if detail else short
