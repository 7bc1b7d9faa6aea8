"""The live stream: read by a plain HTTP client over a real socket, while the real store changes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import resource
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from sqlalchemy import Connection, text

from ingot.api import feed
from ingot.domain import ids, node, roles, runs
from ingot.store import claims as claim_store
from ingot.store import events, history, journals, nodes, triggers
from ingot.store import runs as run_store
from ingot.store.schema import metadata

if TYPE_CHECKING:
    from tests.api.conftest import Api

    from ingot.deps import Deps


@dataclass
class Message:
    id: int
    event: str
    data: dict[str, Any]


class Stream:
    """Server-sent events as the standard says to read them."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self.answer = answer

    async def next(self, seconds: float = 5.0) -> Message:
        fields: dict[str, str] = {}
        async with asyncio.timeout(seconds):
            while True:
                line = (await self.answer.content.readline()).decode()
                assert line, "the stream ended"
                name, _, value = line.rstrip("\n").partition(": ")
                if line == "\n" and "event" in fields:
                    return Message(int(fields["id"]), fields["event"], json.loads(fields["data"]))
                fields[name] = value

    async def until(self, event: str) -> list[Message]:
        found = [await self.next()]
        while found[-1].event != event:
            found.append(await self.next())
        return found


@asynccontextmanager
async def listening(api: Api, query: str = "", **headers: str) -> AsyncGenerator[Stream]:
    async with api.session.get(f"{api.url}/ingot/v1/events{query}", headers=headers) as answer:
        assert (answer.status, answer.headers["Content-Type"]) == (200, "text/event-stream")
        yield Stream(answer)


async def test_a_run_is_told_from_its_beginning_to_its_end(api: Api) -> None:
    made = await api.node(name="n1")
    store = api.deps.store
    async with listening(api) as stream:
        begun = await stream.next()
        assert begun.event == "begin"
        await api.call("PUT", "/v1/nodes/n1/states/provision", {"target": "manage"})
        [lease] = await store.run(claim_store.claim, "here/1", api.deps.clock() + 1, 60.0, 1)
        await store.run(run_store.change, lease, plan=[runs.PlannedStep("power", "validate")])
        await store.run(journals.append, lease, runs.Entry(1, 0, runs.Mark.STARTED, 1.0))
        await store.run(run_store.change, lease, progress={"done": 1, "total": 2, "phase": "x"})
        wait = runs.Wait("the ramdisk", 1.0, 2.0, why="no DHCP request seen")
        await store.run(run_store.park, lease, wait, 2.0)
        [lease] = await store.run(claim_store.claim, "here/1", api.deps.clock() + 1, 60.0, 1)
        await store.run(run_store.finish, lease, runs.Status.FAILED, "it burns", 3.0)
        told = await stream.until("run.ended")
    assert [one.id for one in told] == list(range(begun.id + 1, begun.id + 1 + len(told)))
    assert {one.data["node"] for one in told} == {made["uuid"]}
    by_kind = {one.event: one.data for one in told}
    assert by_kind["node.changed"]["provision_state"] == "verifying"
    assert by_kind["run.started"]["run_kind"] == "verify"
    assert (by_kind["run.step"]["step"], by_kind["run.step"]["mark"]) == ("power.validate", "started")
    assert by_kind["run.progress"]["progress"] == {"done": 1, "total": 2, "phase": "x"}
    assert by_kind["run.waiting"]["wait"]["why"] == "no DHCP request seen"
    assert (by_kind["run.ended"]["status"], by_kind["run.ended"]["reason"]) == ("failed", "it burns")
    assert set(by_kind) - {"history.added"} == set(events.KINDS) - {"node.created", "node.deleted", "history.added"}


async def test_whoever_comes_back_misses_nothing(api: Api) -> None:
    async with listening(api) as stream:
        await stream.next()
        await api.node(name="n1")
        seen = await stream.next()
    await api.node(name="n2")
    await api.call("DELETE", "/v1/nodes/n1")
    async with listening(api, **{"Last-Event-ID": str(seen.id)}) as stream:
        assert (await stream.next()).event == "begin"
        missed = [await stream.next(), await stream.next()]
        assert [(one.event, one.data["name"]) for one in missed] == [("node.created", "n2"), ("node.deleted", "n1")]
        await api.node(name="n3")
        assert (await stream.next()).data["name"] == "n3"
    async with listening(api, f"?after={missed[-1].id}&kind=node.deleted,run") as stream:
        assert (await stream.next()).event == "begin"
        await api.call("DELETE", "/v1/nodes/n2")
        assert (await stream.next()).data["name"] == "n2", "n3 was of another kind"


