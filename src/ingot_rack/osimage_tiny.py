"""A few megabytes of operating system for tests: kernel, BusyBox and Dropbear in an initial ramdisk on a disk.

Why: most tests only ask "did the deployed disk boot and read its config drive"; a distribution takes a minute
of emulated CPU to answer. May not: pretend to be more: nothing it writes survives a reboot.
Invariant: host name, addresses and SSH keys come from the config drive and from nowhere else.
"""

from __future__ import annotations

import gzip
import lzma
import re
import shutil
import stat
import subprocess
import uuid
from collections.abc import Callable
from pathlib import Path

from ingot_rack import osimage_disk
from ingot_rack.osimage_sources import Distribution

_PACKAGES = ("busybox-static", "dropbear-bin", "jq")
_MODULES = (
    "virtio_pci",
    "virtio_blk",
    "virtio_scsi",
    "virtio_net",
    "sd_mod",
    "sr_mod",
    "ahci",
    "nvme",
    "e1000",
    "e1000e",
    "isofs",
)
_PROGRAMS = ("usr/sbin/dropbear", "usr/bin/jq")
_INIT = r"""#!/bin/sh
export PATH=/bin:/sbin:/usr/bin:/usr/sbin
/bin/busybox mkdir -p /proc /sys /dev /run /tmp /mnt /root/.ssh /etc/dropbear /var/log /var/run
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts
mount -t devpts devpts /dev/pts
for module in $(cat /etc/modules); do insmod "/modules/$module" 2>/dev/null; done
hostname tiny
ip link set lo up
deadline=$(($(cut -d. -f1 /proc/uptime) + 10))
until [ -n "$drive" ] || [ "$(cut -d. -f1 /proc/uptime)" -ge $deadline ]; do
  drive=$(findfs LABEL=config-2 2>/dev/null)
  [ -n "$drive" ] || sleep 0.2
done
data=/mnt/openstack/latest
if [ -n "$drive" ] && mount -r -t iso9660 "$drive" /mnt; then
  echo "tiny: config drive on $drive"
  name=$(jq -r '.hostname // .name // empty' $data/meta_data.json | cut -d. -f1)
  [ -z "$name" ] || hostname "$name"
  jq -r '((.public_keys // {}) | if type == "object" then .[] else .[] end), ((.keys // [])[] | .data)' \
    $data/meta_data.json | sort -u >/root/.ssh/authorized_keys
else
  echo "tiny: no config drive found"
fi
chmod -R go= /root
hostname >/etc/hostname
static() {
  jq -r '. as $all | .networks[]? | select(.type == "ipv4") as $net
    | ($all.links[] | select(.id == $net.link) | .ethernet_mac_address | ascii_downcase) as $mac
    | "addr \($mac) \($net.ip_address) \($net.netmask // "")",
      ($net.routes[]? | "route \($mac) \(.network) \(.netmask) \(.gateway)")' $data/network_data.json 2>/dev/null
  jq -r '((.services // [])[], (.networks[]?.services // [])[]) | select(.type == "dns")
    | "dns \(.address)"' $data/network_data.json 2>/dev/null
}
device() { grep -lix "$1" /sys/class/net/*/address | head -n 1 | cut -d/ -f5; }
length() { ipcalc -p 0.0.0.0 "$1" | cut -d= -f2; }
if [ -n "$(static)" ]; then
  static | while read -r what one two three four; do
    case $what in
    addr)
      dev=$(device "$one")
      case $two in */*) cidr=$two ;; *) cidr=$two/$(length "$three") ;; esac
      ip link set "$dev" up
      ip addr add "$cidr" dev "$dev"
      ;;
    route) ip route add "$two/$(length "$three")" via "$four" dev "$(device "$one")" ;;
    dns) echo "nameserver $one" >>/etc/resolv.conf ;;
    esac
  done
else
  for path in /sys/class/net/*; do
    dev=${path##*/}
    [ "$dev" = lo ] && continue
    ip link set "$dev" up
    udhcpc -q -b -t 5 -T 2 -i "$dev" -s /etc/udhcpc.sh >/dev/null
  done
fi
umount /mnt 2>/dev/null
dropbear -R -s -E 2>/dev/null
addresses=$(ip -4 -o addr | sed -n 's/.*inet \([^ ]*\).*/\1/p' | grep -v ^127 | tr '\n' ' ')
echo "tiny: ssh is ready on $(hostname) $addresses"
exec /bin/init
"""
_DHCP = r"""#!/bin/sh
[ "$1" = bound ] || [ "$1" = renew ] || exit 0
ip addr replace "$ip/${mask:-24}" dev "$interface"
[ -z "$router" ] || ip route replace default via "${router%% *}" dev "$interface"
for server in $dns; do echo "nameserver $server"; done >/etc/resolv.conf
"""
_FILES = {
    "init": _INIT,
    "etc/udhcpc.sh": _DHCP,
    "etc/inittab": "::respawn:/bin/getty -L 115200 ttyS0 vt100\n::respawn:/bin/getty 38400 tty1\n"
    "::ctrlaltdel:/bin/reboot\n::shutdown:/bin/sync\n",
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\n",
    "etc/group": "root:x:0:\n",
    "etc/shadow": "root:*:19000:0:99999:7:::\n",
    "etc/shells": "/bin/sh\n",
    "etc/os-release": 'NAME="tiny test image"\nID=tiny\nPRETTY_NAME="tiny test image"\n',
}
# no_timer_check: an emulator on a busy host is late with the interrupts that Linux counts at its start, and it panics
_LINUX = "linux /vmlinuz console=tty0 console=ttyS0,115200n8 no_timer_check quiet"
_MENU = f"set timeout=0\n{_LINUX}\ninitrd /initrd\nboot\n"

