"""How fast the deploy ramdisk boots and writes an image, beside plain dd in the same kind of machine.

Run: ./ingot bench image_write [--data MiB] [--memory MB]   One virtual machine, no network but QEMU's own.
dd is measured twice: from /dev/zero (the disk alone) and from an HTTP download (disk and network, no checksum).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "src")]

from agent import peers, vm  # noqa: E402  needs the path above

MIB = 1 << 20
DD_INIT = """#!/bin/sh
export PATH=/usr/bin:/usr/sbin
mount -t devtmpfs dev /dev; mount -t proc proc /proc; mount -t sysfs sys /sys
modprobe -qa virtio_pci virtio_blk virtio_net
ip link set lo up; ip link set eth0 up; udhcpc -i eth0 -s /etc/dhcp.sh -f -t 10 -T 1 -q >/dev/null 2>&1
for source in zero http; do
    begun=$(cut -d' ' -f1 /proc/uptime)
    if [ $source = zero ]; then dd if=/dev/zero of=/dev/vda bs=4M count=%(blocks)d conv=fsync 2>/dev/null
    else wget -q -O - http://10.0.2.2:%(port)d/data | dd of=/dev/vda bs=4M conv=fsync 2>/dev/null; fi
    echo "bench $source $begun $(cut -d' ' -f1 /proc/uptime)"
done >/dev/ttyS0
poweroff -f
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=int, default=300, help="MiB of data in the image (default 300)")
    parser.add_argument("--memory", type=int, default=512, help="MB of memory (default 512)")
    wanted = parser.parse_args()
    data = os.urandom(wanted.data * MIB)
    with tempfile.TemporaryDirectory() as folder:
        figures = {**by_agent(Path(folder), data, wanted.memory), **by_dd(Path(folder), data, wanted.memory)}
    figures["ratio to dd over http"] = round(figures["agent MB/s"] / figures["dd http MB/s"], 2)
    print(json.dumps(figures, indent=2))


def by_agent(folder: Path, data: bytes, memory: int) -> dict[str, float]:
    """Boot the ramdisk, have its agent write ``data`` by chunk map."""
    home = folder / "agent"
    home.mkdir()
    chunks = peers.chunk_map(data)
    with (
        peers.Ironic() as api,
        peers.Images({"/i.raw": data, "/i.map": chunks}) as images,
        vm.booted(home, api, variant="cloud", memory=memory) as machine,
    ):
        begun = time.monotonic()
        peers.wait_until(lambda: api.seen.lookups, 300, "the lookup")
        call_wall, call_cpu = time.monotonic() - begun, machine.cpu_seconds()
        peers.wait_until(lambda: api.seen.heartbeats, 60, "the heartbeat")
        begun = time.monotonic()
        order = vm.order(images, data, chunks)
        del order["step"]["args"]["configdrive"]  # the data is no partition table: there is no place for a drive
        result = machine.client.post("deploy.execute_deploy_step", order)[1]
        assert result["command_status"] == "SUCCEEDED", result
        seconds = time.monotonic() - begun
    sizes = [(home / "ramdisk" / name).stat().st_size for name in ("vmlinuz", "initrd")]
    return {
        "ramdisk MB": round(sum(sizes) / 1e6, 1),
        "boot to first call, wall s": round(call_wall, 1),
        "boot to first call, CPU s": round(call_cpu, 1),
        "memory MB": memory,
        "agent MB/s": round(len(data) / 1e6 / seconds, 1),
    }


def by_dd(folder: Path, data: bytes, memory: int) -> dict[str, float]:
    """The same machine with an init of ours that only runs dd."""
    output, serial = folder / "agent" / "ramdisk", folder / "serial"
    with peers.Images({"/data": data}) as images:
        script = DD_INIT % {"blocks": len(data) // (4 * MIB), "port": images.port}
        initrd = folder / "initrd"
        overlay = subprocess.run(
            ["cpio", "-o", "-H", "newc", "--quiet"],
            input=b"init\n",
            cwd=_script(folder, script),
            capture_output=True,
            check=True,
        )
        initrd.write_bytes((output / "initrd").read_bytes() + overlay.stdout)
        hull = vm.Hull(output, initrd, folder / "disk", serial, memory)
        command = hull.command("console=ttyS0 quiet")
        subprocess.run(command, stdin=subprocess.DEVNULL, timeout=300, check=True)
    found = {
        name: float(end) - float(begun)
        for name, begun, end in re.findall(r"bench (\w+) ([\d.]+) ([\d.]+)", serial.read_text())
    }
    return {f"dd {name} MB/s": round(len(data) / 1e6 / seconds, 1) for name, seconds in found.items()}


def _script(folder: Path, text: str) -> Path:
    home = folder / "overlay"
    home.mkdir()
    (home / "init").write_text(text)
    (home / "init").chmod(0o755)
    return home


if __name__ == "__main__":
    main()
