"""Independent peers for the wire clients: OpenIPMI's ipmi_sim, pyghmi's BMC, sushy-tools' emulator."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import programs

# Get Channel Authentication Capabilities outside a session, by hand from IPMI 2.0 sections 13.6 and 22.13.
AUTH_CAPABILITIES = bytes.fromhex("0600ff07 00 00000000 00000000 09 2018c8 81 04 38 8e 04 b1".replace(" ", ""))


def free_port(kind: socket.SocketKind, host: str = "127.0.0.1") -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def wait_for_ipmi(port: int, process: subprocess.Popen[bytes], deadline: float = 20) -> None:
    ends = time.monotonic() + deadline
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.settimeout(0.2)
        probe.connect(("127.0.0.1", port))
        while time.monotonic() < ends:
            assert process.poll() is None, f"the peer ended with {process.returncode}"
            with contextlib.suppress(OSError):
                probe.send(AUTH_CAPABILITIES)
                if probe.recv(512):
                    return
    raise AssertionError(f"no IPMI peer on port {port} after {deadline} s")


def wait_for_tcp(port: int, process: subprocess.Popen[bytes], deadline: float = 30) -> None:
    ends = time.monotonic() + deadline
    while time.monotonic() < ends:
        assert process.poll() is None, f"the peer ended with {process.returncode}"
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=0.2):
            return
    raise AssertionError(f"no peer on port {port} after {deadline} s")


@contextlib.contextmanager
def running(command: list[str], cwd: Path) -> Generator[subprocess.Popen[bytes]]:
    with (cwd / "peer.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            yield process
        finally:
            programs.end(process, 5)


@pytest.fixture(scope="session")
def pyghmi_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A BMC by pyghmi: user admin, password "password", suite 3 only."""
    port = free_port(socket.SOCK_DGRAM)
    with running([programs.peer("fakebmc"), "--port", str(port)], tmp_path_factory.mktemp("pyghmi")) as process:
        wait_for_ipmi(port, process)
        yield port


CHASSIS_SCRIPT = """#!{python}
import pathlib, sys
here = pathlib.Path(__file__).parent
words = sys.argv[1:]
while words:
    verb = words.pop(0)
    if verb == "get":
        name = words.pop(0)
        state = here / name
        default = "none" if name == "boot" else "0"
        print(name + ":" + (state.read_text() if state.exists() else default))
    elif verb == "set":
        name, value = words.pop(0), words.pop(0)
        (here / name).write_text(value)
        with (here / "log").open("a") as log:
            log.write(name + "=" + value + "\\n")
    elif verb == "check":
        words.pop(0)
"""


EMULATION = """mc_setbmc 0x20
mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02
sel_enable 0x20 100 0x0a
sensor_add 0x20 0 1 0x01 0x01 poll 200 file "{folder}/board"
sensor_set_value 0x20 0 1 52 0
sensor_set_event_support 0x20 0 1 enable scanning per-state NO_EVENTS
sensor_set_threshold 0x20 0 1 settable 111000 70 60 50 0 0 0
mc_add 0x30 2 no-device-sdrs 0x98 0x10 1 0xa0 0x1291 0xf03
sensor_add 0x30 0 1 0x01 0x01 poll 200 file "{folder}/blade"
sensor_set_value 0x30 0 1 251 0
sensor_set_event_support 0x30 0 1 enable scanning per-state NO_EVENTS
mc_enable 0x30
mc_enable 0x20
""".replace("NO_EVENTS", " ".join(["0" * 15] * 4))
RECORD = """sdr type 1
sensor_owner_id {owner}
sensor_owner_lun 0
channel_number 0
sensor_number 1
entity_id system_board
entity_instance 1
sensor_type Temperature
init_scanning true
init_sensor_type true
default_sensor_scan_on true
event_reading_type_code 1
analog_data_format {format}
rate_unit none
modifier_unit none
percentage false
base_unit degrees_C
modifier_unit_code unspecified
linearization linear
m {m}
tolerance 0
b {b}
accuracy 1
accuracy_exp 0
sensor_direction input
r_exp {exponent}
b_exp 0
sensor_maximum 255
sensor_minimum 0
id_string "{name}"
endsdr
"""