async def test_what_is_not_kept_any_more_is_said(api: Api, deps: Deps) -> None:
    for name in ("n1", "n2"):
        await api.node(name=name)
    oldest = metadata.tables["events"].delete().where(metadata.tables["events"].c.id < 2)
    await deps.store.run(lambda connection: connection.execute(oldest))
    for last, why in (("0", "are not kept any more"), ("99999", "There is no event 99999 yet")):
        async with listening(api, **{"Last-Event-ID": last}) as stream:
            lost = await stream.next()
            assert (lost.event, lost.id) == ("lost", 2)
            assert why in lost.data["reason"]
            assert "List what you follow again" in lost.data["reason"]
            await api.node(name=f"after-{last}")
            assert (await stream.next()).data["name"] == f"after-{last}"
            await api.call("DELETE", f"/v1/nodes/after-{last}")
            await deps.store.run(lambda connection: connection.execute(metadata.tables["events"].delete()))
            await deps.store.run(lambda connection: connection.exec_driver_sql("UPDATE sqlite_sequence SET seq = 1"))
            await api.call("PATCH", "/v1/nodes/n1", [{"op": "replace", "path": "/name", "value": f"x{last}"}])


async def test_the_journal_is_bounded(deps: Deps) -> None:
    table = metadata.tables["events"]
    row = {"at": 1.0, "kind": "node.changed", "node_uuid": ids.new(), "body": "{}"}
    many = triggers.KEPT + 2_000

    def fill(connection: Any) -> None:
        connection.execute(table.insert(), [row] * many)

    await deps.store.run(fill)
    oldest, newest = await deps.store.read(events.bounds)
    assert newest == many
    assert triggers.KEPT <= newest - oldest + 1 <= triggers.KEPT + 500


def caller(*given: str, project: str | None = None) -> Any:
    from ingot.api import wire

    return wire.Caller("somebody", roles.held(given), system=project is None, project=project)


async def test_everybody_sees_their_own_nodes_alone(api: Api, deps: Deps) -> None:
    """Through the handler's own door, with callers of several kinds (policy.py has the rules)."""
    wish = feed.Wish(last=0)
    await api.node(name="before")
    mine = await api.node(name="mine", owner="p1", lessee="p2")
    await deps.store.run(nodes.change, mine["uuid"], last_error="a secret place")
    await deps.store.run(history.add, mine["uuid"], "something happened")
    await api.node(name="end-1", owner="p1", lessee="p2")
    await api.node(name="end-2", owner="p3")
    seen: dict[str, list[tuple[str, Any]]] = {}
    people = {
        "system": caller("reader"),
        "owner": caller("reader", project="p1"),
        "lessee": caller("reader", project="p2"),
        "stranger": caller("admin", project="p3"),
    }
    for name, who in people.items():
        seen[name] = []
        items = await deps.bus.call("follow", caller=who, wish=wish)
        async for item in items:
            if not isinstance(item, events.Event):
                continue
            body = json.loads(item.body)
            if str(body.get("name")).startswith("end-"):
                break
            seen[name].append((item.kind, body.get("last_error")))
        await items.aclose()
    own = [("node.created", None), ("node.changed", "a secret place")]
    assert seen["system"] == [("node.created", None), *own, ("history.added", None)]
    assert seen["owner"] == [*own, ("history.added", None)]
    assert seen["lessee"] == [("node.created", None), ("node.changed", None)], "neither history nor last_error"
    assert seen["stranger"] == []


async def test_a_listener_that_does_not_read_is_cut_off_and_delays_nobody(deps: Deps) -> None:
    one = feed.Listener(caller("reader"), feed.Wish())
    row = events.Event(0, 1.0, "node.changed", ids.new(), None, None, "{}")
    for number in range(1, feed.QUEUE + 2):
        one.offer(replace_id(row, number))
    notice = await one.next()
    assert isinstance(notice, feed.Notice)
    assert (notice.word, notice.id) == ("cut", 0)
    assert "too slowly" in notice.reason


def replace_id(event: events.Event, number: int) -> events.Event:
    import msgspec

    return msgspec.structs.replace(event, id=number)


