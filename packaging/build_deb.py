#!/usr/bin/env python3
"""Builds two Debian packages: ingot with its Python libraries in /usr/lib/ingot, a program, a unit, manual pages; and
ingot-extras, the drivers of database servers and of the broker, for sites of several hosts.

Why no Debian source package: the libraries come pinned from constraints.txt, as in every other way to run ingot.
May not: install anything on this host. Invariant: the package is for the Python that built it (its libraries are
compiled), and says so in its dependencies.

    packaging/build_deb.py [FOLDER]        writes FOLDER/ingot_VERSION_ARCH.deb and FOLDER/ingot-extras_VERSION_ARCH.deb
                                           (default: dist), and prints their paths, a line each
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
from pathlib import Path

import slim

ROOT = Path(__file__).resolve().parent.parent
HOME = Path("usr/lib/ingot")
PROGRAM = f"""#!/usr/bin/python3 -IB
import sys

sys.path.insert(0, "/{HOME}")
from ingot.cli.main import main

sys.exit(main())
"""
CONTROL = """Package: ingot
Version: {version}
Architecture: {architecture}
Maintainer: ingot <root@localhost>
Installed-Size: {size}
Section: admin
Priority: optional
Depends: python3 (>= {python}), python3 (<< {next_python}), passwd, {run}
Recommends: iproute2
Suggests: {rack}
Description: bare-metal cloud that speaks OpenStack Ironic's REST API
 One program with an SQLite file: it switches servers on by IPMI or Redfish, boots
 them from the network, inspects, cleans and deploys them.
"""
EXTRAS = """Package: ingot-extras
Version: {version}
Architecture: {architecture}
Maintainer: ingot <root@localhost>
Installed-Size: {size}
Section: admin
Priority: optional
Depends: ingot (= {version})
Suggests: postgresql-client, mariadb-client
Description: what ingot needs for several hosts: PostgreSQL, MariaDB, RabbitMQ
 Drivers of database servers and of the broker. One host with an SQLite file needs none.
"""
POSTINST = """#!/bin/sh
set -e
if [ "$1" = configure ]; then
    getent passwd ingot >/dev/null || useradd --system --user-group --home-dir /var/lib/ingot --no-create-home \\
        --shell /usr/sbin/nologin ingot
    mkdir -p /etc/ingot
    [ -d /var/lib/ingot ] || install -d -m 0700 -o ingot -g ingot /var/lib/ingot
    if [ -d /run/systemd/system ]; then
        systemctl daemon-reload
        [ -z "$2" ] || systemctl try-restart ingot.service ||
            echo "ingot did not start again; journalctl -u ingot says why"
    fi
    [ -n "$2" ] || echo "Next: ingot init"
fi
"""
PRERM = """#!/bin/sh
set -e
if [ "$1" = remove ]; then
    [ ! -d /run/systemd/system ] || systemctl stop ingot.service
    # What "systemctl enable" made, while the unit that tells its place is still there; the rest of it below.
    [ ! -x /usr/bin/systemctl ] || systemctl --no-reload disable ingot.service
fi
"""
POSTRM = """#!/bin/sh
set -e
case "$1" in remove | purge) rm -f /etc/systemd/system/multi-user.target.wants/ingot.service ;; esac
[ ! -d /run/systemd/system ] || systemctl daemon-reload
if [ "$1" = purge ]; then
    rm -f /etc/ingot/ingot.toml
    rmdir --ignore-fail-on-non-empty /etc/ingot 2>/dev/null || true
    [ ! -d /var/lib/ingot ] || echo "/var/lib/ingot is kept: it has your nodes and the key to their passwords"
