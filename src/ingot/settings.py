"""Every setting of ingot: where its value comes from, what it means, its default.

A setting exists only where nothing can be derived. Sources, later wins: defaults, the file, ``INGOT_<NAME>`` in the
environment, the command line. May not: import anything of ingot but domain. Invariant: an unknown key is an error.
"""

from __future__ import annotations

import ast
import difflib
import itertools
import os
import tomllib
from pathlib import Path
from typing import Any

import msgspec

from ingot.domain import errors, typed

_NEARLY = 0.85
"""How alike (1: the same) two names are of which one is the other misspelt; INGOT_USER is none of INGOT_BROKER."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All settings. Times in seconds, sizes in bytes; None means "derive it"."""

    data_dir: str = ""
    """Where database, key, image cache and boot files live (default: ``$XDG_DATA_HOME/ingot``)."""
    database: str | None = None
    """URL of the database, ``postgresql://USER:PASSWORD@HOST/NAME`` or ``mariadb://...`` (default: the SQLite file
    ``ingot.db`` in the data directory); it holds a password, so write it into the file, not on the command line.
    PostgreSQL's may end in ``?sslrootcert=FILE``: then the server has to show that certificate, or one signed by it."""
    host: str = "127.0.0.1"
    """Address the API listens on."""
    port: int = 6385
    """TCP port of the API."""
    public_url: str | None = None
    """What links in answers begin with (default: the Host header of the request)."""
    proxy_headers: bool = False
    """Believe what a proxy says of requests (``X-Forwarded-Proto``, ``-Host``, ``-Port``, ``-Prefix``, ``-For``,
    ``Forwarded``), for links before ``public_url``; only where nobody reaches the API past the proxy."""
    proxies: tuple[str, ...] = ("127.0.0.0/8", "::1")
    """Where those proxies call from: who they say is asking is believed from these addresses and networks alone. Rate
    limits count by it; from elsewhere each peer counts as one caller."""
    tls: bool | None = None
    """Whether API and agents' listener speak TLS (default: on every address but loopback); false sends passwords and
    tokens in clear."""
    tls_cert: str | None = None
    """PEM file with the certificate and its chain for clients that call by name (default: one made by ingot's CA)."""
    tls_key: str | None = None
    """PEM file with the key of ``tls_cert``."""
    tls_names: tuple[str, ...] = ()
    """More names and addresses of this host for the certificate that ingot makes."""
    cors_origins: tuple[str, ...] = ()
    """Origins (``https://host:port``) whose web pages may call the API from a browser; ``*`` is any."""
    noauth: bool = False
    """Answer without asking who calls; accepted on loopback only."""
    keystone_url: str | None = None
    """URL of Keystone, ``https://HOST:5000/v3``: tokens of its users are let in with their roles in project or system,
    beside local users; ingot needs no account there."""
    keystone_ca: str | None = None
    """PEM file with the CA of that Keystone (default: those of the system)."""
    rbac_service_role_elevated_access: bool = False
    """Let the role ``service`` in the project ``rbac_service_project_name`` do what a member of the whole system may,
    but for chassis and drivers; else it may what it may in any project."""
    rbac_service_project_name: str = "service"
    """The name of that project. Keystone knows names by domain, this setting does not: whoever makes projects in
    another domain could make one of this name."""
    inspection_rules: str | None = None
    """JSON file with a list of inspection rules that every inspection applies beside those of the API."""
    hostname: str | None = None
    """This conductor's name (default: the machine's)."""
    conductor_group: str = ""
    """The conductor group this conductor belongs to: it works on the nodes of that group, and on no others."""
    broker: str | None = None
    """URL of RabbitMQ, ``amqp://USER:PASSWORD@HOST/`` or ``amqps://...``, by which several processes reach each other
    (default: none, API and conductor are one process); it holds a password, so write it into the file."""
    agent_rate: float = 5.0
    """Lookups and heartbeats per second that one address may send after a burst of 60; 0 switches all of agents' limits
    off (many machines behind one address)."""
    provision_interface: str | None = None
    """Network interface that serves DHCP and TFTP; None switches ingot's own DHCP off."""
    provision_address: str | None = None
    """Address of this host on the provisioning network, for boot files, images and the agent's calls."""
    agent_api_url: str | None = None
    """URL by which ramdisks call the API (default: this host's address on the provisioning network). With several
    hosts: one that goes on when any of them dies, of a floating address or a load balancer."""
    provision_range: str | None = None
    """DHCP range ``first-last`` on that network (default: the larger free side of the interface's network)."""
    dhcp_proxy: bool = False
    """Leave addresses on that network to another DHCP server and only add what to boot (PXE machines, IPv4)."""
    files_port: int = 6386
    """TCP port that serves boot scripts, kernels and images on the provisioning network."""
    ramdisk_dir: str | None = None
    """Folder with ``vmlinuz`` and ``initrd`` (default: what ``ingot ramdisk build`` made)."""
    kernel_params: str = "console=tty0 console=ttyS0,115200"
    """Extra kernel parameters of the deploy ramdisk."""
    console_address: str = "127.0.0.1"
    """Address on which consoles of the type socat listen; whoever reaches it reads and types without a password."""
    console_recording: bool = True
    """Listen to the consoles of nodes that are being worked on, where they have a console interface, so that a run that
    failed shows what the machine said; ingot then holds the BMC's one line, as for a console that is switched on."""
    image_cache_size: int = 40 * 1024**3
    """Space the image cache may take."""
    image_sharing: bool = True
    """Let machines that get the same image at once hand its verified chunks on to each other."""
    image_dirs: tuple[str, ...] = ()
    """Folders from which ``file://`` images may come."""
    allow_md5_checksum: bool = False
    """Let an md5 count as an image's checksum; anybody can make another image with the same one."""
    oci_auth_file: str | None = None
    """File with passwords of OCI registries, as container tools keep it: ``{"auths": {"HOST": {"auth": ...}}}``."""
    oci_plain_registries: tuple[str, ...] = ()
    """OCI registries (``host`` or ``host:port``) that are spoken to without TLS."""
    power_sync_interval: float = 60.0
    """How often each BMC is asked for its power state; 0 switches it off."""
    power_timeout: float = 60.0
    """How long a machine may take to change its power state."""
    ramdisk_timeout: float = 1800.0
    """How long a machine may take from power-on to the ramdisk's first call."""
    heartbeat_timeout: float = 300.0
    """An agent silent for longer is taken for gone."""
    fast_track: bool = True
    """Go on with a ramdisk that is still running instead of booting it again."""
    verify_bmc_clock: bool = False
    """Set the clocks of Redfish BMCs right when a node is verified: logs and certificates go by them."""
    automated_clean: bool = True
    """Erase a node's metadata before it becomes available (a node's own field wins)."""
    clean_step_priority_override: tuple[str, ...] = ()
    """Priorities of automated cleaning steps, each as ``interface.step:priority``; 0 switches a step off."""
    deploy_logs_collect: str = "failure"
    """When the ramdisk's logs are kept with the run: ``failure``, ``always`` or ``never``."""
    deploy_logs_limit: int = 4 * 1024**2
    """Largest bundle of ramdisk logs that is kept (at most 16 MiB); of each node the five newest are."""
    erase_devices_iterations: int = 1
    """How often ``erase_devices`` overwrites a disk with random bytes."""
    erase_devices_zeroize: bool = True
    """Whether zeros follow the random bytes."""
    continue_if_secure_erase_failed: bool = False
    """Overwrite a disk that could erase itself and failed to."""
    enable_nvme_secure_erase: bool = True
    """Let NVMe disks erase themselves (format, sanitize)."""
    enable_ata_secure_erase: bool = True
    """Let ATA disks erase themselves (security erase)."""
    erase_skip_read_only: bool = False
    """Leave read-only disks out of ``erase_devices`` instead of failing."""
    lease: float = 6.0
    """How long a conductor may be silent before others take its runs; up to ten times as long for one that
    is late again and again."""
    drain: float = 20.0
    """How long a conductor that is told to stop (SIGTERM) lets the steps it is in end; Ctrl-C stops at once."""
    drivers: tuple[str, ...] = ("ipmi", "redfish", "fake-hardware")
    """Hardware types that nodes may use."""
    fake_effects: str | None = None
    """File to which fake-hardware appends what it did to its imaginary machines (for tests)."""

    @property
    def data(self) -> Path:
        """The data directory."""
        return Path(self.data_dir).expanduser() if self.data_dir else default_data_dir()

    @property
    def ramdisk(self) -> Path:
        """The folder with the ramdisk."""
        return Path(self.ramdisk_dir) if self.ramdisk_dir else self.data / "ramdisk"

    def clean_step_priorities(self) -> dict[str, int]:
        """``clean_step_priority_override`` by "interface.step". Raises errors.Invalid for one of another form."""
        found: dict[str, int] = {}
        for text in self.clean_step_priority_override:
            name, colon, priority = text.strip().rpartition(":")
            if not colon or "." not in name or not priority.isdecimal():
                raise errors.Invalid(
                    f'clean_step_priority_override holds "{text}"', hint="Write interface.step:priority."
                )
            found[name] = int(priority)
        return found


