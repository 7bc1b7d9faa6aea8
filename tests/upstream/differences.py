"""Where ingot answers otherwise than upstream on purpose: each case with its reason, and nothing else.

Invariant: an entry that no longer differs fails the test, so this list cannot grow stale.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from upstream.compare import Found


@dataclass(frozen=True)
class Intended:
    """``calls``: a pattern of "METHOD /path [version] body"; ``what``: a pattern of the differing part."""

    calls: str
    what: str
    reason: str

    def covers(self, found: Found) -> bool:
        """Whether this entry explains the difference."""
        return bool(re.search(self.calls, str(found.call)) and re.search(self.what, found.what))


INTENDED: tuple[Intended, ...] = (
    # the whole API
    Intended(
        r"^\w+ /",
        r"^header\.allow$",
        "Allow names the methods of this very path; upstream names those of its whole controller, or others.",
    ),
    Intended(
        r"^(PATCH|DELETE) /v1/nodes/?( |$)|^POST /v1/nodes/\S|^(PATCH|DELETE) /v1/nodes/detail",
        r".",
        "A method that a path does not take is 405; upstream's object dispatch lets some reach another method's code.",
    ),
    Intended(r"^(PUT|PATCH|POST|DELETE|TRACE|OPTIONS) /(v1)? ", r".", "The roots are read, with 405 for all else."),
    Intended(r"^BREW ", r".", "A word that is no HTTP method is 400 from the HTTP parser, before there is a request."),
    Intended(r"^GET /[^?]*//", r".", "Slashes at the end of a path do not count, however many they are."),
    Intended(r"^GET /v1/nodes/\S+/nothing ", r".", "A path that does not exist is 404, not a wrong value of fields."),
    Intended(r"^GET // ?|^GET / ", r"^body\.description$", "The text says which service answers."),
    Intended(r"'Accept': '", r"^body\.error_message$", "Errors are JSON for clients that asked for HTML or text too."),
    Intended(
        r"^GET /v1/nodes/wire\.json ",
        r".",
        "Below 1.91 a suffix .json is cut off, as documented; upstream then also tries the name with it.",
    ),
    Intended(
        r"^PUT /v1/nodes/\S+/maintenance ",
        r".",
        "A body that is no JSON object is refused; upstream ignores it where all of the body is optional.",
    ),
    Intended(
        r"^PATCH ",
        r"\.reservation$",
        "Upstream's answer to a change shows the lock that it takes for the change itself; ingot needs none.",
    ),
    Intended(
        r"^(POST /v1/nodes |PATCH ).*conductor_group\W.*(here|group|a b|UPPER)",
        r".",
        "A group that no conductor has is accepted: ingot's conductors work on the nodes of every group.",
    ),
    Intended(
        r"^POST /v1/nodes .*.owner.: .them",
        r".",
        "Without authentication everyone is an administrator of everything, not of a project that does not exist.",
    ),
    Intended(
        r'"(lessee|shard|owner)":? ?(, "value": )?"?x{200}|/(owner|shard)", "value": "x{200}',
        r".",
        "Texts longer than their column are refused; only SQLite lets upstream keep them.",
    ),
    Intended(
        r"^POST /v1/nodes .*(console_enabled|boot_mode)",
        r".",
        "What only the machine tells cannot be set when a node is made; upstream takes three such fields.",
    ),
    Intended(r"^DELETE /v1/nodes/\S+/x ", r"header|body", "A path that does not exist has one form of 404."),
    Intended(r"^PATCH ", r"\.(retired|disable_power_off)$", "A flag that was taken away is false again, not null."),
    Intended(r"description_contains=%25", r".", "% is a letter in a search text, not a pattern."),
    Intended(r"sort_key=(conductor_affinity|version)", r".", "Columns that are no fields are no sort keys."),
    Intended(
        r"sort_key=name&sort_dir=desc&marker", r".", "Nodes without a name are not lost on the page after a marker."
    ),
    Intended(r"^GET /v1/chassis/\S+/nodes\?limit", r"\.next$", "The next page of a chassis' nodes is of that chassis."),
    Intended(r"~1", r".", "Escapes in patch paths work from 1.98 on, as documented."),
    Intended(r"^PATCH .*parent_node.*000001\"", r".", "A node cannot be its own parent."),
)
OPEN: tuple[Intended, ...] = (
    Intended(
        r"^GET /v1/? ",
        r"^body\.(portgroups|volume|allocations|events|inspection_rules|shards)$",
        "Resources that are being built.",
    ),
)
"""Known differences that nobody wants: each is to be mended, and then to be taken out of here."""
