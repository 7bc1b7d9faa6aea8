"""The link to the next page of a list. Invariant: it exists exactly when the page is full."""

from __future__ import annotations

import urllib.parse
from collections.abc import Sequence
from typing import Any

from ingot.store.paging import Page


def add_next(
    body: dict[str, Any],
    url: str,
    page: Page,
    uuids: Sequence[str],
    extra: dict[str, str | None],
) -> dict[str, Any]:
    """``body`` with a link ``next`` when the page is full; ``uuids``: of its items; ``extra``: arguments to repeat."""
    if len(uuids) == page.limit:
        arguments = {
            "sort_key": page.sort_key,
            "sort_dir": "desc" if page.descending else "asc",
            **{name: value for name, value in extra.items() if value is not None},
            "limit": str(page.limit),
            "marker": uuids[-1],
        }
        body["next"] = f"{url}?{urllib.parse.urlencode(arguments, safe=',')}"
    return body
