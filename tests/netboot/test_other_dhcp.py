"""The doctor's look for other DHCP servers, on a real link with a real one."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cli.program import wait_for
from ingot.cli.doctor import network
from ingot.settings import Settings
from netboot.lan import Lan, sh


@contextmanager
def foreign_server(lan: Lan, folder: Path) -> Iterator[None]:
    """A dnsmasq of somebody else's on the other end of the cable."""
    sh("ip", "-n", lan.client_ns, "addr", "replace", "172.22.9.77/24", "dev", "cli")
    words = ["ip", "netns", "exec", lan.client_ns, "dnsmasq", "--keep-in-foreground", "--port=0", "--pid-file="]
    words += ["--interface=cli", "--bind-interfaces", "--dhcp-range=172.22.9.80,172.22.9.90", "--user=root"]
    words += ["--log-facility=-", "--conf-file=/dev/null", f"--dhcp-leasefile={folder / 'leases'}"]
    log = folder / "log"
    with log.open("wb") as output:
        child = subprocess.Popen(words, stdout=output, stderr=output)
    try:
        wait_for(lambda: "bound exclusively" in log.read_text(), 10)
        yield
    finally:
        child.terminate()
        child.wait(10)


def test_a_stranger_who_offers_addresses_is_found(lan: Lan, tmp_path: Path) -> None:
    settings = Settings(data_dir=str(tmp_path), provision_interface="srv")
    [finding] = network.other_dhcp_servers(settings)
    assert (finding.level, finding.text) == ("fine", "none on srv")
    with foreign_server(lan, tmp_path):
        [finding] = network.other_dhcp_servers(settings)
    assert finding.level == "bad"
    assert finding.text.startswith("172.22.9.77 offers addresses on srv")
    assert "Switch it off" in finding.cure
