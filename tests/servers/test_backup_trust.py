"""The programs that dump a server's database trust no other server than ingot does."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bus.broker import free_port
from ingot.cli import db_dump
from ingot.store import dumps, upgrade
from programs import system
from servers.databases import KINDS
from servers.mariadb import MariaDB
from servers.postgresql import PostgreSQL
from servers.server import PASSWORD, Server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]
KEYS = {"postgresql": "sslrootcert", "mariadb": "ssl_ca"}


def make_certificate(server: Server, name: str) -> Path:
    """A certificate for this host that vouches for itself; its key is beside it."""
    made, key = server.folder / f"{name}.pem", server.folder / f"{name}.key"
    who = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-days", "2"]
    server.run(
        system("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-noenc", *who, "-out", str(made), "-keyout", str(key)
    )
    return made


class ListeningMariaDB(MariaDB):
    """One that is reached by TCP, and has a certificate."""

    port = 0

    def create(self, name: str) -> str:
        super().create(name)
        self.sql(f"GRANT ALL ON {name}.* TO ingot@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'")
        return f"mariadb://ingot:{PASSWORD}@localhost:{self.port}/{name}"

    def _command(self) -> list[str]:
        self.port = free_port()
        tls = [f"--ssl-cert={make_certificate(self, 'own')}", f"--ssl-key={self.folder}/own.key"]
        here = ["--bind-address=127.0.0.1", f"--port={self.port}", *tls]
        return [one for one in super()._command() if one != "--skip-networking"] + here


def listening_postgresql() -> PostgreSQL:
    server = PostgreSQL(address="localhost")
    server.start()
    own = make_certificate(server, "own")
    for name, value in (("ssl_cert_file", own), ("ssl_key_file", own.with_suffix(".key")), ("ssl", "on")):
        server.sql("postgres", f"ALTER SYSTEM SET {name} = '{value}'")
    server.sql("postgres", "SELECT pg_reload_conf()")
    return server


@pytest.fixture
def server(kind: str) -> Iterator[Server]:
    made = ListeningMariaDB() if kind == "mariadb" else listening_postgresql()
    try:
        if kind == "mariadb":
            made.start()
        yield made
    finally:
        made.remove()


@pytest.mark.parametrize("kind", KINDS)
def test_a_dump_wants_the_certificate_that_the_url_names(server: Server, kind: str, tmp_path: Path) -> None:
    url = server.create("here")
    upgrade.upgrade(url)
    own, strange = (
        f"{url}?{KEYS[kind]}={file}" for file in (server.folder / "own.pem", make_certificate(server, "strange"))
    )
    db_dump.write(own, tmp_path / "copy")
    assert b"alembic_version" in (tmp_path / "copy").read_bytes()
    for where, expected in ((own, True), (strange, False)):
        plan = dumps.plan(where)
        command = [system(plan.program), *plan.words]
        done = subprocess.run(command, capture_output=True, env=plan.environment(os.environ), timeout=60, check=False)
        assert (done.returncode == 0) == expected, done.stderr
    assert b"certificate" in done.stderr.lower()
