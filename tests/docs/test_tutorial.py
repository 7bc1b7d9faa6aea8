"""The tutorial "your first server", typed line by line into a shell by somebody who reads what comes and goes on."""

from __future__ import annotations

import os
import queue
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from checkout import ROOT
from ingot.cli import exits
from ingot_rack import places

pytestmark = [pytest.mark.qemu, pytest.mark.long, pytest.mark.timeout(900)]
PAGE = (ROOT / "docs/tutorials/first-server.md").read_text()
CONSOLE = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
SSH = "ssh -n -o StrictHostKeyChecking=accept-new -o UserKnownHostsFile=/dev/null "  # who sits there answers "yes"


class Shell:
    """A shell that is typed into; ``said``: everything it said, programs in the background included."""

    def __init__(self, folder: Path) -> None:
        cache = {"HOME": str(folder), "XDG_CACHE_HOME": str(places.cache().parent)}
        bare = {key: value for key, value in os.environ.items() if not key.startswith(("INGOT_", "PYTHON"))}
        pipe = subprocess.PIPE
        self.child = subprocess.Popen(
            ["bash", "--norc", "--noprofile"],
            cwd=folder,
            stdin=pipe,
            stdout=pipe,
            stderr=subprocess.STDOUT,
            text=True,
            env={**bare, **cache},
        )
        self.said = ""
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.types("shopt -s expand_aliases; set -m")

    def _read(self) -> None:
        assert self.child.stdout is not None
        for line in self.child.stdout:
            self._lines.put(line)

    def close(self) -> None:
        """End the shell; what it had started is gone already."""
        self.child.kill()
        self.child.wait()
        self._reader.join(10)
        for pipe in (self.child.stdin, self.child.stdout):
            assert pipe is not None
            pipe.close()

    def types(self, line: str, limit: float = 400.0) -> tuple[int, str]:
        """Type the line; its exit code and what was said until it came."""
        assert self.child.stdin is not None
        self.child.stdin.write(f"{line}\ncode=$?; echo; echo =DONE= $code\n")
        self.child.stdin.flush()
        heard, end = "", time.monotonic() + limit
        while not (done := re.search(r"^=DONE= (\d+)$", heard, re.MULTILINE)):
            heard += self._lines.get(timeout=max(0.1, end - time.monotonic()))
        self.said += heard
        return int(done[1]), heard[: done.start()]


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    (tmp_path / "ingot").symlink_to(ROOT / "ingot")
    (tmp_path / "rack.toml").write_text(re.findall(r"^```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)[0])
    made = Shell(tmp_path)
    yield made
    made.types("kill %1 2>/dev/null; ./ingot rack down first --purge")
    made.close()


def lines() -> list[str]:
    """What the page has its reader type, in order."""
    return [line[2:] for block in CONSOLE.findall(PAGE) for line in block.splitlines() if line.startswith("$ ")]


def filled(line: str, said: str) -> str:
    """The line with this machine's own values, as the page asks to put in."""
    mac, bridge = re.search(r"\b52:54(?::[0-9a-f]{2}){4}\b", said), re.search(r"bridge (\w+)", said)
    image = re.search(r"/\S+\.qcow2", said)
    password = re.findall(r"^[\w-]{20}$", said, re.MULTILINE)
    if line.startswith("MAC="):
        assert mac
        assert bridge
        return f"MAC={mac[0]} BRIDGE={bridge[1]}"
    if line.startswith("IMAGE="):
        assert image
        return f"IMAGE={image[0]}"
    if line.startswith("export INGOT_USER"):
        return line.replace("...", password[-1])
    return line.replace("ssh -i", f"{SSH}-i")


def test_the_tutorial_can_be_typed(shell: Shell) -> None:
    for told in lines():
        line = filled(told, shell.said)
        code, said = shell.types(line)
        end = time.monotonic() + 120
        while code and (SSH in line or code == exits.UNREACHABLE) and time.monotonic() < end:
            time.sleep(2)  # noqa: TID251  the reader waits, too, for the service and "half a minute" for the system
            code, said = shell.types(line)
        assert code == 0, f"{told}\n{said}\n{shell.said[-4000:]}"
        if SSH in line:
            assert re.search(r"^Linux n1 .*\nn1$", said, re.MULTILINE), said
        if "node deploy n1" in line:
            assert "n1: active" in said
    assert "n1: manageable" in shell.said
    namespaces = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    assert "ingot-first" not in namespaces
