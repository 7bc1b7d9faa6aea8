"""The agent's failures: what the conductor gets to read, as a sentence saying what, why and what to do.

May not: import anything. Invariant: ``as_dict`` is the ``command_error`` object of Ironic's agent protocol.
"""

from __future__ import annotations


class AgentError(Exception):
    """The agent could not do what was asked. ``kind`` is its name in the protocol where that is another."""

    code = 500
    kind = ""

    def __init__(self, message: str, details: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.details = details or message

    def as_dict(self) -> dict[str, str | int]:
        """Give the error as the protocol's ``command_error``."""
        return {
            "type": self.kind or type(self).__name__,
            "code": self.code,
            "message": self.message,
            "details": self.details,
        }


class InvalidCommandParams(AgentError):
    """The parameters of a command are not usable."""

    code = 400
    kind = "InvalidCommandParamsError"


class InvalidCommand(AgentError):
    """The extension has no such command, or the name is no name of a command."""

    code = 400
    kind = "InvalidCommandError"


class Unauthorized(AgentError):
    """The caller's agent token is absent or wrong."""

    code = 401


class NotFound(AgentError):
    """No such path, extension or result."""

    code = 404
    kind = "RequestedObjectNotFoundError"


class AgentIsBusy(AgentError):
    """Another command runs; one at a time."""

    code = 409


class CommandExecutionError(AgentError):
    """A command failed in a way nobody foresaw."""


class DeviceNotFound(AgentError):
    """No disk fits what was asked for."""

    code = 404


class BlockDeviceError(AgentError):
    """A disk refused to do what was asked."""


class BlockDeviceEraseError(BlockDeviceError):
    """A disk was not erased, or what it held can still be read."""


class IncompatibleHardware(AgentError):
    """This hardware cannot do it in a way that is allowed."""

    kind = "IncompatibleHardwareMethodError"


class SoftwareRAIDError(AgentError):
    """The wanted software RAID is not possible, or the kernel refused it."""


class CleaningError(AgentError):
    """A step could not be done, or found the hardware faulty."""


class ImageWriteError(AgentError):
    """The image could not be brought onto the disk."""


class ImageChecksumError(AgentError):
    """The image's bytes are not the ones promised."""


class Unreachable(AgentError):
    """A server did not answer or broke off; trying again may help."""


class NotKnown(AgentError):
    """The API does not know this machine."""


class VersionMismatch(AgentError):
    """The steps were listed by another version of this agent."""

    code = 409
