"""A driver's manifest (driver.toml): what can be known of a driver without importing its code.

It feeds the registry, ``/v1/drivers``, validation and masking of driver_info, docs and tests. May not: import
driver code. Invariant: a manifest that does not fit the schema is an error that names the file and the key.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import msgspec

from ingot.domain import errors, node, secrets, typed


class Field(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One key of driver_info."""

    name: str
    summary: str
    required: bool = False
    secret: bool = False


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One hardware type, or (``hardware = false``) a folder of implementations others use.

    ``provides``: interface kind -> {implementation name -> "module:Class" in this folder};
    ``uses``: interface kind -> implementation names in order of preference; ``borrows``: other hardware types whose
    driver_info is known here too, for implementations of theirs among those; none of it is required.
    """

    name: str
    summary: str
    status: str
    hardware: bool = True
    requires: tuple[str, ...] = ()
    driver_info: tuple[Field, ...] = ()
    borrows: tuple[str, ...] = ()
    provides: dict[str, dict[str, str]] = {}
    uses: dict[str, tuple[str, ...]] = {}
    folder: str = ""

    def names(self, kind: str) -> tuple[str, ...]:
        """The implementations of an interface this hardware type supports, preferred first."""
        return self.uses.get(kind) or tuple(self.provides.get(kind, ()))


def load(file: Path) -> Manifest:
    """The manifest in ``file``. Raises errors.Invalid naming what is wrong."""
    try:
        raw: dict[str, Any] = tomllib.loads(file.read_text())
        found = typed.convert({**raw, "folder": file.parent.name}, Manifest)
    except tomllib.TOMLDecodeError as error:
        raise errors.Invalid(f"{file} is not valid TOML: {error}", hint="Correct the line it names.") from error
    except msgspec.ValidationError as error:
        raise errors.Invalid(f"{file}: {error}", hint="Compare it with the manifest of another driver.") from error
    unknown = (set(found.provides) | set(found.uses)) - set(node.INTERFACES)
    if unknown:
        raise errors.Invalid(f"{file}: no such interface: {', '.join(sorted(unknown))}")
    open_secrets = [field.name for field in found.driver_info if field.secret and not secrets.is_secret(field.name)]
    if open_secrets:
        # What is sealed goes by a key's name, so that it is sealed whatever driver the node has.
        raise errors.Invalid(
            f"{file}: the secret {', '.join(open_secrets)} does not look like one",
            hint="Give it a name with password, secret, token or key in it as domain/secrets.py knows them.",
        )
    return found


def load_all(root: Path) -> dict[str, Manifest]:
    """Every manifest below ``root`` (one folder per driver) by driver name."""
    found = {manifest.name: manifest for manifest in map(load, sorted(root.glob("*/driver.toml")))}
    return {name: _with_borrowed(manifest, found) for name, manifest in found.items()}


def _with_borrowed(manifest: Manifest, known: dict[str, Manifest]) -> Manifest:
    unknown = set(manifest.borrows) - known.keys()
    if unknown:
        raise errors.Invalid(f"Driver {manifest.name} borrows from {', '.join(sorted(unknown))}, which is not there")
    others = [field for name in manifest.borrows for field in known[name].driver_info]
    borrowed = tuple(
        msgspec.structs.replace(field, required=False, summary=field.summary.removesuffix(" Required."))
        for field in others
    )
    return msgspec.structs.replace(manifest, driver_info=(*manifest.driver_info, *borrowed))
