"""Actions that go on after the answer: 202 with a task monitor.

Why: some BMCs do even a reset as a task, and only the task tells that it failed.
May not: wait longer than told. Invariant: returns only when the action is accepted and has not failed.
Source: DSP0266 section "Asynchronous operations".
"""

from __future__ import annotations

import asyncio
from typing import cast
from urllib.parse import urlsplit

from ingot.clients.http.client import Reply
from ingot.clients.redfish.client import RedfishPool
from ingot.clients.redfish.resources import Resource
from ingot.clients.redfish.target import Target
from ingot.domain import errors

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 4.0
FAILED = frozenset({"Exception", "Killed", "Cancelled", "Interrupted"})


async def run(pool: RedfishPool, target: Target, path: str, body: Resource, patience: float = 60.0) -> None:
    """Post an action and follow its task to the end, at most ``patience`` seconds.

    Raises ``errors.TimedOut``, ``errors.Misbehaved`` (the task failed), and what ``RedfishPool.post`` raises.
    """
    await follow(pool, target, await pool.post(target, path, body), patience)


async def follow(pool: RedfishPool, target: Target, reply: Reply, patience: float = 60.0) -> None:
    """Wait for the task that an answer may name, at most ``patience`` seconds. Raises as ``run``."""
    monitor = urlsplit(reply.headers.get("Location", "")).path
    if reply.status != 202 or not monitor:
        return
    ends, pause = asyncio.get_running_loop().time() + patience, FIRST_PAUSE
    while asyncio.get_running_loop().time() < ends:
        await asyncio.sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE)
        reply = await pool.send(target, "GET", monitor, accept=(404, 410))  # gone once it has been read
        if reply.status != 202 and _finished(reply):
            return
    raise errors.TimedOut(f"A task of {target.name} did not end in {patience:g} s.", hint="See the BMC's task list.")


def _finished(reply: Reply) -> bool:
    body = reply.json() if reply.status == 200 else None
    state = cast("Resource", body).get("TaskState") if isinstance(body, dict) else None
    if state in FAILED:
        raise errors.Misbehaved(f"A task of {reply.peer} ended as {state}.", hint="See the BMC's task list and log.")
    return state in (None, "Completed")
