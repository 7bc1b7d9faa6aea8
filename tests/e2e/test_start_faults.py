"""`ingot serve` that cannot start: exit code 1 and one line that says what to do."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e import stand
from faults import catalogue
from ingot.cli.demo import children

pytestmark = pytest.mark.timeout(120)
inside_a_namespace = pytest.mark.skipif(os.geteuid() != 0, reason="a network namespace needs root")


async def refused(folder: Path, *words: str, prefix: tuple[str, ...] = ()) -> str:
    """The one line that a failed start prints."""
    argv = [*prefix, *children.ingot_command("serve", "--data-dir", str(folder), *words)]
    code, printed, complaints = await children.capture(argv, 90.0)
    lines = [line for line in complaints.splitlines() if line.startswith("ingot: ")]
    assert (code, len(lines)) == (1, 1), complaints + printed
    assert "Traceback" not in complaints + printed
    return lines[0].removeprefix("ingot: ")


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield int(other.getsockname()[1])


async def test_the_port_of_the_api_is_taken(tmp_path: Path, taken: int) -> None:
    told = await refused(tmp_path, "--port", str(taken))
    assert told == (
        f"The API cannot listen on 127.0.0.1 port {taken}: Address already in use. "
        "Another program has the port: end it, or choose another with --port."
    )
    catalogue.told("api-port-taken", told)


async def test_the_port_of_the_files_is_taken(tmp_path: Path, taken: int) -> None:
    words = ("--set", "provision_address=127.0.0.1/8", "--set", f"files_port={taken}")
    told = await refused(tmp_path, "--port", str(stand.free_port()), *words)
    assert told == (
        f"Port {taken} on 127.0.0.1 is taken by another program, so machines cannot fetch files. "
        f"See ss -ltnp 'sport = :{taken}', stop that program or choose another port."
    )
    catalogue.told("files-port-taken", told)


NETWORK = "ip link set lo up && ip link add prov0 type bridge && ip link set prov0 up && "
ADDRESS = "ip addr add 192.0.2.1/24 dev prov0"


@inside_a_namespace
async def test_dnsmasq_is_missing(tmp_path: Path) -> None:
    hide = "for dir in /usr/local/sbin /usr/local/bin /usr/sbin /usr/bin /sbin /bin; do"
    hide += " [ ! -e $dir/dnsmasq ] || mount --bind /dev/null $dir/dnsmasq; done"
    script = f'{NETWORK}{ADDRESS} && {hide} && exec "$@"'
    prefix = ("unshare", "--net", "--mount", "sh", "-c", script, "sh")
    told = await refused(tmp_path, "--set", "provision_interface=prov0", prefix=prefix)
    assert told == (
        "Network boot needs the program dnsmasq, which is not installed. "
        "Run: apt-get install --no-install-recommends dnsmasq-base"
    )
    catalogue.told("dnsmasq-missing", told)


@inside_a_namespace
async def test_who_is_not_root_serves_no_dhcp(tmp_path: Path) -> None:
    """He sees and writes what root does, for the checkout may lie in root's own folder; ports and networks he lacks."""
    eyes = "+dac_override,+dac_read_search"
    other = f"setpriv --reuid 65534 --inh-caps {eyes} --ambient-caps {eyes}"
    prefix = ("unshare", "--net", "sh", "-c", f'{NETWORK}{ADDRESS} && exec {other} "$@"', "sh")
    told = await refused(tmp_path, "--set", "provision_interface=prov0", prefix=prefix)
    assert told == (
        "DHCP on prov0 cannot be served by this account: failed to bind DHCP server socket: Permission denied. "
        "Run ingot as root, or by the unit of its package, which gives its account what DHCP needs."
    )
    catalogue.told("dhcp-not-allowed", told)


@inside_a_namespace
async def test_the_interface_does_not_exist(tmp_path: Path) -> None:
    prefix = ("unshare", "--net", "sh", "-c", 'ip link set lo up && ip addr add 192.0.2.1/24 dev lo && exec "$@"', "sh")
    words = ("--set", "provision_interface=prov9", "--set", "provision_address=192.0.2.1/24")
    told = await refused(tmp_path, *words, prefix=prefix)
    assert told == "The host has no network interface prov9. See ip link for the names."
    catalogue.told("interface-missing", told)


@inside_a_namespace
async def test_the_address_is_not_ours(tmp_path: Path) -> None:
    prefix = ("unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh")
    told = await refused(tmp_path, "--host", "192.0.2.1", prefix=prefix)
    assert told == (
        "The API cannot listen on 192.0.2.1 port 6385: no interface of this host has that address. "
        "Compare with ip addr."
    )
    catalogue.told("address-not-ours", told)
