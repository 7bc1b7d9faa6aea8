"""What every use case needs, made once by the composition root (app.py) and handed down."""

from __future__ import annotations

import functools
import socket
from collections.abc import Callable

import msgspec

from ingot.bus.base import Bus
from ingot.domain.pace import Pace
from ingot.interfaces.registry import Registry
from ingot.members import Members
from ingot.settings import Settings
from ingot.store.engine import Store
from ingot.store.seal import Sealer
from ingot.telemetry.clock import Steady


class Deps(msgspec.Struct, frozen=True, dict=True):
    """The rooms below, ready to use. ``clock`` gives epoch seconds (a test may hand in its own)."""

    settings: Settings
    store: Store
    sealer: Sealer
    registry: Registry
    bus: Bus
    clock: Callable[[], float] = msgspec.field(default_factory=Steady)

    @functools.cached_property
    def members(self) -> Members:
        """Which conductors live, and who of them looks after which node."""
        return Members(self.store, self.clock, self.settings.lease)

    @functools.cached_property
    def pace(self) -> Pace:
        """How late this process is with its leases, and so how long they have to be."""
        return Pace(self.settings.lease)

    @functools.cached_property
    def hostname(self) -> str:
        """This process's name among the conductors."""
        return hostname(self.settings)


def hostname(settings: Settings) -> str:
    """The name among the conductors that these settings mean."""
    return settings.hostname or socket.gethostname()