async def test_a_stopping_service_sends_its_listeners_away(api: Api, deps: Deps) -> None:
    feeding = feed.Feed(deps)  # takes the place of the server's own on the bus
    async with listening(api) as stream:
        assert (await stream.next()).event == "begin"
        feeding.end()
        cut = await stream.next()
        assert (cut.event, "stops" in cut.data["reason"]) == ("cut", True)
        assert await stream.answer.content.read() == b""
    assert (await api.call("GET", "/ingot/v1/events")).status == 429


@pytest.mark.parametrize(
    "query", ["?kind=odd", "?node=nobody", "?after=x", "?after=-1", "?after=" + "9" * 30, "?odd=1"]
)
async def test_wishes_that_are_refused(api: Api, query: str) -> None:
    assert (await api.call("GET", f"/ingot/v1/events{query}")).status in {400, 404}


async def test_a_hundred_listeners_hear_all_of_it_cheaply(api: Api, deps: Deps) -> None:
    made = await api.node(name="n1")
    changes = 50
    async with asyncio.TaskGroup() as group:
        ready = asyncio.Barrier(101)

        async def listen() -> list[int]:
            async with listening(api, "?node=n1&kind=node.changed") as stream:
                await stream.next()
                await ready.wait()
                return [(await stream.next(30)).id for _ in range(changes)]

        tasks = [group.create_task(listen()) for _ in range(100)]
        await ready.wait()
        before = resource.getrusage(resource.RUSAGE_SELF)
        for number in range(changes):
            await deps.store.run(nodes.change, made["uuid"], fault=f"{number}")
    after = resource.getrusage(resource.RUSAGE_SELF)
    heard = {tuple(task.result()) for task in tasks}
    assert len(heard) == 1, "all heard the same, once and in order"
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert spent / (100 * changes) < 0.001, "seconds of processor time per message, of server and clients together"


async def test_waiting_for_a_node_ends_when_it_is_there(api: Api, deps: Deps) -> None:
    made = await api.node(name="n1")
    assert (await api.get("/ingot/v1/nodes/n1/wait"))["reached"], "enroll rests"
    late = await api.get("/ingot/v1/nodes/n1/wait?provision_state=active&timeout=1")
    assert late == {"reached": False, "provision_state": "enroll", "target_provision_state": None, "power_state": None}
    waiting = asyncio.create_task(api.get("/ingot/v1/nodes/n1/wait?provision_state=manageable,active&timeout=20"))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    await deps.store.run(nodes.change, made["uuid"], provision_state="manageable")
    async with asyncio.timeout(2):
        assert (await waiting)["provision_state"] == "manageable"
    for query in ("?provision_state=odd", "?timeout=0", "?timeout=601", "?timeout=x"):
        assert (await api.call("GET", f"/ingot/v1/nodes/n1/wait{query}")).status == 400


async def test_who_hangs_up_while_waiting_leaves_its_place(api: Api) -> None:
    """As many as may listen wait and hang up; whoever comes then is served."""
    await api.node(name="n1")

    async def wait_and_leave() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
        writer.write(b"GET /ingot/v1/nodes/n1/wait?provision_state=active&timeout=600 HTTP/1.1\r\nHost: x\r\n\r\n")
        await writer.drain()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2):
                await reader.read(1)
        writer.close()

    for _ in range(2):
        await asyncio.gather(*(wait_and_leave() for _ in range(feed.MOST // 2)))
    await wait_and_leave()
    late = await api.call("GET", "/ingot/v1/nodes/n1/wait?provision_state=active&timeout=1")
    assert (late.status, late.body["reached"]) == (200, False)


async def test_a_stream_that_breaks_says_so(deps: Deps) -> None:
    """A damaged row of the journal cannot be shown to a caller who may see a part of it only."""
    feeding = feed.Feed(deps)
    items = await deps.bus.call("follow", caller=caller("reader", project="p2"), wish=feed.Wish())
    broken = node.Node(uuid=ids.new(), driver="fake-hardware", lessee="p2")
    async with contextlib.aclosing(items), asyncio.timeout(10):
        assert (await anext(items)).word == "begin"
        waiting = asyncio.create_task(anext(items))
        await asyncio.sleep(0)
        await deps.store.run(_create_with_a_damaged_event, broken)
        cut = await waiting
    assert (cut.word, "broke" in cut.reason) == ("cut", True)
    feeding.end()


def _create_with_a_damaged_event(connection: Connection, broken: node.Node) -> None:
    nodes.create(connection, broken, None)
    connection.execute(text("update events set body = '{' where node_uuid = :uuid"), {"uuid": broken.uuid})
