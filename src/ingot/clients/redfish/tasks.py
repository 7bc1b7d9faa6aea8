"""Actions that go on after the answer: 202 with a task monitor.

Why: some BMCs do even a reset as a task, and only the task tells that it failed.
May not: wait longer than told. Invariant: an action is called done only when its task has not failed.
Source: DSP0266 section "Asynchronous operations".
"""

from __future__ import annotations

import asyncio
from typing import cast

import msgspec

from ingot.clients.http.client import Reply
from ingot.clients.redfish import complaints
from ingot.clients.redfish.client import RedfishPool
from ingot.clients.redfish.resources import Resource, items, link, number, part, path_in, path_of, path_on, text
from ingot.clients.redfish.target import Target
from ingot.domain import errors

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 4.0
FAILED = frozenset({"Exception", "Killed", "Cancelled", "Interrupted"})
_STUMBLES = (500, 502, 504)
WAITING = frozenset({"New", "Pending", "Starting", "Suspended"})


class Progress(msgspec.Struct, frozen=True):
    """How a task goes: ``waiting``: it does nothing yet, perhaps until the machine restarts; percent None: not told."""

    done: bool
    waiting: bool = False
    percent: float | None = None


async def run(pool: RedfishPool, target: Target, path: str, body: Resource, patience: float = 60.0) -> None:
    """Post an action and follow its task to the end, at most ``patience`` seconds.

    Raises ``errors.TimedOut``, ``errors.Misbehaved`` (the task failed), and what ``RedfishPool.post`` raises.
    """
    await follow(pool, target, await pool.post(target, path, body), patience)


async def follow(pool: RedfishPool, target: Target, reply: Reply, patience: float = 60.0) -> None:
    """Wait for the task that an answer may name, at most ``patience`` seconds. Raises as ``run``."""
    monitor = monitor_of(reply)
    if monitor is None:
        return
    ends, pause = asyncio.get_running_loop().time() + patience, FIRST_PAUSE
    while asyncio.get_running_loop().time() < ends:
        await asyncio.sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE)
        if (await look(pool, target, monitor)).done:
            return
    raise errors.TimedOut(f"A task of {target.name} did not end in {patience:g} s.", hint="See the BMC's task list.")


async def list_paths(pool: RedfishPool, target: Target) -> list[str]:
    """Every task of its own that the service shows; empty without a task service. Raises as ``RedfishPool.get``."""
    root = await pool.get(target, target.root)
    service = link(root, "Tasks")  # the root names the task service so (DSP0268 ServiceRoot)
    tasks = link(await pool.get(target, service), "Tasks") if service else None
    members = [] if tasks is None else await pool.list_members(target, tasks)
    return [path for one in members if (path := path_on(target.origin, path_in(one)))]


async def find_begun(pool: RedfishPool, target: Target, before: list[str], order: str) -> str | None:
    """The task that a POST to ``order`` has begun since the service had those of ``before``, if there is one.

    For an order whose answer was lost, by a connection that broke or a process that died: it must not be given twice.
    """
    for path in await list_paths(pool, target):
        if path not in before:
            task = await pool.get(target, path)
            posted = text(part(task, "Payload"), "TargetUri")
            if posted is None or path_of(posted) == order:  # some tell a URL, and by a host name of their own
                return path_on(target.origin, text(task, "TaskMonitor")) or path
    return None


def monitor_of(reply: Reply) -> str | None:
    """Where the task that an answer began is looked at; None when the action was done with the answer."""
    if reply.status != 202:
        return None
    told = reply.headers.get("Location") or text(_body(reply), "TaskMonitor")
    return path_of(told) if told else None


async def look(pool: RedfishPool, target: Target, monitor: str) -> Progress:
    """How the task at ``monitor`` goes; one that is gone is done: BMCs forget tasks once read, or at a restart.

    Raises ``errors.Misbehaved`` with the task's own words when it failed, ``errors.Unreachable`` for an error of the
    service instead of an answer, and what ``RedfishPool.get`` raises.
    """
    reply = await pool.send(target, "GET", monitor, accept=(404, 410, *_STUMBLES))
    if reply.status in _STUMBLES:  # of a task that failed its own words tell; a BMC that restarts just cannot show it
        raise errors.Unreachable(complaints.failure(reply, f"GET {monitor}").message, hint="Look at the BMC's log.")
    if reply.status in (404, 410, 204):
        return Progress(done=True)
    body = _body(reply)
    state = text(body, "TaskState")
    if state in FAILED:
        words = "; ".join(text(one, "Message") or "" for one in items(body, "Messages") if text(one, "Message"))
        said = complaints.without_urls(words)[: complaints.LONGEST].rstrip(".")
        raise errors.Misbehaved(
            f"A task of {reply.peer} ended as {state}" + (f": {said}." if said else "."),
            hint="See the BMC's task list and log.",
        )
    done = state == "Completed" or (reply.status == 200 and state is None)
    return Progress(done, state in WAITING, number(body, "PercentComplete"))


def _body(reply: Reply) -> Resource:
    body = reply.json() if reply.body else None
    return cast("Resource", body) if isinstance(body, dict) else {}
