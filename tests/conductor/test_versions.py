"""Programs of two versions on one database: side by side where the newer one says so, else never both."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bus import broker as brokers
from checkout import ROOT
from cli import program
from conductor.site import Site, site
from flows import stand
from ingot.store import upgrade
from servers.databases import Databases

pytestmark = [pytest.mark.slow, pytest.mark.torture, pytest.mark.timeout(500)]
NEWER = "9999"
MACHINES = 24
"""So many that each of two conductors is to look after some: with 8, one of 128 runs gives all to one of them."""
Place = tuple[Path, str, str]
MIGRATION = f'''"""A column more."""

import sqlalchemy as sa
from alembic import op

revision = "{NEWER}"
down_revision = "{upgrade.HEAD}"


def upgrade() -> None:
    """Add it."""
    op.add_column("nodes", sa.Column("of_the_future", sa.String(length=8), nullable=True))
'''


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[brokers.Broker]:
    with brokers.running(tmp_path_factory.mktemp("rabbitmq")) as found:
        yield found


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("postgresql", marks=pytest.mark.peer),
        pytest.param("mariadb", marks=[pytest.mark.peer, pytest.mark.long]),
    ]
)
def place(request: pytest.FixtureRequest, tmp_path: Path, databases: Databases) -> Place:
    """Folder, database and broker of a new site: a file and no broker, or a server and RabbitMQ."""
    if request.param == "sqlite":
        return tmp_path, "", ""
    return tmp_path, databases.new(request.param), request.getfixturevalue("broker").url


def newer(folder: Path, oldest: str) -> Path:
    """The source of a program that is one migration ahead; ``oldest``: the version whose programs it works with."""
    source = folder / "newer"
    shutil.copytree(program.SOURCE, source, ignore=shutil.ignore_patterns("__pycache__"))
    store = source / "ingot" / "store"
    (store / "migrations" / "versions" / f"v{NEWER}_future.py").write_text(MIGRATION)
    text = (store / "upgrade.py").read_text()
    changed = text.replace(f'HEAD = "{upgrade.HEAD}"', f'HEAD = "{NEWER}"')
    changed = changed.replace(f'OLDEST = "{upgrade.OLDEST}"', f'OLDEST = "{oldest}"')
    (store / "upgrade.py").write_text(changed)
    return source


def before(folder: Path, database: str, broker: str) -> Path:
    """This very program as it was before its newest migration, from the history of the checkout, ready to start."""
    newest = f"src/ingot/store/migrations/versions/v{upgrade.HEAD}_*.py"
    log = ("git", "-C", str(ROOT), "log", "--diff-filter=A", "--format=%H", "-1", "--", newest)
    added = subprocess.run(log, capture_output=True, text=True, check=False).stdout.strip()
    archive = ("git", "-C", str(ROOT), "archive", "--format=tar", f"{added}^")
    packed = subprocess.run(archive, capture_output=True, check=False) if added else None
    if packed is None or packed.returncode:
        pytest.skip("needs the history of the checkout, from before the newest migration")
    checkout = folder / "before"
    checkout.mkdir()
    subprocess.run(("tar", "-x", "-C", str(checkout)), input=packed.stdout, check=True)
    # Its libraries are not today's: the launcher makes the environment that these servers need, once for all runs. And
    # two processes of that version that begin on the same new SQLite file may get into each other's way.
    urls = {"INGOT_DATABASE": database, "INGOT_BROKER": broker} if database else {}
    told = (str(checkout / "ingot"), "db", "upgrade", "--data-dir", str(folder))
    subprocess.run(told, stdin=subprocess.DEVNULL, env={**os.environ, **urls}, check=True, timeout=240)
    return checkout


def write_until(made: Site, where: Path | str, version: str) -> None:
    """Write to a node through the API until the tables are of that version: no writing may fail, or be lost."""
    uuid = made.client.call("POST", "/v1/nodes", {"driver": "fake-hardware"})["uuid"]
    written = 0

    def there() -> bool:
        nonlocal written
        found = upgrade.current(where)  # before the writing: one more is done with the new tables
        written += 1
        made.client.call("PATCH", f"/v1/nodes/{uuid}", [{"op": "add", "path": "/extra/written", "value": written}])
        assert made.client.get(f"/v1/nodes/{uuid}")["extra"] == {"written": written}
        return found == version

    program.wait_for(there, 60)


def speak(made: Site, place: Place) -> None:
    """Ask each conductor something by the broker, which carries what the API of another version writes, and back."""
    found: dict[str, str] = {}

    def both() -> bool:
        found.update({one["conductor"]: one["uuid"] for one in made.nodes("conductor", "uuid")})
        return set(found) == {"east", "west"}  # one that has just come is given its share a little later

    made.wait(both, 30)
    for uuid in found.values() if place[2] else ():
        path = f"/v1/nodes/{uuid}/validate"  # who has just been started may not have reached the broker yet
        made.wait(lambda path=path: made.client.get(path)["deploy"] == {"result": True}, 30)


def no_bug(made: Site) -> None:
    assert not [name for name in ("api", "east", "west") if "Traceback" in made.log(name)]


def test_the_version_before_works_on_while_its_successor_moves_in(place: Place) -> None:
    older = before(*place)
    [head] = re.findall(r'^HEAD = "(\d+)"', (older / "src/ingot/store/upgrade.py").read_text(), re.MULTILINE)
    assert head < upgrade.HEAD
    if head < upgrade.OLDEST:
        pytest.skip("this version says that the one before cannot work with its tables")
    with site(*place, "east", source=older) as made:
        uuids = made.enrol(MACHINES, fake_delay=0.3)
        made.ask(uuids, "active")
        made.start("west")  # it brings the tables up to date in the midst of their work
        write_until(made, place[1] or place[0] / "ingot.db", upgrade.HEAD)
        made.await_conductors("east", "west")
        made.reach("active", len(uuids))
        speak(made, place)
        made.ask(uuids, "deleted")
        made.reach("available", len(uuids))
        made.ask(uuids, "active")
        for name in ("api", "east"):  # the rest of the upgrade, in the midst of work again
            made.signal(name, signal.SIGTERM)
            assert made.end(name) == 0
            made.start(name)
            made.await_conductors("east", "west")
            speak(made, place)
        made.reach("active", len(uuids))
        assert "west" in {made.worker(uuid) for uuid in uuids}
        assert {stand.effects(place[0], uuid).count("image written") for uuid in uuids} == {2}
        no_bug(made)


def test_two_versions_share_the_work_during_a_rolling_upgrade(place: Place) -> None:
    source = newer(place[0], upgrade.HEAD)
    with site(*place, "east") as made:
        uuids = made.enrol(MACHINES)
        made.start("west", source)
        write_until(made, place[1] or place[0] / "ingot.db", NEWER)
        made.await_conductors("east", "west")
        made.ask(uuids, "active")  # the older one may not know yet that it is not alone
        made.reach("active", len(uuids))
        speak(made, place)
        made.ask(uuids, "deleted")
        made.reach("available", len(uuids))
        assert {made.worker(uuid) for uuid in uuids} == {"east", "west"}
        made.signal("east", signal.SIGTERM)
        assert made.end("east") == 0
        made.start("east")  # the older program finds a newer database, and may work with it
        made.await_conductors("east", "west")
        assert {stand.effects(place[0], uuid).count("image written") for uuid in uuids} == {1}
        no_bug(made)


def test_a_version_that_the_others_cannot_work_with_waits_until_they_are_gone(tmp_path: Path) -> None:
    source = newer(tmp_path, NEWER)
    with site(tmp_path, "", "", "east") as made:
        made.start("west", source)
        assert made.end("west") == 1
        assert "with which conductors that are at work cannot go on: east. Stop them" in made.log("west")
        made.signal("east", signal.SIGTERM)
        assert made.end("east") == 0
        made.start("west", source)
        assert made.end("api") == 1
        assert f"programs before version {NEWER} cannot work with it" in made.log("api")
        made.start("east")
        assert made.end("east") == 1
        assert f"is at version {NEWER}, newer than this program knows" in made.log("east")
        made.start("api", source)
        made.await_conductors("west")
