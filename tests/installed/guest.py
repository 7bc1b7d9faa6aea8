"""A bare Debian with systemd in a virtual machine, reached by SSH, ingot's packages lying in it; for tests of those.

It holds what the package depends on, and no way to any network but, where that is asked for, to servers of this host's
loopback, so that installing the packages is all that is left.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import subprocess
import sys
import time
import uuid
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent import vm
from checkout import ROOT
from ingot_rack import accel, osimage_disk, osimage_sources, qemu

_PACKAGES = "systemd-sysv,udev,dbus,kmod,iproute2,procps,openssh-server,initramfs-tools,zstd,python3,busybox-static"
_SETUP = """#!/bin/sh
set -e
settings="$1/etc/initramfs-tools/conf.d" modules="$1/usr/share/initramfs-tools/modules.d"
mkdir -p "$settings" "$modules"
printf '%s\\n' MODULES=list BUSYBOX=n COMPRESS=zstd RESUME=none FSTYPE=ext4 >"$settings/test.conf"
printf '%s\\n' virtio_pci virtio_blk ext4 >"$modules/test"
"""
_FILES = {
    "etc/fstab": "/dev/vda / ext4 defaults 0 1\n",
    "etc/hostname": "guest\n",
    "etc/hosts": "127.0.0.1 localhost guest\n",
    "etc/systemd/network/10.network": "[Match]\nName=eth0\n[Network]\nAddress=10.0.2.15/24\nLinkLocalAddressing=no\n",
    "etc/ssh/sshd_config.d/test.conf": "UseDNS no\nPermitRootLogin prohibit-password\n",
}
_NEEDLESS = ("apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "fstrim.timer")
_KERNEL = "root=/dev/vda ro console=ttyS0 net.ifnames=0 no_timer_check quiet"
_SPARE = 3072 * osimage_disk.MIB
MEMORY_MB = 1024
API_PORT = 6385
HOST = "10.0.2.2"
"""This host's loopback as a guest that may reach it sees it."""


def run(*words: str, timeout: float = 300.0) -> str:
    """A program's output; a failure ends the test. Nothing of this checkout's environment reaches it."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "INGOT_"))}
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=timeout, env=environment)
    assert done.returncode == 0, f"{words[:4]}: {done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def build_packages(folder: Path) -> tuple[Path, Path]:
    """ingot's Debian package and that of the extras, made by their script."""
    package, extras = run(sys.executable, str(ROOT / "packaging/build_deb.py"), str(folder), timeout=600).split()
    return Path(package), Path(extras)


def depends() -> list[str]:
    """The Debian packages of the group `run`."""
    lines = (ROOT / "packaging/debian-packages.txt").read_text().splitlines()
    return [line.split()[1] for line in lines if line.startswith("run ")]


@dataclass(frozen=True)
class Guest:
    """A running machine; ``api``: the port of this host that leads to its API, ``package``: the package in it, beside
    the extras'; ``key``: who has this file may log in."""

    folder: Path
    key: Path
    package: str
    ssh: int
    api: int

    def command(self, *options: str) -> list[str]:
        """ssh, with these options of its own."""
        quiet = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]
        own = ["-i", str(self.key), "-o", "BatchMode=yes", "-o", "ConnectTimeout=10"]
        way = ["-o", f"ControlPath={self.folder}/ssh", "-p", str(self.ssh), *options, "root@127.0.0.1"]
        return ["ssh", *own, *quiet, *way]

    def done(self, line: str, limit: float = 120.0) -> subprocess.CompletedProcess[str]:
        """A shell's line in the guest, run to its end whatever that is."""
        nothing, argv = subprocess.DEVNULL, [*self.command(), line]
        return subprocess.run(argv, stdin=nothing, capture_output=True, text=True, check=False, timeout=limit)

    def run(self, line: str, limit: float = 120.0) -> str:
        """The output of a shell's line in the guest; its failure is the test's."""
        done = self.done(line, limit)
        assert done.returncode == 0, f"{line}: {done.returncode}: {done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout

    def reach(self, line: str, wanted: str, limit: float = 90.0) -> None:
        """Wait until the line's output is ``wanted``."""
        end = time.monotonic() + limit
        while (said := self.done(line).stdout.strip()) != wanted:
            assert time.monotonic() < end, f"{line}: {said!r} is not {wanted!r}; {self.journal()}"
            time.sleep(0.5)  # noqa: TID251  waits for another machine

    def journal(self) -> str:
        """What the unit's journal says at its end."""
        return self.done("journalctl -u ingot -o cat -n 60 --no-pager").stdout