def sensor_records(folder: Path) -> str:
    """Commands that give ipmi_sim records made by OpenIPMI's own compiler: (52 - 10) C, and -5 x 0.5 C behind it."""
    source, made = folder / "peer.sdrs", folder / "peer.raw"
    source.write_text(
        RECORD.format(owner="0x20", format="unsigned", m=1, b=-10, exponent=0, name="Board")
        + RECORD.format(owner="0x30", format="2s_complement", m=5, b=0, exponent=-1, name="Blade")
    )
    subprocess.run(["sdrcomp", "-r", "-o", made, source], check=True, timeout=20)
    raw, lines = made.read_bytes(), ""
    while raw:
        size = 5 + raw[4]
        lines += "main_sdr_add 0x20 " + " ".join(f"{byte:#04x}" for byte in raw[:size]) + "\n"
        raw = raw[size:]
    return lines


def serial_echo() -> int:
    """A serial line that gives back what is typed, as a TCP port; it lives as long as this process."""

    class Echo(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            while data := self.request.recv(4096):
                self.request.sendall(data)

    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return int(server.server_address[1])


@dataclass(frozen=True)
class OpenIpmi:
    port: int
    folder: Path

    def actions(self) -> list[str]:
        log = self.folder / "log"
        return log.read_text().split() if log.exists() else []


@pytest.fixture(scope="session")
def openipmi(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenIpmi]:
    """A BMC by OpenIPMI: root/calvin (admin, 5 sessions), oper/secret (operator), suite 3 only."""
    folder = tmp_path_factory.mktemp("openipmi")
    script = folder / "chassis"
    script.write_text(CHASSIS_SCRIPT.format(python=sys.executable))
    script.chmod(0o755)
    port, echo = free_port(socket.SOCK_DGRAM), serial_echo()
    auths = "\n".join(f"allowed_auths_{p} none md5 straight" for p in ("callback", "user", "operator", "admin"))
    (folder / "lan.conf").write_text(
        f'name "peer"\nset_working_mc 0x20\nstartlan 1\naddr 127.0.0.1 {port}\npriv_limit admin\n{auths}\n'
        "guid a123456789abcdefa123456789abcdef\nendlan\n"
        f'sol "tcp:127.0.0.1:{echo}" 115200\n'
        f'chassis_control "{script}"\n'
        'user 2 true "root" "calvin" admin 5 none md5 straight\n'
        'user 3 true "oper" "secret" operator 5 none md5 straight\n'
    )
    (folder / "peer.emu").write_text(EMULATION.replace("{folder}", str(folder)) + sensor_records(folder))
    (folder / "board").write_text("52")  # newer versions give a reading of polled sensors alone
    (folder / "blade").write_text("251")
    command = [programs.system("ipmi_sim"), "-c", "lan.conf", "-f", "peer.emu", "-s", str(folder), "-n", "-p"]
    with running(command, folder) as process:
        wait_for_ipmi(port, process)
        yield OpenIpmi(port, folder)


@pytest.fixture(scope="session")
def sushy_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The Redfish emulator of sushy-tools with its fake systems, basic auth off."""
    folder = tmp_path_factory.mktemp("sushy")
    port = free_port(socket.SOCK_STREAM)
    config = folder / "emulator.conf"
    config.write_text(f'SUSHY_EMULATOR_STATE_DIR = "{folder}"\n')
    command = [
        programs.peer("sushy-emulator"),
        "--fake",
        "--interface",
        "127.0.0.1",
        "--port",
        str(port),
        "--config",
        str(config),
    ]
    with running(command, folder) as process:
        wait_for_tcp(port, process)
        yield f"http://127.0.0.1:{port}"


@dataclass
class Faults:
    """What the UDP proxy does to packets; probabilities are per packet and direction."""

    lose: float = 0
    duplicate: float = 0
    hold: float = 0  # kept back until after the next packet: reordering
    drop_next: int = 0  # answers to swallow for certain
    mute: bool = False
    random: random.Random = field(default_factory=lambda: random.Random(42))


class Leg(asyncio.DatagramProtocol):
    """One side of the proxy: spoils what it receives and gives the rest to ``deliver``."""

    def __init__(self, faults: Faults, deliver: Callable[[bytes, Any], None], *, answers: bool) -> None:
        self.faults, self.deliver, self.answers = faults, deliver, answers
        self.held: list[tuple[bytes, Any]] = []

    def datagram_received(self, data: bytes, addr: Any) -> None:
        faults = self.faults
        if self.answers and faults.drop_next:
            faults.drop_next -= 1
            return
        if faults.mute or faults.random.random() < faults.lose:
            return
        if faults.random.random() < faults.hold:
            self.held.append((data, addr))
            return
        for packet, source in [(data, addr), *self.held]:
            self.deliver(packet, source)
        self.held.clear()
        if faults.random.random() < faults.duplicate:
            self.deliver(data, addr)


class UdpProxy:
    """Sits between clients and one BMC; the BMC sees a port of its own for each client port."""

    def __init__(self, server: tuple[str, int], faults: Faults) -> None:
        self.server, self.faults = server, faults
        self.queue: asyncio.Queue[tuple[bytes, Any]] = asyncio.Queue()
        self.upstream: dict[Any, asyncio.DatagramTransport] = {}

    async def start(self) -> int:
        self.front, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: Leg(self.faults, self.ask, answers=False),
            local_addr=("127.0.0.1", 0),
        )
        self.task = asyncio.create_task(self.forward())
        return int(self.front.get_extra_info("sockname")[1])

    def ask(self, data: bytes, client: Any) -> None:
        self.queue.put_nowait((data, client))

    async def forward(self) -> None:
        while True:
            data, client = await self.queue.get()
            if client not in self.upstream:
                self.upstream[client] = await self.connect(client)
            self.upstream[client].sendto(data)

    async def connect(self, client: Any) -> asyncio.DatagramTransport:
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: Leg(self.faults, lambda answer, _: self.front.sendto(answer, client), answers=True),
            remote_addr=self.server,
        )
        return transport

    async def close(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        for transport in (self.front, *self.upstream.values()):
            transport.close()
        await asyncio.sleep(0)  # lets the transports close their sockets


Proxy = Callable[[int, Faults], Awaitable[int]]


@pytest.fixture
async def udp_proxy() -> AsyncIterator[Proxy]:
    """``await udp_proxy(port, faults)`` gives the port of a proxy before the BMC on ``port``."""
    proxies: list[UdpProxy] = []

    async def start(port: int, faults: Faults) -> int:
        proxies.append(UdpProxy(("127.0.0.1", port), faults))
        return await proxies[-1].start()

    yield start
    for proxy in proxies:
        await proxy.close()


@pytest.fixture
def faults() -> Faults:
    return Faults()


VIRTUALBMC = """
import sys
sys.path.append(sys.argv[2])
import libvirt
from virtualbmc.vbmc import VirtualBMC
kept = libvirt.open("test:///default")  # while one connection is open, libvirt's imaginary machine keeps its state
VirtualBMC("admin", "password", int(sys.argv[1]), "::ffff:127.0.0.1", "test", "test:///default").listen()
"""


@pytest.fixture(scope="session")
def virtualbmc_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """virtualbmc before libvirt's test driver: user admin, password "password", suite 3, a machine that is on.

    It runs in Debian's own Python, because libvirt's bindings for it are Debian's.
    """
    packages = Path(programs.peer()).parents[1] / "lib"
    (site,) = packages.glob("python3*/site-packages")
    port = free_port(socket.SOCK_DGRAM)
    command = ["/usr/bin/python3", "-c", VIRTUALBMC, str(port), str(site)]
    with running(command, tmp_path_factory.mktemp("virtualbmc")) as process:
        wait_for_ipmi(port, process)
        yield port
