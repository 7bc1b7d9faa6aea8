"""What the agent's commands work with.

Why a file of its own: it is there from the start, the commands are loaded after the first call. May not: do anything.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ingot_agent import settings


@dataclass
class Context:
    """What commands work with; ``node`` is the API's free-form node of the last lookup."""

    config: settings.Settings
    roots: settings.Roots
    lock_down: Callable[[], None]
    let_go: Callable[[float], None]
    node: dict[str, Any] = field(default_factory=dict[str, Any])
