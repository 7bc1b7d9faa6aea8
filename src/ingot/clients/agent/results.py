"""What the deploy agent says about a command.

Why: flows read one value, whoever's agent answered. May not: do I/O.
Invariant: decoding is strict about the fields we rely on and ignores all others.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from ingot.clients.http.client import Reply
from ingot.domain import errors, typed


class CommandStatus(StrEnum):
    """Status words of the agent protocol."""

    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CLEAN_VERSION_MISMATCH = "CLEAN_VERSION_MISMATCH"


class CommandError(msgspec.Struct, frozen=True):
    """Why a command failed, in the agent's words."""

    type: str = ""
    code: int = 0
    message: str = ""
    details: str = ""


class Progress(msgspec.Struct, frozen=True):
    """How far a running command is: ``done`` of ``total`` (bytes; total 0 when unknown) in ``phase``."""

    done: int = 0
    total: int = 0
    phase: str = ""


class CommandResult(msgspec.Struct, frozen=True):
    """One command of an agent; ``name`` is without its extension.

    ``result`` is the command's own free-form answer, None until it has succeeded. ``progress`` and ``key``
    are None from an agent that is not ours.
    """

    id: str
    name: str = msgspec.field(name="command_name")
    status: CommandStatus = msgspec.field(name="command_status")
    error: CommandError | str | None = msgspec.field(name="command_error", default=None)
    result: dict[str, object] | None = msgspec.field(name="command_result", default=None)
    progress: Progress | None = msgspec.field(name="ingot_progress", default=None)
    key: str | None = msgspec.field(name="ingot_key", default=None)

    @property
    def complaint(self) -> str:
        """Why it failed in one line; empty when it did not."""
        if self.error is None or isinstance(self.error, str):
            return self.error or ""
        return self.error.details or self.error.message or self.error.type


class CommandList(msgspec.Struct, frozen=True):
    """All commands an agent has run, the oldest first."""

    commands: list[CommandResult]


class Fault(msgspec.Struct, frozen=True):
    """The body of a refusal."""

    faultstring: str = ""


def command(reply: Reply) -> CommandResult:
    """The command in an answer. Raises ``errors.Misbehaved``."""
    try:
        return typed.decode(reply.body, CommandResult)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise errors.Misbehaved(f"{reply.peer} sent no valid command result: {error}.") from error


def commands(reply: Reply) -> list[CommandResult]:
    """The commands in an answer. Raises ``errors.Misbehaved``."""
    try:
        return typed.decode(reply.body, CommandList).commands
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise errors.Misbehaved(f"{reply.peer} sent no valid list of commands: {error}.") from error


_UNKNOWN = ("The agent has no command", "Invalid command")
"""How our agent and ironic-python-agent begin when an extension lacks a command; the status alone does not tell."""


def refusal(reply: Reply, name: str) -> errors.IngotError:
    """The error for a status of 400 or more to the command ``name``."""
    try:
        said = typed.decode(reply.body, Fault).faultstring
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        said = ""
    text = f"{reply.peer} refused {name} (status {reply.status})" + (f": {said.rstrip('. ')}." if said else ".")
    match reply.status:
        case 400 if said.startswith(_UNKNOWN):
            return errors.NotSupported(text, hint="Use a ramdisk that has this command.")
        case 400:
            return errors.Invalid(text, hint="Correct the arguments of the step.")
        case 401 | 403:
            hint = "The ramdisk has another token than the node: boot it again."
            return errors.AccessDenied(text, hint=hint)
        case 404:
            return errors.NotSupported(text, hint="Use a ramdisk that has this command.")
        case 409:
            return errors.Conflict(text, hint="Wait until the agent's running command has ended.")
        case _:
            return errors.Misbehaved(text, hint="See the ramdisk's log.")
