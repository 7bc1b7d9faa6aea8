"""Ending in good order: SIGTERM and Ctrl-C run every clean-up once, children do not survive."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cli.program import environment, wait_for
from ingot.cli.demo import children
from ingot.domain import errors

PROGRAM = """
import asyncio, sys
from pathlib import Path
from ingot.cli import stopping
from ingot.cli.demo import children

async def main():
    child = await children.start(["sh", "-c", "sleep 1000 & sleep 1000"], output=-3, complaints=-3)
    Path(sys.argv[1]).write_text(str(child.pid))
    try:
        await asyncio.sleep(1000)
    finally:
        await asyncio.sleep(0.5)
        await children.end(child)
        print("cleaned", flush=True)

try:
    stopping.run(main)
except stopping.Stopped:
    sys.exit(130)
"""


def group_alive(pid: int) -> bool:
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_clean_up_once(tmp_path: Path, number: signal.Signals) -> None:
    pid_file = tmp_path / "pid"
    argv = [sys.executable, "-c", PROGRAM, str(pid_file)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()) as program:
        wait_for(lambda: pid_file.exists() and pid_file.read_text() != "")
        child = int(pid_file.read_text())
        program.send_signal(number)
        program.send_signal(number)  # the impatient second one must not cut the clean-up short
        output, _ = program.communicate(timeout=20)
    assert program.returncode == 130
    assert output.decode().strip() == "cleaned"
    wait_for(lambda: not group_alive(child))


async def test_a_failing_build_tells_its_own_sentence(tmp_path: Path) -> None:
    told: list[str] = []
    with pytest.raises(errors.IngotError, match="no-such-variant"):
        await children.build(
            ["ramdisk", "build", "--variant", "no-such-variant", "--output", str(tmp_path)], told.append
        )
    assert told


async def test_a_missing_program_is_named() -> None:
    with pytest.raises(errors.NotFound, match="no-such-program"):
        await children.capture(["no-such-program"], 1)


async def test_capture_has_an_end() -> None:
    began = asyncio.get_running_loop().time()
    with pytest.raises(errors.TimedOut):
        await children.capture(["sh", "-c", "sleep 1000 & sleep 1000"], 0.3)
    assert asyncio.get_running_loop().time() - began < 10
