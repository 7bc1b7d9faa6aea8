"""Choose kernel modules by name, with what they depend on, and write the tables modprobe reads.

Why: a trimmed table makes modprobe quick (a full one has 20,000 aliases), and no depmod is needed on the
host. May not: run programs. Invariant: each module listed is there, with all it needs, under
/lib/modules/<release>.
"""

from __future__ import annotations

import lzma
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from . import squeeze


@dataclass(frozen=True)
class Module:
    """One kernel module: plain bytes, the names it needs first, the device aliases it answers to."""

    name: str
    body: bytes
    depends: tuple[str, ...]
    aliases: tuple[str, ...]


def _plain(path: Path) -> bytes:
    body = path.read_bytes()
    match path.suffix:
        case ".xz":
            return lzma.decompress(body)
        case ".zst":
            return squeeze.expand(body)
        case _:
            return body


def _modinfo(body: bytes) -> list[tuple[str, str]]:
    """Read the ``.modinfo`` section of a 64-bit little-endian ELF object: ``key=value`` strings."""
    table, size, count, names_index = struct.unpack_from("<Q10xHHH", body, 0x28)
    headers = [struct.unpack_from("<IIQQQQ", body, table + size * index) for index in range(count)]
    names = headers[names_index][4]
    for name, _, _, _, offset, length in headers:
        if body[names + name : names + name + 9] == b".modinfo\0":
            entries = body[offset : offset + length].split(b"\0")
            pairs = (entry.decode("utf-8", "replace").partition("=") for entry in entries if b"=" in entry)
            return [(key, value) for key, _, value in pairs]
    return []


def load(path: Path) -> Module:
    """Read one module file, plain, .xz or .zst."""
    body = _plain(path)
    info = _modinfo(body)
    depends = [name for key, value in info if key == "depends" for name in value.split(",") if name]
    for key, value in info:
        if key == "softdep" and value.startswith("pre:"):
            depends += value.removeprefix("pre:").split("post:")[0].split()
    aliases = tuple(value for key, value in info if key == "alias")
    return Module(_name(path), body, tuple(name.replace("-", "_") for name in depends), aliases)


def _name(path: Path) -> str:
    return path.name.split(".ko")[0].replace("-", "_")


def choose(tree: Path, names: Iterable[str]) -> dict[str, Module]:
    """Give the named modules and all they depend on; names this kernel lacks are left out."""
    files = {_name(path): path for path in tree.rglob("*.ko*")}
    chosen: dict[str, Module] = {}
    fresh = [name for name in names if name in files]
    while fresh:
        name = fresh.pop()
        if name not in chosen:
            chosen[name] = load(files[name])
            fresh += [one for one in chosen[name].depends if one in files]
    return chosen


def _ordered(name: str, chosen: dict[str, Module], seen: list[str]) -> list[str]:
    """All needed modules, each one before those it needs itself (modprobe loads from the end)."""
    for one in chosen[name].depends:
        if one in chosen and one != name:
            if one in seen:
                seen.remove(one)
            seen.append(one)
            _ordered(one, chosen, seen)
    return seen


def install(chosen: dict[str, Module], folder: Path) -> None:
    """Write the modules flat into ``folder`` with modules.dep, modules.alias and an empty modules.symbols."""
    folder.mkdir(parents=True)
    depends: list[str] = []
    aliases: list[str] = []
    for name, module in sorted(chosen.items()):
        (folder / f"{name}.ko").write_bytes(module.body)
        needed = " ".join(f"{one}.ko" for one in _ordered(name, chosen, []))
        depends.append(f"{name}.ko: {needed}".rstrip())
        aliases += [f"alias {alias} {name}" for alias in module.aliases if " " not in alias]
    (folder / "modules.dep").write_text("\n".join(depends) + "\n")
    (folder / "modules.alias").write_text("\n".join(aliases) + "\n")
    (folder / "modules.symbols").write_text("")
