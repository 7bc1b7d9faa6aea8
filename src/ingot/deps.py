"""What every use case needs, made once by the composition root (app.py) and handed down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ingot.bus.memory import MemoryBus
from ingot.interfaces.registry import Registry
from ingot.settings import Settings
from ingot.store.engine import Store
from ingot.store.seal import Sealer
from ingot.telemetry.clock import Steady


@dataclass(frozen=True)
class Deps:
    """The rooms below, ready to use. ``clock`` gives epoch seconds (a test may hand in its own)."""

    settings: Settings
    store: Store
    sealer: Sealer
    registry: Registry
    bus: MemoryBus
    clock: Callable[[], float] = field(default_factory=Steady)
