"""Which fields of a resource an answer shows: what the caller names, everything, or the short form of lists.

May not: know a resource beyond its row in versions.py. Invariant: a field the microversion hides is never named.
"""

from __future__ import annotations

from ingot.api import query, versions
from ingot.domain import errors

FIELDS_SINCE = 8
"""The microversion from which on the argument ``fields`` is known."""


def of_one(resource: str, asked: query.Query, version: int) -> tuple[str, ...]:
    """What one object shows: the argument ``fields``, else everything this microversion has."""
    return _chosen(resource, asked.words("fields"), version) or versions.fields(resource, version)


def of_list(
    resource: str, asked: query.Query, version: int, short: tuple[str, ...], *, detail: bool
) -> tuple[str, ...]:
    """What each object of a list shows; ``detail``: the path itself asks for everything. Raises errors.Invalid."""
    fields = asked.words("fields")
    detail = detail or bool(asked.flag("detail"))
    if fields is not None and detail:
        raise errors.Invalid("Can not specify ?detail=True and fields in the same request.")
    return _chosen(resource, fields, version) or (versions.fields(resource, version) if detail else short)


def repeated(
    asked: query.Query, short: tuple[str, ...] = (), *, detail: bool = False, version: int = versions.MAX
) -> dict[str, str | None]:
    """The arguments by which the next page shows the same fields.

    ``short``: what lists show unasked, where Ironic names that too, from the microversion on that takes it back;
    ``detail``: the path itself asks for everything.
    """
    short = short if version >= FIELDS_SINCE else ()
    whole = asked.flag("detail")
    fields = asked.words("fields") or (() if detail or whole else tuple(name for name in short if name != "links"))
    return {"fields": ",".join(fields) or None, "detail": "True" if whole else None}


def _chosen(resource: str, fields: tuple[str, ...] | None, version: int) -> tuple[str, ...] | None:
    if fields is None:
        return None
    versions.require(version, FIELDS_SINCE)
    versions.require_fields(resource, fields, version)
    return tuple(dict.fromkeys((*fields, "links")))
