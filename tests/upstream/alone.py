"""Upstream's own service (packaging/upstream.txt) by itself: fake-hardware, no authentication, SQLite, loopback.

Why: what ingot answers under /v1 is judged by what upstream answers to the same call. Invariant: leaving the context
ends the process; everything it wrote is below the folder it was given.
"""

from __future__ import annotations

import contextlib
import http.client
import subprocess
import threading
import time
from collections.abc import Generator
from pathlib import Path

import programs

_READY = 90.0
# What ingot's fake-hardware has too, so that both sides offer the same interfaces and choose the same ones unasked.
_CONFIGURATION = """[DEFAULT]
auth_strategy = noauth
rpc_transport = none
host = here
my_ip = 127.0.0.1
state_path = {folder}
log_file = {folder}/ironic.log
enabled_hardware_types = fake-hardware
enabled_bios_interfaces = no-bios,fake
enabled_boot_interfaces = fake,ipxe,pxe,http,http-ipxe
enabled_console_interfaces = no-console,fake
enabled_deploy_interfaces = fake,direct
enabled_firmware_interfaces = no-firmware,fake
enabled_inspect_interfaces = fake,agent,no-inspect
enabled_management_interfaces = fake
enabled_network_interfaces = noop,flat
enabled_power_interfaces = fake
enabled_raid_interfaces = no-raid,fake
enabled_rescue_interfaces = no-rescue,fake,agent
enabled_storage_interfaces = noop
enabled_vendor_interfaces = no-vendor,fake
default_bios_interface = no-bios
default_boot_interface = fake
default_console_interface = no-console
default_deploy_interface = fake
default_firmware_interface = no-firmware
default_inspect_interface = fake
default_network_interface = noop
default_raid_interface = no-raid
default_rescue_interface = no-rescue
default_vendor_interface = no-vendor
[database]
connection = sqlite:///{folder}/ironic.sqlite
[api]
host_ip = 127.0.0.1
port = {port}
[cors]
allowed_origin = {origin}
[conductor]
disable_zstandard_decompression = true
sync_power_state_interval = 0
[dhcp]
dhcp_provider = none
[deploy]
http_root = {folder}/http
[agent]
certificates_path = {folder}/certificates
[pxe]
tftp_root = {folder}/tftp
tftp_master_path = {folder}/tftp-master
images_path = {folder}/images
instance_master_path = {folder}/master
[service_catalog]
auth_type = none
endpoint_override = http://127.0.0.1:{port}
[oslo_concurrency]
lock_path = {folder}/locks
"""


@contextlib.contextmanager
def serving(folder: Path, port: int, origin: str) -> Generator[int]:
    """The service on this port of loopback, ready to answer; ``origin``: whose web pages may call it."""
    for name in ("http", "tftp", "tftp-master", "images", "master", "certificates", "locks"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    configuration = folder / "ironic.conf"
    configuration.write_text(_CONFIGURATION.format(folder=folder, port=port, origin=origin))
    chosen = f"--config-file={configuration}"
    subprocess.run([programs.upstream("ironic-dbsync"), chosen, "create_schema"], check=True, capture_output=True)
    with (folder / "output").open("wb") as output:
        child = subprocess.Popen([programs.upstream("ironic"), chosen], stdout=output, stderr=output)
    try:
        _wait_ready(child, folder, port)
        yield port
    finally:
        child.terminate()
        try:
            child.wait(20)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait(20)


def _wait_ready(child: subprocess.Popen[bytes], folder: Path, port: int) -> None:
    """Ready means that its conductor has told the database which drivers it has."""
    deadline = time.monotonic() + _READY
    pause = threading.Event()
    while not _has_driver(port):
        if child.poll() is not None or time.monotonic() > deadline:
            output = (folder / "output").read_text(errors="replace")
            log = (folder / "ironic.log").read_text(errors="replace")
            raise AssertionError(f"Upstream's service did not start\n{output[-1500:]}\n{log[-1500:]}")
        pause.wait(0.2)


def _has_driver(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", "/v1/drivers")
        return b"fake-hardware" in connection.getresponse().read()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
