"""How long a rack of machines takes to get one image over the controller's one link, and what it costs the controller.

Run: ./ingot bench rack_images [--machines N ...] [--chunks N] [--rate RATE] [--pull N]     Needs root and the kernel's
tbf. Each machine is a process with the agent's own writing code in a network namespace, on a link of RATE each way; so
is the controller, with the product's image cache and file server. Image and rate are scaled down together: as many
chunks as an image of 1.5 GiB has, of 128 KiB instead of 4 MiB, so that questions and hand-overs are as many as in truth
while the bytes of 80 machines pass through one computer. "of one" is the time beside that of one machine, "of ideal"
beside the image's bytes by the link's rate. --pull: so many machines read a converted image at once, without shaping.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

import report

from agent import shaped, vm
from images import pulling

MIB = 1 << 20


def main() -> None:
    parser = report.parser(__doc__)
    parser.add_argument("--machines", type=int, nargs="+", default=[1, 10, 40, 80])
    parser.add_argument("--chunks", type=int, default=384)
    parser.add_argument("--rate", type=int, default=3400, help="kbit/s of each link, each way")
    parser.add_argument("--pull", type=int, default=100)
    wanted = parser.parse_args()
    taking = report.Taking(wanted)
    rows = [shared(machines, wanted.chunks, wanted.rate) for machines in wanted.machines]
    for row in rows:
        row["of one"] = round(row["s"] / rows[0]["s"], 2)
    with tempfile.TemporaryDirectory() as folder:
        pulled = asyncio.run(pulling.pull(Path(folder), vm.free_port(), wanted.pull, 96 * MIB))
    figures = {
        f"{wanted.pull} machines pull 96 MiB: fetched": pulled.fetched,
        "converted": pulled.converted,
        "memory the controller grew by at most, MiB": round(pulled.growth / MIB, 1),
        "sent, MiB/s": round(pulled.sent / MIB / pulled.seconds),
        "controller's CPU, s per GiB sent": round(pulled.cpu / pulled.sent * 2**30, 2),
    }
    last = rows[-1]
    headline = f"{last['machines']} machines get an image in {last['of one']} of the time of {rows[0]['machines']}"
    taking.tell(headline, figures, rows, curves={"x": "machines", "y": ["s", "controller sent, images"]})


def shared(machines: int, chunks: int, rate: int) -> report.Row:
    """All machines at once, from the first question to the last chunk written."""
    data = chunks * shaped.PIECE
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name, shaped.Rack(machines, f"{rate}kbit") as rack:
        folder, source = Path(name), Path(name) / "source" / "i.raw"
        source.parent.mkdir()
        shaped.make_image(source, chunks)
        found = asyncio.run(shaped.deploy(folder, source, rack))
    print(f"{machines} machines: {found.seconds:.1f} s", file=sys.stderr, flush=True)
    return {
        "machines": machines,
        "s": round(found.seconds, 1),
        "of ideal": round(found.seconds / (data * 8 / rate / 1000), 2),
        "controller sent, images": round(found.sent / data, 2),
        "controller CPU, s": round(found.controller_cpu, 1),
        "agent CPU, s": round(found.agents_cpu / machines, 2),
        "largest agent, MiB": round(found.largest_agent / MIB),
        "failed hand-overs": sum(one["log"].count("Another is asked") for one in found.reports),
    }


if __name__ == "__main__":
    main()