def default_data_dir() -> Path:
    """Where data lives unless told otherwise: the XDG data home."""
    base = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(base).expanduser() / "ingot"


def load(file: Path | None, overrides: dict[str, Any]) -> Settings:
    """Settings from file, environment and ``overrides`` (None values are ignored).

    Raises errors.Invalid for an unknown key (with the nearest name) or a value of the wrong type.
    """
    return load_traced(file, overrides)[0]


def load_traced(file: Path | None, overrides: dict[str, Any]) -> tuple[Settings, dict[str, str]]:
    """As ``load``, and where each value comes from that is not a default, in words."""
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    if file is not None:
        values.update(_read(file))
        origins.update(dict.fromkeys(values, f"file {file}"))
    for name in Settings.__struct_fields__:
        variable = f"INGOT_{name.upper()}"
        text = os.environ.get(variable)
        if text is not None:
            values[name] = from_text(name, text)
            origins[name] = f"environment {variable}"
    given = {key: value for key, value in overrides.items() if value is not None}
    values.update(given)
    origins.update(dict.fromkeys(given, "command line"))
    for key in values:
        if key not in Settings.__struct_fields__:
            near = difflib.get_close_matches(key, Settings.__struct_fields__, 1)
            hint = f'Did you mean "{near[0]}"?' if near else "See docs/reference/settings.md."
            raise errors.Invalid(f'There is no setting "{key}" ({origins[key]})', hint=hint)
    try:
        return typed.convert(values, Settings, strict=False), origins
    except msgspec.ValidationError as error:
        raise errors.Invalid(f"A setting has a wrong value: {error}", hint="Correct it and start again.") from error


