"""Customers of a cloud that is being harmed: they deploy and release their machines again and again, and keep books.

Why: whether something was lost is decided by who asked for it. May not: know what harms the service.
Invariant: an order is in the books once it is done, and is asked again only when the node shows that it never arrived.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections import Counter
from typing import Any

import aiohttp
from cloud import LANES, Cloud

GOALS = {"manage": "manageable", "provide": "available", "active": "active", "deleted": "available"}
DESTROYS = {"provide": "erase", "deleted": "erase", "active": "write"}
"""What an order does to a disk, once."""
EFFECTS = {"erase": {"erase_devices_metadata"}, "write": {"write_image", "image written"}}
"""How the machines call it. (Imaginary ones say that erasing twice is as good as once, so that is not counted.)"""


@dataclasses.dataclass
class Customer:
    """One machine's: what is asked of it now, what was done so far, what went wrong."""

    name: str
    order: str = "manage"
    rested: str = "enroll"
    since: float = dataclasses.field(default_factory=time.monotonic)
    done: Counter[str] = dataclasses.field(default_factory=Counter[str])
    complaint: str = ""
    idle: bool = False


class Customers:
    """All of them; ``run`` until ``closing`` is set and every order has its end."""

    def __init__(self, cloud: Cloud, patience: float) -> None:
        self._cloud, self._patience = cloud, patience
        self.all = {name: Customer(name) for name in cloud.names}
        self.closing = asyncio.Event()
        self.working = asyncio.Event()
        self.refusals: Counter[str] = Counter()

    async def run(self) -> None:
        """Look and ask until all are served, or one has waited longer than patience after the end of all harm."""
        closed: float | None = None
        while not all(one.idle or one.complaint for one in self.all.values()):
            if self.closing.is_set() and closed is None:
                closed = time.monotonic()
            if closed is not None and time.monotonic() - closed > self._patience:
                break
            try:
                seen = await self._cloud.look()
            except (aiohttp.ClientError, TimeoutError):
                await asyncio.sleep(0.2)
                continue
            waiting = iter([one for one in seen if one["name"] in self.all and self._serve(one)])
            await asyncio.gather(*(self._lane(waiting) for _ in range(LANES)))
            await asyncio.sleep(0.5)

    def _serve(self, node: dict[str, Any]) -> bool:
        """Write down what has become of the node; whether something is to be asked of it."""
        one, state = self.all[node["name"]], node["provision_state"]
        if one.complaint or one.idle:
            return False
        if node["last_error"] or state.endswith("failed") or state == "error":
            one.complaint = f"{one.order}: {state}: {node['last_error']}"
            return False
        if node["reservation"] is not None:
            return False
        if state == GOALS[one.order] and state != one.rested:
            self._finish(one, state)
        return state == one.rested and not one.idle

    def _finish(self, one: Customer, state: str) -> None:
        one.done[one.order] += 1
        one.rested, one.since = state, time.monotonic()
        if one.order != "manage":
            self.working.set()
        one.idle = self.closing.is_set() and state == "available"
        one.order = {"manageable": "provide", "available": "active", "active": "deleted"}[state]

    async def _lane(self, waiting: Any) -> None:
        for node in waiting:
            one = self.all[node["name"]]
            path, body = f"/v1/nodes/{one.name}/states/provision", {"target": one.order}
            try:
                await self._cloud.call("PUT", path, body)
            except aiohttp.ClientResponseError as error:
                self.refusals[f"{error.status} {error.message}"[:160].replace(node["uuid"], "UUID")] += 1
            except (aiohttp.ClientError, TimeoutError):
                return  # the service is gone: what it took shows in the next look

    def verdict(self) -> dict[str, Any]:
        """Lost, stuck and doubled orders, and the books they come from."""
        seen = self._cloud.effects()
        twice: list[str] = []
        missing: list[str] = []
        for one in self.all.values():
            for what, kinds in EFFECTS.items():
                if what == "erase" and one.name.startswith("fake"):
                    continue
                wanted = sum(count for order, count in one.done.items() if DESTROYS.get(order) == what)
                found = sum(seen[one.name, kind] for kind in kinds)
                told = f"{one.name}: {what} {found} times for {wanted} orders"
                if found > wanted and not one.complaint and one.idle:
                    twice.append(told)
                if found < wanted:
                    missing.append(told)
        lost = [f"{one.name}: {one.complaint}" for one in self.all.values() if one.complaint]
        stuck = [f"{one.name}: {one.order}" for one in self.all.values() if not one.idle and not one.complaint]
        done: Counter[str] = sum((one.done for one in self.all.values()), Counter())
        return {"done": dict(done), "lost": lost, "stuck": stuck, "twice": twice, "missing": missing}
