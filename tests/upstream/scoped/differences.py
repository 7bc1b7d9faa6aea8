"""Where ingot answers callers of some scope otherwise than upstream on purpose: each case with its reason.

Invariant: an entry that no longer differs fails the test, so this list cannot grow stale.
"""

from __future__ import annotations

from upstream.differences import Intended

INTENDED: tuple[Intended, ...] = (
    Intended(
        r"^\w+ /v1",
        r"^(status|body\.error_message\.fault)",
        "A token whose scope a rule does not take is refused; upstream's code fails on it.",
        (500, 403),
    ),
    Intended(
        r"'(nowhere|domain admin)'",
        r"faultstring$",
        "Who may list nothing at all is told the rule of what is theirs, not of everything.",
        (403, 403),
    ),
)
