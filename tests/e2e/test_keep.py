"""`./ingot demo --keep` as its reader uses it: every command that it prints is typed, then Ctrl-C leaves nothing."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import programs
from checkout import ROOT
from ingot_rack import places

pytestmark = [pytest.mark.qemu, pytest.mark.long, pytest.mark.timeout(900)]
NAME = f"keep{os.getpid()}"
READY = re.compile(r"running at (http://\S+); Ctrl-C ends it")


def traces() -> list[str]:
    """What of the demo is there: its namespace, links of the host, and processes that name it."""
    own = places.short(NAME, "")
    found = [line for line in _said("ip", "netns", "list") if NAME in line]
    found += [line for line in _said("ip", "-o", "link") if own in line]
    return found + [line for line in _said("ps", "-eo", "args") if f"/{NAME}/" in line or f"ingot-{NAME}" in line]


def _said(*words: str) -> list[str]:
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()


@pytest.fixture(autouse=True)
def _tidy() -> Iterator[None]:
    yield
    shutil.rmtree(places.cache() / "demo" / NAME, ignore_errors=True)


def outside() -> dict[str, str]:
    """A shell of somebody who has not set anything, with `baremetal` installed."""
    own = {key: value for key, value in os.environ.items() if not key.startswith(("INGOT_", "OS_", "PYTHON"))}
    return {**own, "PATH": f"{Path(programs.peer('baremetal')).parent}:{own['PATH']}"}


def printed(output: str) -> list[str]:
    """The command lines below "In another terminal:", without comments."""
    told = output.partition("In another terminal:")[2].partition("Log of the service:")[0]
    lines = [re.sub(r"^\[\d+:\d+\] ", "", line).strip() for line in told.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def typed_in(script: str) -> subprocess.CompletedProcess[str]:
    argv, nothing = ["sh", "-c", script], subprocess.DEVNULL
    return subprocess.run(
        argv, cwd=ROOT, stdin=nothing, capture_output=True, text=True, check=False, env=outside(), timeout=400
    )


def test_what_keep_prints_can_be_typed() -> None:
    words = ["--keep", "--image", "tiny", "--no-uefi", "--memory", "512", "--port", "0", "--name", NAME]
    told = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    child = subprocess.Popen(["./ingot", "demo", *words], cwd=ROOT, text=True, env=outside(), **told)
    try:
        assert child.stdout is not None
        output = ""
        for line in child.stdout:
            output += line
            if READY.search(line):
                break
        assert READY.search(output), output
        commands = printed(output)
        assert traces(), "the look can find something"
        assert len(commands) >= 9, output
        # As one pastes them, one after the other; a login gets something to do.
        typed = [f"{line} hostname" if " ssh " in line else line for line in commands]
        script = "".join(f'{line}\necho "== $?"\n' for line in typed)
        done = typed_in(script)
        answers = re.split(r"^== (\d+)\n", done.stdout, flags=re.MULTILINE)
        ended = dict(zip(typed, answers[1::2], strict=True))
        assert set(ended.values()) == {"0"}, f"{ended}\n{done.stdout}\n{done.stderr}"
        said = dict(zip(typed, answers[0::2], strict=False))
        assert [answer.strip() for line, answer in said.items() if " ssh " in line] == ["bios-1"]
        assert any("baremetal" in line and "bios-1" in answer for line, answer in said.items())
        assert any("undeploy" in line and "available" in answer for line, answer in said.items())
        child.send_signal(signal.SIGINT)
        rest, _ = child.communicate(timeout=60)
        assert child.returncode == 130, rest
        assert "everything the demo started is gone" in rest
    finally:
        child.kill()
        child.wait()
    assert traces() == []
