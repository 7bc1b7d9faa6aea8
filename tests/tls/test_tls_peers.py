"""The baremetal CLI, openstacksdk and curl over TLS by our own authority, with a password and with a token."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

import programs
from ingot import app
from ingot.api import listen
from ingot.services import users
from ingot.settings import Settings

pytestmark = [pytest.mark.peer, pytest.mark.timeout(300)]
SDK = """
import openstack, sys
cloud = openstack.connect(auth_type="http_basic", username="ann", password=sys.argv[2],
    endpoint=sys.argv[1], baremetal_endpoint_override=sys.argv[1], cacert=sys.argv[3])
print([node.name for node in cloud.baremetal.nodes()])
"""


@contextlib.asynccontextmanager
async def serving(folder: Path) -> AsyncGenerator[tuple[str, str]]:
    """An API on all addresses with the user ann; its URL and a token of hers."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    deps = app.make_deps(Settings(data_dir=str(folder), host="0.0.0.0", port=port, drivers=("fake-hardware",)))
    try:
        await users.put(deps.store, "ann", "ann-password")
        _, token = await users.create_token(deps.store, "ann", role="reader", label="", lifetime=600)
        async with listen.listening(deps, print):
            yield f"https://127.0.0.1:{port}", token
    finally:
        deps.store.close()


async def run(*words: str, **environment: str) -> tuple[int, str]:
    child = await asyncio.create_subprocess_exec(
        *words,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={"PATH": os.environ["PATH"], **environment},
    )
    async with asyncio.timeout(120):
        out, _ = await child.communicate()
    return child.returncode or 0, out.decode()


async def test_clients_of_openstack(tmp_path: Path) -> None:
    async with serving(tmp_path) as (url, token):
        ca = str(tmp_path / "tls/ca.pem")
        where = {"HOME": str(tmp_path), "OS_ENDPOINT": url, "OS_CACERT": ca}
        login = {"OS_AUTH_TYPE": "http_basic", "OS_USERNAME": "ann", "OS_PASSWORD": "ann-password"}
        listing = (programs.peer("baremetal"), "node", "list")
        code, out = await run(*listing, **where, **login)
        assert code == 0, out
        code, out = await run(*listing, **where, OS_AUTH_TYPE="admin_token", OS_TOKEN=token)
        assert code == 0, out
        code, out = await run(*listing, **{**where, "OS_CACERT": ""}, **login)
        assert (code, "certificate" in out.lower()) == (1, True), "an authority that is not known is not trusted"
        code, out = await run(programs.peer(), "-c", SDK, url, "ann-password", ca, HOME=str(tmp_path))
        assert (code, out.strip().splitlines()[-1:]) == (0, ["[]"]), out


async def test_curl(tmp_path: Path) -> None:
    async with serving(tmp_path) as (url, token):
        curl = [programs.system("curl"), "-sS", "--cacert", str(tmp_path / "tls/ca.pem")]
        for more in (["-u", "ann:ann-password"], ["-H", f"Authorization: Bearer {token}"]):
            assert await run(*curl, *more, f"{url}/v1/nodes") == (0, '{"nodes":[]}')
        code, _ = await run(*curl, "--tls-max", "1.1", f"{url}/v1/nodes")
        assert code != 0, "TLS 1.2 is the least"
