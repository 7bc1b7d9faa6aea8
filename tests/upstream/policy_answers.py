"""What upstream's own policy engine says; run by upstream's Python, questions as JSON on standard input.

In: {"callers": [{"roles", "system", "project"}], "targets": [{owner, lessee} or null], "elevated": the name of the
project whose services are, or null}; out: rule -> one text for each caller, a letter for each target: "y" or "n". The
engine is asked as upstream's API asks it, with its defaults and no policy file.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from ironic.common import context, exception, policy
from ironic.conf import CONF
from oslo_policy import policy as oslo_policy


def main() -> None:
    """Answer and end."""
    asked = json.load(sys.stdin)
    CONF([], project="ironic", default_config_files=[])
    CONF.set_override("auth_strategy", "keystone")
    CONF.set_override("rbac_service_role_elevated_access", asked["elevated"] is not None)
    CONF.set_override("rbac_service_project_name", asked["elevated"])
    answers = {
        rule.name: [
            "".join(_ask(rule.name, caller, target) for target in asked["targets"]) for caller in asked["callers"]
        ]
        for rule in policy.list_policies()
    }
    json.dump(answers, sys.stdout)


def _ask(rule: str, caller: dict[str, Any], target: dict[str, Any] | None) -> str:
    who = context.RequestContext(
        roles=caller["roles"],
        system_scope="all" if caller["system"] else None,
        project_id=caller["project"],
        project_name=caller["project"],
        overwrite=False,
    )
    about = dict(who.to_policy_values())
    if target is not None:
        for kind in ("node", "allocation", "runbook"):
            about[f"{kind}.owner"] = target["owner"]
        if target["lessee"]:
            about["node.lessee"] = target["lessee"]
    try:
        policy.authorize(rule, about, who)
    except (exception.HTTPForbidden, oslo_policy.InvalidScope):
        return "n"
    return "y"


if __name__ == "__main__":
    main()
