"""A deploy ramdisk with upstream's agent (packaging/upstream-agent.txt) in a Debian root, as its users build one.

Why: ingot has to drive it unchanged, and is measured against it. It is a fair peer: compiled Python, udev, no systemd.
Invariant: built once per recipe; needs root, mmdebstrap and the package mirrors that the host's apt has.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

from checkout import ROOT
from ingot_rack import osimage_sources, places

_PINS = ROOT / "packaging" / "upstream-agent.txt"
_PACKAGES = (
    "python3 udev kmod busybox-static iproute2 util-linux fdisk gdisk parted dosfstools e2fsprogs mount efibootmgr "
    "qemu-utils dmidecode pciutils ethtool lshw hdparm smartmontools nvme-cli mdadm ipmitool procps psmisc file "
    "ca-certificates openssl zstd bsdextrautils linux-image-amd64"
)
_INIT = """#!/bin/sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8
mount -t devtmpfs dev /dev; mount -t proc proc /proc; mount -t sysfs sys /sys
mkdir -p /dev/pts /run/lock; mount -t devpts pts /dev/pts; mount -t tmpfs run /run; mount -t tmpfs tmp /tmp
echo "agent-ramdisk: init at $(cut -d' ' -f1 /proc/uptime)"
hostname ramdisk
/lib/systemd/systemd-udevd --daemon
udevadm trigger --type=subsystems --action=add; udevadm trigger --type=devices --action=add; udevadm settle --timeout=20
[ -d /sys/firmware/efi ] && mount -t efivarfs efivarfs /sys/firmware/efi/efivars
ip link set lo up
for path in /sys/class/net/*; do
    [ -e $path/device ] && ip link set ${path##*/} up &&
        busybox udhcpc -i ${path##*/} -s /dhcp -f -q -t 10 -T 1 >/dev/null 2>&1
done
echo "agent-ramdisk: network at $(cut -d' ' -f1 /proc/uptime)"
while :; do
    python3 -c 'from ironic_python_agent.cmd.agent import run; run()' 2>&1
    echo "agent-ramdisk: the agent ended ($?)"; sleep 3
done
"""
_DHCP = """#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
case "$1" in
deconfig) ip link set "$interface" up ;;
bound | renew)
    ip addr replace "$ip/$mask" dev "$interface"
    for one in $router; do ip route replace default via "$one" dev "$interface" && break; done ;;
esac
"""
_LEFT_OUT = [
    *(f"usr/share/{name}" for name in ("doc", "man", "locale", "i18n")),
    "var/lib/apt",
    "var/cache",
    "var/lib/dpkg",
]


@dataclass(frozen=True)
class Built:
    """``folder`` holds vmlinuz and initrd."""

    folder: Path
    size: int


def build() -> Built:
    """Build it, or find it in the cache. Takes about two minutes the first time."""
    distribution = osimage_sources.host_distribution()
    parts = (_PINS.read_text(), Path(__file__).read_text(), distribution.codename)
    key = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]
    folder = places.cache() / "upstream" / f"agent-{key}"
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            _make(Path(scratch), distribution)
            (Path(scratch) / "done").rename(folder)
    return Built(folder, sum(one.stat().st_size for one in folder.iterdir()))


def _make(scratch: Path, distribution: osimage_sources.Distribution) -> None:
    root, done = scratch / "root", scratch / "done"
    done.mkdir()
    command = ["mmdebstrap", "--mode=root", "--variant=minbase", "--format=directory", "--quiet"]
    command += [f"--include={','.join(_PACKAGES.split())}", "--dpkgopt=force-unsafe-io"]
    command += ["--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/locale/*"]
    _run(*command, distribution.codename, str(root), *distribution.sources)
    _install_agent(root)
    (root / "init").write_text(_INIT)
    (root / "dhcp").write_text(_DHCP)
    for name in ("init", "dhcp"):
        (root / name).chmod(0o755)
    _keep_drivers(root)
    kernel = next((root / "boot").glob("vmlinuz-*"))
    shutil.copyfile(kernel, done / "vmlinuz")
    shutil.rmtree(root / "boot")
    for name in _LEFT_OUT:
        shutil.rmtree(root / name, ignore_errors=True)
    pack = "cd $0 && find . -path ./proc/\\* -prune -o -print0 | cpio --null -o -H newc --quiet | zstd -q -9 -T0 >$1"
    _run("sh", "-c", pack, str(root), str(done / "initrd"))


def _install_agent(root: Path) -> None:
    """The agent and its libraries as wheels for the root's own Python, compiled, on every interpreter's path."""
    library = next((root / "usr/lib").glob("python3.*"))
    version = library.name.removeprefix("python")
    target = root / "opt" / "agent"
    wheels = ["--only-binary=:all:", "--implementation", "cp", "--python-version", version]
    pip = [sys.executable, "-m", "pip", "install", "-qq", "--no-input", "--no-deps", "--no-compile"]
    _run(*pip, *wheels, "--target", str(target), "-r", str(_PINS))
    (root / "usr/lib/python3/dist-packages").mkdir(exist_ok=True)
    (root / "usr/lib/python3/dist-packages/agent.pth").write_text("/opt/agent\n")
    compiling = ["python3", "-m", "compileall", "-q", "-j", "2", "--invalidation-mode", "unchecked-hash"]
    _run("chroot", str(root), *compiling, "/opt/agent", f"/usr/lib/{library.name}", accept=(0, 1))


def _keep_drivers(root: Path) -> None:
    """The drivers of our own ramdisk's list and what they need, so that both boot with the same ones."""
    release = next((root / "usr/lib/modules").iterdir())
    recipe = tomllib.loads((ROOT / "ramdisk" / "recipe.toml").read_text())
    names = [name for group in recipe["modules"].values() for name in group]
    asking = f"for one in $@; do modprobe -S {release.name} --show-depends $one 2>/dev/null; done"
    command = ["chroot", str(root), "sh", "-c", asking, "sh", *names]
    told = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False).stdout
    kept = {Path(line.split()[1]).name for line in told.splitlines() if line.startswith("insmod")}
    for path in release.rglob("*.ko*"):
        if path.name not in kept:
            path.unlink()
    _run("chroot", str(root), "depmod", release.name)


def _run(*command: str, accept: tuple[int, ...] = (0,)) -> None:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode not in accept:
        raise RuntimeError(f"{command[0]} failed: {(done.stderr or done.stdout)[-1500:]}")
