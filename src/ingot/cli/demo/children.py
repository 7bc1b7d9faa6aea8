"""Programs the demo starts, each a process group of its own, so that ending one ends its children too.

May not: leave one behind. Invariant: whoever starts a child here ends it, also when cancelled.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

import ingot
from ingot.domain import errors

GRACE = 10.0
_LAST_LINES = 5
_DRAIN = 1.0


def ingot_command(*words: str) -> list[str]:
    """The argument list that runs this very ingot."""
    return [sys.executable, "-P", "-m", "ingot.cli.main", *words]


def environment() -> dict[str, str]:
    """The environment in which ``ingot_command`` finds this very ingot, and none of this host's own settings."""
    source = str(Path(str(ingot.__file__)).parents[1])
    others = [one for one in os.environ.get("PYTHONPATH", "").split(os.pathsep) if one and one != source]
    return {**os.environ, "INGOT_CONFIG": os.devnull, "PYTHONPATH": os.pathsep.join([source, *others])}


async def start(
    argv: Sequence[str], *, output: int | IO[bytes], complaints: int | IO[bytes]
) -> asyncio.subprocess.Process:
    """Start a program with nothing on its standard input. Raises errors.NotFound when there is no such program."""
    try:
        return await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=complaints,
            env=environment(),
            start_new_session=True,
        )
    except FileNotFoundError as error:
        raise errors.NotFound(f"The program {argv[0]} is not installed", hint="Install its package.") from error


async def end(process: asyncio.subprocess.Process, grace: float = GRACE) -> None:
    """Ask the process to end, insist after ``grace`` seconds, and end what is left of its group."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await process.wait()
    if process.returncode is None or _is_free(process.pid):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_DRAIN):
            await process.communicate()  # to the end of its pipes: open ones would outlive the event loop


def _is_free(pid: int) -> bool:
    """Whether no process has this number now: one that is gone leaves it to a stranger, but not to lead its group."""
    return not Path(f"/proc/{pid}").exists()


async def wait_gone(pid: int, limit: float = GRACE) -> None:
    """Wait until a process that was told to end (no child of ours) is gone, ``limit`` seconds at most."""
    with contextlib.suppress(TimeoutError, OSError):
        async with asyncio.timeout(limit):
            while pid and _status(pid) != "Z":  # noqa: ASYNC110  a stranger's end gives no event
                await asyncio.sleep(0.02)


def _status(pid: int) -> str:
    """The kernel's letter for a process; raises OSError when there is none."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


async def build(words: Sequence[str], tell: Callable[[str], None]) -> Any:
    """Run an ingot command that tells what it does on standard error and prints JSON at its end; that JSON.

    Raises errors.IngotError with the command's own sentence.
    """
    pipe = asyncio.subprocess.PIPE
    process = await start(ingot_command(*words), output=pipe, complaints=pipe)
    assert process.stdout is not None
    assert process.stderr is not None
    reading = asyncio.ensure_future(process.stdout.read())
    lines: list[str] = []
    try:
        async for raw in process.stderr:
            lines.append(raw.decode(errors="replace").strip())
            tell(lines[-1])
        printed = await reading
        code = await process.wait()
    finally:
        reading.cancel()
        await end(process)
    if code:
        text = " ".join(lines[-_LAST_LINES:]).removeprefix("ingot: ")
        raise errors.IngotError(f'"ingot {" ".join(words)}" failed: {text}', hint="")
    return json.loads(printed)


async def capture(argv: Sequence[str], limit: float) -> tuple[int, str, str]:
    """Run a program to its end: exit code, output, complaints. Raises errors.TimedOut after ``limit`` seconds."""
    pipe = asyncio.subprocess.PIPE
    process = await start(argv, output=pipe, complaints=pipe)
    try:
        async with asyncio.timeout(limit):
            output, complaints = await process.communicate()
    except TimeoutError as error:
        raise errors.TimedOut(f"{argv[0]} did not end in {limit:g} s") from error
    finally:
        await end(process, grace=1.0)
    code = process.returncode if process.returncode is not None else 1
    return code, output.decode(errors="replace"), complaints.decode(errors="replace")
