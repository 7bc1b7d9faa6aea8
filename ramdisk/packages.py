"""Find, download and unpack packages of the host's own distribution, without installing them.

Why: the ramdisk is made of packages the host can verify itself (apt checks their signatures). May not: need
root, change the host. Invariant: a package is named by exact version, so a version list names the ramdisk's
content.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from . import child, prune

BuildError = child.BuildError
_ASKING = 120.0
_DOWNLOADING = 1800.0  # the kernel's package alone has 70 MB
_UNPACKING = 600.0
Environment = dict[str, str] | None
"""In which apt runs; None: this process's own."""


@dataclass(frozen=True)
class Package:
    """One candidate package: its exact version and the first alternative of each of its dependencies.

    ``architecture``: as its file has it, "all" where it suits every machine.
    """

    name: str
    version: str
    architecture: str
    depends: tuple[str, ...] = ()


def distribution() -> str:
    """Name the host's family: "debian" or "ubuntu". Raises BuildError elsewhere."""
    release = Path("/etc/os-release")
    text = release.read_text() if release.exists() else ""
    words: list[str] = re.findall(r'^ID(?:_LIKE)?="?([^"\n]*)', text, re.MULTILINE)
    for word in " ".join(words).split():
        if word in ("debian", "ubuntu"):
            return word
    raise BuildError(
        "The ramdisk is made of Debian or Ubuntu packages and this host is neither. "
        "Build it on Debian 12, 13 or Ubuntu 24.04 and copy the files over."
    )


def lists_stamp() -> str:
    """Something that changes whenever the host's package lists may have changed."""
    folders = [Path("/var/lib/apt/lists"), Path("/etc/apt"), Path("/etc/apt/sources.list.d"), Path("/etc/os-release")]
    return " ".join(str(one.stat().st_mtime_ns) for one in folders if one.exists())


def _depends(fields: dict[str, str]) -> tuple[str, ...]:
    entries = f"{fields.get('Pre-Depends', '')},{fields.get('Depends', '')}".split(",")
    names = (re.split(r"[\s|(:]", entry.strip(), maxsplit=1)[0] for entry in entries)
    return tuple(name for name in names if name)


def show(names: Iterable[str], environment: Environment = None) -> dict[str, Package]:
    """Give the candidate of each name that the package lists of apt in this environment know.

    Unknown and virtual names are left out.
    """
    command = ["apt-cache", "show", "--no-all-versions", *sorted(names)]
    text = child.run(command, _ASKING, environment=environment).stdout
    found: dict[str, Package] = {}
    for paragraph in text.split("\n\n"):
        lines: list[tuple[str, str]] = re.findall(r"^([A-Za-z-]+): *(.*)$", paragraph, re.MULTILINE)
        fields = dict(lines)
        if "Package" in fields:
            name = fields["Package"]
            found.setdefault(name, Package(name, fields["Version"], fields["Architecture"], _depends(fields)))
    return found


def closure(
    seeds: Iterable[str], ignored: Iterable[str], follow: Callable[[str], bool], environment: Environment = None
) -> list[Package]:
    """Resolve seeds and what they depend on, sorted by name.

    ``follow`` says whether a dependency of that name is wanted. Raises BuildError for an unknown seed.
    """
    skip = set(ignored)
    wanted = set(seeds)
    known: dict[str, Package] = {}
    fresh = set(wanted)
    while fresh:
        found = show(fresh, environment)
        missing = (fresh & wanted) - found.keys()
        if missing:
            raise BuildError(
                f"The package lists of this host do not have {', '.join(sorted(missing))}. "
                "Run 'apt-get update' as root, then build the ramdisk again."
            )
        known.update(found)
        names = {name for one in found.values() for name in one.depends if follow(name)}
        fresh = names - known.keys() - skip - fresh
    return sorted(known.values(), key=lambda one: one.name)


def download(packages: list[Package], store: Path, environment: Environment = None) -> list[Path]:
    """Bring the packages into ``store`` (kept between builds) and give their files, in the same order."""
    store.mkdir(parents=True, exist_ok=True)
    missing = [one for one in packages if not _file(one, store).exists()]
    if missing:
        names = [f"{one.name}={one.version}" for one in missing]
        command = ["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", *names]
        done = child.run(command, _DOWNLOADING, environment=environment, folder=store)
        if done.returncode:
            raise BuildError(
                f"Downloading the ramdisk's packages failed: {done.stderr.strip()[-300:]} "
                "Check the network, run 'apt-get update' as root, then build the ramdisk again."
            )
    files = [_file(one, store) for one in packages]
    for file in files:
        prune.use(file)
    return files


def _file(package: Package, store: Path) -> Path:
    escaped = package.version.replace(":", "%3a")
    return store / f"{package.name}_{escaped}_{package.architecture}.deb"


def _unpack_one(file: Path, target: Path) -> None:
    tar = ["tar", "-x", "--keep-directory-symlink", "--no-same-owner", "-C", str(target), "-f", "-"]
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(file)], stdout=subprocess.PIPE) as source:
        try:
            done = child.run(tar, _UNPACKING, source=source.stdout)
        except BuildError:
            source.kill()
            raise
    if source.returncode or done.returncode:
        raise BuildError(f"Unpacking {file.name} failed: {done.stderr.strip()[-200:]} Remove it and build again.")


def unpack(files: list[Path], target: Path) -> None:
    """Unpack the files of all packages into one folder; needs no root.

    The folder is merged-usr from the start, so that old (/lib) and new (/usr/lib) packages land in one place.
    """
    for folder in ("usr/bin", "usr/sbin", "usr/lib", "usr/lib64"):
        (target / folder).mkdir(parents=True, exist_ok=True)
        (target / Path(folder).name).symlink_to(folder)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(_unpack_one, files, [target] * len(files)))
