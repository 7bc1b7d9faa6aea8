"""Put the ramdisk's root folder together from unpacked packages: programs with their libraries, Python, the agent.

May not: download, compress. Invariant: everything named in the recipe is there with all libraries it links
to.
"""

from __future__ import annotations

import ast
import os
import shutil
import struct
from collections.abc import Iterable
from pathlib import Path

from . import child
from .child import BuildError
from .foreign import Machine

_HERE = Path(__file__).resolve().parent
_COMPILING = 600.0
_IMPORTING = 120.0


def _needed(body: bytes) -> list[str]:
    """Names of the libraries a 64-bit ELF file links to (its DT_NEEDED entries)."""
    if body[:5] != b"\x7fELF\x02":
        return []
    table, size, count = struct.unpack_from("<Q14xHH", body, 0x20)
    headers = [struct.unpack_from("<IIQQQQ", body, table + size * index) for index in range(count)]
    dynamic = next((one for one in headers if one[0] == 2), None)
    if dynamic is None:
        return []
    entries = list(struct.iter_unpack("<qQ", body[dynamic[2] : dynamic[2] + dynamic[5] // 16 * 16]))
    strings_at = next(value for tag, value in entries if tag == 5)
    loaded = next(one for one in headers if one[0] == 1 and one[3] <= strings_at < one[3] + one[5])
    base = strings_at - loaded[3] + loaded[2]
    starts = [base + value for tag, value in entries if tag == 1]
    return [body[start : body.index(b"\0", start)].decode() for start in starts]


def _copy_libraries(body: bytes, stage: Path, root: Path, libraries: str) -> None:
    for name in _needed(body):
        target = root / libraries / name
        if target.exists() or name.startswith("ld-linux"):
            continue
        found = next((one for one in (stage / "usr/lib").rglob(name) if one.exists()), None)
        if found is None:
            raise BuildError(f"No package of the recipe has the library {name}. Add its package to recipe.toml.")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(found.resolve(), target)
        _copy_libraries(target.read_bytes(), stage, root, libraries)


def add_programs(programs: Iterable[str], stage: Path, root: Path, libraries: str) -> None:
    """Copy programs (paths below the root) and every library they link to, these into the folder ``libraries``.

    Raises BuildError if one is absent.
    """
    for program in programs:
        source = stage / program
        if not source.exists():
            raise BuildError(
                f"No package of the recipe has /{program}. Correct the path or the package in recipe.toml."
            )
        target = root / program
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source.resolve(), target)
        _copy_libraries(target.read_bytes(), stage, root, libraries)


def make_skeleton(stage: Path, root: Path, applets: Iterable[str], machine: Machine) -> None:
    """Make folders, links, the program loader, init and its scripts."""
    for folder in (
        "usr/bin",
        "usr/sbin",
        "usr/lib",
        "usr/lib64",
        "dev",
        "proc",
        "sys",
        "run",
        "tmp",
        "etc",
        "var",
    ):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for name in ("bin", "sbin", "lib", "lib64"):
        (root / name).symlink_to(f"usr/{name}")
    (root / "var/run").symlink_to("../run")
    shutil.copy(find_loader(stage, machine), root / machine.loader)
    for name in applets:
        (root / "usr/bin" / name).symlink_to("busybox")
    (root / "usr/sbin/modprobe").symlink_to("../bin/busybox")  # where the kernel itself looks for it
    for name, target in (("init", "init"), ("dhcp.sh", "etc/dhcp.sh"), ("drivers.sh", "etc/drivers.sh")):
        shutil.copyfile(_HERE / name, root / target)
        (root / target).chmod(0o755)
    (root / "etc/passwd").write_text("root:x:0:0:root:/:/bin/sh\n")
    (root / "etc/hosts").write_text("127.0.0.1 localhost\n")


def add_certificates(stage: Path, root: Path) -> None:
    """Join the public authorities' certificates into the one file that OpenSSL reads by default."""
    folder = root / "usr/lib/ssl"
    folder.mkdir(parents=True, exist_ok=True)
    authorities = sorted((stage / "usr/share/ca-certificates").rglob("*.crt"))
    (folder / "cert.pem").write_bytes(b"".join(one.read_bytes() for one in authorities))


def add_python(python: str, recipe: dict[str, list[str]], stage: Path, root: Path, libraries: str) -> None:
    """Copy the wanted part of Python's library and its extension modules with their libraries."""
    source, target = stage / "usr/lib" / python, root / "usr/lib" / python
    (target / "lib-dynload").mkdir(parents=True)
    for name in recipe["stdlib"]:
        if (source / name).is_dir():
            shutil.copytree(source / name, target / name, ignore=shutil.ignore_patterns("__pycache__", "test*"))
        elif (source / f"{name}.py").exists():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / f"{name}.py", target / f"{name}.py")
    for name in recipe["extensions"]:
        for library in (source / "lib-dynload").glob(f"{name}.cpython-*.so"):
            shutil.copyfile(library, target / "lib-dynload" / library.name)
            _copy_libraries(library.read_bytes(), stage, root, libraries)


def add_agent(agent: Path, root: Path) -> None:
    """Copy the agent's package, the start file that imports it, and the smaller module it finds beside it."""
    target = root / "usr/lib/ingot"
    shutil.copytree(agent, target / "ingot_agent", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(_HERE / "slim_dataclasses.py", target / "dataclasses.py")
    (target / "main.py").write_text("from ingot_agent import boot\n\nboot.main()\n")


def find_loader(stage: Path, machine: Machine) -> Path:
    """The program loader among the unpacked packages."""
    return next((stage / "usr/lib").rglob(Path(machine.loader).name)).resolve()


def compile_python(python: str, stage: Path, root: Path, machine: Machine) -> None:
    """Turn every .py into byte code, made by the Python of ``stage``, and drop the source.

    ``machine``: what ``stage`` is for; it must be this host's. The library loses its docstrings; the agent keeps them,
    for a dataclass without one builds it at each start.
    """
    environment = {
        "PYTHONHOME": str(stage / "usr"),
        "LD_LIBRARY_PATH": str(stage / machine.libraries),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
    }
    loader = find_loader(stage, machine)
    program = [str(loader), str(stage / "usr/bin" / python), "-S"]
    options = [
        "-m",
        "compileall",
        "-q",
        "-b",
        "-s",
        str(root),
        "-p",
        "/",
        "--invalidation-mode",
        "unchecked-hash",
    ]
    for level, folder in (("2", root / "usr/lib" / python), ("0", root / "usr/lib/ingot")):
        command = [*program, *options, "-o", level, str(folder)]
        done = child.run(command, _COMPILING, environment=environment)
        if done.returncode:
            raise BuildError(f"Compiling the ramdisk's Python files failed: {(done.stdout + done.stderr)[-300:]}")
        for file in folder.rglob("*.py"):
            file.unlink()


def _imported(folder: Path) -> set[str]:
    """Every module the agent imports anywhere, also inside functions, by its source."""
    names: set[str] = set()
    for file in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module)
    return names


def check_imports(python: str, agent: Path, root: Path, machine: Machine) -> None:
    """Import everything the agent needs with the ramdisk's own Python and library.

    Raises BuildError naming what lacks.
    """
    loader, libraries = root / machine.loader, str(root / machine.libraries)
    program = [str(loader), "--library-path", libraries, str(root / "usr/bin" / python), "-S", "-B", "-c"]
    own = {f"ingot_agent.{one.stem}" for one in agent.glob("*.py") if one.stem != "__main__"}
    modules = ", ".join(sorted({*_imported(agent), *own} - {"__future__"}))
    environment = {"PYTHONHOME": str(root / "usr"), "PYTHONPATH": str(root / "usr/lib/ingot")}
    done = child.run([*program, f"import {modules}"], _IMPORTING, environment=environment)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no word"]
        raise BuildError(f"The agent does not start with the ramdisk's library: {lines[-1]}. Add it to recipe.toml.")
