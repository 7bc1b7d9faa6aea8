"""Build the deploy ramdisk: a kernel and an initrd from the host's own packages and ingot's agent.

Why: one command makes it on any Debian or Ubuntu host, without root, in seconds, and keeps it for the next
time. May not: install anything, import ingot. Invariant: a folder with a ``manifest.json`` holds a complete
ramdisk.

Run it as ``python ramdisk/build.py --output DIR`` or call ``build``.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import os
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

if not __package__:  # started as a script: become the module of the package this file lies in
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    __package__ = Path(__file__).resolve().parent.name

from . import cpio, extra, foreign, modules, packages, prune, squeeze, tree

BuildError = packages.BuildError
Progress = Callable[[str, float], None]
_HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Manifest:
    """What was built: sizes in bytes, sha256 by file name, exact version by package name."""

    variant: str
    key: str
    architecture: str
    kernel_release: str
    python: str
    sizes: dict[str, int]
    sha256: dict[str, str]
    packages: dict[str, str]
    unpacked: int
    modules: list[str]


@dataclass(frozen=True)
class _Plan:
    variant: str
    machine: foreign.Machine
    environment: dict[str, str]  # in which apt knows the machine's packages
    recipe: dict[str, Any]  # the free-form TOML of recipe.toml
    python: str
    packages: list[packages.Package]
    extras: tuple[extra.Extra, ...]
    key: str


def missing_packages() -> list[str]:
    """Names of the host's packages (apt) that the build needs and that are absent."""
    programs = {"apt-get": "apt", "dpkg-deb": "dpkg", "tar": "tar", "zstd": "zstd"}
    return [package for program, package in programs.items() if shutil.which(program) is None]


