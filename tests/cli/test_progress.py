"""Reading what a node does, and the lines it becomes."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import subprocess
import sys
import termios
import time
from typing import Any

import pytest

from ingot.cli import board, drawing, following, progress
from ingot.cli.node import why
from ingot.domain import states

NODE: dict[str, Any] = {"uuid": "u", "name": "n1", "provision_state": "wait call-back", "power_state": "power on"}
RUN: dict[str, Any] = {
    "status": "open",
    "now": 1000.0,
    "started_at": 900.0,
    "current_step": "deploy.write_image",
    "plan": [
        {"title": "deploy.start", "status": "done", "started_at": 900.0, "duration": 5.0},
        {"title": "deploy.write_image", "status": "running", "started_at": 940.0, "duration": None},
    ],
    "wait": {"what": "the image to be written", "since": 950.0, "usual": 60.0, "deadline": 5000.0},
    "progress": {"done": 50e6, "total": 100e6, "phase": "writing"},
}


def test_a_run_is_told_by_step_wait_and_bar() -> None:
    seen = progress.read(NODE, RUN)
    assert seen.step == "deploy.write_image (2/2)"
    assert (seen.elapsed, seen.usual) == (50.0, 60.0)
    assert (seen.done, seen.total) == (50e6, 100e6)
    assert not seen.resting
    assert seen.told() == "wait call-back | deploy.write_image (2/2) | writing"


@pytest.mark.parametrize(
    ("since", "told"), [(980.0, "the first call"), (970.0, "the first call (no DHCP request seen; wrong VLAN)")]
)
def test_the_reason_of_a_wait_is_told_when_it_is_no_longer_early(since: float, told: str) -> None:
    wait = {"what": "the first call", "why": "no DHCP request seen; wrong VLAN", "since": since, "usual": 90.0}
    assert progress.read(NODE, {**RUN, "wait": wait, "progress": None}).waits_for == told


def test_without_a_wait_the_steps_own_time_counts() -> None:
    seen = progress.read(NODE, {**RUN, "wait": None, "progress": None})
    assert seen.elapsed == 60.0
    assert seen.done is None


def test_an_api_without_runs_tells_the_state() -> None:
    node = {**NODE, "deploy_step": {"interface": "deploy", "step": "deploy"}}
    seen = progress.read(node | {"provision_updated_at": "2020-01-01T00:00:00+00:00"}, {})
    assert seen.step == "deploy.deploy"
    assert seen.usual == states.TABLE[states.State.WAIT_CALL_BACK].usual
    assert seen.elapsed is not None
    assert seen.elapsed > 86400


@pytest.mark.parametrize("state", list(states.State))
def test_every_state_can_be_shown(state: states.State) -> None:
    seen = progress.read({**NODE, "provision_state": state.value}, {})
    kind = states.TABLE[state].kind
    assert seen.resting == (kind in {states.Kind.STABLE, states.Kind.FAILED, states.Kind.HOLD})
    assert state.value in following.line(seen).text


def test_a_wanted_power_state_is_no_rest() -> None:
    node = {**NODE, "provision_state": "active", "target_power_state": "power off"}
    assert not progress.read(node, {}).resting


def test_a_closed_run_is_not_shown() -> None:
    assert progress.read(NODE, {**RUN, "status": "failed"}).step is None


def test_plain_lines_are_printed_once_per_news(capsys: pytest.CaptureFixture[str]) -> None:
    lines = board.PlainBoard()
    since = time.monotonic() - 12
    for done in (0.0, 10e6, 26e6, 27e6, 100e6):
        lines.put("n1", board.Line("writing", since=since, usual=60, done=done, total=100e6))
    lines.put("n1", board.Line("active", board.Mark.DONE))
    lines.put("n1", board.Line("active", board.Mark.DONE))
    printed = [line.split("] ", 1)[1] for line in capsys.readouterr().out.splitlines()]
    assert printed == [
        "n1: writing 0/100 MB 12 s (usual 60 s)",
        "n1: writing 26/100 MB 12 s (usual 60 s)",
        "n1: writing 100/100 MB 12 s (usual 60 s)",
        "n1: active",
    ]


def test_a_terminal_gets_a_table_with_a_bar() -> None:
    live = board.LiveBoard()
    live.put("n1", board.Line("writing", since=time.monotonic(), usual=60, done=50e6, total=100e6))
    live.put("n2", board.Line("no DHCP request seen", board.Mark.FAILED))
    first, second = map(bare, live.render(120))
    assert first == "● n1 writing 50/100 MB    " + "━" * 10 + "·" * 10 + " 0 s (usual 60 s)"
    assert second == "✘ n2 no DHCP request seen"


def test_a_bar_gives_way_and_never_wraps() -> None:
    live = board.LiveBoard()
    name = "a-machine-with-a-long-name-in-rack-12"
    live.put(name, board.Line("wait call-back | writing", done=50e6, total=100e6))
    live.put("n2", board.Line("rests", board.Mark.DONE))
    told = [bare(line) for line in live.render(59)]
    assert max(map(len, told)) <= 59
    assert [line.count("━") for line in told if "━" in line or "·" in line] == [9]


def test_the_rule_of_a_narrow_table_is_below_its_whole_head() -> None:
    rows = [
        [drawing.Cell("provision state"), drawing.Cell("power state")],
        [drawing.Cell("active"), drawing.Cell("on")],
    ]
    told = [bare(line) for line in drawing.columns(rows, 18, 2, headed=True)]
    assert told == ["provisio  power", "n state   state", "─" * 18, "active    on"]


def test_a_small_terminal_shows_what_moves_and_all_of_it_in_the_end() -> None:
    lines = board.LiveBoard()
    for number in range(500):
        lines.put(f"n{number}", board.Line("rests", board.Mark.DONE))
    lines.put("n450", board.Line("writing"))
    lines.put("n470", board.Line("no DHCP request seen", board.Mark.FAILED))
    told = [bare(line) for line in lines.render(79, 8)]
    assert len(told) == 8
    assert [line.split()[1] for line in told[:2]] == ["n450", "n470"]
    assert told[-1].strip() == "and 493 more"
    assert "n499" in bare(lines.render(79)[-1])


def test_words_wrap_in_their_column_and_control_characters_do_nothing() -> None:
    rows = [[drawing.Cell("n1"), drawing.Cell("no DHCP request seen from 52:54:00:aa:bb:cc \x1b[2J")]]
    told = drawing.columns(rows, 24, 2)
    assert told == ["n1  no DHCP request seen", "    from", "    52:54:00:aa:bb:cc", "    \N{REPLACEMENT CHARACTER}[2J"]
    assert drawing.columns([[drawing.Cell("機械" * 10), drawing.Cell("x")]], 14, 1) == [
        "機械機械機械 x",
        "機械機械機械",
        "機械機械機械",
        "機械",
    ]


def test_what_a_machine_said_is_shown_and_not_obeyed(capsys: pytest.CaptureFixture[str]) -> None:
    said = "\x1b[1mloading\x1b[0m\r\n\x1b]0;owned\x07 \x9b2J\n\n"
    why.last_words("The console", said, "here", "nothing")
    mark = "\N{REPLACEMENT CHARACTER}"
    expected = f"\nThe console said last (all of it: here):\n  loading\n  {mark}]0;owned{mark} {mark}2J\n"
    assert capsys.readouterr().out == expected
    why.last_words("The console", "\n", None, "nothing")
    assert capsys.readouterr().out == "\nThe console: nothing.\n"


_BOARD = """
import time
from ingot.cli import board
with board.opened() as lines:
    lines.put("n1", board.Line("writing"))
    time.sleep(0.6)
    lines.say("something that stays")
    lines.put("n1", board.Line("active", board.Mark.DONE))
    lines.put("n2", board.Line("a reason that is much longer than this terminal is wide", board.Mark.FAILED))
    time.sleep(0.6)
