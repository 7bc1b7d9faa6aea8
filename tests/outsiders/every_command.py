"""Every command of `baremetal` (or `openstack baremetal`) in one process, from the lines on standard input.

Runs with the peers' interpreter; starting the client anew for each of its 120 commands would take minutes. A line is
the words of one command. `NAME <- words` keeps the last word it prints as $NAME; `! words ~ text` has to fail and say
text; `words ~ text` has to print text. Ends with the list of the commands no line named.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
import logging
import re
import shlex
import sys
import threading
from typing import Any


def client(kind: str) -> Any:
    """The main function of the program, which takes the words after its name."""
    if kind == "openstack":
        from openstackclient.shell import main as openstack

        return lambda words: openstack(["baremetal", *words])
    from ironicclient.shell import main as baremetal

    return baremetal


def call(main: Any, words: list[str]) -> tuple[int, str]:
    """Run one command in this process; its exit code and all it wrote."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            code = int(main(words) or 0)
        except SystemExit as end:
            code = int(end.code or 0)
    for handler in tuple(logging.getLogger().handlers):
        logging.getLogger().removeHandler(handler)
    return code, said.getvalue()


def run(main: Any, line: str, kept: dict[str, str]) -> str:
    """Carry out a line; what is wrong with its outcome, or nothing."""
    line = re.sub(r"\$(\w+)", lambda found: kept.get(found.group(1), found.group()), line)
    fails, rest = line.startswith("! "), line.removeprefix("! ")
    name, arrow, words = rest.partition(" <- ")
    words = words if arrow else rest
    words, _, wanted = words.partition(" ~ ")
    code, said = call(main, shlex.split(words))
    for _ in range(20):  # what a request brings about may take the service a moment
        if code or wanted.strip() in said:
            break
        threading.Event().wait(0.5)
        code, said = call(main, shlex.split(words))
    if bool(code) != fails or wanted.strip() not in said:
        return f"{line}\n  ended with {code}: {said.strip()[-600:]}\n"
    if arrow:
        kept[name] = said.split()[-1]
    return ""


def untried(lines: list[str]) -> list[str]:
    """The commands the client has and no line uses."""
    found = importlib.metadata.distribution("python-ironicclient").entry_points
    names = [
        each.name.removeprefix("baremetal_").replace("_", " ") for each in found if "openstack.baremetal" in each.group
    ]
    used = [re.sub(r"^(! |\w+ <- )", "", line) + " " for line in lines]
    return [name for name in names if not any(line.startswith(name + " ") for line in used)]


def main() -> int:
    """All lines in turn; a failure does not end it."""
    lines = [line.strip() for line in sys.stdin if line.strip() and not line.startswith("#")]
    program, kept = client(sys.argv[1]), dict[str, str]()
    wrong = [said for line in lines if (said := run(program, line, kept))]
    sys.stdout.write("".join(wrong) + "".join(f"untried: {name}\n" for name in untried(lines)))
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
