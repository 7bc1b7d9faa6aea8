"""The demo's operating system: Debian (or Ubuntu) with systemd, cloud-init and OpenSSH, trimmed to boot fast.

Why: a deployment is proved by a real distribution that reads its config drive; under emulation each service
started costs seconds. May not: run on the host's behalf, or know the rack. Invariant: it stays a normal
system: packages can be installed and a new kernel boots (GRUB reads the kernel by its stable link).
"""

from __future__ import annotations

import shutil
import subprocess
import uuid
from collections.abc import Callable
from pathlib import Path

from ingot_rack import osimage_disk
from ingot_rack.osimage_sources import Distribution

_PACKAGES = (
    "systemd-sysv",
    "systemd-resolved",
    "udev",
    "dbus",
    "kmod",
    "iproute2",
    "openssh-server",
    "cloud-init",
    "cloud-guest-utils",
    "fdisk",
    "sudo",
    "zstd",
    "less",
    "ca-certificates",
    "netbase",
    "login",
    "passwd",
    "libpam-systemd",
)
_EXCLUDED = (
    "/usr/share/doc/*",
    "/usr/share/man/*",
    "/usr/share/info/*",
    "/usr/share/locale/*",
    "/usr/share/lintian/*",
    "/usr/share/i18n/*",
    "/usr/share/bug/*",
)
_MASKED = (
    "systemd-networkd-wait-online.service",
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "motd-news.timer",
    "ldconfig.service",
    "systemd-pstore.service",
    "systemd-binfmt.service",
    "cloud-init-hotplugd.socket",
)
_INITRAMFS = "MODULES=list\nBUSYBOX=n\nCOMPRESS=zstd\nRESUME=none\nFSTYPE=ext4\n"
_INITRAMFS_MODULES = "virtio_pci\nvirtio_blk\nvirtio_scsi\nsd_mod\nnvme\nahci\next4\n"
_CLOUD = """# Written by the image's builder.
datasource_list: [ConfigDrive, None]
datasource:
  ConfigDrive:
    dsmode: local
disable_root: false
ssh_pwauth: false
ssh_deletekeys: true
ssh_genkeytypes: [ed25519]
ssh: {emit_keys_to_console: false}
preserve_hostname: false
manage_etc_hosts: false
apt_preserve_sources_list: true
apt: {preserve_sources_list: true}
growpart: {mode: growpart, devices: ['/']}
resize_rootfs: noblock
cloud_init_modules:
  - seed_random
  - bootcmd
  - write-files
  - growpart
  - resizefs
  - set_hostname
  - update_hostname
  - users-groups
  - ssh
cloud_config_modules:
  - runcmd
cloud_final_modules:
  - scripts-user
  - final-message
system_info:
  distro: @DISTRO@
  network: {renderers: [networkd]}
  default_user:
    name: @DISTRO@
    lock_passwd: true
    gecos: @DISTRO@
    groups: [sudo]
    sudo: ['ALL=(ALL) NOPASSWD:ALL']
    shell: /bin/bash
"""
_SSHD = "HostKey /etc/ssh/ssh_host_ed25519_key\nUseDNS no\nPasswordAuthentication no\n"
# no_timer_check: an emulator on a busy host is late with the interrupts that Linux counts at its start, and it panics
_GRUB = """set timeout=0
set timeout_style=hidden
linux @KERNEL@ root=UUID=@ROOT@ ro console=tty0 console=ttyS0,115200n8 net.ifnames=0 quiet loglevel=4 no_timer_check
initrd @INITRD@
boot
"""
_LATER = "[Unit]\nAfter=ssh.service\n"

Progress = Callable[[str], None]


def recipe() -> str:
    """Everything that shapes the image, as text, for the cache key."""
    return repr((_PACKAGES, _EXCLUDED, _MASKED, _INITRAMFS, _INITRAMFS_MODULES, _CLOUD, _SSHD, _GRUB, _LATER, 1))


