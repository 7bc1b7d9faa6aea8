"""Programs of two versions on one database: side by side where the newer one says so, else never both."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from checkout import ROOT
from cli import program
from conductor.site import site
from flows import stand
from ingot.store import upgrade

pytestmark = [pytest.mark.slow, pytest.mark.torture, pytest.mark.timeout(500)]
NEWER = "9999"
MACHINES = 24
"""So many that each of two conductors is to look after some: with 8, one of 128 runs gives all to one of them."""
MIGRATION = f'''"""A column more."""

import sqlalchemy as sa
from alembic import op

revision = "{NEWER}"
down_revision = "{upgrade.HEAD}"


def upgrade() -> None:
    """Add it."""
    op.add_column("nodes", sa.Column("of_the_future", sa.String(length=8), nullable=True))
'''


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


def before(folder: Path) -> Path:
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
    # its libraries are not today's: the launcher makes their environment, once for all runs
    subprocess.run((str(checkout / "ingot"), "--version"), stdin=subprocess.DEVNULL, check=True, timeout=240)
    return checkout


def test_the_version_before_works_on_while_its_successor_moves_in(tmp_path: Path) -> None:
    older = before(tmp_path)
    [head] = re.findall(r'^HEAD = "(\d+)"', (older / "src/ingot/store/upgrade.py").read_text(), re.MULTILINE)
    assert head < upgrade.HEAD
    if head < upgrade.OLDEST:
        pytest.skip("this version says that the one before cannot work with its tables")
    with site(tmp_path, "", "", "east", source=older) as made:
        uuids = made.enrol(MACHINES, fake_delay=0.3)
        made.ask(uuids, "active")
        made.start("west")  # it brings the tables up to date in the midst of their work
        made.await_conductors("east", "west")
        assert upgrade.current(tmp_path / "ingot.db") == upgrade.HEAD
        made.reach("active", len(uuids))
        made.ask(uuids, "deleted")
        made.reach("available", len(uuids))
        made.ask(uuids, "active")
        for name in ("east", "api"):  # the rest of the upgrade, in the midst of work again
            made.signal(name, signal.SIGTERM)
            assert made.end(name) == 0
            made.start(name)
        made.await_conductors("east", "west")
        made.reach("active", len(uuids))
        assert "west" in {made.worker(uuid) for uuid in uuids}
        assert {stand.effects(tmp_path, uuid).count("image written") for uuid in uuids} == {2}
        assert not [name for name in ("api", "east", "west") if "Traceback" in made.log(name)]


def test_two_versions_share_the_work_during_a_rolling_upgrade(tmp_path: Path) -> None:
    source = newer(tmp_path, upgrade.HEAD)
    with site(tmp_path, "", "", "east") as made:
        uuids = made.enrol(MACHINES)
        made.start("west", source)
        made.await_conductors("east", "west")
        made.ask(uuids, "active")  # the older one may not know yet that it is not alone
        made.reach("active", len(uuids))
        made.ask(uuids, "deleted")
        made.reach("available", len(uuids))
        assert {made.worker(uuid) for uuid in uuids} == {"east", "west"}
        made.signal("east", signal.SIGTERM)
        assert made.end("east") == 0
        made.start("east")  # the older program finds a newer database, and may work with it
        made.await_conductors("east", "west")
        assert {stand.effects(tmp_path, uuid).count("image written") for uuid in uuids} == {1}


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
