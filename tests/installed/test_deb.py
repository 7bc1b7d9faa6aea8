"""The Debian package, built by its script and used in a bare root of this host's distribution; and the unit file."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from checkout import ROOT
from ingot.cli import client as api
from ingot.domain import errors
from ingot_rack import osimage_sources
from installed.guest import build_packages, run

UNIT = ROOT / "packaging/ingot.service"
ANALYZE = shutil.which("systemd-analyze")


@pytest.mark.skipif(ANALYZE is None, reason="systemd is not installed")
def test_the_unit_is_valid(tmp_path: Path) -> None:
    """Checked with a program that exists here instead of the installed one, without manual pages."""
    text = UNIT.read_text().replace("/usr/bin/ingot", "/bin/true").replace("Documentation=man:ingot(1)\n", "")
    unit = tmp_path / "ingot.service"
    unit.write_text(text)
    checked = subprocess.run([str(ANALYZE), "verify", str(unit)], capture_output=True, text=True, check=False)
    about = [line for line in checked.stderr.splitlines() if "ingot.service" in line]
    assert (checked.returncode, about) == (0, []), checked.stderr
    unit.write_text(text.replace("ProtectSystem=strict", "ProtectSystm=strict"))
    wrong = subprocess.run([str(ANALYZE), "verify", str(unit)], capture_output=True, text=True, check=False)
    assert "ProtectSystm" in wrong.stderr, "the check can fail"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A bare Debian with the package installed by apt; that of the extras is beside it."""
    folder = tmp_path_factory.mktemp("deb")
    package, extras = build_packages(folder)
    tree = folder / "root"
    here = osimage_sources.host_distribution()
    command = ["mmdebstrap", "--mode=root", "--variant=minbase", "--format=directory", "--quiet"]
    command += ["--include=python3-minimal,ca-certificates", "--dpkgopt=force-unsafe-io"]
    command += [f"--customize-hook=copy-in {package} /tmp"]
    command += ['--customize-hook=chroot "$1" apt-get install -qy --no-install-recommends /tmp/' + package.name]
    if here.proxy:
        command.append(f'--aptopt=Acquire::http::Proxy "{here.proxy}"')
    run(*command, here.codename, str(tree), *here.sources, timeout=900)
    shutil.copy(extras, tree / "root")  # not before: mmdebstrap empties /tmp at its end
    run("mount", "-t", "proc", "proc", str(tree / "proc"))
    yield tree
    run("umount", str(tree / "proc"))


def inside(root: Path, *words: str) -> str:
    return run("chroot", str(root), *words)


def refused(root: Path, *words: str) -> str:
    """What a program that fails says."""
    done = subprocess.run(["chroot", str(root), *words], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode != 0
    return done.stderr


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.skipif(os.geteuid() != 0, reason="a bare root needs root")
@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="the package is for the Python that builds it")
def test_the_package_installs_serves_and_goes(root: Path) -> None:
    assert inside(root, "ingot", "--version").startswith("ingot 0.")
    began = time.monotonic()
    assert "doctor" in inside(root, "ingot", "--help")
    assert time.monotonic() - began < 3
    made = inside(root, "ingot", "init", "--password-file", "/root/password")
    assert "settings file /etc/ingot/ingot.toml" in made
    data = root / "var/lib/ingot"
    owner = data.stat().st_uid
    assert owner != 0
    assert {path.stat().st_uid for path in data.rglob("*")} == {owner}, "the service's account owns what root made"
    assert data.stat().st_mode & 0o077 == 0
    password = (root / "root/password").read_text().strip()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    account = ["setpriv", "--reuid", str(owner), "--regid", str(data.stat().st_gid), "--clear-groups"]
    serve = ["chroot", str(root), *account, "ingot", "serve", "--port", str(port)]
    log = root / "tmp/serve.log"
    with log.open("wb") as output:
        child = subprocess.Popen(serve, stdout=output, stderr=output)
    try:
        client = api.Client(f"http://127.0.0.1:{port}", "admin", password)
        end = time.monotonic() + 30
        while True:
            try:
                assert client.get("/v1/nodes") == {"nodes": []}
                break
            except errors.Unreachable:
                assert time.monotonic() < end, log.read_text()
                time.sleep(0.1)  # noqa: TID251  waits for another process
        found = json.loads(_doctor(root, port))
        assert {one["check"]: one["level"] for one in found}["database"] == "fine"
        assert [one for one in found if one["level"] == "bad"] == []
    finally:
        child.terminate()
        child.wait(20)
    server = ["ingot", "db", "upgrade", "--set", "database=postgresql://ingot@127.0.0.1:1/ingot"]
    assert "install ingot-extras" in refused(root, *server)
    inside(root, "sh", "-c", "dpkg -i /root/ingot-extras_*.deb")
    assert "postgresql://ingot@127.0.0.1:1/ingot cannot be used" in refused(root, *server)
    inside(root, "dpkg", "--purge", "ingot-extras")
    for path in ("lib/systemd/system/ingot.service", "usr/share/man/man1/ingot-node-deploy.1.gz"):
        assert (root / path).exists()
    assert "token" in inside(
        root, "sh", "-c", "COMP_WORDS='ingot user tok' COMP_CWORD=2 _INGOT_COMPLETE=bash_complete ingot"
    )
    wants = root / "etc/systemd/system/multi-user.target.wants/ingot.service"
    wants.parent.mkdir(parents=True, exist_ok=True)
    wants.symlink_to("/lib/systemd/system/ingot.service")  # as systemctl enable does
    inside(root, "dpkg", "--purge", "ingot")
    assert not wants.is_symlink(), "a unit that is gone is wanted by nothing"
    assert not (root / "usr/lib/ingot").exists()
    assert (data / "secret.key").exists(), "nodes and key outlive the package"


def _doctor(root: Path, port: int) -> str:
    return inside(root, "ingot", "doctor", "--json", "--set", f"port={port}")