def build_root(folder: Path, *packages: Path) -> Path:
    """The system's tree in ``folder``, with these packages in the home of root, and the key that opens it beside it."""
    tree, hook, key = folder / "root", folder / "setup", folder / "key"
    here = osimage_sources.host_distribution()
    hook.write_text(_SETUP)
    hook.chmod(0o755)
    wanted = ",".join([_PACKAGES, here.kernel_package, *depends()])
    command = ["mmdebstrap", "--mode=root", "--variant=minbase", "--format=directory", "--quiet"]
    command += [f"--include={wanted}", f'--setup-hook={hook} "$1"', "--dpkgopt=force-unsafe-io"]
    copied = " ".join(map(str, packages))
    command += ['--aptopt=Acquire::Languages "none"', f"--customize-hook=copy-in {copied} /root"]
    if here.proxy:
        command.append(f'--aptopt=Acquire::http::Proxy "{here.proxy}"')
    run(*command, here.codename, str(tree), *here.sources, timeout=900)
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key))
    files = {**_FILES, "root/.ssh/authorized_keys": key.with_suffix(".pub").read_text()}
    for name, text in files.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        (tree / name).write_text(text)
    (tree / "etc/systemd/network").chmod(0o755)
    run("chroot", str(tree), "systemctl", "enable", "--quiet", "systemd-networkd", "ssh")
    run("chroot", str(tree), "systemctl", "mask", "--quiet", *_NEEDLESS)
    return tree


@contextlib.contextmanager
def started(folder: Path, tree: Path, package: str, *, reaches_host: bool = False) -> Generator[Guest]:
    """The tree as a running machine that keeps its files in ``folder``; killed at the end.

    ``reaches_host``: it may connect to this host's loopback, under the address ``HOST``.
    """
    used = int(run("du", "-s", "-B1", str(tree)).split()[0])
    disk = folder / "disk"
    osimage_disk.make_ext4(disk, (used * 108 // 100 + _SPARE) // 4096 * 4096, uuid.uuid4(), tree)
    guest = Guest(folder, tree.with_name("key"), f"~/{package}", vm.free_port(), vm.free_port())
    argv = _machine(guest, disk, tree, "off" if reaches_host else "on")
    with contextlib.ExitStack() as stack:
        machine = stack.enter_context(subprocess.Popen(argv, stdin=subprocess.DEVNULL))
        stack.callback(machine.kill)
        try:
            _wait(guest, machine)
            # One connection for all: each of its own would cost the emulated processor seconds.
            master = stack.enter_context(subprocess.Popen(guest.command("-M", "-N"), stdin=subprocess.DEVNULL))
            stack.callback(master.terminate)
            yield guest
        except BaseException:
            print((folder / "serial").read_text(errors="replace")[-3000:])
            raise


def _machine(guest: Guest, disk: Path, tree: Path, restrict: str) -> list[str]:
    """QEMU's command line: kernel and initrd directly, one disk, a network card with two doors and no way out (the
    system has no route to anywhere; ``restrict`` "on" closes the way to this host, too)."""
    accelerator = asyncio.run(accel.choose())
    forward = ",".join(
        f"hostfwd=tcp:127.0.0.1:{here}-:{there}" for here, there in ((guest.ssh, 22), (guest.api, API_PORT))
    )
    argv = ["qemu-system-x86_64", "-accel", accelerator, "-machine", "q35", "-nodefaults", "-display", "none"]
    argv += ["-cpu", qemu.TCG_CPU if accelerator.startswith("tcg") else "host", "-m", str(MEMORY_MB), "-smp", "2"]
    argv += ["-kernel", str((tree / "vmlinuz").resolve()), "-initrd", str((tree / "initrd.img").resolve())]
    argv += ["-append", _KERNEL, "-serial", f"file:{guest.folder / 'serial'}", "-device", "virtio-rng-pci"]
    argv += ["-drive", f"file={disk},format=raw,if=none,id=d0,cache=unsafe", "-device", "virtio-blk-pci,drive=d0"]
    return [
        *argv,
        "-netdev",
        f"user,id=n0,restrict={restrict},{forward}",
        "-device",
        "virtio-net-pci,netdev=n0,romfile=",
    ]


def _wait(guest: Guest, machine: subprocess.Popen[bytes]) -> None:
    """Until somebody may log in."""
    end = time.monotonic() + 420
    while guest.done("true").returncode:
        if machine.poll() is not None or time.monotonic() > end:
            pytest.fail("the guest does not come up")
        time.sleep(1)  # noqa: TID251  waits for another machine


def shell(words: list[str]) -> str:
    """Words as a line for a shell."""
    return shlex.join(words)