def default_cache() -> Path:
    """The folder for built ramdisks and downloaded packages."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ingot" / "ramdisk"


def _agent_folder() -> Path:
    checkout = _HERE.parent / "src" / "ingot_agent"
    if checkout.is_dir():
        return checkout
    spec = importlib.util.find_spec("ingot_agent")
    if spec is None or spec.origin is None:
        raise BuildError("The package ingot_agent is not installed beside the builder. Install ingot again.")
    return Path(spec.origin).parent


def _fill(names: list[str], python: str, machine: foreign.Machine) -> list[str]:
    return [name.format(python=python, arch=machine.name, libraries=machine.libraries) for name in names]


def _host_python() -> str:
    """The version of Python this distribution ships, as "python3.N"."""
    found = packages.show(["python3-minimal"]).get("python3-minimal")
    names = [name for name in found.depends if name.startswith("python3.")] if found else []
    if not names:
        raise BuildError(
            "The package lists of this host do not have python3-minimal. "
            "Run 'apt-get update' as root, then build the ramdisk again."
        )
    return names[0].removesuffix("-minimal")


def _wanted_kernel_part(name: str) -> bool:
    return name.startswith(("linux-image", "linux-modules"))


def _resolve(
    recipe: dict[str, Any], variant: str, python: str, machine: foreign.Machine, environment: dict[str, str]
) -> list[packages.Package]:
    chosen = recipe["variants"][variant]
    plain = _fill(recipe["packages"] + chosen["packages"], python, machine)
    ignored = recipe["ignored"]
    kernel = _fill(chosen["kernel"][packages.distribution()], python, machine)
    system = packages.closure(plain, ignored, lambda _: True, environment)
    boot = packages.closure(_boot(recipe, machine, "packages"), ignored, lambda _: False, environment)
    return system + packages.closure(kernel, ignored, _wanted_kernel_part, environment) + boot


def _boot(recipe: dict[str, Any], machine: foreign.Machine, what: str) -> list[str]:
    """Of the boot programs that machines of another processor need: their "packages", or "files"."""
    return [] if machine.native else recipe["boot"].get(machine.name, {}).get(what, [])


def _resolve_once(
    text: str, recipe: dict[str, Any], variant: str, machine: foreign.Machine, environment: dict[str, str]
) -> tuple[str, list[packages.Package]]:
    """Resolve, or give what was resolved from the same recipe and package lists before: apt-cache takes seconds."""
    lists = f"{packages.lists_stamp()}\n{foreign.stamp(machine, default_cache())}"
    stamp = f"{variant}\n{lists}\n{text}".encode()
    memory = default_cache() / "plans" / f"{hashlib.blake2b(stamp, digest_size=12).hexdigest()}.json"
    if memory.exists():
        prune.use(memory)
        kept = json.loads(memory.read_text())
        return kept["python"], [packages.Package(*one) for one in kept["packages"]]
    python = _host_python()
    chosen = _resolve(recipe, variant, python, machine, environment)
    memory.parent.mkdir(parents=True, exist_ok=True)
    partial = memory.with_suffix(f".{os.getpid()}")
    listed = [[one.name, one.version, one.architecture] for one in chosen]
    partial.write_text(json.dumps({"python": python, "packages": listed}))
    partial.replace(memory)
    return python, chosen


def _key(text: str, variant: str, chosen: list[packages.Package]) -> str:
    digest = hashlib.blake2b(digest_size=12)
    digest.update(f"{variant}\n{text}\n".encode())
    for one in chosen:
        digest.update(f"{one.name}={one.version}={one.architecture}\n".encode())
    sources = [
        *_agent_folder().rglob("*.py"),
        *_HERE.glob("*.py"),
        *(_HERE / name for name in ("init", "dhcp.sh", "drivers.sh")),
    ]
    for source in sorted(sources):
        digest.update(f"{source.name}\n".encode() + source.read_bytes())
    return digest.hexdigest()


def _plan(variant: str, folders: Sequence[Path], machine: foreign.Machine) -> _Plan:
    absent = missing_packages()
    if absent:
        names = " ".join(absent)
        raise BuildError(f"Programs the build needs are missing. Run 'apt-get install {names}' as root.")
    text = (_HERE / "recipe.toml").read_text()
    recipe = tomllib.loads(text)
    if variant not in recipe["variants"]:
        raise BuildError(f"There is no variant {variant!r}. Choose one of: {', '.join(recipe['variants'])}.")
    extras = tuple(extra.read(folder) for folder in folders)
    recipe = extra.merged(recipe, variant, extras)
    text += "".join(one.digest for one in extras)
    environment = foreign.environment(machine, default_cache())
    python, chosen = _resolve_once(text, recipe, variant, machine, environment)
    return _Plan(variant, machine, environment, recipe, python, chosen, extras, _key(text, variant, chosen))


def _tools(plan: _Plan, work: Path, stage: Path) -> Path:
    """Unpacked packages of the host's own architecture with the ramdisk's Python: ``stage``, or more beside it."""
    if plan.machine.native:
        return stage
    seeds = [f"{plan.python}-minimal", f"lib{plan.python}-minimal", f"lib{plan.python}-stdlib"]
    wanted = packages.closure(seeds, plan.recipe["ignored"], lambda _: True)
    packages.unpack(packages.download(wanted, default_cache() / "packages"), work / "tools")
    return work / "tools"


def _make_root(plan: _Plan, work: Path, stage: Path, root: Path) -> tuple[Path, list[str]]:
    """Fill ``root``; gives the kernel's file and the modules' names."""
    recipe, chosen, machine = plan.recipe, plan.recipe["variants"][plan.variant], plan.machine
    tree.make_skeleton(stage, root, recipe["applets"], machine)
    programs = _fill(recipe["programs"] + chosen["programs"], plan.python, machine)
    tree.add_programs(programs, stage, root, machine.libraries)
    (root / "usr/bin/python3").symlink_to(plan.python)
    tree.add_certificates(stage, root)
    tree.add_python(plan.python, recipe, stage, root, machine.libraries)
    tree.add_agent(_agent_folder(), root)
    tree.compile_python(plan.python, _tools(plan, work, stage), root, foreign.find(None))
    if machine.native:
        tree.check_imports(plan.python, _agent_folder(), root, machine)
    kernel = max(stage.glob("boot/vmlinuz-*"))
    release = kernel.name.removeprefix("vmlinuz-")
    groups = [group for name, group in recipe["modules"].items() if name not in {*foreign.MACHINES} - {machine.name}]
    loaded = modules.choose(stage / "usr/lib/modules" / release, [name for group in groups for name in group])
    extra.check_modules(plan.extras, loaded)
    modules.install(loaded, root / "usr/lib/modules" / release)
    extra.copy(plan.extras, root)
    return kernel, sorted(loaded)


def _write(plan: _Plan, folder: Path, work: Path, progress: Progress) -> None:
    stage, root = work / "stage", work / "root"
    progress("unpacking packages", 0.3)
    packages.unpack(packages.download(plan.packages, default_cache() / "packages", plan.environment), stage)
    progress("choosing files and drivers", 0.5)
    kernel, loaded = _make_root(plan, work, stage, root)
    archive = cpio.archive(root)
    progress("compressing", 0.7)
    shutil.copyfile(kernel, folder / "vmlinuz")
    (folder / "initrd").write_bytes(squeeze.compress(archive))
    for program in (one for name in _boot(plan.recipe, plan.machine, "files") for one in stage.glob(name)):
        target = folder / program.relative_to(stage)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(program, target)
    files = {name: folder / name for name in ("vmlinuz", "initrd")}
    manifest = Manifest(
        variant=plan.variant,
        key=plan.key,
        architecture=plan.machine.name,
        kernel_release=kernel.name.removeprefix("vmlinuz-"),
        python=plan.python,
        sizes={name: file.stat().st_size for name, file in files.items()},
        sha256={name: hashlib.sha256(file.read_bytes()).hexdigest() for name, file in files.items()},
        packages={one.name: one.version for one in plan.packages},
        unpacked=len(archive),
        modules=loaded,
    )
    (folder / "manifest.json").write_text(json.dumps(asdict(manifest), indent=1, sort_keys=True) + "\n")


def _cached(plan: _Plan, progress: Progress) -> Path:
    """Give the complete folder of this plan, building it when there is none.

    Renamed into place in one step.
    """
    final = default_cache() / plan.key
    if (final / "manifest.json").exists():
        prune.use(final)
        return final
    final.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=final.parent, prefix="build-") as name:
        work = Path(name)
        folder = work / "result"
        folder.mkdir()
        _write(plan, folder, work, progress)
        try:
            folder.rename(final)
        except OSError:  # another build of the same plan was quicker; its bytes are as good
            if not (final / "manifest.json").exists():
                raise
    prune.prune(final.parent)
    return final


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a built ramdisk."""
    return Manifest(**json.loads((folder / "manifest.json").read_text()))


