"""A part of a processor for a process of ingot's: its event loop sleeps after what the process has used.

Run with PYTHONPATH=src as: python -P bench/narrow.py PART_OF_A_CORE serve ... (the words of `ingot`)

Why: what several hosts do together shows on one host only where each gets no more than its own. Why not by a cgroup's
quota: that stops a process for most of each period wherever it is, in the middle of a transaction too, and then all
others wait for what no host of its own would do to them: four conductors with a tenth of a core each were waiting for
one that was stopped for half of the time. Here only the main thread sleeps, as if the rest of its time went to other
work; the thread that writes ends what it has begun, and what it used counts.
"""

from __future__ import annotations

import signal
import sys
import time

from ingot.cli.main import main

_EVERY = 0.002
"""Seconds of processor time between two looks; the kernel looks once a tick."""


def slow_down(of_a_core: float) -> None:
    """From now on use no more than that; whoever goes on is another thread."""
    seen, asleep = time.process_time(), False

    def sleep(*_: object) -> None:
        nonlocal seen, asleep
        if asleep:  # what another thread uses meanwhile counts the next time
            return
        asleep, used = True, time.process_time()
        time.sleep((used - seen) * (1 / of_a_core - 1))  # noqa: TID251  the sleep is the limit that this file sets; nothing is waited for
        asleep, seen = False, used

    signal.signal(signal.SIGPROF, sleep)
    signal.setitimer(signal.ITIMER_PROF, _EVERY, _EVERY)


if __name__ == "__main__":
    slow_down(float(sys.argv[1]))
    sys.exit(main(sys.argv[2:]))
