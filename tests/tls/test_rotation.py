"""Another certificate authority: who trusts the old one goes on, who has the new one too, and a kill breaks neither."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from pathlib import Path

import pytest

from cli import program
from ingot.domain import errors
from ingot.tls import authority
from tls.test_tls import listening, root

NAMES = ["127.0.0.1", "localhost", "ingot.example.org"]


def verified(ca: Path, shown: Path) -> str:
    """What openssl says of a server's chain, by one authority alone; "" when it is content."""
    words = ["openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-verify_ip", "127.0.0.1", "-no-CApath"]
    done = subprocess.run(
        [*words, "-CAfile", ca, "-untrusted", shown, shown], capture_output=True, text=True, check=False
    )
    return done.stderr if done.returncode else ""


@pytest.fixture
def own(tmp_path: Path) -> authority.Authority:
    made = authority.Authority(tmp_path / "tls")
    made.issue(NAMES)
    return made


def test_old_and_new_copies_are_good_through_two_rotations(own: authority.Authority, tmp_path: Path) -> None:
    copies = [Path(shutil.copy(own.ca_file, tmp_path / "first.pem"))]
    for name in ("second.pem", "third.pem"):
        own.rotate()
        copies.append(Path(shutil.copy(own.ca_file, tmp_path / name)))
    assert len({one.read_bytes() for one in copies}) == 3
    assert [verified(copy, own.server_file) for copy in copies] == ["", "", ""]
    own.rotate()
    assert verified(copies[0], own.server_file), "two authorities back is as far as it goes"
    assert not verified(copies[1], own.server_file)


def test_at_once_the_old_one_is_worth_nothing(own: authority.Authority, tmp_path: Path) -> None:
    old = Path(shutil.copy(own.ca_file, tmp_path / "old.pem"))
    own.rotate()
    own.rotate(at_once=True)
    assert "unable to get local issuer" in verified(old, own.server_file)
    assert not verified(own.ca_file, own.server_file)


@pytest.mark.parametrize("lost", ["ca.pem", "server.pem"])
def test_a_kill_between_the_files_is_mended_by_the_next_look(
    own: authority.Authority, tmp_path: Path, lost: str
) -> None:
    old = {name: (tmp_path / "tls" / name).read_bytes() for name in ("ca.pem", "server.pem")}
    shutil.copy(own.ca_file, tmp_path / "old.pem")
    own.rotate()
    for name in ("ca.pem", "server.pem") if lost == "ca.pem" else ("server.pem",):
        (tmp_path / "tls" / name).write_bytes(old[name])  # as it was before: the kill came first
    assert own.issue(NAMES)
    assert not verified(own.ca_file, own.server_file)
    assert not verified(tmp_path / "old.pem", own.server_file)


def test_a_kill_before_the_new_key_changes_nothing(own: authority.Authority, tmp_path: Path) -> None:
    old = (tmp_path / "tls" / "ca.key").read_bytes()
    own.rotate()
    (tmp_path / "tls" / "ca.key").write_bytes(old)
    own.issue(NAMES)
    assert not verified(own.ca_file, own.server_file)


async def trusted(url: str, ca: Path) -> bool:
    """Whether a client with this authority alone gets an answer."""
    try:
        return bool(await root(url, ca))
    except errors.Unreachable:
        return False


async def test_a_running_service_takes_it(tmp_path: Path) -> None:
    async with listening(tmp_path, host="0.0.0.0") as settings:
        url = f"https://127.0.0.1:{settings.port}"
        old = Path(shutil.copy(tmp_path / "tls/ca.pem", tmp_path / "old.pem"))
        words = program.ingot_argv("keys", "rotate", "authority", "--data-dir", str(tmp_path))
        done = await asyncio.to_thread(subprocess.run, words, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "until then both are good" in done.stdout
        assert await root(url, old), "not a moment without"
        async with asyncio.timeout(30):
            while not await trusted(url, tmp_path / "tls/ca.pem"):
                await asyncio.sleep(0.1)
        assert await root(url, old)
