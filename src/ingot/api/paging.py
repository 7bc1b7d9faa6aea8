"""The link to the next page of a list. Invariant: it exists exactly when the page is full."""

from __future__ import annotations

import urllib.parse
from collections.abc import Sequence
from typing import Any

import msgspec

from ingot.store.paging import Page


def add_next(
    body: dict[str, Any],
    url: str,
    page: Page,
    found: Sequence[dict[str, Any] | msgspec.Struct],
    extra: dict[str, str | None],
) -> dict[str, Any]:
    """``body`` with a link ``next`` when the page is full; ``extra``: arguments to repeat, None ones left out."""
    if len(found) == page.limit:
        last = found[-1]
        marker = last["uuid"] if isinstance(last, dict) else getattr(last, "uuid")  # noqa: B009 - any Struct with a uuid
        arguments = {
            "sort_key": page.sort_key,
            "sort_dir": "desc" if page.descending else "asc",
            **{name: value for name, value in extra.items() if value is not None},
            "limit": str(page.limit),
            "marker": marker,
        }
        body["next"] = f"{url}?{urllib.parse.urlencode(arguments, safe=',')}"
    return body
