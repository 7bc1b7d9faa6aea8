"""Where an error's sentence is not upstream's with something added: kinds of sentences, each with its reason.

What clients read of these texts: python-ironicclient, openstacksdk and metalsmith show them and decide by status alone;
Nova looks for the word InvalidImage in the answer to a request to deploy, which upstream's API never says.
Invariant: as in differences.py, an entry that no longer differs fails the test.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from upstream.compare import Found, Said


@dataclass(frozen=True)
class Worded:
    """``theirs`` and ``ours``: patterns of upstream's and ingot's sentence, from their beginning."""

    theirs: str
    ours: str
    reason: str

    def covers(self, found: Found) -> bool:
        """Whether this entry explains the difference."""
        if not isinstance(found.upstream, Said) or not isinstance(found.ingot, Said):
            return False
        return bool(re.match(self.theirs, found.upstream) and re.match(self.ours, found.ingot))


WORDED: tuple[Worded, ...] = (
    # what a schema says
    Worded(
        r"(Schema error|Invalid \w+:|RAID config validation error)",
        r"(Schema error|Invalid \w+:|RAID config validation error)",
        "One of several faults of a body, told with its place; upstream's checker names another one.",
    ),
    Worded(
        r"Schema error: .* (not a '(uuid|mac-address)'|not one of|not valid under any|not be valid)",
        r"(Expected (valid |a )?(UUID|MAC)|Nodes? .* found|Nodes cannot be|Invalid sort direction|The sort_key value)",
        "One sentence for each kind of argument, whether or not upstream checks that resource by a schema.",
    ),
    Worded(
        r"Schema error: .* is not one of",
        r"Field\(s\) \"\w+\" are not valid\. There are:",
        "Which fields there are is told in one form for all resources that are no nodes.",
    ),
    Worded(
        r"Schema error: (Additional properties|'m' is not of type)",
        r"(Unexpected arguments: detail\. They need 1\.|Invalid parameters for action)",
        "The argument is named.",
    ),
    Worded(r"Expected types <class", r"(Expected types|Invalid|Schema error for) ", "Nobody asks for types of Python."),
    Worded(
        r"(Cannot (create|update) \w+ with (invalid name|description)|Node \S+ Cannot change name to invalid)",
        r"Schema error for (node|patch):",
        "What is no text, or too long, is no matter of names.",
    ),
    Worded(
        r"(Expected string for \w+: 1|The requested action \"[nN]one\"|Invalid (\w+|boot mode) None requested)",
        r"(There is no power action|Missing mandatory parameter: target|A non-empty|Invalid boot mode)",
        "A target that is none is told as such, with the words there are.",
    ),
    Worded(
        r"(Missing mandatory parameter: target|Unexpected arguments: (a|driver|\{))",
        r"(Schema error for (power|provision)|The request body is not valid JSON|Missing mandatory|No valid host)",
        "A body that cannot be read is not taken for an empty one, and JSON is read whatever its media type says.",
    ),
    # microversions
    Worded(
        r"(The API (is not supported for|version does not allow)|This endpoint is supported|Resource could not)",
        r"The API version does not allow this\. It begins with 1\.\d+",
        "One sentence for all resources, which tells the version to ask for.",
    ),
    Worded(
        r"(disable_ramdisk|instance_name) is not acceptable in this API version",
        r"Request not acceptable\. The minimal required API version should be 1\.",
        "As for all other fields.",
    ),
    Worded(r"Invalid (detail|query parameter)", r"Invalid query parameter \?detail=True", "It is the argument."),
    Worded(
        r"(Agent did not transmit a version|Fields \"agent_status\")",
        r"(Invalid or missing agent token|Field \"\w+\" not recognised)",
        "The token is judged first; a field that is too new is named by itself.",
    ),
    # names and uuids
    Worded(r"Expected UUID or name for \w+", r"Expected UUID or name for (node|ident):", "The text is what counts."),
    Worded(r"Expected a UUID for node_uuid", r"Expected UUID for node_uuid", "As everywhere else."),
    Worded(
        r"(Expected a logical name or UUID|Portgroup [Nn]one could|Node None could|Unable to apply the requested)",
        r"(Missing mandatory parameter: node|Node .*could not be found|A node needs|Expected UUID for portgroup_uuid)",
        "What was given, and as what, is told.",
    ),
    Worded(r"A port with UUID", r"A port with name", "What is taken is the name, not the UUID."),
    Worded(r"The word \"\w+\" is reserved", r"Cannot create node with invalid name '\w+'", "As for other names."),
    Worded(r"Expected an integer for (limit|timeout)", r"(Expected one value for limit|timeout has to be)", "Told."),
    # patches
    Worded(
        r"(Adding a new attribute|Cannot overwrite UUID|Couldn't apply patch)",
        r"Cannot patch /\w+\. Only the following can be updated",
        "Which fields can be changed is told in one form for all resources.",
    ),
    Worded(
        r"Couldn't apply patch .* Reason: (can't|invalid array|Cannot apply|Document|'x' is not|member '\w+' not)",
        r"Couldn't apply patch .* Reason: ('\S+' is not an index|there is nothing below|member '\w+' not found)",
        "What stands there is not told, it may be a password, and Python's types are nobody's business.",
    ),
    # what a node lacks for a verb
    Worded(
        r"Failed to validate deploy or power info for node \S+: Node \S+ failed to validate deploy image info",
        r"Failed to validate deploy or power info for node \S+: Cannot validate image",
        "What is missing is told in words, and how to set it.",
    ),
    Worded(
        r"Failed to validate deploy .* Validation of deploy steps from",
        r"Failed to validate deploy .* Validation of deploy steps failed: deploy step deploy on interface deploy is",
        "Templates and the request are told in one sentence, with a blank before its second half.",
    ),
    # single ones
    Worded(r"A single (node|runbook) trait may be", r"Schema error for body", "The missing field is named."),
    Worded(r"Can't fetch a subset of fields", r"Can not specify \?detail=True and fields", "As for other resources."),
    Worded(
        r"Cannot create a runbook as a project", r"There cannot be an owner for a public", "The contradiction is told."
    ),
    Worded(
        r"Driver fake-hardware does not support console", r"The console interface \"no-console\"", "The cause is told."
    ),
    Worded(r"No valid host was found\. .* conductor group \"x", r"Schema error for node", "No such group can be."),
    Worded(r"Schema error for port: ", r"Malformed request URI", "A part of a node is not made there."),
    Worded(r"The driver 'none' is unknown", r"Could not find the following driver", "As for the driver itself."),
    Worded(r"The following properties for node", r"The following properties should", "The node has no name yet."),
    Worded(r"Node is in %\(state\)s", r"Node \S+ is in .* so its boot mode", "The state is told, not a gap for it."),
    Worded(r"Can not delete node \S+ while it is", r"Can not delete node \S+ while it is", "The states in one order."),
    Worded(r"clean step '\S+' is not allowed", r"clean step '\S+' is not allowed", "That is no setting here."),
)
