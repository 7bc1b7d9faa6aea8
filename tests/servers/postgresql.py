"""PostgreSQL for tests."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from bus.broker import free_port
from servers.server import PASSWORD, Server


def _program(name: str) -> str:
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[4]))
    if not found:
        pytest.fail(f"PostgreSQL's {name} is missing; './ingot check' installs packaging/debian-packages.txt")
    return str(found[-1])


class PostgreSQL(Server):
    """One cluster of its own; with ``address`` it listens there too, and its URLs name that."""

    stop_signal = signal.SIGINT  # ends clients' sessions, too

    def __init__(self, *, durable: bool = False, address: str = "") -> None:
        super().__init__(durable=durable)
        self._address, self._port = address, free_port() if address else 5432

    def create(self, name: str) -> str:
        self.sql("postgres", f"CREATE DATABASE {name}")
        if self._address:
            return f"postgresql://ingot:{PASSWORD}@{self._address}:{self._port}/{name}"
        return f"postgresql://ingot:{PASSWORD}@/{name}?host={self.folder}"

    def sql(self, database: str, text: str) -> str:
        """What psql prints for a statement, without heads."""
        url = f"postgresql://ingot:{PASSWORD}@/{database}?host={self.folder}&port={self._port}"
        return self.run(_program("psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", text, url)

    def let_write(self, *, allowed: bool) -> None:
        self.sql("postgres", f"ALTER SYSTEM SET default_transaction_read_only = {'off' if allowed else 'on'}")
        self.sql("postgres", "SELECT pg_reload_conf()")

    def cut_connections(self) -> None:
        self.sql("postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'ingot'")

    def _make_files(self) -> None:
        self.run("sh", "-c", f"umask 077; echo {PASSWORD} >{self.folder}/password")
        who = ["-U", "ingot", "-A", "scram-sha-256", f"--pwfile={self.folder}/password"]
        self.run(_program("initdb"), "-D", str(self.data), *who, "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
        if self._address:
            self.run("sh", "-c", f"echo host all all samenet scram-sha-256 >>{self.data}/pg_hba.conf")

    def _command(self) -> list[str]:
        settings = {
            "listen_addresses": self._address,
            "port": str(self._port),
            "unix_socket_directories": str(self.folder),
            "shared_buffers": "64MB",
        }
        if not self.durable:
            settings.update({"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"})
        told = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [_program("postgres"), "-D", str(self.data), *told]

    def _ping(self) -> list[str]:
        return [_program("pg_isready"), "-q", "-h", str(self.folder), "-p", str(self._port)]