def misspelt_variables() -> dict[str, str]:
    """Variables of the environment that nearly name a setting, and are ignored, by the names that were meant."""
    meant = {f"INGOT_{name.upper()}" for name in Settings.__struct_fields__}
    strange = [name for name in os.environ if name.startswith("INGOT_") and name not in meant]
    near = {name: difflib.get_close_matches(name, meant, 1, _NEARLY) for name in strange}
    return {name: found[0] for name, found in sorted(near.items()) if found}


def from_text(name: str, text: str) -> str | tuple[str, ...]:
    """What a setting is given as text, in the environment or on a command line: lists are written with commas."""
    default = getattr(Settings(), name, None)
    return tuple(part for part in text.split(",") if part) if isinstance(default, tuple) else text


def describe() -> list[tuple[str, str, str]]:
    """(name, type, meaning) of every setting, as the source has them. Raises errors.Bug where words are missing."""
    tree = ast.parse(Path(__file__).read_text())
    body = next(one for one in tree.body if isinstance(one, ast.ClassDef) and one.name == Settings.__name__).body
    found: list[tuple[str, str, str]] = []
    for field, text in itertools.pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            words = text.value if isinstance(text, ast.Expr) else None
            if not isinstance(words, ast.Constant) or not isinstance(words.value, str):
                raise errors.Bug(f"settings.py:{field.lineno}: {field.target.id} has no docstring below it")
            found.append((field.target.id, ast.unparse(field.annotation), " ".join(words.value.split())))
    return found


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text())
    except OSError as error:
        text = f"The settings file {file} cannot be read: {error.strerror}"
        raise errors.Invalid(text, hint="Correct its path or its rights.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise errors.Invalid(f"The settings file {file} is not valid TOML: {error}", hint="Correct it.") from error
