"""A program: what an agent does when it is told to write an image, onto a file; for machines that are processes.

    python tests/agent/writer.py DISK ORDER TIMEOUT

ORDER is the JSON of the order's ``image_info``; TIMEOUT: seconds that a server may be silent. Prints a line of JSON
when it is ready, waits for a line on standard input, writes, and prints what it took. May not: do anything of its own:
the agent's code does it all.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "src"))

from ingot_agent import blockdev, commands, errors, image, log, settings


def main(disk: str, order: str, timeout: str) -> int:
    """Write; 1 with the agent's error when that fails."""
    wanted = image.order(json.loads(order), "")
    config, roots = settings.Settings(http_timeout=float(timeout)), settings.Roots(sys="/nonexistent")
    print("{}", flush=True)
    sys.stdin.readline()
    began = time.monotonic()
    try:
        with blockdev.opened(disk) as device:
            image.write_to(device, wanted, config, roots, commands.Progress())
    except errors.AgentError as error:
        print(json.dumps({"error": error.message}), flush=True)
        return 1
    usage = resource.getrusage(resource.RUSAGE_SELF)
    report = {"seconds": time.monotonic() - began, "cpu": usage.ru_utime + usage.ru_stime, "rss": usage.ru_maxrss << 10}
    print(json.dumps({**report, "log": log.kept()}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
