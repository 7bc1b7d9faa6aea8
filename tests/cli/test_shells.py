"""`ingot completion` in the shells themselves, and `ingot man` through a formatter that warns of everything."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import time
from pathlib import Path

import pytest

import programs
from cli.program import Run, environment, ingot_argv

# What is asked of each shell: to complete a command's beginning, a choice, and an option.
WANTED = [("ingot user tok", "ingot user token"), ("ingot node create --res", "ingot node create --resource-class")]


@pytest.fixture
def surroundings(tmp_path: Path, run: Run) -> dict[str, str]:
    """An environment with `ingot` on the path and the scripts of all shells in tmp_path."""
    start = tmp_path / "bin" / "ingot"
    start.parent.mkdir()
    start.write_text("#!/bin/sh\nexec " + " ".join(f"'{word}'" for word in ingot_argv()) + ' "$@"\n')
    start.chmod(0o755)
    for shell, name in (("bash", "ingot.bash"), ("zsh", "_ingot"), ("fish", "ingot.fish")):
        (tmp_path / name).write_text(run("completion", shell).stdout)
        checked = subprocess.run([programs.system(shell), "-n", name], cwd=tmp_path, capture_output=True, check=False)
        assert (checked.returncode, checked.stderr) == (0, b"")
    own = {"PATH": f"{start.parent}:/usr/bin:/bin", "HOME": str(tmp_path), "TERM": "dumb", "LC_ALL": "C.UTF-8"}
    return {**environment(), **own}


def test_bash_completes_commands_and_options(tmp_path: Path, surroundings: dict[str, str]) -> None:
    for line, wanted in WANTED:
        words = line.split()
        asked = f"COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; _ingot_completion ingot; echo ${{COMPREPLY[@]}}"
        argv = [programs.system("bash"), "-c", f". {tmp_path}/ingot.bash; {asked}"]
        child = subprocess.run(argv, capture_output=True, text=True, check=False, env=surroundings)
        assert child.stdout.split() == [wanted.split()[-1]], child.stderr


def test_fish_completes_commands_and_options(tmp_path: Path, surroundings: dict[str, str]) -> None:
    for line, wanted in WANTED:
        argv = [programs.system("fish"), "--no-config", "-c", f"source {tmp_path}/ingot.fish; complete -C '{line}'"]
        child = subprocess.run(argv, capture_output=True, text=True, check=False, env=surroundings, timeout=60)
        found = [row.split("\t")[0] for row in child.stdout.splitlines()]
        assert found == [wanted.split()[-1]], child.stderr


def test_zsh_completes_commands_and_options(tmp_path: Path, surroundings: dict[str, str]) -> None:
    """At a prompt, as zsh completes nowhere else; what the line became is printed by the shell."""
    leader, follower = pty.openpty()
    argv = [programs.system("zsh"), "-f", "-i"]
    with subprocess.Popen(argv, stdin=follower, stdout=follower, stderr=follower, env=surroundings) as child:
        os.close(follower)
        try:
            ready = f"PS1= RPS1=; unsetopt zle_bracketed_paste; bindkey -e; fpath=({tmp_path} $fpath)"
            asked(leader, f"{ready}; autoload -Uz compinit; compinit -D -u; print -r -- READY'='yes\r", "READY=yes")
            for line, wanted in WANTED:
                asked(leader, f"{line}\t\x01print -r -- 'LINE'= \x05\r", f"LINE= {wanted}")
        finally:
            child.kill()
            os.close(leader)


def asked(terminal: int, words: str, wanted: str) -> None:
    """Type, and wait until the line ``wanted`` is shown."""
    os.write(terminal, words.encode())
    seen, end = "", time.monotonic() + 30
    while not re.search(rf"^{re.escape(wanted)}\s*$", seen, re.MULTILINE):
        assert time.monotonic() < end, f"{wanted!r} is not in {seen!r}"
        if select.select([terminal], [], [], 1)[0]:
            seen += os.read(terminal, 4096).decode(errors="replace").replace("\r", "")


def test_every_command_has_a_manual_page_that_a_formatter_takes(run: Run, tmp_path: Path) -> None:
    assert run("man", str(tmp_path)).exit_code == 0
    pages = sorted(tmp_path.iterdir())
    names = {page.stem for page in pages}
    assert {"ingot", "ingot-node-deploy", "ingot-user-token-create", "ingot-doctor"} <= names
    strict = [programs.system("groff"), "-man", "-Tutf8", "-ww"]
    checked = subprocess.run([*strict, "-z", *map(str, pages)], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")
    for page in pages:
        text = page.read_text()
        assert re.findall(r"^\.(?:TH|SH) \"?([A-Z-]+)", text, re.MULTILINE)[1:4] == ["NAME", "SYNOPSIS", "DESCRIPTION"]
    shown = subprocess.run([*strict, "-P-cbou", str(tmp_path / "ingot-node-deploy.1")], capture_output=True, check=True)
    read = shown.stdout.decode()
    assert "--checksum sha256:HEX" in re.sub(r"\s+", " ", read), "as one types it: no dash or sign was turned"
    assert "\\" not in read
