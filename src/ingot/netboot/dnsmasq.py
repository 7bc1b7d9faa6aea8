"""Runs dnsmasq as a supervised child: DHCP for known machines, TFTP for the iPXE programs.

Why: machines boot from a network where other machines must not be answered. May not: send SIGHUP (dnsmasq 2.90
aborts on it after tagged host files were read, seen ten times) or write a file per boot.
Invariant: only MACs in the hosts directory get an answer. A new file acts at once; a deleted one only after a
restart, so ``remove`` restarts the child.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import select
import shutil
import signal
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from ingot.domain import errors
from ingot.netboot import bootfiles, dnsmasq_config, neighbours, ramdisk
from ingot.netboot.dhcp import Network
from ingot.netboot.trace import Trace

_BACK_OFF = (0.2, 0.5, 1, 2, 5, 10, 30)
_STEADY = 30.0
_READY_MARK = re.compile(r"dnsmasq-dhcp.*: (?:DHCP, |DHCPv6, )(?:IP range|proxy)")


class Health(msgspec.Struct, frozen=True):
    """Whether DHCP and TFTP are served; ``reason`` is a sentence when they are not."""

    running: bool
    reason: str = ""


class Dnsmasq:
    """One dnsmasq for one provisioning network. ``state`` keeps its files; ``http_url`` is this host's base URL."""

    def __init__(
        self,
        network: Network,
        state: Path,
        http_url: str,
        on_health: Callable[[Health], None] | None = None,
    ) -> None:
        self.network, self.state, self.http_url = network, state, http_url
        self.tftp_root = state / "tftp"
        self.hosts = state / "hosts"
        self.trace = Trace(neighbours.mac_of)
        self.health = Health(running=False, reason="DHCP is not started yet")
        self._on_health = on_health
        self._child: asyncio.subprocess.Process | None = None
        self._ready = asyncio.Event()
        self._restart_wanted = False
        self._last_lines: deque[str] = deque(maxlen=20)

    def prepare(self, macs: Iterable[str] = ()) -> None:
        """Write the configuration, the TFTP root and the host files of exactly ``macs``. Blocking, short.

        Raises NotSupported when dnsmasq or iPXE is not installed.
        """
        self._program()
        self.hosts.mkdir(parents=True, exist_ok=True)
        bootfiles.lay_out(self.tftp_root, self.http_url)
        wanted = {self._host_file(mac): ramdisk.normal_mac(mac) for mac in macs}
        for path in set(self.hosts.iterdir()) - set(wanted):
            path.unlink()
        for path, mac in wanted.items():
            _write_host(path, mac)
        (self.state / "dnsmasq.conf").write_text(self.render())

    async def run(self) -> None:
        """Serve until cancelled; a child that dies is started again, with a growing pause.

        The first start must succeed: raises NotSupported (missing program), Conflict (port taken), Misbehaved.
        """
        await asyncio.to_thread(self._end_predecessor)
        failures, first = 0, True
        try:
            while True:
                began = time.monotonic()
                error = await self._life()
                if self._restart_wanted:
                    self._restart_wanted = first = False
                    continue
                if first and not self._ready.is_set():
                    raise error
                first = False
                failures = 0 if time.monotonic() - began > _STEADY else failures + 1
                self._tell(Health(running=False, reason=error.sentence()))
                self._ready.clear()
                await asyncio.sleep(_BACK_OFF[min(failures, len(_BACK_OFF) - 1)])
        finally:
            await self._stop_child()
            self._tell(Health(running=False, reason="DHCP was stopped"))

    async def wait_ready(self, timeout: float = 20) -> None:
        """Return when DHCP is being served. Raises TimedOut with the last known reason."""
        try:
            async with asyncio.timeout(timeout):
                await self._ready.wait()
        except TimeoutError as error:
            raise errors.TimedOut(
                f"DHCP did not start in {timeout:g} s: {self.health.reason}.",
                hint="See dnsmasq's lines in the log.",
            ) from error

    @property
    def pid(self) -> int | None:
        """The child's process id, None while there is none."""
        return self._child.pid if self._child and self._child.returncode is None else None

    def add(self, mac: str) -> None:
        """Answer ``mac`` from now on (about 20 ms after the call). Doing it twice is harmless."""
        path = self._host_file(mac)
        if not path.exists():
            _write_host(path, ramdisk.normal_mac(mac))

    def answers(self, mac: str) -> bool:
        """Whether this MAC address is answered now."""
        return self._host_file(mac).exists()

    def answered(self) -> set[str]:
        """The MAC addresses that are answered now."""
        return {path.name.replace("-", ":") for path in self.hosts.iterdir() if not path.name.startswith(".")}

    async def remove(self, macs: Iterable[str]) -> None:
        """Stop answering ``macs``. Restarts dnsmasq once for all of them; a boot under way asks again."""
        found = [path for path in map(self._host_file, macs) if path.exists()]
        for path in found:
            path.unlink()
        if found and self.pid is not None:
            self._ready.clear()
            self._restart_wanted = True
            await self._stop_child()

    def render(self) -> str:
        """dnsmasq's configuration."""
        places = dnsmasq_config.Places(self.state, self.hosts, self.tftp_root)
        return dnsmasq_config.render(self.network, places, self.http_url)

    async def _life(self) -> errors.IngotError:
        """Run one child to its end and return why it ended, or why there could be none."""
        try:
            return self._death(await self._serve())
        except errors.NotSupported as error:  # while its package is being renewed, the program is not there
            return error
        except OSError as error:
            await self._stop_child()  # there is one if only its lines could not be followed: it would hold the ports
            return errors.Misbehaved(
                f"dnsmasq cannot be started: {os.strerror(error.errno or 0)}.",
                hint="It is tried again; see the host's memory, processes and open files.",
            )

    async def _serve(self) -> int:
        """Run one child to its end and return its exit code."""
        self._child = await asyncio.create_subprocess_exec(
            *(self._program(), "--keep-in-foreground", f"--conf-file={self.state / 'dnsmasq.conf'}"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env={"PATH": bootfiles.SEARCH_PATH, "LC_ALL": "C"},
            start_new_session=True,
        )
        assert self._child.stderr is not None
        async for raw in self._child.stderr:
            line = raw.decode(errors="replace").rstrip()
            self._last_lines.append(line)
            self.trace.feed(line, time.time())
            if _READY_MARK.search(line):
                self._ready.set()
                self._tell(Health(running=True))
        return await self._child.wait()

    async def _stop_child(self) -> None:
        child = self._child
        if child is None or child.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            child.terminate()
        try:
            async with asyncio.timeout(3):
                await child.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            await child.wait()

    def _death(self, code: int) -> errors.IngotError:
        line = next((line for line in reversed(self._last_lines) if "dnsmasq: " in line), "")
        why = line.partition("dnsmasq: ")[2] or f"exit code {code}"
        if "Address already in use" in why:
            return errors.Conflict(
                f"DHCP or TFTP on {self.network.interface} is taken by another program ({why}).",
                hint="Stop the other DHCP server (often dnsmasq of libvirt or LXD), or choose another interface.",
            )
        if "unknown interface" in why:
            return errors.Invalid(
                f"The host has no network interface {self.network.interface}.",
                hint="See ip link for the names.",
            )
        if "Permission denied" in why or "not permitted" in why:
            return errors.Forbidden(
                f"DHCP on {self.network.interface} cannot be served by this account: {why}.",
                hint="Run ingot as root, or by the unit of its package, which gives its account what DHCP needs.",
            )
        return errors.Misbehaved(f"dnsmasq ended: {why}.", hint="It is started again; see its lines in the log.")

    def _end_predecessor(self) -> None:
        """End a dnsmasq that outlived a killed service and still holds the ports."""
        with contextlib.suppress(OSError, ValueError):
            pid = int((self.state / "dnsmasq.pid").read_text())
            command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if f"--conf-file={self.state / 'dnsmasq.conf'}".encode() in command:
                process = os.pidfd_open(pid)
                try:
                    signal.pidfd_send_signal(process, signal.SIGKILL)
                    _wait_end(process)
                finally:
                    os.close(process)

    def _program(self) -> str:
        found = shutil.which("dnsmasq", path=bootfiles.SEARCH_PATH)
        if found is None:
            raise errors.NotSupported(
                "Network boot needs the program dnsmasq, which is not installed.",
                hint="Run: apt-get install --no-install-recommends dnsmasq-base",
            )
        return found

    def _host_file(self, mac: str) -> Path:
        return self.hosts / ramdisk.normal_mac(mac).replace(":", "-")

    def _tell(self, health: Health) -> None:
        if health != self.health:
            self.health = health
            if self._on_health:
                self._on_health(health)


def _write_host(path: Path, mac: str) -> None:
    """One rename, so that dnsmasq never reads half a line; names with a leading dot are not read."""
    part = path.with_name(f".{path.name}")
    part.write_text(f"{mac}\n")
    part.replace(path)


def _wait_end(process: int, deadline: float = 5.0) -> None:

    poller = select.poll()
    poller.register(process, select.POLLIN)
    poller.poll(deadline * 1000)
