"""Consoles through the API: switched on, watched by several, typed into by one, kept per run, brought back."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import structlog

from cli import program
from flows import stand
from ingot import app
from ingot.consoles import hub, logs, tcp, tickets
from ingot.domain import errors, states
from ingot.services import provisioning
from ingot.store import nodes
from ingot_rack import fleet as fleets

if TYPE_CHECKING:
    from tests.api.conftest import Api

    from ingot.deps import Deps


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


CONSOLE = "/v1/nodes/n1/states/console"


@pytest.fixture
async def deps(tmp_path: Path) -> AsyncIterator[Deps]:
    made = app.make_deps(stand.settings(tmp_path, noauth=True, hostname="here", drivers=("fake-hardware", "ipmi")))
    async with stand.conductor(made):
        yield made
    made.store.close()


@pytest.fixture
async def uuid(deps: Deps) -> str:
    return await stand.add_node(deps, states.State.MANAGEABLE, name="n1", console_interface="fake")


async def switched(api: Api, *, on: bool) -> Any:
    reply = await api.call("PUT", CONSOLE, {"enabled": on})
    assert (reply.status, reply.headers["Location"]) == (202, f"{api.url}{CONSOLE}")

    async def is_so() -> Any:
        told = await api.get(CONSOLE)
        return told if told["console_enabled"] is on else None

    return await stand.until(is_so, 30)


class Seat:
    """One who sits before a console."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.screen = b""
        self.told: dict[str, Any] = {}

    async def look(self) -> None:
        message = await asyncio.wait_for(self.socket.receive(), 20)
        assert message.type in {aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT}, message
        if message.type == aiohttp.WSMsgType.BINARY:
            self.screen += message.data
        else:
            self.told = json.loads(message.data)

    async def sees(self, end: bytes) -> None:
        while end not in self.screen:
            await self.look()

    async def says(self, **wish: Any) -> dict[str, Any]:
        self.told = {}
        await self.socket.send_str(json.dumps(wish))
        while not self.told:
            await self.look()
        return self.told


async def sit(api: Api, link: str) -> Seat:
    return Seat(await api.session.ws_connect(link.replace("http", "ws", 1) + "/socket"))


async def test_several_watch_and_one_types(api: Api, uuid: str) -> None:
    assert await api.get(CONSOLE) == {"console_enabled": False, "console_info": None}
    told = await switched(api, on=True)
    info = told["console_info"]
    assert info["type"] == "ingot"
    assert info["url"].startswith(f"{api.url}/ingot/v1/console/")
    assert (await api.get("/v1/nodes/n1"))["console_enabled"] is True
    first, second = await sit(api, info["url"]), await sit(api, (await api.get(CONSOLE))["console_info"]["url"])
    for seat in (first, second):
        await seat.sees(b"imaginary machine n1\r\n# ")
    assert await first.says(take=False) == {"writes": True, "watchers": 2, "problem": None}
    assert (await second.says(take=False))["writes"] is False
    await first.socket.send_bytes(b"hello\r")
    for seat in (first, second):
        await seat.sees(b"hello\r\n# ")
    await second.socket.send_bytes(b"me too\r")
    while not second.told.get("problem"):
        await second.look()
    assert "Somebody else has the keyboard" in second.told["problem"]
    assert (await second.says(take=True))["writes"] is True
    assert (await second.says(**{"break": True}))["problem"] is None
    await first.sees(b"[break]")
    assert b"me too" not in first.screen
    await second.socket.close()
    assert (await first.says(take=False))["writes"] is True, "the keyboard is free again"
    late = await sit(api, info["url"])
    await late.sees(b"hello\r\n# ")
    await switched(api, on=False)
    while (message := await asyncio.wait_for(first.socket.receive(), 20)).type == aiohttp.WSMsgType.TEXT:
        pass
    assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1000)


async def test_only_a_ticket_opens_the_page_and_the_socket(api: Api, deps: Deps, uuid: str) -> None:
    link = (await switched(api, on=True))["console_info"]["url"]
    page = await api.call("GET", link.removeprefix(api.url))
    assert page.status == 200
    assert b'id="terminal"' in page.raw
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    for file in ("console.mjs", "xterm.mjs", "xterm.css", "console.css", "xterm.LICENSE"):
        assert (await api.call("GET", f"/ingot/v1/static/{file}")).status == 200, file
    for file in ("..%2Fserver.py", "nothing.css", "__init__.py"):
        assert (await api.call("GET", f"/ingot/v1/static/{file}")).status == 404, file
    wrong = link[:-1] + ("A" if link[-1] != "A" else "B")
    assert (await api.call("GET", wrong.removeprefix(api.url))).status == 404
    refused = await api.session.ws_connect(f"{wrong}/socket".replace("http", "ws", 1))
    assert (await refused.receive()).type == aiohttp.WSMsgType.CLOSE
    assert refused.close_code == 4404
    for where in (f"{api.url}/v1/nodes", link):
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await api.session.ws_connect(where.replace("http", "ws", 1))


