"""Where ingot answers otherwise than upstream on purpose: each case with its reason, and nothing else.

Invariant: an entry that no longer differs fails the test, so this list cannot grow stale.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from upstream.compare import Found


@dataclass(frozen=True)
class Intended:
    """``calls``: a pattern of "METHOD /path [version] body"; ``what``: a pattern of the differing part.

    ``statuses``: upstream's and ingot's, where only these are meant.
    """

    calls: str
    what: str
    reason: str
    statuses: tuple[int, int] | None = None

    def covers(self, found: Found) -> bool:
        """Whether this entry explains the difference."""
        if self.statuses not in {None, found.statuses}:
            return False
        return bool(re.search(self.calls, str(found.call)) and re.search(self.what, found.what))


INTENDED: tuple[Intended, ...] = (
    # the whole API
    Intended(
        r"^\w+ /",
        r"^header\.allow$",
        "Allow names the methods of this very path; upstream names those of its whole controller, or others.",
    ),
    *(
        Intended(
            r"^(PATCH|DELETE|POST|PUT) ",
            r".",
            "A method that a path does not take is 405; upstream's dispatch lets some reach another method's code.",
            (status, 405),
        )
        for status in (400, 404)
    ),
    *(
        Intended(
            r"^(PUT|PATCH|POST|DELETE|TRACE) /(v1)? ", r".", "The roots are read, with 405 for all else.", statuses
        )
        for statuses in ((200, 405), (405, 405))
    ),
    Intended(r"^OPTIONS /(v1)? ", r"^(header|body)", "OPTIONS is answered in one way, by the roots too.", (200, 200)),
    *(
        Intended(
            r"^BREW ",
            r".",
            "A word that is no HTTP method is 400 from the HTTP parser, before there is a request.",
            (status, 400),
        )
        for status in (200, 404, 405)
    ),
    Intended(
        r"^GET /v1/nodes// ", r".", "Slashes at the end of a path do not count, however many they are.", (400, 200)
    ),
    *(
        Intended(r"^\w+ ", r".", "As above; there its code fails.", (500, 405)),
        Intended(
            r"\?x=1 ", r".", "An argument that a path does not know is refused; there its code fails.", (500, 400)
        ),
        Intended(r"indicators\?x=1 ", r".", "An argument that a path does not know is refused.", (200, 400)),
    ),
    *(
        Intended(
            r"^\w+ \S+/(nothing|none|x|raid|management|shards/a) |^\w+ /v1/heartbeat ",
            r".",
            "A path that does not exist is 404; upstream's dispatch takes its end for an argument or method.",
            (status, 404),
        )
        for status in (400, 404, 405, 500)
    ),
    Intended(r"^GET // ?|^GET /(\.json)? ", r"^body\.description$", "The text says which service answers."),
    Intended(r"'Accept': '", r"^body\.error_message$", "Errors are JSON for clients that asked for HTML or text too."),
    Intended(
        r"^PUT /v1/nodes/\S+/maintenance ",
        r".",
        "A body that is no JSON object is refused; upstream ignores it where all of the body is optional.",
        (202, 400),
    ),
    Intended(
        r"^PATCH ",
        r"\.reservation$",
        "Upstream's answer to a change shows the lock that it takes for the change itself; ingot needs none.",
    ),
    *(
        Intended(
            rf'{method} .*conductor_group"(:|, "value":) "(here|group|a b|UPPER)"',
            r".",
            "A group that no conductor has is accepted: its conductor may come later, and work waits for it.",
            (400, status),
        )
        for method, status in (("^POST /v1/nodes", 201), (r"^PATCH /v1/nodes/\S+", 200))
    ),
    Intended(
        r'^POST /v1/nodes .*"owner": "them"',
        r".",
        "Without authentication everyone is an administrator of everything, not of a project that does not exist.",
        (400, 201),
    ),
    *(
        Intended(
            call,
            what,
            "Texts longer than their column are refused; only SQLite lets upstream keep them.",
            (status, 400),
        )
        for call, what, status in (
            (r'^POST /v1/nodes .*"(lessee|shard)": "x{200}', r".", 201),
            (r'^PATCH /v1/nodes/\S+ .*"/(owner|shard)", "value": "x{200}', r".", 200),
            (r'^POST /v1/nodes .*"owner": "x{200}', r"faultstring$", 400),
        )
    ),
    Intended(
        r'^POST /v1/nodes .*"(console_enabled|boot_mode)":',
        r".",
        "What only the machine tells cannot be set when a node is made; upstream takes three such fields.",
        (201, 400),
    ),
    Intended(
        r"^PATCH ",
        r"\.(retired|disable_power_off|is_smartnic)$",
        "A flag that was taken away is false again, not null.",
    ),
    Intended(r"description_contains=%25", r"^body\.nodes", "% is a letter in a search text, not a pattern."),
    Intended(
        r"sort_key=(conductor_affinity|version)", r".", "Columns that are no fields are no sort keys.", (200, 400)
    ),
    Intended(
        r"sort_key=name&sort_dir=desc&marker",
        r"^body\.(nodes|next)",
        "Nodes without a name are not lost on the page after a marker.",
    ),
    Intended(
        r"\?limit=1 \[1\.7\]",
        r"^body\.next$",
        "A link to the next page can be followed: it does not name an argument that begins with 1.8.",
    ),
    Intended(
        r"^GET /v1/(chassis|nodes|portgroups)/\S+/(nodes|ports|portgroups)(/detail)?\?limit",
        r"\.next$",
        "The next page of a part's list is of that part.",
    ),
    Intended(r"~1", r".", "Escapes in patch paths work from 1.98 on, as documented.", (400, 200)),
    # ports
    *(
        Intended(r"/v1/ports.*\Wname\W", r".", "A port has no name by which it could not be asked for.", (status, 400))
        for status in (200, 201)
    ),
    Intended(r"^DELETE /v1/ports/", r".", "There was no such port to begin with, as above.", (204, 404)),
    Intended(
        r"^GET /v1/(nodes/one|portgroups/bond0)/ports",
        r".",
        "What has a name may be named by its name here too.",
        (404, 200),
    ),
    Intended(r"^PATCH /v1/(ports|vol).*remove\W.*node_uuid", r".", "Nothing is left without its node.", (200, 400)),
    Intended(r"/portgroups/nothing ", r".", "A part of a node is not a collection.", (404, 400)),
    Intended(r"^PATCH .*inspection_rules.*/uuid", r".", "A uuid cannot be changed, whatever to.", (404, 400)),
    Intended(r"'Origin'", r"expose-headers$", "Pages may read the version headers, as upstream means them to."),
    Intended(
        r"Request-Method': '(HEAD|TRACE)'",
        r"^header\.(vary|access-control-)",
        "Pages may send GET, PUT, POST, DELETE and PATCH, as upstream means them to, and no more.",
    ),
    Intended(r"X-Forwarded-Port", r"href$", "The port that a proxy tells is believed too, where its host names none."),
    Intended(
        r"'Authorization': 'Bearer ",
        r"^(status|header.www-authenticate|body.error)",
        "Local users have tokens too, which come as bearer tokens.",
        (400, 401),
    ),
    Intended(
        r"/ports(/detail)?\?.*(address|conductor_groups)=",
        r"^body\.(ports|next)",
        "Filters that are given together all count; upstream drops some of them.",
        (200, 200),
    ),
    Intended(r"sort_key=node_id ", r".", "Columns that are no fields are no sort keys.", (200, 400)),
    # parts of nodes
    *(
        Intended(
            r"/(vmedia|inject_nmi|boot_device|indicators/\S+)/? ",
            what,
            "ingot's fake-hardware does more: it has drives, a lamp that can be set, an NMI and three boot devices.",
            statuses,
        )
        for what, *pairs in (
            (r".", (400, 200), (400, 204)),
            (r"^(body\.error_message|header\.allow)", (400, 400), (404, 404)),
        )
        for statuses in pairs
    ),
    Intended(r"/supported/? ", r"supported_boot_devices$", "As above."),
    *(
        Intended(
            r"/vifs",
            what,
            "With every network interface a vif that was attached is listed, takes a port and is once.",
            statuses,
        )
        for what, *pairs in (
            (r".", (204, 400), (204, 406), (204, 409)),
            (r"^body\.vifs", (200, 200)),
            (r"^(status|body\.error_message)", (400, 400), (500, 400)),
        )
        for statuses in pairs
    ),
    Intended(
        r"/firmware\?detail=true ", r".", "A truth value of a query is text; upstream wants a JSON value.", (400, 200)
    ),
    # states
    Intended(r"_steps", r".", "A step that lacks its interface or name is refused; there its code fails.", (500, 400)),
    Intended(
        r"runbook.: .x", r".", "Steps and a runbook together are refused whether or not there is one.", (404, 400)
    ),
    Intended(r"timeout.: 1.5", r".", "A timeout is a whole number of seconds.", (202, 400)),
    Intended(r"/console .*null", r".", "Null is neither true nor false.", (202, 400)),
    Intended(
        r"^\w+ ", r"\.(power_state|boot_mode|secure_boot)$", "The fake machine is in a known state from the beginning."
    ),
    Intended(r"/v1/nodes/", r"^body\.properties\.", "Inspection of the fake machine finds something."),
    Intended(r"/v1/nodes/", r"driver_info\.image_url$", "A URL shows no credentials, wherever it stands."),
    Intended(r"^PATCH ", r"\.last_error$", "A verb that is taken clears the last error; upstream's manage keeps it."),
    Intended(r"/states/console ", r"\.console_info\.", "The fake console has an address, and can be opened."),
    Intended(r"/v1/nodes/", r"\.image_type$", "What kind of image it is is found out anew each time."),
    # lists of steps
    Intended(r"^PATCH .*/steps/0/x", r".", "A step has no unknown keys, whatever way they came.", (200, 400)),
    Intended(r"/runbooks\?project=x", r".", "A project is named, as documented, not a truth value.", (400, 200)),
    # drivers
    Intended(r"/properties/? ", r"^body\.fake_", "The drivers' own keys of driver_info are ingot's."),
    Intended(r"logical_disk_properties", r"^body\.", "The texts that explain RAID keys are ingot's own."),
    # port groups, inspection rules
    Intended(
        r"^GET /v1/portgroups/a b ", r".", "What can be neither uuid nor name is refused by the resource.", (400, 400)
    ),
    Intended(
        r"^\w+ /v1/inspection_rules", r"(links\[\d\]\.href|\.next)$", "Links lead to the rule; upstream's lead nowhere."
    ),
    Intended(r"^PATCH .*parent_node.*000001\"", r".", "A node cannot be its own parent.", (200, 400)),
    Intended(r"/v1/nodes/", r"\.driver_internal_info\.", "What a conductor notes of its own work is its own."),
)
OPEN: tuple[Intended, ...] = ()
"""Known differences that nobody wants: each is to be mended, and then to be taken out of here."""
