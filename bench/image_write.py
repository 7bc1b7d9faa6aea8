"""How fast the deploy ramdisk boots and writes an image, beside other ways in the same kind of machine.

Run: ./ingot bench image_write [--data MiB] [--memory MB] [--processors N]   Virtual machines without hardware help.
The other ways: the link alone (download to nowhere), the disk alone (dd of zeros), a download piped into dd without a
checksum, and what a stock agent does: download a qcow2 file into memory, then `qemu-img convert` onto the disk.
Without hardware help the processor is the limit everywhere, so the agent is measured also with a slow link and with a
slow disk: there it has to keep up with the slower of the two. It does so in each form an image comes in: by chunk map,
as ingot sends all of them, and (raw and qcow2) as one stream with a checksum, as other conductors do.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import report

from agent import peers, vm

MIB = 1 << 20
SLOW = 15_000_000  # bytes a second of the slow link and the slow disk
FORMS = {"chunks": "", "raw": ", raw stream", "qcow2": ", qcow2 stream"}
INIT = """#!/bin/sh
export PATH=/usr/bin:/usr/sbin
mount -t devtmpfs dev /dev; mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t tmpfs -o size=90%% tmp /tmp
modprobe -qa virtio_pci virtio_blk virtio_net
ip link set lo up; ip link set eth0 up; udhcpc -i eth0 -s /etc/dhcp.sh -f -t 10 -T 1 -q >/dev/null 2>&1
fetch() { wget -q -O "$2" http://10.0.2.2:%(port)d/"$1"; }
way() {
    case $1 in
    link) fetch data /dev/null ;;
    zero) dd if=/dev/zero of=/dev/vda bs=4M count=%(blocks)d conv=fsync ;;
    http) fetch data - | dd of=/dev/vda bs=4M conv=fsync ;;
    qemu-img) fetch qcow2 /tmp/i &&
        /bench/ld.so --library-path /bench /bench/qemu-img convert -W -t directsync -O host_device /tmp/i /dev/vda ;;
    esac 2>/dev/null
}
for name in link zero http qemu-img; do
    begun=$(cut -d' ' -f1 /proc/uptime)
    way $name && echo "bench $name $begun $(cut -d' ' -f1 /proc/uptime)"
