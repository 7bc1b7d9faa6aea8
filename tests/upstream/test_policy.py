"""Our table of rules against upstream's own policy engine: every rule, every kind of caller, every kind of object."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

import programs
from ingot.api import policy, wire
from ingot.domain import roles

pytestmark = [pytest.mark.slow, pytest.mark.peer, pytest.mark.timeout(300)]

CALLERS = [
    wire.Caller("x", roles.held(given), system=system, project=project)
    for system, project in ((True, None), (False, "p1"), (False, "p2"), (False, "p3"), (False, None))
    for given in ((), *((role,) for role in roles.ALL), ("member", "service"))
]
TARGETS = [
    None,
    policy.Tenancy("p1"),
    policy.Tenancy("p1", "p2"),
    policy.Tenancy("p1", "p1"),
    policy.Tenancy(None),
    policy.Tenancy(None, "p2"),
]
NOT_OURS = {
    # what existed before scopes did; upstream keeps it for old policy files
    *("admin_api", "public_api", "is_member", "is_observer", "is_admin"),
    *("is_node_owner", "is_node_lessee", "is_allocation_owner"),
    "baremetal:allocation:create_pre_rbac",
    # a part of other rules: who is elevated is found out when the caller is (api/auth.py)
    "service_role",
}
WIDER = {"baremetal:node:create": "create:self_owned_node", "baremetal:node:delete": "delete:self_owned_node"}
"""Where upstream asks a second rule after the first, and our table has both in one answer."""


@pytest.mark.parametrize("elevated", [None, "p3"])
async def test_every_rule_answers_as_upstream_does(elevated: str | None) -> None:
    theirs = await _upstream(elevated)
    callers = [
        replace(caller, elevated=caller.project == elevated and roles.SERVICE in caller.roles)
        if caller.project and elevated
        else caller
        for caller in CALLERS
    ]
    assert any(caller.elevated for caller in callers) == (elevated is not None)
    ours = {name for name in policy.TABLE if not name.startswith("ingot:")} - {"public"}
    assert ours == set(theirs) - NOT_OURS
    differing = [
        f"{rule} {sorted(caller.roles)} system={caller.system} project={caller.project} on {target}: ours {said}"
        for rule in sorted(ours)
        for caller, answers in zip(callers, _joined(theirs, rule), strict=True)
        for target, answer in zip(TARGETS, answers, strict=True)
        if (said := policy.allows(rule, caller, target)) != (answer == "y") and not _is_nobodys(caller, target)
    ]
    assert differing == []


def _joined(theirs: dict[str, list[str]], rule: str) -> list[str]:
    if rule not in WIDER:
        return theirs[rule]
    second = theirs[f"baremetal:node:{WIDER[rule]}"]
    return [
        "".join(max(pair) for pair in zip(one, other, strict=True))
        for one, other in zip(theirs[rule], second, strict=True)
    ]


def _is_nobodys(caller: wire.Caller, target: policy.Tenancy | None) -> bool:
    """Intended difference: upstream takes a caller without a project for the owner of what has no owner."""
    return caller.project is None and target is not None and target.owner is None


async def _upstream(elevated: str | None) -> dict[str, list[str]]:
    """Upstream's answers; ``elevated``: the project whose services are."""
    question: dict[str, Any] = {
        "callers": [{"roles": sorted(each.roles), "system": each.system, "project": each.project} for each in CALLERS],
        "targets": [None if each is None else msgspec.to_builtins(each) for each in TARGETS],
        "elevated": elevated,
    }
    script = Path(__file__).with_name("policy_answers.py")
    process = await asyncio.create_subprocess_exec(
        programs.upstream("python"),
        str(script),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(300):
        out, err = await process.communicate(json.dumps(question).encode())
    assert process.returncode == 0, err.decode()[-3000:]
    return json.loads(out)
