"""What a lawful trait is. Pure. Invariant: a name that passes here may be stored on a node or a runbook."""

from __future__ import annotations

import re
from typing import Any

from ingot.domain import errors

MOST = 50
"""Traits that one node may have."""
# Standard traits are words of the public list (HW_, COMPUTE_, MISC_ ...); its prefixes are what is checked.
_FORM = re.compile(r"^(CUSTOM|HW|COMPUTE|STORAGE|MISC|HARDWARE|OWNER|MAGIC)_[A-Z0-9_]+$")


def check(trait: Any) -> str:
    """The trait when its form is lawful. Raises errors.Invalid."""
    if not isinstance(trait, str) or len(trait) > 255 or not _FORM.fullmatch(trait):
        shown = repr(str(trait)[:80])
        raise errors.Invalid(
            f"Schema error for trait: {shown} is not valid under any of the given schemas. Possible root cause: "
            f"{shown} does not match '^CUSTOM_[A-Z0-9_]+$'",
            hint="Write it like CUSTOM_GPU, or take a standard one; 255 letters at most.",
        )
    return trait