Progress = Callable[[str], None]


def recipe() -> str:
    """Everything that shapes the image, as text, for the cache key."""
    return repr((_PACKAGES, _MODULES, _PROGRAMS, _FILES, _MENU, 1))


def build_raw(output: Path, distribution: Distribution, work: Path, progress: Progress) -> None:
    """Write the raw whole-disk image to ``output``; ``work`` is scratch space the caller removes."""
    progress("fetching packages")
    tree = work / "root"
    packages = ",".join((*_PACKAGES, distribution.kernel_package))
    command = ["mmdebstrap", "--mode=root", "--variant=extract", "--format=directory", "--quiet"]
    command += [f"--include={packages}"]
    if distribution.proxy:
        command.append(f'--aptopt=Acquire::http::Proxy "{distribution.proxy}"')
    osimage_disk.run([*command, distribution.codename, str(tree), *distribution.sources])
    _join_usr(tree)
    progress("making the ramdisk")
    initrd = work / "initrd"
    initrd.write_bytes(_through(["zstd", "-q", "-12", "-c"], _cpio(_ramdisk(tree, work / "ramdisk"))))
    progress("making the disk")
    serial, disk_uuid = uuid.uuid4().hex[:8], uuid.uuid4()
    fat_uuid = f"{serial[:4]}-{serial[4:]}".upper()
    loader, menu = work / "bootx64.efi", work / "grub.cfg"
    menu.write_text(_MENU)
    osimage_disk.make_efi_loader(loader, fat_uuid, "/grub/grub.cfg")
    kernel = next((tree / "boot").glob("vmlinuz-*"))
    files = {"EFI/BOOT/BOOTX64.EFI": loader, "grub/grub.cfg": menu, "vmlinuz": kernel, "initrd": initrd}
    used = sum(path.stat().st_size for path in files.values())
    esp = work / "esp.img"
    osimage_disk.make_fat(esp, (used // osimage_disk.MIB + 4) * osimage_disk.MIB, serial, files)
    plan = osimage_disk.DiskPlan(esp, None, fat_uuid, "/grub/grub.cfg", disk_uuid)
    osimage_disk.assemble(output, plan, work)


def _join_usr(tree: Path) -> None:
    """Add the links from / into /usr that newer releases keep in a package nobody extracted."""
    for name in ("bin", "sbin", "lib", "lib64"):
        if not (tree / name).exists() and (tree / "usr" / name).is_dir():
            (tree / name).symlink_to(f"usr/{name}")


def _ramdisk(tree: Path, ramdisk: Path) -> Path:
    for folder in ("bin", "etc", "lib64", "modules", "root", "usr/sbin", "usr/bin"):
        (ramdisk / folder).mkdir(parents=True)
    busybox = next(path for path in (tree / "bin/busybox", tree / "usr/bin/busybox") if path.exists())
    shutil.copy2(busybox, ramdisk / "bin/busybox")
    (ramdisk / "bin/sh").symlink_to("busybox")
    for program in _PROGRAMS:
        shutil.copy2(tree / program, ramdisk / program)
        for library in _libraries(tree, program):
            target = ramdisk / library.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2((tree / library.lstrip("/")).resolve(), target)
    _copy_modules(tree, ramdisk)
    for name, text in _FILES.items():
        (ramdisk / name).write_text(text)
    for name in ("init", "etc/udhcpc.sh"):
        (ramdisk / name).chmod(0o755)
    return ramdisk


def _libraries(tree: Path, program: str) -> list[str]:
    loader = "/lib64/ld-linux-x86-64.so.2"
    listed = subprocess.run(
        ["chroot", str(tree), loader, "--list", f"/{program}"], capture_output=True, text=True, check=False
    )
    if listed.returncode:
        raise osimage_disk.DiskError(f"The libraries of {program} cannot be listed: {listed.stderr.strip()}")
    return [loader, *re.findall(r"=> (/\S+)", listed.stdout)]


def _copy_modules(tree: Path, ramdisk: Path) -> None:
    """Copy the wanted kernel modules with their dependencies; /etc/modules holds the order to load them.

    What a module needs is read from its own ``.modinfo``: depmod cannot read every compression in a bare tree.
    """
    folders = [tree / "lib/modules", tree / "usr/lib/modules"]
    found = {_module_name(str(path)): path for folder in folders for path in folder.rglob("*.ko*")}
    order: dict[str, bytes] = {}

    def take(name: str) -> None:
        if name in order or name not in found:
            return  # already there, or built into this kernel
        content = _unpacked(found[name])
        needs = re.search(rb"\0depends=([^\0]*)\0", content)
        for needed in (needs[1].decode() if needs else "").split(","):
            take(needed.replace("-", "_"))
        order[name] = content

    for wanted in _MODULES:
        take(wanted)
    for name, content in order.items():
        (ramdisk / "modules" / f"{name}.ko").write_bytes(content)
    (ramdisk / "etc/modules").write_text("".join(f"{name}.ko\n" for name in order))


def _module_name(path: str) -> str:
    return Path(path).name.split(".ko")[0].replace("-", "_")


def _unpacked(path: Path) -> bytes:
    data = path.read_bytes()
    match path.suffix:
        case ".zst":
            return _through(["zstd", "-q", "-d", "-c"], data)
        case ".xz":
            return lzma.decompress(data)
        case ".gz":
            return gzip.decompress(data)
        case _:
            return data


def _through(command: list[str], data: bytes) -> bytes:
    return subprocess.run(command, input=data, stdout=subprocess.PIPE, check=True).stdout


def _cpio(tree: Path) -> bytes:
    """Pack ``tree`` as a cpio archive in the kernel's "newc" form, everything owned by root."""
    parts: list[bytes] = []
    for number, path in enumerate(sorted(tree.rglob("*")), start=1):
        info = path.lstat()
        if stat.S_ISLNK(info.st_mode):
            body = bytes(path.readlink())
        else:
            body = path.read_bytes() if stat.S_ISREG(info.st_mode) else b""
        parts.append(_cpio_entry(number, str(path.relative_to(tree)), info.st_mode, body))
    parts.append(_cpio_entry(0, "TRAILER!!!", 0, b""))
    return b"".join(parts)


def _cpio_entry(number: int, name: str, mode: int, body: bytes) -> bytes:
    encoded = name.encode() + b"\0"
    fields = (number, mode, 0, 0, 1, 0, len(body), 0, 0, 0, 0, len(encoded), 0)
    head = b"070701" + b"".join(b"%08x" % field for field in fields) + encoded
    return head + b"\0" * (-len(head) % 4) + body + b"\0" * (-len(body) % 4)
