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
    Intended(
        r"^GET \S+/runbooks/",
        r"faultstring$",
        "The rule is named; upstream's sentence has a place for it and nothing there.",
        (403, 403),
    ),
    *(
        Intended(r"/runbooks\?project=", r".", "A project is named, as documented, not a truth value.", (400, status))
        for status in (200, 403)
    ),
    Intended(
        r"/v1/port(group)?s\?(node|portgroup)=",
        r".",
        "What a caller may not see is not found in a filter either; upstream's empty list tells that it is there.",
        (200, 404),
    ),
    *(
        Intended(
            r"/v1/nodes/\S+/volume ",
            r".",
            "Whoever may see a node's volumes finds the way to them; upstream asks as if the node were nobody's.",
            (403, status),
        )
        for status in (200, 404)
    ),
    Intended(
        r"^GET /v1/allocations(\?\S+)? .*'owner service'",
        r".",
        "Who may list allocations reads the list; upstream lets them, and refuses when there is one in it.",
        (403, 200),
    ),
    *(
        Intended(
            r"network_data|/states/(secure_boot|console|provision) |/inject_nmi |"
            r"^POST /v1/(nodes/\S+/vifs|chassis|deploy_templates|inspection_rules|events|nodes) ",
            r"^(status|body\.error_message\.faultstring)$",
            "Whose role is too low hears that before the body, or the node's state, is looked at.",
            (400, status),
        )
        for status in (403, 404)
    ),
    Intended(
        r"^(POST /v1/allocations|PATCH /v1/runbooks/|DELETE /v1/nodes/)",
        r"faultstring$",
        "Of the rules that refuse this the first is named.",
        (403, 403),
    ),
    Intended(r"/allocation ", r"faultstring$", "It is the node that is not found.", (404, 404)),
    Intended(r"/vendor_passthru/methods ", r"^body\.", "The methods of the fake hardware are ingot's own."),
)
