"""What an operator adds to the ramdisk: a folder with files, packages' programs, kernel modules, start commands.

    FOLDER/recipe.toml     optional: packages, programs, modules (lists, meant as in the ramdisk's own recipe.toml)
    FOLDER/root/...        optional: copied over the ramdisk's root, modes kept; executables in
                           root/etc/ingot/start.d are run in the order of their names, before the agent starts

May not: replace init or the agent. Invariant: the same folder gives the same bytes.
"""

from __future__ import annotations

import hashlib
import shutil
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .child import BuildError

_KEYS = ("packages", "programs", "modules")
_OURS = ("init", "usr/lib/ingot")


@dataclass(frozen=True)
class Extra:
    """One such folder: its root files, what its recipe names, and a digest of all of it."""

    root: Path
    recipe: dict[str, list[str]]
    digest: str


def read(folder: Path) -> Extra:
    """Read and check a folder. Raises BuildError with a sentence."""
    if not folder.is_dir():
        raise BuildError(f"There is no folder {folder} with extra content. Correct --extra.")
    root = folder / "root"
    for name in _OURS:
        if (root / name).exists():
            raise BuildError(f"{root / name} would replace a part of the ramdisk itself. Give the file another place.")
    return Extra(root, _recipe(folder / "recipe.toml"), _digest(folder))


def _recipe(file: Path) -> dict[str, list[str]]:
    try:
        found: dict[str, Any] = tomllib.loads(file.read_text()) if file.exists() else {}
    except (OSError, ValueError) as error:
        raise BuildError(f"{file} cannot be read: {error}. Correct it.") from error
    for key, value in found.items():
        if key not in _KEYS or not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise BuildError(f"{file}: {key} is not known. Give lists of names: {', '.join(_KEYS)}.")
    return {key: found.get(key, []) for key in _KEYS}


def _digest(folder: Path) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for path in sorted(folder.rglob("*")):
        mode = path.lstat().st_mode
        content = str(path.readlink()).encode() if path.is_symlink() else path.read_bytes() if path.is_file() else b""
        digest.update(f"{path.relative_to(folder)}\n{mode:o}\n{len(content)}\n".encode() + content)
    return digest.hexdigest()


def merged(recipe: dict[str, Any], variant: str, extras: Iterable[Extra]) -> dict[str, Any]:
    """The recipe with what the folders name added to one variant."""
    chosen = recipe["variants"][variant]
    modules: list[str] = []
    for one in extras:
        chosen = {**chosen, **{key: chosen[key] + one.recipe[key] for key in ("packages", "programs")}}
        modules += one.recipe["modules"]
    groups = {**recipe["modules"], "extra": modules}
    return {**recipe, "variants": {**recipe["variants"], variant: chosen}, "modules": groups}


def check_modules(extras: Iterable[Extra], chosen: Iterable[str]) -> None:
    """Refuse a module that this kernel does not have as one; the ramdisk's own list may name such."""
    present = set(chosen)
    absent = sorted({name for one in extras for name in one.recipe["modules"]} - present)
    if absent:
        raise BuildError(f"This kernel has no module {', '.join(absent)} (or has it built in). Correct recipe.toml.")


def copy(extras: Iterable[Extra], root: Path) -> None:
    """Lay the folders' files over the ramdisk's root, in the order given."""
    for one in extras:
        if one.root.is_dir():
            shutil.copytree(one.root, root, symlinks=True, dirs_exist_ok=True)