def test_a_ticket_is_good_for_some_minutes() -> None:
    now = [0.0]
    made = tickets.Tickets(lambda: now[0])
    ticket = made.give("node")
    assert len(ticket) >= 32
    assert (made.find(ticket), made.find(ticket + "x")) == ("node", None)
    now[0] = tickets.LIFE
    assert made.find(ticket) is None


async def test_a_console_that_does_not_open_says_why(api: Api, deps: Deps, uuid: str) -> None:
    await deps.store.run(nodes.change, uuid, driver_info={"fake_fault": "console.open", "fake_fault_text": "No cable"})
    assert (await api.call("PUT", CONSOLE, {"enabled": True})).status == 202

    async def error() -> Any:
        return (await api.get("/v1/nodes/n1"))["last_error"]

    assert "No cable" in await stand.until(error)
    assert (await api.get(CONSOLE))["console_enabled"] is False
    await deps.store.run(nodes.change, uuid, console_interface="no-console")
    assert (await api.call("PUT", CONSOLE, {"enabled": True})).status == 400
    assert (await api.call("PUT", CONSOLE, {})).status == 400
    assert (await api.call("PUT", CONSOLE, {"enabled": "perhaps"})).status == 400


async def test_what_is_said_in_a_run_is_kept_with_the_run(api: Api, deps: Deps, uuid: str) -> None:
    info = {"fake_wait": 3, "fake_fault": "deploy.write_image"}
    await deps.store.run(nodes.change, uuid, provision_state=states.State.AVAILABLE, driver_info=info)
    seat = await sit(api, (await switched(api, on=True))["console_info"]["url"])
    await seat.says(take=False)
    await asyncio.sleep(2 * logs.FLUSH)  # the greeting is of the time before the run
    await provisioning.request(deps, uuid, "active", {})
    await seat.socket.send_bytes(b"panic: no root\r")
    run = await stand.ended(deps, uuid, 30)
    shown = await api.get("/ingot/v1/nodes/n1/run")
    assert shown["console"]["tail"].endswith("panic: no root\r\n# ")
    whole = await api.call("GET", shown["console"]["url"].removeprefix(api.url))
    assert b"panic" in whole.raw
    assert b"imaginary" not in whole.raw
    idle = await api.call("GET", "/ingot/v1/nodes/n1/runs/idle/console")
    assert b"imaginary machine n1" in idle.raw
    other = await stand.add_node(deps, name="n2")
    assert (await api.call("GET", f"/ingot/v1/nodes/n2/runs/{run.id}/console")).status == 404
    assert (await api.get("/v1/nodes/n2"))["uuid"] == other


async def test_words_that_come_a_moment_after_a_failure_are_those_of_the_run(api: Api, deps: Deps, uuid: str) -> None:
    """A serial line is slower than what told of the failure, and the last words tell most."""
    info = {"fake_fault": "deploy.write_image"}
    await deps.store.run(nodes.change, uuid, provision_state=states.State.AVAILABLE, driver_info=info)
    seat = await sit(api, (await switched(api, on=True))["console_info"]["url"])
    await seat.says(take=False)
    await provisioning.request(deps, uuid, "active", {})
    run = await stand.ended(deps, uuid, 30)
    await seat.socket.send_bytes(b"last words\r")
    await asyncio.sleep(logs.LATE + 2 * logs.FLUSH)
    await seat.socket.send_bytes(b"much later\r")
    await asyncio.sleep(3 * logs.FLUSH)
    whole = (await api.call("GET", f"/ingot/v1/nodes/n1/runs/{run.id}/console")).raw
    assert (b"last words" in whole, b"much later" in whole) == (True, False)


async def test_what_nobody_watches_is_kept_while_the_node_is_worked_on(api: Api, deps: Deps, uuid: str) -> None:
    info = {"fake_wait": 600, "fake_fault": "deploy.write_image"}
    await deps.store.run(nodes.change, uuid, provision_state=states.State.AVAILABLE, driver_info=info)
    await provisioning.request(deps, uuid, "active", {})

    async def heard() -> bool:
        said = (await api.get("/ingot/v1/nodes/n1/run"))["console"]
        return said is not None and "imaginary machine n1" in said["tail"]

    await stand.until(heard, 30)
    assert (await api.get(CONSOLE))["console_enabled"] is False
    told = await asyncio.to_thread(program.run_here, "node", "why", "n1", url=api.url)
    words = ("The console said last", "imaginary machine n1", "its logs are fetched when the run fails")
    assert [word for word in words if word not in told.output] == [], told.output
    seat = await sit(api, (await switched(api, on=True))["console_info"]["url"])  # whoever wants the line gets it
    await seat.sees(b"imaginary machine n1")


async def test_a_line_that_drops_is_opened_again(api: Api, uuid: str) -> None:
    seat = await sit(api, (await switched(api, on=True))["console_info"]["url"])
    await seat.says(take=False)
    await seat.socket.send_bytes(b"exit\r")
    await seat.sees(b"hung up; trying again in 1 s")
    await seat.sees(b"the line is up again")
    await seat.socket.send_bytes(b"back\r")
    await seat.sees(b"back\r\n# ")


