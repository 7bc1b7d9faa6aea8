"""Keys of driver_info that nobody reads, and what was probably meant.

Why: Ironic's API takes any key, so a slip of the pen shows much later, as a BMC that does not let us in.
May not: refuse anything. Invariant: a key that other interfaces may read (deploy_kernel, ...) is no slip.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable

_NEAR = 0.8  # ipmi_user for ipmi_username is 0.82, ipmi_foo for ipmi_port 0.7
_LONGEST = 64
_LOOKED_AT = 50  # keys beside the known ones: each costs a third of a millisecond, and callers may send any number
_TOLD = 5


def slips(driver: str, given: Iterable[str], known: Collection[str]) -> str:
    """Sentences about the ``given`` keys that are not of the ``known`` ones of ``driver``; "" when all is well.

    Told are those near to a known key that is not given, and those that begin as the driver's own do (``ipmi_...``); of
    many the first.
    """
    keys = list(given)
    own = tuple({f"{name.partition('_')[0]}_" for name in known})
    free = [name for name in known if name not in keys]
    found: list[str] = []
    for key in [key for key in keys if key not in known and len(key) <= _LONGEST][:_LOOKED_AT]:
        near = difflib.get_close_matches(key.lower(), free, 1, _NEAR)
        if near or key.startswith(own):
            meant = f'; did you mean "{near[0]}"?' if near else "."
            found.append(f'"{key}" is not a property of driver {driver}{meant}')
    return " ".join(found[:_TOLD])
