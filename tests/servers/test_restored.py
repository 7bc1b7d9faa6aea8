"""The guide's restore on a database server, typed from docs/howto/backup.md; then what was under way is ended."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from checkout import ROOT
from flows import stand
from ingot.domain import errors, ids, runs, states
from ingot.flows import restored
from ingot.services import provisioning
from ingot.store import nodes, upgrade
from ingot.store import runs as run_store
from programs import system
from servers.databases import KINDS, Databases
from servers.server import PASSWORD, Server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]
BEGINS = {"postgresql": "runuser -u postgres -- ", "mariadb": "mariadb "}
"""How each of a server's lines begins in the guide."""


def guide(kind: str) -> list[str]:
    """The lines of the restore that are for this kind of server, but the one that asks for a new user's password."""
    page = (ROOT / "docs/howto/backup.md").read_text()
    blocks = re.findall(r"^   ```sh\n(.*?)^   ```", page.partition("\n## Restore\n")[2], re.MULTILINE | re.DOTALL)
    [found] = [lines for lines in map(str.splitlines, blocks) if lines[0].strip().startswith(BEGINS[kind])]
    return [line.strip() for line in found if "createuser" not in line]


def local(kind: str, server: Server) -> tuple[str, str, str]:
    """For this server: a shell's preparation, what its client is called, and what dumps the database ``ingot``."""
    if kind == "postgresql":
        ready = f"export PGHOST={server.folder} PGUSER=ingot PGDATABASE=postgres PGPASSWORD={PASSWORD}"
        return f"{ready} PATH={Path(system('pg_restore')).parent}:$PATH", "", "pg_dump --format=custom ingot"
    at = f"--no-defaults -u root --socket={server.folder}/socket"
    return "set -e", f"{system('mariadb')} {at} ", f"{system('mariadb-dump')} {at} --single-transaction ingot"


@pytest.mark.parametrize("kind", KINDS)
async def test_the_guides_restore_comes_back_and_ends_what_was_under_way(
    databases: Databases, tmp_path: Path, kind: str
) -> None:
    server = databases.server(kind)
    url, file = server.create("ingot"), server.folder / "restored-dump"
    ready, client, dump = local(kind, server)
    async with stand.site(tmp_path, database=url) as deps:
        uuid = await stand.add_node(deps, states.State.DEPLOYING)
        now = deps.clock()
        run = runs.Run(id=ids.new(), node_uuid=uuid, kind=runs.Kind.DEPLOY, wake_at=now, started_at=now, deadline=now)
        await deps.store.run(run_store.open_run, run)
        server.run("sh", "-c", f"{ready}; {dump} > {file}")
        later = await stand.add_node(deps)
    for line in guide(kind):
        typed = re.sub(r"/backup/ingot\.\w+", str(file), line.replace(BEGINS[kind], client))
        server.run("sh", "-c", f"{ready}; {typed}")
    assert not upgrade.upgrade(url), "it is at this program's version"
    async with stand.site(tmp_path, database=url) as deps:
        with pytest.raises(errors.NotFound):
            await deps.store.read(nodes.get, later)
        [ended] = await restored.end_all(deps)
        assert (ended.node, ended.state) == (uuid, states.State.DEPLOY_FAILED)
        async with stand.conductor(deps):
            fresh = await stand.add_node(deps)
            await provisioning.request(deps, fresh, "active", {})
            assert (await stand.ended(deps, fresh, 30)).reason is None
        assert "image written" in stand.effects(tmp_path, fresh)
        assert stand.effects(tmp_path, uuid) == []
