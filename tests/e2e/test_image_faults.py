"""Images that cannot be had, and what else goes wrong around a deployment, with simulated machines."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import re
import urllib.error
import urllib.request
from collections.abc import AsyncGenerator
from typing import Any

import pytest
import pytest_asyncio

from e2e import stand, way
from ingot.cli import deployment, exits
from ingot.cli.demo.world import Machine
from ingot.cli.node import deploy

pytestmark = [pytest.mark.timeout(300), pytest.mark.asyncio(loop_scope="module")]

MIB = 1 << 20


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[stand.Stand]:
    """An IPMI and a Redfish machine, both available, whose agents take two seconds for a step."""
    async with stand.opened(tmp_path_factory.mktemp("stand"), step_seconds=2.0) as opened:
        for machine in opened.machines:
            await opened.make_available(machine)
        yield opened


@pytest.fixture(scope="module")
def image(place: stand.Stand) -> deployment.Image:
    """Four MiB of anything, where the service may read it."""
    path = place.service.data.parent / "any.raw"
    path.write_bytes(os.urandom(4 * MIB))
    return deployment.Image(path.as_uri(), "sha256", hashlib.sha256(path.read_bytes()).hexdigest())


async def send(place: stand.Stand, machine: Machine, image: deployment.Image) -> None:
    await asyncio.to_thread(deploy.send, place.client, machine.name, image, deployment.Drive(machine.name))


async def failed(place: stand.Stand, machine: Machine, image: deployment.Image) -> str:
    """Why the deployment of this image fails; the machine must be off afterwards."""
    await send(place, machine, image)
    node = await way.reach(place, machine, "deploy failed", within=120)
    assert node["target_provision_state"] == "active"
    assert place.fleet.machines[machine.name].power == "off"
    assert place.fleet.effects.count("write_image", machine.name) == 0
    return str(node["last_error"])


async def test_a_wrong_checksum(place: stand.Stand, image: deployment.Image) -> None:
    machine = place.machines[0]
    told = await failed(place, machine, deployment.Image(image.source, "sha256", "0" * 64))
    right = image.digest
    assert told == (
        f"deploy.write_image: The checksum of any.raw is wrong: expected sha256 {'0' * 64}, got {right}. "
        "The image changed, or the checksum belongs to another file: correct it in instance_info."
    )


class Dying:
    """An image server that announces a length and hangs up in the middle, each time."""

    def __init__(self, length: int) -> None:
        self.length = length
        self.asked = 0

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncGenerator[int]:
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        async with server:
            yield int(server.sockets[0].getsockname()[1])

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.asked += 1
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % self.length)
        if not head.startswith(b"HEAD"):
            writer.write(os.urandom(self.length // 2))
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        writer.close()


@pytest.mark.slow
async def test_an_image_server_that_goes_away_in_the_middle(place: stand.Stand) -> None:
    server = Dying(4 * MIB)
    async with server.serving() as port:
        url = f"http://127.0.0.1:{port}/disk.raw"
        told = await failed(place, place.machines[1], deployment.Image(url, "sha256", "0" * 64))
    assert server.asked > 0
    begin = (
        f"deploy.write_image: The image {url} could not be fetched: the server closed the connection in the middle ("
    )
    assert told.startswith(begin)
    assert re.search(
        rf" of {4 * MIB} bytes had come, and no more in [12]\d s\)\. "
        r"Check the image server and the conductor's route to it, then deploy again\.$",
        told,
    )


async def test_an_image_without_a_checksum(place: stand.Stand, image: deployment.Image) -> None:
    (machine, _) = place.machines
    patch = [{"op": "add", "path": "/instance_info", "value": {"image_source": image.source}}]
    await place.call("PATCH", f"/v1/nodes/{machine.name}", patch)
    with pytest.raises(exits.ApiRefused) as refused:
        await way.ask(place, machine, "active")
    assert (
        f"The image {image.source} has no checksum, so nobody could tell whether it arrived whole. "
        "Set instance_info image_os_hash_algo=sha256 and image_os_hash_value=... ."
    ) in str(refused.value)
    assert (await way.look(place, machine))["provision_state"] in {"available", "deploy failed"}


def forge(url: str, uuid: str, callback: str) -> tuple[int, str]:
    """A heartbeat with a token that nobody gave out: status and body of the answer."""
    body = {"callback_url": callback, "agent_token": "f" * 43, "agent_version": "13.0.0"}
    headers = {"Content-Type": "application/json", "X-OpenStack-Ironic-API-Version": "1.68"}
    request = urllib.request.Request(f"{url}/v1/heartbeat/{uuid}", json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.read().decode()


async def refuse(place: stand.Stand, machine: Machine) -> exits.ApiRefused:
    """Ask to deploy a node that is being deployed."""
    with pytest.raises(exits.ApiRefused) as refused:
        await way.ask(place, machine, "active")
    return refused.value


async def test_a_forged_heartbeat_and_a_second_deployment_change_nothing(
    place: stand.Stand, image: deployment.Image
) -> None:
    machine = place.machines[0]
    before = place.fleet.effects.count("write_image", machine.name)
    await send(place, machine, image)
    second = await refuse(place, machine)
    assert second.status == 409
    assert "is locked by" in str(second)
    assert "Wait until the present work is done, or abort it." in str(second)
    await way.reach(place, machine, "wait call-back", within=120)
    node = await way.look(place, machine)
    status, body = await asyncio.to_thread(forge, place.client.url, node["uuid"], "http://127.0.0.1:1")
    assert status == 400
    assert "gent token" in body
    node = await way.reach(place, machine, "active", within=120)
    assert node["last_error"] is None
    assert place.fleet.effects.count("write_image", machine.name) == before + 1
    assert "A heartbeat with a wrong agent token was refused." in await way.history(place, machine)


async def both(place: stand.Stand, machine: Machine) -> list[Any]:
    tries = [way.ask(place, machine, "active") for _ in range(2)]
    return await asyncio.gather(*tries, return_exceptions=True)


async def test_of_two_deployments_at_once_one_wins(place: stand.Stand, image: deployment.Image) -> None:
    machine = place.machines[1]
    before = place.fleet.effects.count("write_image", machine.name)
    fields = [
        {"op": "add", "path": f"/instance_info/{key}", "value": one} for key, one in image.instance_info().items()
    ]
    await place.call("PATCH", f"/v1/nodes/{machine.name}", fields)
    first, second = await both(place, machine)
    refused = first or second
    assert isinstance(refused, exits.ApiRefused)
    assert [first, second].count(None) == 1
    assert refused.status == 409
    assert "is locked by" in str(refused)
    assert "Wait until the present work is done, or abort it." in str(refused)
    await way.reach(place, machine, "active", within=120)
    assert place.fleet.effects.count("write_image", machine.name) == before + 1
