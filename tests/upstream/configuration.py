"""The configuration file of upstream's own service: what every use of it in the tests has in common.

One process with its conductor, SQLite, no message queue. May not: start anything.
"""

from __future__ import annotations

from pathlib import Path

Sections = dict[str, dict[str, object]]

_FOLDERS = ("http", "tftp", "tftp-master", "images", "master", "certificates", "locks")


def write(folder: Path, address: str, port: int, more: Sections) -> Path:
    """Make the file and the folders it names below ``folder``; ``more`` adds to a section or changes what is there."""
    for name in _FOLDERS:
        (folder / name).mkdir(parents=True, exist_ok=True)
    sections: Sections = {
        "DEFAULT": {
            "auth_strategy": "noauth",
            "rpc_transport": "none",
            "my_ip": address,
            "state_path": folder,
            "log_file": folder / "ironic.log",
        },
        "database": {"connection": f"sqlite:///{folder}/ironic.sqlite"},
        "api": {"host_ip": address, "port": port},
        "conductor": {"disable_zstandard_decompression": "true"},
        "dhcp": {"dhcp_provider": "none"},
        "deploy": {"http_root": folder / "http"},
        "agent": {"certificates_path": folder / "certificates"},
        "pxe": {
            "tftp_root": folder / "tftp",
            "tftp_master_path": folder / "tftp-master",
            "images_path": folder / "images",
            "instance_master_path": folder / "master",
        },
        "service_catalog": {"auth_type": "none", "endpoint_override": f"http://{address}:{port}"},
        "oslo_concurrency": {"lock_path": folder / "locks"},
    }
    for section, values in more.items():
        sections[section] = {**sections.get(section, {}), **values}
    path = folder / "ironic.conf"
    lines = [
        line
        for section, values in sections.items()
        for line in (f"[{section}]", *(f"{name} = {value}" for name, value in values.items()))
    ]
    path.write_text("\n".join(lines) + "\n")
    return path
