"""A RabbitMQ of the test's own: Debian's programs as children, on ports and with a node name of their own."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path

import programs

_SERVER = "/usr/lib/rabbitmq/bin/rabbitmq-server"
_WITHIN = 180.0


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@dataclass
class Broker:
    """A broker that can be ended and started again; ``url`` stays the same."""

    folder: Path
    address: str = "127.0.0.1"
    port: int = field(default_factory=free_port)
    _names_port: int = field(default_factory=free_port)
    _children: list[subprocess.Popen[bytes]] = field(default_factory=list[subprocess.Popen[bytes]])

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@{self.address}:{self.port}/"

    def start(self) -> None:
        """Start and wait until it answers."""
        # Erlang's register of node names: without this child of ours the server would leave one behind.
        self._spawn(programs.system("epmd"), "-address", "127.0.0.1", "-port", str(self._names_port))
        self._await(self._children[-1], ("127.0.0.1", self._names_port), b"")
        programs.system("rabbitmq-server")
        # It listens before it serves; only one that serves answers the protocol's header.
        self._await(self._spawn(_SERVER), (self.address, self.port), b"AMQP\x00\x00\x09\x01")

    def _spawn(self, *command: str) -> subprocess.Popen[bytes]:
        with (self.folder / "out").open("ab") as out:
            child = subprocess.Popen(
                command,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        self._children.append(child)
        return child

    def kill(self) -> None:
        """End it at once, with all it held in memory."""
        for child in self._children:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait(30)
        self._children.clear()

    def _environment(self) -> dict[str, str]:
        config = self.folder / "rabbitmq.conf"
        config.write_text(f"listeners.tcp.default = {self.address}:{self.port}\nloopback_users = none\n")
        (self.folder / "plugins").write_text("[].\n")
        own = {
            "HOME": str(self.folder),
            "RABBITMQ_NODENAME": f"ingot{self.port}@localhost",
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_CONFIG_FILE": str(config),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_PID_FILE": str(self.folder / "pid"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
            # Waiting for work costs no processor time.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+sbwt none +sbwtdcpu none +sbwtdio none +S 2:2",
            "ERL_EPMD_PORT": str(self._names_port),
        }
        return {**os.environ, **own}

    def _await(self, child: subprocess.Popen[bytes], place: tuple[str, int], greeting: bytes) -> None:
        """Wait until a child takes connections, and answers a greeting if there is one."""
        end = time.monotonic() + _WITHIN
        pause = threading.Event()  # never set
        while time.monotonic() < end and child.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(place, 1) as sock:
                sock.settimeout(5)
                sock.sendall(greeting)
                if not greeting or sock.recv(1):
                    return
            pause.wait(0.2)
        raise AssertionError(f"the broker did not start: {(self.folder / 'out').read_text()[-2000:]}")


@contextlib.contextmanager
def running(folder: Path, address: str = "127.0.0.1") -> Generator[Broker]:
    """A broker that serves while the context lasts."""
    broker = Broker(folder, address)
    try:
        broker.start()
        yield broker
    finally:
        broker.kill()
