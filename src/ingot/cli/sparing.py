"""Keeps libraries out of a service until something uses them.

Why: aiohttp is a quarter of the time from start to ready and 10 MiB, and a service that has not met a BMC or an image
yet does not need it. With importlib.metadata SQLAlchemy would look for drivers that others wrote; uvicorn itself brings
its command line. May not: know what they are used for. Invariant: whoever imports them meanwhile writes an ordinary
import.
"""

from __future__ import annotations

import gc
import importlib.util
import sys
import types
from typing import Any

_BY_PARTS = ("uvicorn",)
"""Packages whose modules can be imported without the package itself."""


def spare() -> None:
    """To be called before the service's own modules are imported; ``app.run`` switches garbage collection on again."""
    gc.disable()  # nothing that an import makes is garbage, and looking through it all is an eighth of a start
    for name in ("aiohttp", "yarl", "importlib.metadata", *_BY_PARTS):
        if name not in sys.modules:
            sys.modules[name] = _Late(name)


class _Late(types.ModuleType):
    """Stands for a library until something in it is asked for; then it is imported and this has all that it has.

    importlib.util.LazyLoader cannot do it: in Python 3.11 a second import of the name loads its module.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__spec__ = spec = importlib.util.find_spec(name)
        if name in _BY_PARTS and spec is not None and spec.submodule_search_locations is not None:
            self.__path__ = spec.submodule_search_locations

    def __getattr__(self, attribute: str) -> Any:
        name = self.__name__
        if sys.modules.get(name) is self:
            del sys.modules[name]
        self.__dict__.update(importlib.import_module(name).__dict__)
        try:
            return self.__dict__[attribute]
        except KeyError:
            raise AttributeError(attribute) from None
