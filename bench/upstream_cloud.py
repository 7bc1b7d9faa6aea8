"""The same cloud under upstream's service, for the record: its own ipmi and redfish drivers over the same machines.

Its programs are those of packaging/upstream.txt ($INGOT_UPSTREAM_PYTHON). What favours it: no authentication, metadata
erased only, and every ramdisk starts at once whatever its network boot says.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

from cloud import Cloud, Json
from service import free_port

_CONFIGURATION = """[DEFAULT]
auth_strategy = noauth
rpc_transport = none
force_raw_images = false
my_ip = 127.0.0.1
host = bench
state_path = {folder}
log_file = {folder}/serve.log
enabled_hardware_types = ipmi,redfish
enabled_boot_interfaces = ipxe
enabled_deploy_interfaces = direct
enabled_inspect_interfaces = no-inspect
enabled_management_interfaces = ipmitool,redfish
enabled_power_interfaces = ipmitool,redfish
enabled_network_interfaces = noop
enabled_raid_interfaces = no-raid
enabled_bios_interfaces = no-bios
enabled_firmware_interfaces = no-firmware
enabled_vendor_interfaces = no-vendor
enabled_console_interfaces = no-console
[database]
connection = sqlite:///{data}/ironic.sqlite
[api]
host_ip = 127.0.0.1
port = {port}
[conductor]
disable_zstandard_decompression = true
sync_power_state_interval = 0
[deploy]
http_url = http://127.0.0.1:{files}
http_root = {folder}/http
erase_devices_priority = 0
[agent]
certificates_path = {folder}/certificates
require_tls = false
[pxe]
tftp_root = {folder}/tftp
tftp_master_path = {folder}/tftp-master
images_path = {folder}/images
instance_master_path = {folder}/master
[dhcp]
dhcp_provider = none
[service_catalog]
auth_type = none
endpoint_override = http://127.0.0.1:{port}
[oslo_concurrency]
lock_path = {folder}/locks
"""


class UpstreamCloud(Cloud):
    """Upstream over the same fleet; it has no imaginary machines that remember, so it is given none."""

    ours = False

    def __init__(self, folder: Path, bmcs: int) -> None:
        super().__init__(folder, bmcs, 0, {})
        self._web = free_port()
        self._programs = Path(os.environ["INGOT_UPSTREAM_PYTHON"]).parent

    async def __aenter__(self) -> Cloud:
        for name in ("http", "tftp", "tftp-master", "images", "master", "certificates", "locks", "data"):
            (self.folder / name).mkdir(exist_ok=True)
        values = {"folder": self.folder, "data": self.data, "port": self.port, "files": self._web}
        (self.folder / "ironic.conf").write_text(_CONFIGURATION.format(**values))
        argv = [self._programs / "ironic-dbsync", self._chosen, "create_schema"]
        await asyncio.to_thread(subprocess.run, argv, check=True, capture_output=True, timeout=180)
        argv = [sys.executable, "-m", "http.server", str(self._web), "--directory", str(self.folder)]
        quiet = asyncio.subprocess.DEVNULL
        web = await asyncio.create_subprocess_exec(*argv, stdout=quiet, stderr=quiet)
        self._stack.push_async_callback(self._end, web)
        return await super().__aenter__()

    async def start(self) -> None:
        """Start it in a process group of its own, so that its workers can be killed with it."""
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(str(self._programs / "ironic"), self._chosen),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, **self.environment},
            )

    def signal(self, number: signal.Signals) -> None:
        """Send it to the service and its workers."""
        if self.process is not None and self.process.returncode is None:
            os.killpg(self.process.pid, number)

    def node(self, body: Json) -> Json:
        """With what upstream wants to know of the ramdisk."""
        web = f"http://127.0.0.1:{self._web}/ramdisk"
        info = {"deploy_kernel": f"{web}/vmlinuz", "deploy_ramdisk": f"{web}/initrd"}
        return {**body, "driver_info": {**body["driver_info"], **info}}

    def image(self) -> str:
        """Where its image is."""
        return f"http://127.0.0.1:{self._web}/disk.raw"

    @property
    def _chosen(self) -> str:
        return f"--config-file={self.folder / 'ironic.conf'}"