class Ended:
    """A line that a BMC gives and takes back."""

    async def read(self) -> bytes:
        return b""

    async def write(self, data: bytes) -> None: ...

    async def send_break(self) -> None: ...

    async def close(self) -> None: ...


async def test_a_line_that_ends_as_soon_as_it_is_open_is_asked_for_less_and_less(tmp_path: Path) -> None:
    async def open_line() -> Ended:
        return Ended()

    async def idle() -> None:
        return None

    console = hub.Console("n1", open_line, logs.Log(tmp_path, idle))
    watcher = console.watch()
    console.start_later()
    said = b""
    async with asyncio.timeout(20):
        while b"trying again in 2 s" not in said:
            said += await watcher.read() or b""
    assert said.count(b"trying again in 1 s") == 1
    await console.stop()


class Chatty(Ended):
    """A line that is never silent."""

    async def read(self) -> bytes:
        await asyncio.sleep(0)
        return bytes(65536)


async def test_a_caller_of_a_port_who_does_not_read_is_let_go(tmp_path: Path) -> None:
    async def open_line() -> Chatty:
        return Chatty()

    async def idle() -> None:
        return None

    def serving() -> bool:
        return any("listen.<locals>.serve" in repr(one.get_coro()) for one in asyncio.all_tasks())

    console = hub.Console("n1", open_line, logs.Log(tmp_path, idle))
    port = await tcp.listen(console, "127.0.0.1", 0, patience=0.5)
    await console.start()
    with socket.create_connection(("127.0.0.1", port.number)):
        await stand.until(serving)
        await stand.until(lambda: not serving(), 20)
    port.close()
    await console.stop()


async def test_a_restarted_conductor_serves_what_was_served(tmp_path: Path) -> None:
    made = app.make_deps(stand.settings(tmp_path))
    uuid = await stand.add_node(made, console_interface="fake", console_enabled=True)
    async with stand.conductor(made):

        async def link() -> Any:
            return await made.bus.call("console_info", node_uuid=uuid, base="http://x")

        ticket = (await stand.until(link))["url"].rpartition("/")[2]

        async def greeting() -> bytes | None:
            try:
                watcher = await made.bus.call("console_watch", ticket=ticket)
            except errors.NotFound:
                return None
            said = b""
            while b"imaginary machine" not in said:
                said += await watcher.read()
            watcher.leave()
            return said

        assert await stand.until(greeting)
    made.store.close()


async def test_secrets_that_cannot_be_opened_cost_one_node_its_console(tmp_path: Path) -> None:
    made = app.make_deps(stand.settings(tmp_path))
    fields = {"console_interface": "fake", "console_enabled": True}
    broken, whole = [await stand.add_node(made, **fields) for _ in range(2)]
    await made.store.run(nodes.change, broken, secrets=made.sealer.seal(whole, {}))

    async def served(uuid: str) -> bool:
        try:
            return bool(await made.bus.call("console_ticket", node_uuid=uuid))
        except errors.Conflict:
            return False

    with structlog.testing.capture_logs() as lines:
        async with stand.conductor(made):
            await stand.until(lambda: [one for one in lines if one["event"] == "console not served"])
            await stand.until(lambda: served(whole))
            assert not await served(broken)
            await made.store.run(nodes.change, broken, secrets=made.sealer.seal(broken, {}))
            await stand.until(lambda: served(broken), 20)
    made.store.close()


async def test_serial_over_lan_as_a_page_and_as_a_port(api: Api, deps: Deps) -> None:
    fleet = fleets.Fleet(fleets.Plan(ipmi=1, first="127.35.0.1", password="sol-password"))
    await fleet.start()
    try:
        [(name, address)] = fleet.addresses.items()
        info = {"ipmi_address": address, "ipmi_port": fleet.ports["ipmi"], "ipmi_username": "admin"}
        given = {"driver": "ipmi", "name": "n1", "driver_info": {**info, "ipmi_password": "sol-password"}}
        body = {**given, "console_interface": "ipmitool-socat"}
        body["driver_info"]["ipmi_terminal_port"] = wanted = free_port()
        assert (await api.call("POST", "/v1/nodes", body)).status == 201
        told = (await switched(api, on=True))["console_info"]
        assert told["type"] == "socat"
        host, _, port = told["url"].removeprefix("tcp://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        assert int(port) == wanted
        writer.write(b"echo me")
        async with asyncio.timeout(20):
            assert (await reader.readuntil(b"login: ")).strip().startswith(name.encode())
            assert await reader.readexactly(7) == b"echo me"
        writer.close()
        await switched(api, on=False)
        change = [{"op": "replace", "path": "/console_interface", "value": "ipmitool-shellinabox"}]
        assert (await api.call("PATCH", "/v1/nodes/n1", change)).status == 200
        told = (await switched(api, on=True))["console_info"]
        assert told["type"] == "shellinabox"
        seat = await sit(api, told["url"])
        await seat.sees(b"login: ")
        await switched(api, on=False)
    finally:
        await fleet.close()