fi
"""


def main() -> None:
    """Build them and print their paths."""
    out = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "dist")
    out.mkdir(parents=True, exist_ok=True)
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    architecture = run("dpkg", "--print-architecture").strip()
    own, every = pins("constraints.txt"), pins("packaging/extras.txt")
    with tempfile.TemporaryDirectory() as folder:
        stage = Path(folder)
        stage.chmod(0o755)
        install(stage / HOME, "--only-binary", ":all:", *own)
        install(stage / HOME, str(ROOT))
        finish(stage / HOME)
        add_files(stage)
        add_control(stage, CONTROL, version, architecture)
        for name, script in (("postinst", POSTINST), ("prerm", PRERM), ("postrm", POSTRM)):
            write(stage / "DEBIAN" / name, script, 0o755)
        tell(stage, out / f"ingot_{version}_{architecture}.deb")
    with tempfile.TemporaryDirectory() as folder:
        stage = Path(folder)
        stage.chmod(0o755)
        install(stage / HOME, "--only-binary", ":all:", *(one for one in every if one not in own))
        finish(stage / HOME)
        add_control(stage, EXTRAS, version, architecture)
        tell(stage, out / f"ingot-extras_{version}_{architecture}.deb")


def tell(stage: Path, target: Path) -> None:
    """Pack what is staged, and print where."""
    run("dpkg-deb", "--root-owner-group", "-Zxz", "--build", str(stage), str(target))
    print(target)  # noqa: T201  the result


def pins(name: str) -> list[str]:
    """The pinned packages of a list."""
    return [line.partition(";")[0].strip() for line in (ROOT / name).read_text().splitlines()]


def install(home: Path, *words: str) -> None:
    """These packages and no others."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]
    run(*pip, "--no-compile", "--no-deps", "--target", str(home), *words)


def finish(home: Path) -> None:
    """Compile what is installed, without what only pip and debuggers need."""
    shutil.rmtree(home / "bin", ignore_errors=True)
    for path in list(home.rglob("__pycache__")):
        shutil.rmtree(path)
    slim.slim(home)
    # A program started as root must not write below /usr, and without compiled modules it would start in seconds.
    compiling = [sys.executable, "-m", "compileall", "-qq", "--invalidation-mode", "unchecked-hash"]
    run(*compiling, "-s", str(home.parent.parent.parent), "-p", "/", str(home))


def add_files(stage: Path) -> None:
    """The program, the unit, manual pages, completion."""
    write(stage / "usr/bin/ingot", PROGRAM, 0o755)
    write(stage / "lib/systemd/system/ingot.service", (ROOT / "packaging/ingot.service").read_text())
    home = str(stage / HOME)
    ingot = [
        sys.executable,
        "-IBc",
        f"import sys; sys.path.insert(0, {home!r}); from ingot.cli.main import main; main()",
    ]
    pages = stage / "usr/share/man/man1"
    run(*ingot, "man", str(pages))
    run("gzip", "-9n", *[str(path) for path in sorted(pages.iterdir())])
    for shell, place in (
        ("bash", "bash-completion/completions/ingot"),
        ("zsh", "zsh/vendor-completions/_ingot"),
        ("fish", "fish/vendor_completions.d/ingot.fish"),
    ):
        write(stage / "usr/share" / place, run(*ingot, "completion", shell))
    write(stage / "usr/share/doc/ingot/copyright", (ROOT / "LICENSE").read_text())


def add_control(stage: Path, form: str, version: str, architecture: str) -> None:
    """What dpkg reads."""
    size = sum(path.stat().st_size for path in stage.rglob("*") if path.is_file()) // 1024
    major, minor = (int(part) for part in sysconfig.get_python_version().split("."))
    text = form.format(
        version=version,
        architecture=architecture,
        size=size,
        python=f"{major}.{minor}",
        next_python=f"{major}.{minor + 1}",
        run=", ".join(packages("run")),
        rack=", ".join(packages("rack")),
    )
    write(stage / "DEBIAN/control", text)


def packages(group: str) -> list[str]:
    """The Debian packages of a group."""
    lines = (ROOT / "packaging/debian-packages.txt").read_text().splitlines()
    words = [line.partition("#")[0].split() for line in lines]
    return [one[1] for one in words if len(one) > 1 and one[0] == group]


def write(path: Path, text: str, mode: int = 0o644) -> None:
    """One file with the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def run(*words: str) -> str:
    """A program's output; its failure ends this one."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        sys.exit(f"{words[0]} failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return done.stdout


if __name__ == "__main__":
    os.umask(0o022)
    main()