def build(
    variant: str, output: Path, progress: Progress, extras: Sequence[Path] = (), architecture: str | None = None
) -> Manifest:
    """Put ``vmlinuz``, ``initrd`` and ``manifest.json`` into ``output``, from the cache when nothing has changed.

    Below ``usr`` lie boot programs, where they are for another processor than the host's.
    ``progress`` gets a phase and the part done, 0 to 1; ``extras`` are folders as extra.py describes them;
    ``architecture``: "amd64" or "arm64", None for the host's own. Raises BuildError with a sentence.
    """
    progress("resolving packages", 0.0)
    plan = _plan(variant, extras, foreign.find(architecture))
    progress("downloading packages", 0.1)
    source = _cached(plan, progress)
    output.mkdir(parents=True, exist_ok=True)
    made = [one.relative_to(source) for one in source.rglob("*") if one.is_file()]
    for name in sorted(made, key=lambda one: one.name == "manifest.json"):
        target = output / name
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{name.name}.partial")
        shutil.copyfile(source / name, partial)
        partial.replace(target)
    progress("done", 1.0)
    return read_manifest(output)


def _say(phase: str, _part: float) -> None:
    print(phase, file=sys.stderr)  # noqa: T201 - a command's output


def main(arguments: list[str] | None = None) -> int:
    """Build from the command line; the exit code is 1 when it fails."""
    parser = argparse.ArgumentParser(description="Build the deploy ramdisk.")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--variant", default="full")
    parser.add_argument("--arch")
    parser.add_argument("--extra", type=Path, action="append", default=[])
    options = parser.parse_args(arguments)
    try:
        manifest = build(options.variant, options.output, _say, options.extra, options.arch)
    except BuildError as error:
        print(error, file=sys.stderr)  # noqa: T201 - a command's output
        return 1
    print(json.dumps(manifest.sizes))  # noqa: T201 - a command's output
    return 0


if __name__ == "__main__":
    sys.exit(main())
