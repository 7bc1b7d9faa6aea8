"""What a machine can do, by the command line: tables, JSON, and a console in a real terminal."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import struct
import subprocess
import termios
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli.program import Run, environment, ingot_argv, run_here, wait_for

LOCKED = 3  # exit code of a refusal
CHOSEN = [f"{kind}_interface=fake" for kind in ("bios", "console", "firmware", "raid", "vendor")]


@pytest.fixture(scope="module")
def node(url: str) -> str:
    words = ("node", "create", "--driver", "fake-hardware", "--name", "m1")
    assert run_here(*words, url=url).exit_code == 0
    assert run_here("node", "set", "m1", *CHOSEN, url=url).exit_code == 0
    assert run_here("node", "manage", "m1", "--wait", url=url).exit_code == 0
    return "m1"


def lines(run: Run, url: str, *words: str) -> list[list[str]]:
    result = run("node", *words, url=url)
    assert result.exit_code == 0, result.output
    return [line.split("\t") for line in result.stdout.splitlines()]


def parsed(run: Run, url: str, *words: str) -> Any:
    result = run("node", *words, "--json", url=url)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def comes(run: Run, url: str, words: tuple[str, ...], good: Callable[[Any], bool]) -> None:
    """Wait until the command's JSON is good. Orders (boot mode, media) are runs, which refuse questions meanwhile."""

    def look() -> bool:
        result = run("node", *words, "--json", url=url)
        assert result.exit_code in {0, LOCKED}, result.output
        return result.exit_code == 0 and good(json.loads(result.stdout))

    wait_for(look)


def test_bios_is_shown_changed_and_reset(run: Run, url: str, node: str) -> None:
    assert ["QuietBoot", "Disabled", "Enumeration"] in [line[:3] for line in lines(run, url, "bios", node)]
    assert run("node", "bios", node, "--set", "QuietBoot=Enabled", "--wait", url=url).exit_code == 0
    assert {one["name"]: one["value"] for one in parsed(run, url, "bios", node)}["QuietBoot"] == "Enabled"
    wrong = run("node", "bios", node, "--set", "QuietBoot=Perhaps", "--wait", url=url)
    assert wrong.exit_code != 0
    assert "Perhaps" in wrong.output
    assert run("node", "manage", node, url=url).exit_code == 0
    assert run("node", "maintenance", node, "off", url=url).exit_code == 0
    assert run("node", "bios", node, "--reset", "--wait", url=url).exit_code == 0
    assert {one["name"]: one["value"] for one in parsed(run, url, "bios", node)}["QuietBoot"] == "Disabled"


def test_software_raid_is_asked_for_as_such(run: Run, url: str) -> None:
    told = ("--name", "soft", "--driver-info", "ipmi_address=127.0.0.1")
    assert run("node", "create", "--driver", "ipmi", *told, url=url).exit_code == 0
    refused = run("node", "raid", "soft", "--volume", "1:MAX", url=url)
    assert "no-raid" in refused.output
    assert run("node", "set", "soft", "raid_interface=agent", url=url).exit_code == 0
    refused = run("node", "raid", "soft", "--volume", "5:MAX", url=url)
    assert "the first logical disk must be RAID 1" in refused.output
    assert run("node", "raid", "soft", "--volume", "1:100", "--volume", "5:MAX", url=url).exit_code == 0
    wanted = parsed(run, url, "raid", "soft")["target_raid_config"]["logical_disks"]
    assert wanted[0] == {"controller": "software", "raid_level": "1", "size_gb": 100}
    assert run("node", "delete", "soft", url=url).exit_code == 0


def test_firmware_and_volumes(run: Run, url: str, node: str) -> None:
    assert run("node", "firmware", node, "--update", "bmc=http://192.0.2.1/3.3", "--wait", url=url).exit_code == 0
    assert ["bmc", "3.3", "1.0", "3.3"] in [line[:4] for line in lines(run, url, "firmware", node)]
    words = ("--volume", "1:100:root", "--volume", "5:MAX", "--create", "--wait")
    assert run("node", "raid", node, *words, url=url).exit_code == 0
    shown = parsed(run, url, "raid", node)
    assert [disk["raid_level"] for disk in shown["raid_config"]["logical_disks"]] == ["1", "5"]
    table = lines(run, url, "raid", node)
    assert [line[0] for line in table] == ["there", "made", "made", "wanted", "wanted"]
    assert run("node", "raid", node, "--volume", "1", url=url).exit_code == 2
    assert run("node", "raid", node, "--delete", "--wait", url=url).exit_code == 0
    assert parsed(run, url, "raid", node)["raid_config"] == {}


