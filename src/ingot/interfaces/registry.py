"""The registry: which drivers there are, which implementation a node's interface name means.

Implementations are imported on first use, by the names in the manifests: an API process that never talks to
hardware never imports a driver. May not: know any driver by name.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from ingot.domain import errors, node
from ingot.interfaces import manifest

_DRIVERS = Path(__file__).parent.parent / "drivers"
_PLACEHOLDER = {
    "bios": "no-bios",
    "console": "no-console",
    "firmware": "no-firmware",
    "inspect": "no-inspect",
    "raid": "no-raid",
    "rescue": "no-rescue",
    "vendor": "no-vendor",
    "storage": "noop",
}


class Registry:
    """Drivers enabled in this installation and their interface implementations."""

    def __init__(self, enabled: tuple[str, ...], root: Path = _DRIVERS) -> None:
        self._manifests = manifest.load_all(root)
        self.enabled = tuple(name for name in enabled if name in self._manifests)
        self._providers: dict[tuple[str, str], tuple[str, str]] = {}
        for found in self._manifests.values():
            for kind, implementations in found.provides.items():
                for name, target in implementations.items():
                    self._providers[kind, name] = (found.folder, target)
        self._loaded: dict[tuple[str, str], Any] = {}

    def driver(self, name: str) -> manifest.Manifest:
        """The manifest of an enabled hardware type. Raises errors.NotFound listing what there is."""
        if name not in self.enabled:
            raise errors.NotFound(
                f"No valid host was found. Reason: No conductor service registered which supports driver {name} for "
                'conductor group "". Ensure the driver is valid and enabled.',
                hint=f"Drivers here: {', '.join(self.enabled)}.",
            )
        return self._manifests[name]

    def names(self, driver: str, kind: str) -> tuple[str, ...]:
        """The implementations of ``kind`` a node of ``driver`` may choose, default first."""
        found = self.driver(driver).names(kind)
        if found:
            return found
        return (_PLACEHOLDER.get(kind, f"no-{kind}"),)

    def defaults(self, driver: str) -> dict[str, str]:
        """``<kind>_interface`` -> default implementation for every interface."""
        return {f"{kind}_interface": self.names(driver, kind)[0] for kind in node.INTERFACES}

    def check(self, driver: str, kind: str, name: str) -> None:
        """Raise errors.Invalid unless ``driver`` supports the implementation ``name`` of ``kind``."""
        allowed = self.names(driver, kind)
        if name not in allowed:
            raise errors.Invalid(
                f"Could not find the following interface in the 'ironic.hardware.interfaces.{kind}' entrypoint: {name}."
                f" Valid interfaces are {list(allowed)}.",
                hint=f"Choose one that the driver {driver} has.",
            )

    def implementation(self, kind: str, name: str | None) -> Any:
        """The one object that implements ``kind`` under ``name``. Raises errors.NotSupported when there is none."""
        key = (kind, name or "")
        if key not in self._loaded:
            if key not in self._providers:
                raise errors.NotSupported(f'The {kind} interface "{name}" does not exist or does nothing here')
            folder, target = self._providers[key]
            module, _, attribute = target.partition(":")
            loaded = importlib.import_module(f"ingot.drivers.{folder}.{module}")
            self._loaded[key] = getattr(loaded, attribute)()
        return self._loaded[key]