def build_raw(output: Path, distribution: Distribution, work: Path, progress: Progress) -> None:
    """Write the raw whole-disk image to ``output``; ``work`` is scratch space the caller removes."""
    tree = work / "root"
    progress("installing packages")
    _bootstrap(tree, distribution, work)
    progress("configuring the system")
    disk_uuid = uuid.uuid4()
    root_uuid = uuid.uuid5(disk_uuid, "root-fs")
    _configure(tree, distribution, root_uuid)
    progress("making file systems")
    loader = work / "bootx64.efi"
    osimage_disk.make_efi_loader(loader, str(root_uuid), "/boot/grub/grub.cfg")
    esp, root = work / "esp.img", work / "root.img"
    osimage_disk.make_fat(esp, 8 * osimage_disk.MIB, root_uuid.hex[:8], {"EFI/BOOT/BOOTX64.EFI": loader})
    osimage_disk.make_ext4(root, _root_size(tree), root_uuid, tree)
    plan = osimage_disk.DiskPlan(esp, root, str(root_uuid), "/boot/grub/grub.cfg", disk_uuid)
    osimage_disk.assemble(output, plan, work)
    shutil.rmtree(tree)


def _bootstrap(tree: Path, distribution: Distribution, work: Path) -> None:
    hook = work / "setup"
    hook.write_text(_setup_hook())
    hook.chmod(0o755)
    packages = ",".join((*_PACKAGES, distribution.kernel_package))
    command = ["mmdebstrap", "--mode=root", "--variant=minbase", "--format=directory", "--quiet"]
    command += [f"--include={packages}", f'--setup-hook={hook} "$1"', "--dpkgopt=force-unsafe-io"]
    command += [f"--dpkgopt=path-exclude={path}" for path in _EXCLUDED]
    command += ["--dpkgopt=path-include=/usr/share/doc/*/copyright"]
    command += ['--aptopt=Acquire::Languages "none"']
    if distribution.proxy:
        command.append(f'--aptopt=Acquire::http::Proxy "{distribution.proxy}"')
    osimage_disk.run([*command, distribution.codename, str(tree), *distribution.sources])


def _setup_hook() -> str:
    return (
        "#!/bin/sh\nset -e\n"
        'mkdir -p "$1/etc/initramfs-tools/conf.d" "$1/usr/share/initramfs-tools/modules.d"\n'
        f'cat >"$1/etc/initramfs-tools/conf.d/image.conf" <<END\n{_INITRAMFS}END\n'
        f'cat >"$1/usr/share/initramfs-tools/modules.d/image" <<END\n{_INITRAMFS_MODULES}END\n'
    )


def _configure(tree: Path, distribution: Distribution, root_uuid: uuid.UUID) -> None:
    etc = tree / "etc"
    _write(etc / "fstab", f"UUID={root_uuid} / ext4 defaults 0 1\n")
    _write(etc / "hostname", distribution.ident + "\n")
    _write(etc / "hosts", "127.0.0.1 localhost\n::1 localhost ip6-localhost\n")
    _write(etc / "machine-id", "uninitialized\n")
    _write(etc / "cloud/cloud.cfg.d/90_image.cfg", _CLOUD.replace("@DISTRO@", distribution.ident))
    _write(etc / "ssh/sshd_config.d/10-image.conf", _SSHD)
    _write(etc / "apt/sources.list", "\n".join(distribution.sources) + "\n")
    for unit in ("cloud-config.service", "cloud-final.service"):
        _write(etc / f"systemd/system/{unit}.d/after-ssh.conf", _LATER)
    for unit in _MASKED:
        link = etc / "systemd/system" / unit
        link.unlink(missing_ok=True)
        link.symlink_to("/dev/null")
    for key in (etc / "ssh").glob("ssh_host_*"):
        key.unlink()
    osimage_disk.run(["chroot", str(tree), "systemctl", "enable", "--quiet", "systemd-networkd", "ssh"])
    resolv = etc / "resolv.conf"
    resolv.unlink(missing_ok=True)
    resolv.symlink_to("/run/systemd/resolve/stub-resolv.conf")
    _write(tree / "boot/grub/grub.cfg", _menu(tree, root_uuid))


def _menu(tree: Path, root_uuid: uuid.UUID) -> str:
    prefix = "" if (tree / "vmlinuz").is_symlink() else "/boot"
    text = _GRUB.replace("@KERNEL@", f"{prefix}/vmlinuz").replace("@INITRD@", f"{prefix}/initrd.img")
    return text.replace("@ROOT@", str(root_uuid))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _root_size(tree: Path) -> int:
    used = subprocess.run(["du", "-s", "-B4096", str(tree)], capture_output=True, text=True, check=True)
    blocks = int(used.stdout.split()[0])
    return (blocks * 4096 * 108 // 100 // osimage_disk.MIB + 64) * osimage_disk.MIB
