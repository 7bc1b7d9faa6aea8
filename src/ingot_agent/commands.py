"""Run one command at a time and keep every result.

Why: the conductor posts a command, goes away and comes back for the result, perhaps after a crash of its
own. May not: know HTTP or what a command does. Invariants: at most one command runs; a command posted again
under the same ``ingot_key`` is the same command, never a second one.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from ingot_agent import errors, guard, log

Params = dict[str, Any]  # the protocol's free-form command parameters
Result = dict[str, Any] | str | None


class Status(StrEnum):
    """Where a command stands, in the protocol's words."""

    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    MISMATCH = "CLEAN_VERSION_MISMATCH"


@dataclass
class Progress:
    """How far a command is: bytes done of bytes in all, what it does now, and what holds that up."""

    done: int = 0
    total: int = 0
    phase: str = ""
    trouble: str = ""

    def begin(self, phase: str, total: int = 0) -> None:
        """Start a phase of ``total`` bytes (0: not counted)."""
        self.done, self.total, self.phase, self.trouble = 0, total, phase, ""
        log.line(f"{phase} ({total >> 20} MiB)" if total else phase)

    def add(self, count: int) -> None:
        """Count bytes as done."""
        self.done += count
        self.trouble = ""

    def meet(self, trouble: str) -> None:
        """Tell what holds the work up, until it goes on."""
        self.trouble = trouble
        log.line(trouble)

    def as_dict(self) -> dict[str, Any]:
        """Give the object that our conductor shows."""
        phase = f"{self.phase}: {self.trouble}" if self.trouble else self.phase
        return {"done": self.done, "total": self.total, "phase": phase}


Function = Callable[[Params, Progress], Result]


@dataclass(frozen=True)
class Entry:
    """One command the agent knows: what it runs, and whether it answers at once or works on in a thread.

    ``check`` looks at an asynchronous command's parameters before it starts, and raises InvalidCommandParams.
    """

    run: Function
    asynchronous: bool = False
    check: Callable[[Params], None] | None = None


def uuid4() -> str:
    """Give a fresh random UUID (the uuid module loads slowly)."""
    raw = bytearray(os.urandom(16))
    raw[6], raw[8] = raw[6] & 0x0F | 0x40, raw[8] & 0x3F | 0x80
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


@dataclass
class Command:
    """A posted command and, later, its result."""

    name: str
    key: str = ""
    ident: str = field(default_factory=uuid4)
    status: Status = Status.RUNNING
    error: errors.AgentError | None = None
    result: dict[str, Any] | None = None
    progress: Progress = field(default_factory=Progress)
    done: threading.Event = field(default_factory=threading.Event)

    def as_dict(self) -> dict[str, Any]:
        """Give the protocol's result object, with ``ingot_progress`` while it runs."""
        answer: dict[str, Any] = {
            "id": self.ident,
            "command_name": self.name.partition(".")[2],
            "command_status": str(self.status),
            "command_error": self.error.as_dict() if self.error else None,
            "command_result": self.result,
        }
        if self.key:
            answer["ingot_key"] = self.key
        if self.status is Status.RUNNING:
            answer["ingot_progress"] = self.progress.as_dict()
        return answer


class Executor:
    """Holds the table of commands ("extension.command") and all results.

    ``load`` gives the table, when it is first wanted; ``finished`` is called after each async one. ``restarted``: why
    an earlier agent of this boot ended, if one did.
    """

    def __init__(self, load: Callable[[], dict[str, Entry]], finished: Callable[[], None]) -> None:
        self._load = load
        self._loaded: dict[str, Entry] | None = None
        self._finished = finished
        self.restarted = ""
        self._commands: dict[str, Command] = {}
        self._lock = threading.Lock()

    def prepare(self) -> None:
        """Load the table now; a command that comes meanwhile waits for it."""
        with self._lock:
            self._table()

    def _table(self) -> dict[str, Entry]:
        """The table; only with the lock."""
        if self._loaded is None:
            self._loaded = self._load()
        return self._loaded

    def list(self) -> list[Command]:
        """All commands so far, the oldest first."""
        return list(self._commands.values())

    def get(self, ident: str) -> Command:
        """Give one command. Raises NotFound."""
        try:
            return self._commands[ident]
        except KeyError:
            why = self.restarted or "the agent may have started anew"
            raise errors.NotFound(f"There is no command {ident}: {why}. Post it again.") from None

    def start(self, name: str, params: Params) -> Command:
        """Start a command, or give the one already started under the same ``ingot_key``.

        A synchronous command has ended when this returns. Raises NotFound, AgentIsBusy, InvalidCommandParams.
        """
        arguments = dict(params)
        key = str(arguments.pop("ingot_key", "") or "")
        with self._lock:
            known = next((one for one in self._commands.values() if key and one.key == key), None)
            if known is not None:
                return known
            entry = self._find(name)
            running = next((one for one in self._commands.values() if one.status is Status.RUNNING), None)
            if running is not None:
                raise errors.AgentIsBusy(f"The agent is busy with {running.name}. Wait until it has ended.")
            if entry.check is not None:
                entry.check(arguments)
            command = Command(name, key)
            self._commands[command.ident] = command
        log.line(f"command {name}")
        if entry.asynchronous:
            threading.Thread(target=self._work, args=(command, entry, arguments), name=name, daemon=True).start()
        else:
            self._run(command, entry, arguments)
            self._raise_bad_params(command)
        return command

    def _raise_bad_params(self, command: Command) -> None:
        if isinstance(command.error, errors.InvalidCommandParams):
            raise command.error

    def _find(self, name: str) -> Entry:
        table = self._table()
        if name in table:
            return table[name]
        known = f"It knows: {', '.join(sorted(table))}."
        extension, dot, _ = name.partition(".")
        if not dot:
            raise errors.InvalidCommand(f"{name!r} is no extension.command. {known}")
        if any(one.startswith(f"{extension}.") for one in table):
            raise errors.InvalidCommand(f"The agent has no command {name!r}. {known}")
        raise errors.NotFound(f"The agent has no extension {extension!r}. {known}")

    def _work(self, command: Command, entry: Entry, params: Params) -> None:
        self._run(command, entry, params)
        self._finished()

    def _run(self, command: Command, entry: Entry, params: Params) -> None:
        result, error = guard.outcome(lambda: entry.run(params, command.progress))
        if error is None:
            short = command.name.partition(".")[2]
            text = f"{short}: {result}" if entry.asynchronous else result  # as Ironic's agent tells them apart
            command.result = {"result": text} if isinstance(result, str) else result
            command.status = Status.SUCCEEDED
            log.line(f"{command.name} succeeded")
        else:
            command.error = _known(command.name, error)
            mismatch = isinstance(error, errors.VersionMismatch)
            command.status = Status.MISMATCH if mismatch else Status.FAILED
            log.line(f"{command.name} failed: {command.error.message}")
        command.done.set()


def _known(name: str, error: Exception) -> errors.AgentError:
    """Give an error of ours as it is, and a bug as a sentence."""
    if isinstance(error, errors.AgentError):
        return error
    return errors.CommandExecutionError(f"The command {name} failed unforeseen: {error!r}. Read the agent's log.")
