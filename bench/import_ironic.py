"""How long it takes to take over an Ironic database of 10,000 nodes with everything that belongs to them.

Run: ./ingot bench import_ironic [--nodes N ...] [--server mariadb|postgresql]     The database is of upstream's own
schema (SQLite, ironic-dbsync; with --server it is copied to a server and read from there); each node has a password,
2 ports, 3 traits, 20 lines of history, 30 BIOS settings and an inventory of 10 kB. Ingot's own database is SQLite.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
import uuid
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import report

from imports import copies
from servers.databases import KINDS, Databases

ROOT = Path(__file__).parents[1]
CURVES = {"x": "nodes", "y": ["import, s", "import's CPU, s", "most memory, MiB"]}
INVENTORY = {"disks": [{"name": f"/dev/sd{at}", "size": 10**12, "serial": "S" * 20} for at in range(100)]}
MADE = "2026-11-20 10:11:12"
COLUMNS = {
    "nodes": "id uuid name driver provision_state power_state driver_info driver_internal_info instance_info properties"
    " extra instance_uuid resource_class created_at power_interface deploy_interface boot_interface",
    "ports": "uuid node_id address extra created_at",
    "node_traits": "node_id trait created_at",
    "node_history": "uuid node_id event severity event_type created_at",
    "bios_settings": "node_id name value attribute_type created_at",
    "node_inventory": "node_id inventory_data plugin_data created_at",
}


def main() -> None:
    parser = report.parser(__doc__)
    parser.add_argument("--nodes", type=int, nargs="+", default=[100, 1000, 10_000])
    parser.add_argument("--server", choices=KINDS, help="upstream's database is on a server of that kind")
    wanted = parser.parse_args()
    taking = report.Taking(wanted, f"import_ironic_{wanted.server}" if wanted.server else "")
    with contextlib.ExitStack() as until_the_end:
        databases = Databases(durable=True)
        until_the_end.callback(databases.remove)
        rows = [measure(nodes, databases, wanted.server) for nodes in wanted.nodes]
    last, source = rows[-1], f" from {wanted.server}" if wanted.server else ""
    taking.tell(
        f"{last['nodes']:,} nodes{source} in {last['import, s']:.0f} s ({last['rows']:,} rows)",
        rows=rows,
        curves=CURVES,
    )


def measure(nodes: int, databases: Databases, server: str | None) -> report.Row:
    """One empty ingot, one full Ironic, the plan and the import."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        database = made(folder, nodes)
        url = f"sqlite:///{database}"
        if server:
            url = databases.new(server)
            # In a process of its own: what this one ever held counts as the memory of the programs it starts.
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
                pool.submit(copies.copy, database, url).result()
        plan = timed(folder, url)
        done = timed(folder, url, "--apply")
        with contextlib.closing(sqlite3.connect(folder / "data" / "ingot.db")) as connection:
            brought = {
                table: count(connection, table) for table in ("nodes", "ports", "node_history", "node_bios", "runs")
            }
        assert brought == {"nodes": nodes, "ports": 2 * nodes, "node_history": 20 * nodes} | {
            "node_bios": 30 * nodes,
            "runs": 0,
        }, brought
        total = sum(kind["come"] for kind in done.told["kinds"].values())
        size = database.stat().st_size / 1e6
    return {
        "nodes": nodes,
        "rows": total,
        "database, MB": round(size),
        "plan, s": round(plan.seconds, 1),
        "import, s": round(done.seconds, 1),
        "import's CPU, s": round(done.cpu, 1),
        "per node, ms": round(done.seconds / nodes * 1000, 2),
        "most memory, MiB": round(done.memory),
    }


class Done(NamedTuple):
    """Seconds a command took, its CPU (s), its memory at most (MiB), and what it told."""

    seconds: float
    cpu: float
    memory: float
    told: dict[str, Any]


def timed(folder: Path, url: str, *words: str) -> Done:
    command = [sys.executable, "-P", "-m", "ingot.cli.main", "import", "ironic", "--database", url]
    command += ["--data-dir", str(folder / "data"), "--json", *words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    output = folder / "told"
    begun = time.monotonic()
    with output.open("wb") as file:
        process = subprocess.Popen(command, env=environment, stdout=file)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"the import ended with {process.returncode}")
    cpu = usage.ru_utime + usage.ru_stime
    return Done(time.monotonic() - begun, cpu, usage.ru_maxrss / 1024, json.loads(output.read_text()))


def count(connection: sqlite3.Connection, table: str) -> int:
    return connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]


def made(folder: Path, nodes: int) -> Path:
    """A database of upstream's schema with so many nodes, two thirds of them active."""
    database, configuration = folder / "ironic.sqlite", folder / "ironic.conf"
    configuration.write_text(f"[database]\nconnection = sqlite:///{database}\n")
    programs = Path(os.environ["INGOT_UPSTREAM_PYTHON"]).parent
    command = [programs / "ironic-dbsync", f"--config-file={configuration}", "create_schema"]
    subprocess.run(command, check=True, capture_output=True, timeout=180)
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        for number in range(1, nodes + 1):
            for table, rows in parts(number).items():
                names = COLUMNS[table].split()
                marks = ", ".join("?" * len(names))
                connection.executemany(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})", rows)
    return database


def parts(number: int) -> dict[str, list[tuple[Any, ...]]]:
    active = number % 3 != 0
    info = {
        "ipmi_address": f"10.0.{number // 250}.{number % 250}",
        "ipmi_username": "a",
        "ipmi_password": f"pw{number}",
    }
    internal = {"agent_cached_deploy_steps": {"deploy": [{"step": f"s{at}", "priority": at} for at in range(60)]}}
    image = {"image_source": "http://images.example/a.qcow2", "image_checksum": "0" * 64} if active else {}
    state = ("active", "power on") if active else ("available", "power off")
    own = (number, str(uuid.uuid4()), f"n{number}", "ipmi", *state, *map(json.dumps, (info, internal, image)))
    own += (json.dumps({"memory_mb": 65536, "cpus": 32}), "{}", str(uuid.uuid4()) if active else None, "big", MADE)
    macs = [f"52:54:{at:02x}:{number >> 16:02x}:{number >> 8 & 255:02x}:{number & 255:02x}" for at in range(2)]
    return {
        "nodes": [(*own, "ipmitool", "direct", "ipxe")],
        "ports": [(str(uuid.uuid4()), number, mac, "{}", MADE) for mac in macs],
        "node_traits": [(number, f"CUSTOM_{at}", MADE) for at in range(3)],
        "node_history": [
            (str(uuid.uuid4()), number, f"Something happened to the node {at}", "INFO", "deploy", MADE)
            for at in range(20)
        ],
        "bios_settings": [(number, f"Setting{at}", "Enabled", "Enumeration", MADE) for at in range(30)],
        "node_inventory": [(number, json.dumps(INVENTORY), "{}", MADE)],
    }


if __name__ == "__main__":
    main()
