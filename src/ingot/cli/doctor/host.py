"""What the doctor looks at on the host itself: programs, clock, disk, interface, ports.

May not: change anything. Invariant: a port held by ingot itself is fine.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from ingot.cli.doctor.findings import Finding, bad, fine, odd
from ingot.domain import errors
from ingot.netboot import bootfiles, dhcp, loaders
from ingot.settings import Settings
from ingot.tls import wanted

_LEAST_SPACE = 2 * 1024**3
_EPOCH = 1_760_000_000
"""October 2025: a clock before this is certainly wrong."""
_UNSYNCHRONISED = 5  # TIME_ERROR of adjtimex(2)


def programs(settings: Settings) -> Iterator[Finding]:
    """The programs the service starts."""
    wanted_programs = {"qemu-img": ("qemu-utils", "converts images"), "zstd": ("zstd", "unpacks images")}
    if settings.provision_interface:
        wanted_programs["dnsmasq"] = ("dnsmasq-base", "answers DHCP")
    for name, (package, purpose) in wanted_programs.items():
        path = shutil.which(name, path=bootfiles.SEARCH_PATH)
        cure = f"apt-get install --no-install-recommends {package}"
        yield fine(name, path) if path else bad(name, f"not installed; it {purpose}", cure)
    try:
        found = [loaders.get(program) for program in (loaders.Program.IPXE_BIOS, loaders.Program.IPXE_X64)]
        yield fine("iPXE", ", ".join(str(path) for path in found))
    except errors.NotSupported as error:
        make = bad if settings.provision_interface else odd
        yield make("iPXE", error.message, error.hint)


def clock(_settings: Settings) -> Iterator[Finding]:
    """The host's time: certificates, tokens and deadlines depend on it."""
    told = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
    cure = "Set it, and let chrony or systemd-timesyncd keep it."
    if time.time() < _EPOCH:
        yield bad("clock", f"it says {told}, which cannot be", cure)
        return
    buffer = ctypes.create_string_buffer(256)  # struct timex, modes = 0: only read
    state = ctypes.CDLL(None).adjtimex(buffer)
    if state == _UNSYNCHRONISED:
        yield odd("clock", f"{told}, but nothing keeps it in step", cure)
    else:
        yield fine("clock", told)


def disk(settings: Settings) -> Iterator[Finding]:
    """Space for database and images."""
    place = next(path for path in (settings.data, *settings.data.parents) if path.exists())
    free = shutil.disk_usage(place).free
    told = f"{free / 2**30:.1f} GiB free for {settings.data}"
    if free < _LEAST_SPACE:
        yield bad("disk", told, "Free some space, or move data_dir to a larger disk.")
    elif free < settings.image_cache_size:
        less = f"{told}, less than image_cache_size ({settings.image_cache_size / 2**30:.0f} GiB)"
        yield odd("disk", less, "Lower image_cache_size, or move data_dir.")
    else:
        yield fine("disk", told)


def interface(settings: Settings) -> Iterator[Finding]:
    """The provisioning interface: there, up, with an address."""
    name = settings.provision_interface
    if name is None:
        text = "provision_interface is not set, so no machine can boot from the network"
        yield odd("interface", text, "Set it to the interface that your servers boot on.")
        return
    folder = Path("/sys/class/net") / name
    if not folder.exists():
        known = ", ".join(sorted(one for _, one in socket.if_nameindex()))
        yield bad("interface", f"there is no interface {name}", f"Set provision_interface to one of: {known}.")
        return
    if (folder / "carrier").exists() and _read(folder / "carrier") != "1":
        yield bad("interface", f"{name} is down or has no cable", f"ip link set {name} up; look at the cable.")
        return
    host = dhcp.host(settings)
    yield fine("interface", f"{name} is up; machines reach this host at {host}")


def ports(settings: Settings) -> Iterator[Finding]:
    """The ports the service listens on: free, or held by an ingot that answers."""
    yield from _tcp("API", settings.host, settings.port, tls=wanted.is_wanted(settings, settings.host))
    address = dhcp.host(settings) if settings.provision_interface or settings.provision_address else None
    if address is not None:
        yield from _tcp("files", address, settings.files_port, tls=False)
    if settings.provision_interface is not None:
        for number, purpose in ((67, "DHCP"), (69, "TFTP")):
            yield from _udp(purpose, number, settings.data / "dnsmasq" / "dnsmasq.conf")


def _tcp(purpose: str, host: str, port: int, *, tls: bool) -> Iterator[Finding]:
    check, where = f"port {port}", f"{host} port {port} ({purpose})"
    try:
        socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
        yield fine(check, f"{where} is free")
    except OSError as error:
        if error.errno == errno.EADDRINUSE and _answers(host, port, tls=tls):
            yield fine(check, f"{where} is served")
        elif error.errno == errno.EADDRINUSE:
            yield bad(
                check, f"{where} is held by another program", f"See ss -ltnp sport = :{port}; end it or set port."
            )
        else:
            yield bad(check, f"{where} cannot be had: {os.strerror(error.errno or 0)}", "Compare host with: ip addr.")


def _answers(host: str, port: int, *, tls: bool) -> bool:
    """Whether something there speaks HTTP, by TLS if it should."""
    target = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    try:
        with socket.create_connection((target, port), 3) as plain:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            with context.wrap_socket(plain) if tls else plain as speaking:
                speaking.settimeout(3)
                speaking.sendall(b"GET /ingot/v1/health HTTP/1.0\r\n\r\n")
                return speaking.recv(16).startswith(b"HTTP/1.")
    except OSError:
        return False


def _udp(purpose: str, number: int, own: Path) -> Iterator[Finding]:
    check = f"port {number}"
    held = any(line.split()[1].endswith(f":{number:04X}") for line in _read(Path("/proc/net/udp")).splitlines()[1:])
    if not held:
        yield fine(check, f"UDP port {number} ({purpose}) is free")
    elif _dnsmasq_reads(own):
        yield fine(check, f"UDP port {number} ({purpose}) is served by ingot's dnsmasq")
    else:
        text = f"UDP port {number} ({purpose}) is held by another program"
        yield odd(check, text, f"See ss -lunp sport = :{number}; end it if it serves the provisioning network.")


def _dnsmasq_reads(file: Path) -> bool:
    """Whether a dnsmasq runs with this file: another ingot's has its own."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        words = _read(path).split("\0")
        if words[0].endswith("dnsmasq") and f"--conf-file={file}" in words:
            return True
    return False


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


CHECKS: tuple[Callable[[Settings], Iterator[Finding]], ...] = (programs, clock, disk, interface, ports)