def test_sensors_log_lamps_and_vendor(run: Run, url: str, node: str) -> None:
    assert ["Fan", "Fan 1 (0x2)", "4200 RPM"] in [line[:3] for line in lines(run, url, "sensors", node)]
    assert "opened" in lines(run, url, "sel", node)[1][-1]
    assert run("node", "sel", node, "--clear", url=url).exit_code == 0
    assert len(lines(run, url, "sel", node)) == 1
    assert "led@system" in [line[0] for line in lines(run, url, "indicator", node)]
    assert run("node", "indicator", node, "led@system", "blinking", url=url).exit_code == 0
    assert parsed(run, url, "indicator", node, "led@system") == {"state": "blinking"}
    assert "echo" in [line[0] for line in lines(run, url, "passthru", node)]
    said = run("node", "passthru", node, "echo", "-a", "a=1", "-a", "b=two", url=url)
    assert json.loads(said.stdout) == {"a": 1, "b": "two"}
    assert run("node", "nmi", node, url=url).exit_code == 0


def test_boot_and_media(run: Run, url: str, node: str) -> None:
    assert run("node", "boot", node, "--device", "cdrom", "--persistent", url=url).exit_code == 0
    assert run("node", "boot", node, "--mode", "bios", url=url).exit_code == 0
    comes(run, url, ("boot", node), lambda found: (found["boot_mode"], found["boot_device"]) == ("bios", "cdrom"))
    assert run("node", "media", node, "--attach", "http://192.0.2.1/a.iso", url=url).exit_code == 0
    image = "http://192.0.2.1/a.iso"
    comes(run, url, ("media", node), lambda found: image in [one["image_url"] for one in found if one["inserted"]])
    assert ["cdrom", "yes", image] in lines(run, url, "media", node)
    assert run("node", "media", node, "--eject", url=url).exit_code == 0
    comes(run, url, ("media", node), lambda found: not any(one["inserted"] for one in found))


class Terminal:
    """A program in a terminal of its own."""

    def __init__(self, *words: str) -> None:
        self.leader, follower = pty.openpty()
        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        self.before = termios.tcgetattr(follower)
        self.child = subprocess.Popen(
            ingot_argv(*words), stdin=follower, stdout=follower, stderr=follower, env=environment()
        )
        self.follower = follower
        self.screen = b""
        os.set_blocking(self.leader, False)

    def sees(self, wanted: bytes) -> None:
        def look() -> bool:
            with contextlib.suppress(BlockingIOError):
                self.screen += os.read(self.leader, 65536)
            return wanted in self.screen

        wait_for(look, 30)

    def types(self, keys: bytes) -> None:
        os.write(self.leader, keys)

    def close(self) -> None:
        self.child.kill()
        self.child.wait()
        os.close(self.leader)
        os.close(self.follower)


def test_a_console_in_a_terminal(run: Run, url: str, node: str, tmp_path: Path) -> None:
    terminal = Terminal("node", "console", node, "--url", url)
    try:
        terminal.sees(b"imaginary machine m1")
        terminal.types(b"uname\r")
        terminal.sees(b"uname\r\n# ")
        terminal.types(b"\x1db")
        terminal.sees(b"[break]")
        terminal.types(b"\x1dx")
        terminal.sees(b"q leaves")
        terminal.types(b"\x1dq")
        terminal.sees(b"Left the console of m1.")
        assert terminal.child.wait(20) == 0
        assert termios.tcgetattr(terminal.follower) == terminal.before
    finally:
        terminal.close()
    piped = subprocess.run(
        ingot_argv("node", "console", node, "--url", url),
        input=b"date\r",
        capture_output=True,
        env=environment(),
        timeout=60,
        check=True,
    )
    assert b"date\r\n# " in piped.stdout
    script = tmp_path / "script"
    script.write_bytes(b"from-a-file\r")
    with script.open("rb") as source:
        argv = ingot_argv("node", "console", node, "--url", url)
        filed = subprocess.run(argv, stdin=source, capture_output=True, env=environment(), timeout=60, check=True)
    assert b"from-a-file\r\n# " in filed.stdout
    wait_for(lambda: "date" in run("node", "console", node, "--log", "idle", url=url).output)
    assert run("node", "console", node, "--off", url=url).exit_code == 0
