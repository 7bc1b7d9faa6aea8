"""What a line to a machine's serial console can do; drivers open them, the hub serves them. May not: do anything."""

from __future__ import annotations

from typing import Protocol


class Line(Protocol):
    """An open line."""

    async def read(self) -> bytes:
        """What the machine said since the last read, waiting for at least one byte; b"" once the line has ended."""
        ...

    async def write(self, data: bytes) -> None:
        """Type ``data``; returns once the BMC has taken it. Raises errors.Unreachable."""
        ...

    async def send_break(self) -> None:
        """Send a serial break. Raises errors.NotSupported where the line has none."""
        ...

    async def close(self) -> None:
        """Hang up; no error when the line has ended."""
        ...
