"""The ramdisk's builder: parts on their own, and whole builds from the host's packages."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agent.recipe import ROOT, load

needs_apt = pytest.mark.skipif(shutil.which("apt-get") is None, reason="no apt on this host")


def test_archive_is_read_back_by_cpio(tmp_path: Path) -> None:
    cpio = load("cpio")
    tree = tmp_path / "tree"
    (tree / "a/b").mkdir(parents=True)
    (tree / "a/b/file").write_text("hello")
    (tree / "a/tool").write_text("#!/bin/sh\n")
    (tree / "a/tool").chmod(0o755)
    (tree / "link").symlink_to("a/b")
    raw = cpio.archive(tree)
    os.utime(tree / "a/b/file", (1, 1))
    assert cpio.archive(tree) == raw
    out = tmp_path / "out"
    out.mkdir()
    done = subprocess.run(["busybox", "cpio", "-idm"], input=raw, cwd=out, capture_output=True, check=False)
    assert (out / "a/b/file").read_text() == "hello", done.stderr
    assert stat.S_IMODE((out / "a/tool").stat().st_mode) == 0o755
    assert (out / "link").readlink() == Path("a/b")
    listing = subprocess.run(["busybox", "cpio", "-tv"], input=raw, capture_output=True, check=True).stdout.decode()
    assert "dev/console" in listing


def test_the_cache_is_bounded_and_spares_what_was_used_lately(tmp_path: Path) -> None:
    prune = load("prune")
    for number in range(9):
        (tmp_path / f"built{number}").mkdir()
        (tmp_path / f"built{number}/manifest.json").write_text("{}")
        (tmp_path / f"built{number}/initrd").write_text("x")
        age = time.time() - (number + 1) * prune.SPARED / 4
        os.utime(tmp_path / f"built{number}", (age, age))
    for name, age in (("build-killed", 2 * prune.SPARED), ("build-running", 0)):
        (tmp_path / name / "stage").mkdir(parents=True)
        os.utime(tmp_path / name, (time.time() - age, time.time() - age))
    (tmp_path / "packages").mkdir()
    for number in range(90):
        (tmp_path / f"packages/p{number}.deb").write_text("x")
        os.utime(tmp_path / f"packages/p{number}.deb", (number, number))
    prune.use(tmp_path / "built8")
    prune.use(tmp_path / "packages/p0.deb")
    prune.prune(tmp_path)
    assert sorted(one.name for one in tmp_path.glob("built*")) == ["built0", "built1", "built2", "built8"]
    assert [one.name for one in tmp_path.glob("build-*")] == ["build-running"]
    left = {one.name for one in (tmp_path / "packages").iterdir()}
    assert len(left) == 80
    assert {"p0.deb", "p89.deb"} <= left
    assert "p1.deb" not in left


@pytest.mark.slow
@needs_apt
def test_cloud_ramdisk_is_small_complete_and_cached(tmp_path: Path) -> None:
    build = load("build")
    assert build.missing_packages() == []
    seen: list[tuple[str, float]] = []
    manifest = build.build("cloud", tmp_path / "one", lambda phase, part: seen.append((phase, part)))
    assert seen[0][1] == 0.0
    assert seen[-1] == ("done", 1.0)
    assert sum(manifest.sizes.values()) < 27 << 20
    for name, digest in manifest.sha256.items():
        assert hashlib.sha256((tmp_path / "one" / name).read_bytes()).hexdigest() == digest
    for name in ("virtio_net", "virtio_blk", "efivarfs"):
        assert name in manifest.modules
    assert any(name.startswith("linux-image-") for name in manifest.packages)
    again = build.build("cloud", tmp_path / "two", lambda _phase, _part: None)
    assert again == manifest
    assert json.loads((tmp_path / "two/manifest.json").read_text())["key"] == manifest.key


@pytest.mark.slow
@needs_apt
def test_the_package_brings_every_program_that_a_build_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The guides say so: beside what every Debian has, the group `run`, on which the package depends, is enough."""
    build = load("build")
    packages = build.default_cache() / "packages"
    lines = (ROOT / "packaging/debian-packages.txt").read_text().splitlines()
    brought = [line.split()[1] for line in lines if line.startswith("run ")]
    command = ["dpkg-query", "-L", "apt", "dpkg", "tar", *brought]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    programs = {one.name: one for one in map(Path, listed) if one.parent.name in {"bin", "sbin"}}
    (tmp_path / "bin").mkdir()
    for name, program in programs.items():
        (tmp_path / "bin" / name).symlink_to(program)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    shutil.copytree(packages, build.default_cache() / "packages", copy_function=os.link)
    assert build.missing_packages() == []
    assert build.build("cloud", tmp_path / "made", lambda _phase, _part: None).sizes["initrd"]


@pytest.mark.slow
@needs_apt
def test_same_inputs_give_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build = load("build")
    first = build.build("cloud", tmp_path / "one", lambda _phase, _part: None)
    packages = build.default_cache() / "packages"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    shutil.copytree(packages, build.default_cache() / "packages", copy_function=os.link)
    second = build.build("cloud", tmp_path / "two", lambda _phase, _part: None)
    assert second.sha256 == first.sha256
    assert [one.name for one in build.default_cache().iterdir() if one.name.startswith("build-")] == []


def test_unknown_variant_and_absent_package_are_sentences(tmp_path: Path) -> None:
    build, packages = load("build"), load("packages")
    with pytest.raises(build.BuildError, match="Choose one of: full, cloud"):
        build.build("tiny", tmp_path, lambda _phase, _part: None)
    with pytest.raises(build.BuildError, match="do not have no-such-package-here"):
        packages.closure(["no-such-package-here"], [], lambda _name: True)


def test_a_program_that_hangs_is_a_sentence() -> None:
    child = load("child")
    began = time.monotonic()
    with pytest.raises(load("build").BuildError, match=r"sleep 60 did not end within 0 s.*build the ramdisk again"):
        child.run(["sleep", "60"], 0.2)
    assert time.monotonic() - began < 20
    with pytest.raises(load("build").BuildError, match="no-such-program cannot be run: No such file"):
        child.run(["no-such-program"], 5)


@needs_apt
@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({}, "no folder"),
        ({"root/init": ""}, "would replace a part of the ramdisk"),
        ({"recipe.toml": "programs = 7"}, "programs is not known"),
        ({"recipe.toml": "prorgams = []"}, "prorgams is not known"),
        ({"recipe.toml": "["}, "cannot be read"),
        ({"recipe.toml": 'packages = ["no-such-package-here"]'}, "do not have no-such-package-here"),
    ],
)
def test_a_wrong_extra_folder_is_a_sentence(tmp_path: Path, files: dict[str, str], sentence: str) -> None:
    build, folder = load("build"), tmp_path / "extra"
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    with pytest.raises(build.BuildError, match=sentence):
        build.build("cloud", tmp_path / "out", lambda _phase, _part: None, [folder])
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@needs_apt
def test_runs_as_a_script(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "ramdisk/build.py"), "--output", str(tmp_path), "--variant", "cloud"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd="/")
    assert set(json.loads(done.stdout)) == {"vmlinuz", "initrd"}
    assert (tmp_path / "manifest.json").exists()