done >/dev/ttyS0
poweroff -f
"""


def main() -> None:
    parser = report.parser(__doc__)
    parser.add_argument("--data", type=int, default=300, help="MiB of data in the image (default 300)")
    parser.add_argument("--memory", type=int, default=512, help="MB of memory (default 512)")
    parser.add_argument("--processors", type=int, default=2, help="virtual processors (default 2)")
    wanted = parser.parse_args()
    taking = report.Taking(wanted)
    data = os.urandom(wanted.data * MIB)
    frame = vm.Frame(wanted.memory, wanted.processors)
    figures: dict[str, float] = {"memory MB": wanted.memory, "processors": wanted.processors}
    with tempfile.TemporaryDirectory() as folder:
        figures |= by_agent(Path(folder) / "agent", data, frame)
        figures |= by_others(Path(folder), data, vm.Frame(wanted.memory + wanted.data * 2, wanted.processors))
        slow = vm.Frame(wanted.memory, wanted.processors, SLOW)
        for form, word in FORMS.items():
            link = by_agent(Path(folder) / f"link-{form}", data, frame, pace=SLOW, form=form)
            disk = by_agent(Path(folder) / f"disk-{form}", data, slow, form=form)
            figures[f"share of a 15 MB/s link{word}"] = round(link["agent MB/s"] * 1e6 / SLOW, 2)
            figures[f"share of a 15 MB/s disk{word}"] = round(disk["agent MB/s"] * 1e6 / SLOW, 2)
    for other in ("dd http", "qemu-img"):
        figures[f"ratio to {other}"] = round(figures["agent MB/s"] / figures[f"{other} MB/s"], 2)
    shares = [figures[f"share of a 15 MB/s {what}"] for what in ("link", "disk")]
    taking.tell("{:.0%} of a slow link, {:.0%} of a slow disk".format(*shares), figures)


def by_agent(home: Path, data: bytes, frame: vm.Frame, pace: int = 0, form: str = "chunks") -> dict[str, float]:
    """Boot the ramdisk, have its agent write ``data`` in this form; ``pace``: bytes a second of the link."""
    home.mkdir()
    chunks = peers.chunk_map(data)
    with (
        peers.Ironic() as api,
        peers.Images({"/i.raw": data, "/i.map": chunks}, pace=pace) as images,
        vm.booted(home, api, variant="cloud", frame=frame) as machine,
    ):
        begun = time.monotonic()
        peers.wait_until(lambda: api.seen.lookups, 300, "the lookup")
        call_wall, call_cpu = time.monotonic() - begun, machine.cpu_seconds()
        peers.wait_until(lambda: api.seen.heartbeats, 60, "the heartbeat")
        order = vm.order(images, data, chunks)
        del order["step"]["args"]["configdrive"]  # the data is no partition table: there is no place for a drive
        if form != "chunks":
            _as_stream(
                order["step"]["args"]["image_info"], images, _qcow2(home, data) if form == "qcow2" else data, form
            )
        begun = time.monotonic()
        result = machine.client.post("deploy.execute_deploy_step", order)[1]
        assert result["command_status"] == "SUCCEEDED", result
        seconds = time.monotonic() - begun
    sizes = [(home / "ramdisk" / name).stat().st_size for name in ("vmlinuz", "initrd")]
    return {
        "ramdisk MB": round(sum(sizes) / 1e6, 1),
        "boot to first call, wall s": round(call_wall, 1),
        "boot to first call, CPU s": round(call_cpu, 1),
        "agent MB/s": round(len(data) / 1e6 / seconds, 1),
    }


def _as_stream(info: dict[str, Any], images: peers.Images, body: bytes, form: str) -> None:
    """Make an order one without a chunk map: the whole file, in order, with its checksum."""
    del info["ingot_chunks"]
    images.files["/i.raw"] = body
    info |= {"disk_format": form, "os_hash_algo": "sha512", "os_hash_value": hashlib.sha512(body).hexdigest()}


def by_others(folder: Path, data: bytes, frame: vm.Frame) -> dict[str, float]:
    """The same machine with an init of ours that runs the other ways, one after the other."""
    output, serial = folder / "agent" / "ramdisk", folder / "serial"
    with peers.Images({"/data": data, "/qcow2": _qcow2(folder, data)}) as images:
        overlay = _overlay(folder, INIT % {"blocks": len(data) // (4 * MIB), "port": images.port})
        packed, initrd = (output / "initrd").read_bytes(), folder / "initrd"
        # The kernel sees a plain archive behind the packed one only where a multiple of four bytes begins.
        initrd.write_bytes(packed + bytes(-len(packed) % 4) + overlay)
        command = vm.Hull(output, initrd, folder / "blank", serial, frame).command("console=ttyS0 quiet")
        subprocess.run(command, stdin=subprocess.DEVNULL, timeout=300, check=True)
    found = {
        name: float(end) - float(begun)
        for name, begun, end in re.findall(r"bench ([\w-]+) ([\d.]+) ([\d.]+)", serial.read_text())
    }
    names = {"link": "link", "zero": "dd zero", "http": "dd http", "qemu-img": "qemu-img"}
    assert found.keys() == names.keys(), serial.read_text()
    return {f"{names[name]} MB/s": round(len(data) / 1e6 / seconds, 1) for name, seconds in found.items()}


def _qcow2(folder: Path, data: bytes) -> bytes:
    raw, packed = folder / "data.raw", folder / "data.qcow2"
    raw.write_bytes(data)
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(raw), str(packed)], check=True)
    return packed.read_bytes()


def _overlay(folder: Path, script: str) -> bytes:
    """An archive with our init, and this host's qemu-img with its libraries."""
    home = folder / "overlay"
    (home / "bench").mkdir(parents=True)
    (home / "init").write_text(script)
    (home / "init").chmod(0o755)
    program = str(shutil.which("qemu-img"))
    shutil.copy(program, home / "bench/qemu-img")
    libraries = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    for library in re.findall(r"(/\S+) \(0x", libraries):
        shutil.copy(library, home / "bench" / ("ld.so" if "/ld-linux" in library else Path(library).name))
    names = "\n".join(str(path.relative_to(home)) for path in sorted(home.rglob("*")))
    command = ["cpio", "-o", "-H", "newc", "--quiet"]
    return subprocess.run(command, input=f"{names}\n".encode(), cwd=home, capture_output=True, check=True).stdout


if __name__ == "__main__":
    main()