"""


def test_a_board_in_a_terminal_is_drawn_over_itself() -> None:
    """What is sent to the terminal is carried out as a terminal does."""
    sent = sent_to_terminal("xterm")
    assert screen(sent) == [
        "something that stays",
        "✔ n1 active",
        "✘ n2 a reason that is much longer",
        "     than this terminal is wide",
    ]
    assert "writing" in sent


def test_a_terminal_that_cannot_draw_gets_plain_lines() -> None:
    sent = sent_to_terminal("dumb")
    assert "\x1b" not in sent
    assert [line.partition("] ")[2] for line in sent.splitlines()][:2] == ["n1: writing", "something that stays"]


def sent_to_terminal(kind: str) -> str:
    """What a board sends to a real terminal of 40 columns, whose TERM is ``kind``."""
    leader, follower = pty.openpty()
    termios.tcsetwinsize(follower, (12, 40))
    variables = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES", "NO_COLOR")}
    command = [sys.executable, "-c", _BOARD]
    with subprocess.Popen(command, stdout=follower, env={**variables, "TERM": kind}) as child:
        os.close(follower)
        sent = b""
        with contextlib.suppress(OSError):  # what Linux answers once nobody holds the other end
            while part := os.read(leader, 65536):
                sent += part
        assert child.wait(30) == 0
    os.close(leader)
    return sent.decode()


def screen(sent: str) -> list[str]:
    """The lines of a terminal after this, without styles."""
    lines, row, column = [""], 0, 0
    for part in re.split(r"(\x1b\[\d*[FJKm]|\r?\n)", sent):
        match part[-1:] if part.startswith("\x1b") else part.strip("\r"):
            case "":
                continue
            case "\n":
                row, column = row + 1, 0
                lines += [""] * (row + 1 - len(lines))
            case "F":
                row, column = row - int(part[2:-1]), 0
            case "J":
                lines[row:] = [lines[row][:column]]
            case "K":
                lines[row] = lines[row][:column]
            case "m":
                continue
            case text:
                lines[row] = lines[row][:column] + text + lines[row][column + len(text) :]
                column += len(text)
    return lines[:-1]


def bare(line: str) -> str:
    return re.sub(r"\x1b\[\d+m", "", line)


def test_durations_in_words() -> None:
    assert [board.duration(value) for value in (0.4, 119, 185)] == ["0 s", "119 s", "3 min 5 s"]
