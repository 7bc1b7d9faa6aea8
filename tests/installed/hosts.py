"""Hosts on this machine: each has a name, a network, processes and a file system of its own, over this one's.

What a host writes is kept in memory and goes with it. None runs systemd, whose ``systemctl`` is stood in for by a
program that starts what a unit's own file says, as its account with its capabilities, and waits until it is told that
that is ready.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Generator
from pathlib import Path

_SETUP = r"""
set -e
mount -t tmpfs tmpfs "$1"; cd "$1"; mkdir upper work root
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" root
cd root
mount -t proc proc proc
mount --rbind /dev dev
for each in run tmp; do mount -t tmpfs tmpfs $each; done
chmod 1777 tmp; mkdir -m 1777 run/lock
hostname "$2"
ip link set lo up
mkdir -p srv/walk
echo ready
exec sleep infinity
"""
_SYSTEMCTL = r"""#!/usr/bin/python3
import configparser, os, pathlib, signal, socket, subprocess, sys
words = [word for word in sys.argv[1:] if not word.startswith("-")]
verb, names = words[0], words[1:]
if verb == "daemon-reload":
    sys.exit()
assert (verb, "--now" in sys.argv) in {("enable", True), ("restart", False), ("stop", False)}, sys.argv
(name,) = names
if pathlib.Path("/etc/init.d", name).exists():
    sys.exit(subprocess.run(["service", name, verb], stdin=subprocess.DEVNULL).returncode)
said = {}
extra = sorted(pathlib.Path("/etc/systemd/system", name + ".service.d").glob("*.conf"))
for file in (pathlib.Path("/lib/systemd/system", name + ".service"), *extra):
    for line in file.read_text().splitlines():
        key, equals, value = line.partition("=")
        if equals and not key.startswith("#"):
            said.setdefault(key, []).append(value)
            if not value:
                said[key] = []
(command,) = said["ExecStart"]
(account,) = said["User"]
pid = pathlib.Path("/run", name + ".pid")
if verb in {"stop", "restart"} and pid.exists():
    os.kill(int(pid.read_text()), signal.SIGTERM)
if verb == "stop":
    sys.exit()
capabilities = ",".join("+" + one[4:].lower() for one in said["AmbientCapabilities"][0].split())
told = f"/run/{name}.notify"
pathlib.Path(told).unlink(missing_ok=True)
line = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
line.bind(told)
os.chmod(told, 0o777)
argv = ["setpriv", "--reuid", account, "--regid", account, "--init-groups", "--inh-caps", "-all," + capabilities,
        "--ambient-caps", "-all," + capabilities, "--bounding-set", "-all," + capabilities, "--no-new-privs"]
log = open(f"/var/log/{name}.log", "ab")
child = subprocess.Popen(argv + command.split(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                         start_new_session=True, env={"PATH": os.environ["PATH"], "NOTIFY_SOCKET": told})
pid.write_text(str(child.pid))
line.settimeout(90)
try:
    assert line.recv(100) == b"READY=1"
except TimeoutError:
    sys.exit(f"{name} does not say that it is ready: {pathlib.Path(log.name).read_text()[-2000:]}")
"""


class Host:
    """One of them; its shell's lines are typed by root in /srv/walk."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self._folder = folder / name
        self._folder.mkdir()
        apart = ["unshare", "--fork", "--kill-child", "--pid", "--mount", "--uts", "--ipc", "--net"]
        self._first = subprocess.Popen(
            [*apart, "sh", "-c", _SETUP, "sh", str(self._folder), name],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._first.stdout is not None
        assert self._first.stdout.readline() == "ready\n", f"{name} did not come up"
        self.pid = self._child()
        self.write("usr/bin/systemctl", _SYSTEMCTL, 0o755)
        # It installs what this machine lacks, and no newer versions of what it has: a host has no way to a mirror.
        self.write("etc/apt/apt.conf.d/99-test", 'APT::Get::Upgrade "false";\n')
        hosts = "127.0.0.1 localhost\n" + f"127.0.1.1 {name}\n"
        self.write("etc/hosts", hosts)

    def _child(self) -> str:
        return Path(f"/proc/{self._first.pid}/task/{self._first.pid}/children").read_text().split()[0]

    def place(self, path: str) -> Path:
        """A file of the host's, as this machine sees it."""
        return Path(f"/proc/{self.pid}/root{self._folder}/root") / path

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Put a file there."""
        place = self.place(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.unlink(missing_ok=True)
        place.write_text(text)
        place.chmod(mode)

    def type(self, lines: str, stdin: str = "", limit: float = 240.0) -> str:
        """What root's shell says to these lines, the first that fails ends the test. ``stdin``: what is asked for."""
        self.write("srv/walk/.lines", f"set -e\n{lines}")
        inside = ["nsenter", "--target", self.pid, "--mount", "--uts", "--ipc", "--net", "--pid"]
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8", "TERM": "dumb"}
        shell = ["setsid", "--wait", "sh", "-c", "cd /srv/walk && exec bash .lines"]
        into = ["chroot", str(self._folder / "root"), *shell]
        done = subprocess.run(
            [*inside, *into], input=stdin, capture_output=True, text=True, timeout=limit, env=environment, check=False
        )
        assert done.returncode == 0, f"{self.name}: {lines}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}\n{self.log()}"
        return done.stdout

    def log(self) -> str:
        """The end of its service's log."""
        with contextlib.suppress(FileNotFoundError):
            return self.place("var/log/ingot.log").read_text(errors="replace")[-2000:]
        return ""

    def close(self) -> None:
        """End all its processes; its files go with the last of them."""
        self._first.kill()
        self._first.wait(30)
        assert self._first.stdout is not None
        self._first.stdout.close()


class Network:
    """A switch in a namespace of its own, into which hosts are plugged."""

    def __init__(self) -> None:
        self._name = f"igsw{os.getpid()}"
        self._bridges: set[str] = set()
        _ip("netns", "add", self._name)

    def plug(self, host: Host, card: str, address: str) -> None:
        """Give the host a card with this address; cards of one name are on one wire."""
        bridge, port = f"br-{card}", f"{host.name}-{card}"
        if bridge not in self._bridges:
            self._bridges.add(bridge)
            _ip("-n", self._name, "link", "add", bridge, "type", "bridge")
            _ip("-n", self._name, "link", "set", bridge, "up")
        _ip("-n", self._name, "link", "add", port, "type", "veth", "peer", "name", card, "netns", host.pid)
        _ip("-n", self._name, "link", "set", port, "master", bridge, "up")
        host.type(f"ip addr add {address}/24 dev {card}; ip link set {card} up")

    def set(self, host: Host, card: str, state: str) -> None:
        """Pull a host's cable, or put it in again (down, up)."""
        _ip("-n", self._name, "link", "set", f"{host.name}-{card}", state)

    def remove(self) -> None:
        """Take the switch away."""
        _ip("netns", "del", self._name)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, timeout=20)


@contextlib.contextmanager
def running(folder: Path, *names: str) -> Generator[tuple[Network, dict[str, Host]]]:
    """Hosts of these names and a network without a cable in it."""
    with contextlib.ExitStack() as stack:
        network = Network()
        stack.callback(network.remove)
        hosts: dict[str, Host] = {}
        for name in names:
            hosts[name] = Host(folder, name)
            stack.callback(hosts[name].close)
        yield network, hosts
