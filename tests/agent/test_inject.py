"""Files put onto a deployed disk, with real mounts: where they land, whose they are; links lead nowhere else."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from agent import peers
from agent.test_bootloader import mounted, nodes
from agent.test_partition import NODE, deploy
from ingot_agent import commands, errors, inject, settings, steps

pytestmark = [
    pytest.mark.skipif(not Path("/dev/loop-control").exists(), reason="no loop devices here"),
    pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root"),
]
HUSH = b"nobody reads this"
PORTS = [{"address": "52:54:00:aa:bb:cc"}]


def coded(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the machine is; its mount is busybox's, as in the ramdisk."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("mount", "umount"):
        (programs / name).symlink_to(str(shutil.which("busybox")))
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    return tmp_path / "machine"


@pytest.fixture
def disk(tmp_path: Path, folder: Path) -> Path:
    """A deployed disk, its root in partition 4, with links that lead out of the image."""
    tree, path = tmp_path / "tree", tmp_path / "root.img"
    for name in ("etc/old.d", "usr/bin", "run"):
        (tree / name).mkdir(parents=True)
    (tree / "bin").symlink_to("usr/bin")
    (tree / "etc/hosts").write_text("127.0.0.1 localhost\n")
    (tree / "etc/hosts").chmod(0o640)
    (tree / "etc/old.d/gone").write_text("x")
    (tree / "etc/resolv.conf").symlink_to("/run/stub/resolv.conf")
    (tree / "etc/out").symlink_to(f"../../../../../..{tmp_path}/outside")
    (tree / "etc/dangling").symlink_to("/etc/shadow")
    (tree / "etc/round").symlink_to("round")
    (tree / "loop").symlink_to("loop")
    os.mkfifo(tree / "etc/pipe")
    (tmp_path / "outside").mkdir()
    made = ["mke2fs", "-q", "-F", "-t", "ext4", "-d", str(tree), str(path), "48m"]
    subprocess.run(made, check=True, capture_output=True)
    return deploy(folder, path.read_bytes())


def run(folder: Path, files: list[Any], kind: str = "deploy", **node: Any) -> Any:
    roots = settings.Roots(*(str(folder / name) for name in ("sys", "proc", "dev", "run")))
    params = {"step": {"step": "inject_files", "args": {"files": files}}, "node": NODE | node, "ports": PORTS}
    try:
        done = steps.Steps(settings.Settings(http_timeout=5), roots).execute(kind, params, commands.Progress())
    finally:
        assert str(folder) not in Path("/proc/mounts").read_text(), "something stayed mounted"
    return done[f"{kind}_result"]["files"]


def test_files_come_go_and_belong_to_who_is_named(tmp_path: Path, folder: Path, disk: Path) -> None:
    wanted: list[dict[str, Any]] = [
        {"path": "/etc/hosts", "content": coded(b"10.0.0.1 gate\n")},
        {"path": "/etc/new.d/sub/key", "content": coded(HUSH), "mode": 0o600, "dirmode": 0o710, "owner": 7, "group": 8},
        {"path": "/bin/tool", "content": coded(b"#!/bin/sh\n"), "mode": 0o755},
        {"path": "/etc/old.d/gone", "deleted": True},
        {"path": "/etc/never-there", "deleted": True},
        {"path": "/in-root", "partition": 4, "content": coded(b"")},
    ]
    with nodes(disk) as found:
        named = {**NODE["properties"], "inject_files": [{"path": "/etc/motd", "content": coded(b"of the node\n")}]}
        done = run(folder, wanted, properties=named)
        with mounted(found["4"], tmp_path / "look") as root:
            assert (root / "etc/hosts").read_text() == "10.0.0.1 gate\n"
            assert (root / "etc/hosts").stat().st_mode & 0o777 == 0o640, "what was there keeps its mode"
            key = (root / "etc/new.d/sub/key").stat()
            assert (key.st_mode & 0o777, key.st_uid, key.st_gid) == (0o600, 7, 8)
            assert (root / "etc/new.d/sub").stat().st_mode & 0o777 == 0o710
            assert (root / "usr/bin/tool").stat().st_mode & 0o777 == 0o755
            assert (root / "etc/motd").read_text() == "of the node\n"
            assert (root / "etc/motd").stat().st_mode & 0o777 == 0o644
            assert not (root / "etc/old.d/gone").exists()
            assert (root / "in-root").read_bytes() == b""
    assert list(done) == ["/etc/motd", *(one["path"] for one in wanted)]
    assert done["/etc/hosts"] == f"14 bytes written to {disk}4"
    assert done["/etc/old.d/gone"] == f"deleted from {disk}4"
    assert done["/etc/never-there"] == f"is not on {disk}4"
    assert coded(HUSH) not in str(done)


def test_content_comes_from_an_address_of_the_machines_own(tmp_path: Path, folder: Path, disk: Path) -> None:
    with nodes(disk) as found, peers.Images({"/u-1/52:54:00:aa:bb:cc.conf": b"for me alone"}) as images:
        url = images.url("/{node[uuid]}/{ports[0][address]}.conf")
        run(folder, [{"path": "/etc/own.conf", "content": url}], "service", uuid="u-1")
        with mounted(found["4"], tmp_path / "look") as root:
            assert (root / "etc/own.conf").read_bytes() == b"for me alone"
        missing = [{"path": "/etc/own.conf", "content": images.url("/{node[extra][rack]}")}]
        with pytest.raises(errors.InvalidCommandParams, match=r"names \{node\[extra\]\[rack\]\}, which this machine"):
            run(folder, missing)
        with pytest.raises(errors.Unreachable, match="answered 404"):
            run(folder, [{"path": "/etc/own.conf", "content": images.url("/nothing")}])


def test_links_of_the_image_lead_nowhere_else(tmp_path: Path, folder: Path, disk: Path) -> None:
    names = ("etc/resolv.conf", "etc/out/file", "../usr/../../etc/up", "etc/dangling")
    host = Path("/etc/shadow").read_bytes()
    with nodes(disk) as found:
        run(folder, [{"path": f"/{name}", "content": coded(name.encode())} for name in names])
        with mounted(found["4"], tmp_path / "look") as root:
            assert (root / "run/stub/resolv.conf").read_text() == "etc/resolv.conf"
            assert (root / f"{tmp_path}/outside/file".lstrip("/")).read_text() == "etc/out/file"
            assert (root / "etc/up").read_text() == "../usr/../../etc/up"
            assert (root / "etc/shadow").read_text() == "etc/dangling"
            assert (root / "etc/dangling").is_symlink()
        run(folder, [{"path": "/etc/dangling", "deleted": True}])
        with mounted(found["4"], tmp_path / "look") as root:
            assert not (root / "etc/dangling").is_symlink(), "of a link the link goes, not what it leads to"
            assert (root / "etc/shadow").exists()
        with pytest.raises(errors.CommandExecutionError, match="links without end"):
            run(folder, [{"path": "/etc/round", "content": ""}])
        with pytest.raises(errors.CommandExecutionError, match="/etc/pipe cannot be written: there is something else"):
            run(folder, [{"path": "/etc/pipe", "content": ""}])
        with pytest.raises(errors.CommandExecutionError, match=r"/etc/old\.d cannot be deleted: Is a directory"):
            run(folder, [{"path": "/etc/old.d", "deleted": True}])
    assert list((tmp_path / "outside").iterdir()) == []
    assert Path("/etc/shadow").read_bytes() == host
    assert not Path("/run/stub").exists()


def test_a_place_that_is_not_there_is_a_sentence(folder: Path, disk: Path) -> None:
    with nodes(disk):
        with pytest.raises(
            errors.DeviceNotFound, match=r"no partition with the folder /srv for /srv/x; .*sda4 \(ext4\)"
        ):
            run(folder, [{"path": "/srv/x", "content": ""}])
        with pytest.raises(errors.DeviceNotFound, match="no partition with the folder /loop for /loop/x"):
            run(folder, [{"path": "/loop/x", "content": ""}])
        with pytest.raises(errors.DeviceNotFound, match="no partition 7 for /etc/x"):
            run(folder, [{"path": "/etc/x", "partition": "7", "content": ""}])
        assert run(folder, [{"path": "/etc/x", "partition": f"{disk}4", "content": ""}])
    assert run(folder, []) == {}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"content": ""}, "a file: it has no path"),
        ({"path": "/etc/", "content": ""}, "/etc/: its path is a folder's"),
        ({"path": "/etc/../x", "content": ""}, "/etc/../x: a file in the root folder needs its partition"),
        ({"path": "/etc/x"}, "/etc/x: it needs either content or deleted"),
        ({"path": "/etc/x", "content": coded(HUSH), "deleted": True}, "it needs either content or deleted"),
        ({"path": "/etc/x", "content": HUSH.decode()}, "its content is neither base64 nor a URL"),
        ({"path": "/etc/x", "content": "file:///etc/shadow"}, "its content is neither base64 nor a URL"),
        ({"path": "/etc/x", "content": "", "mode": "0600"}, "mode is not a number"),
        ({"path": "/etc/x", "content": "", "owner": True}, "owner is not a number"),
        ({"path": "/etc/x", "content": "", "group": -1}, "group is not a number of 0 to 4294967294"),
        ({"path": "/etc/x", "content": "", "mode": 1 << 40}, "mode is not a number of 0 to 4095"),
        ({"path": "/etc/x\0", "content": ""}, "its path has a letter that no file's name can have"),
        ({"path": "/etc/\ud800", "content": ""}, "its path has a letter that no file's name can have"),
        ({"path": "/etc/x", "content": "", "acl": 1}, "'acl' is not known"),
        ("etc/x", "files is not a list of objects"),
    ],
)
def test_wrong_wishes_are_all_told_before_anything_is_written(wrong: Any, said: str) -> None:
    good = {"path": "/etc/good", "content": coded(HUSH)}
    with pytest.raises(errors.InvalidCommandParams, match="cannot be: ") as told:
        inject.wishes({"properties": {}}, {"files": [good, wrong]})
    assert said in told.value.message
    assert HUSH.decode() not in told.value.message
    assert coded(HUSH) not in told.value.message
