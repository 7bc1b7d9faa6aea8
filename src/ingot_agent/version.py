"""The agent's version, as the conductor sees it; the step lists change with it."""

from __future__ import annotations

VERSION = "13.0.0.ingot1"  # the leading number is the protocol generation conductors compare
HARDWARE_MANAGERS = {"ingot_generic": "2"}
