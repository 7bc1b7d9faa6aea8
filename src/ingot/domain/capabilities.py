"""What a node's ``capabilities`` ask of its firmware, in the shapes that Ironic's users write them.

``properties`` hold them as text (``boot_mode:uefi,secure_boot:true``), ``instance_info`` as an object or its JSON.
"""

from __future__ import annotations

import json
from typing import Any

BOOT_MODES = ("uefi", "bios")
_TRUE = {"true", "1", "yes", "on", "t", "y"}


def read(value: Any) -> dict[str, str]:
    """The capabilities by name; what is none of the known shapes holds none."""
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return {}
    if isinstance(value, dict):
        return {str(key): str(one) for key, one in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] - any JSON
    pairs = (part.partition(":") for part in str(value or "").split(",") if ":" in part)
    return {name.strip(): text.strip() for name, _, text in pairs}


def wanted_boot_mode(instance_info: dict[str, Any], properties: dict[str, Any]) -> str | None:
    """ "uefi", "bios", or None where nobody asks: the instance's wish before the node's; Secure Boot needs UEFI."""
    instance = read(instance_info.get("capabilities"))
    if wants_secure_boot(instance_info):
        return "uefi"
    wishes = (instance.get("boot_mode"), instance_info.get("deploy_boot_mode"))
    mode = next((str(wish).lower() for wish in wishes if wish), None)
    mode = mode or read(properties.get("capabilities")).get("boot_mode", "").lower()
    return mode if mode in BOOT_MODES else None


def wants_secure_boot(instance_info: dict[str, Any]) -> bool:
    """Whether the instance is to start with Secure Boot on."""
    return read(instance_info.get("capabilities")).get("secure_boot", "").lower() in _TRUE
