"""Import the ramdisk's builder under the name it has in the wheel, for tests of a checkout."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[2]
_NAME = "ingot_ramdisk"


def load(name: str) -> ModuleType:
    """Give a module of the recipe's folder."""
    if _NAME not in sys.modules:
        folder = ROOT / "ramdisk"
        spec = importlib.util.spec_from_file_location(
            _NAME, folder / "__init__.py", submodule_search_locations=[str(folder)]
        )
        assert spec is not None
        sys.modules[_NAME] = importlib.util.module_from_spec(spec)
    return importlib.import_module(f"{_NAME}.{name}")
