"""How PostgreSQL's and MariaDB's own programs are to dump a database: their words and environment, from ingot's URL.

Why: they reach the server as ingot does, by the same socket and with the same trust. May not: start a program.
Invariant: a password is only in ``Plan.secret``, for the environment of the program, which other accounts cannot read.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast
from urllib import parse

from sqlalchemy import URL, exc

from ingot.domain import errors
from ingot.store import place

_CONNECT = "10"
"""Seconds for reaching one of PostgreSQL's hosts."""
_LOCK = "60s"
"""How long PostgreSQL's program waits for tables that an upgrade has to itself."""
_POSTGRESQL = {
    "host": "PGHOST",
    "port": "PGPORT",
    "user": "PGUSER",
    "database": "PGDATABASE",
    "passfile": "PGPASSFILE",
    "target_session_attrs": "PGTARGETSESSIONATTRS",
    "ssl": "PGSSLMODE",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
}
"""What the words of a URL are called in the environment of PostgreSQL's programs."""
_STRANGE = ("PGSERVICE", "PGHOSTADDR", "MYSQL_PWD")
"""Variables of whoever calls that would win over the URL. (PostgreSQL's others serve its driver, too.)"""
_MARIADB_KEYS = ("ssl_ca", "ssl_capath", "ssl_cert", "ssl_key", "ssl_cipher")
_MARIADB_TLS = {key: f"--{key.replace('_', '-')}" for key in _MARIADB_KEYS}


@dataclass(frozen=True)
class Plan:
    """One dump to standard output. ``package``: Debian's, which has ``program``. ``restore``: a line for a shell, up to
    the name of the file; the program it names asks for the password.
    """

    program: str
    package: str
    words: tuple[str, ...]
    suffix: str
    restore: str
    variables: Mapping[str, str] = field(default_factory=dict[str, str])
    secret: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)

    def environment(self, present: Mapping[str, str]) -> dict[str, str]:
        """The program's environment, where that of the caller is ``present``."""
        kept = {key: text for key, text in present.items() if key not in _STRANGE}
        return {**kept, **self.variables, **self.secret}

    def without_password(self, text: str) -> str:
        """What the program said, without the password, also as a URL spells it."""
        for one in self.secret.values():
            for spelt in (one, parse.quote(one), parse.quote(one, safe=""), parse.quote_plus(one)):
                text = text.replace(spelt, "***")
        return text


def plan(where: str) -> Plan:
    """How the database of this URL is dumped: in one snapshot, and no writer waits. Raises errors.Invalid."""
    url = place.url_of(where)
    return (_postgresql if url.get_backend_name() == "postgresql" else _mariadb)(url)


def _postgresql(url: URL) -> Plan:
    read = _read(url)
    variables = _libpq(read)
    told = " ".join(f"{key}={shlex.quote(text)}" for key, text in variables.items() if key != "PGDATABASE")
    name = shlex.quote(str(url.database))
    return Plan(
        program="pg_dump",
        package="postgresql-client",
        # Who owns the tables is left out by pg_restore: an archive has it in any case.
        words=("--format=custom", "--no-password", f"--lock-wait-timeout={_LOCK}"),
        suffix="dump",
        restore=f"{told} pg_restore --exit-on-error --single-transaction --no-owner --dbname={name}".lstrip(),
        variables={**variables, "PGCONNECT_TIMEOUT": _CONNECT},
        secret=_secret("PGPASSWORD", read),
    )


def _read(url: URL) -> Mapping[str, Any]:
    """What PostgreSQL's driver is told of the URL: it may name several hosts, in three spellings."""
    try:
        return url.get_dialect()().create_connect_args(url)[1]
    except exc.ArgumentError as error:
        raise errors.Invalid(f"The setting database: {error}", hint="Correct its hosts and ports.") from error


def _libpq(read: Mapping[str, Any]) -> dict[str, str]:
    """The same in the environment of PostgreSQL's programs."""
    found: dict[str, str] = {}
    for key, name in _POSTGRESQL.items():
        if value := read.get(key):
            found[name] = ",".join(map(str, cast("list[Any]", value))) if isinstance(value, list) else str(value)
    if "PGSSLROOTCERT" in found and found.get("PGSSLMODE") != "verify-ca":
        found["PGSSLMODE"] = "verify-full"  # as the driver is told: the certificate has to be the host's
    return found


def _secret(name: str, read: Mapping[str, Any]) -> dict[str, str]:
    password = read.get("password")
    return {name: str(password)} if password else {}


def _mariadb(url: URL) -> Plan:
    read = {**url.translate_connect_args(username="user"), **url.query}
    reach = [*_defaults(read), *_reach(read), *_mariadb_tls(read)]
    taking = ["--single-transaction", "--quick", "--routines", "--triggers"]
    restore = ["mariadb", *reach, "--password", str(url.database)]
    return Plan(
        program="mariadb-dump",
        package="mariadb-client",
        words=(*reach, *taking, str(url.database)),
        suffix="sql",
        restore=f"{shlex.join(restore)} <",
        secret=_secret("MYSQL_PWD", read),
    )


def _defaults(read: Mapping[str, Any]) -> list[str]:
    """The options' file that the URL names, or none: one of the caller's could name another server or password."""
    file = read.get("read_default_file")
    return [f"--defaults-file={file}" if file else "--no-defaults"]


def _reach(read: Mapping[str, Any]) -> list[str]:
    user = [f"--user={read['user']}"] if "user" in read else []
    if socket := read.get("unix_socket"):
        return [*user, "--protocol=socket", f"--socket={socket}"]
    if "host" not in read and "read_default_file" in read:
        return user
    # The driver goes to "localhost" by TCP, too; the program would look for a socket.
    host, port = read.get("host", "localhost"), read.get("port", 3306)
    return [*user, "--protocol=tcp", f"--host={host}", f"--port={port}"]


def _mariadb_tls(read: Mapping[str, Any]) -> list[str]:
    """A URL that names an authority wants a certificate of it, for the host: the program cannot check less of it."""
    told = [f"{flag}={read[key]}" for key, flag in _MARIADB_TLS.items() if key in read]
    wanted = "ssl_ca" in read or "ssl_capath" in read
    # Newer programs want a certificate from every server unless told otherwise.
    return [*told, "--ssl-verify-server-cert" if wanted else "--skip-ssl-verify-server-cert"]
