"""How PostgreSQL's and MariaDB's own programs are to dump a database: their words and environment, from ingot's URL.

Why: they reach the server as ingot does, by the same socket and with the same trust. May not: start a program.
Invariant: a password is only in ``Plan.secret``, for the environment of the program, which other accounts cannot read.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

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
_MARIADB_TLS = {key: f"--{key.replace('_', '-')}" for key in ("ssl_ca", "ssl_capath", "ssl_cert", "ssl_key")}
_MARIADB_TLS["ssl_cipher"] = "--ssl-cipher"


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


def plan(where: str) -> Plan:
    """How the database of this URL is dumped: in one snapshot, and no writer waits. Raises errors.Invalid."""
    url = place.url_of(where)
    return (_postgresql if url.get_backend_name() == "postgresql" else _mariadb)(url)


def without_password(text: str, where: str) -> str:
    """What a program said, without the URL's password, in whichever spelling."""
    url = place.url_of(where)
    if not url.password:
        return text
    quoted = url.render_as_string(hide_password=False).partition("@")[0].rpartition(":")[2]
    for one in (url.password, quoted):
        text = text.replace(one, "***")
    return text


def _postgresql(url: URL) -> Plan:
    variables = _libpq(url)
    told = " ".join(f"{key}={shlex.quote(text)}" for key, text in variables.items() if key != "PGDATABASE")
    name = shlex.quote(str(url.database))
    return Plan(
        program="pg_dump",
        package="postgresql-client",
        # Who owns the tables is of no interest elsewhere; of an archive that is pg_restore's to leave out.
        words=("--format=custom", "--no-password", f"--lock-wait-timeout={_LOCK}"),
        suffix="dump",
        restore=f"{told} pg_restore --clean --if-exists --no-owner --dbname={name}".lstrip(),
        variables={**variables, "PGCONNECT_TIMEOUT": _CONNECT},
        secret={"PGPASSWORD": url.password} if url.password else {},
    )


def _libpq(url: URL) -> dict[str, str]:
    """The driver's own reading of the URL, in the words of PostgreSQL's programs."""
    try:
        told: Mapping[str, Any] = url.get_dialect()().create_connect_args(url)[1]
    except exc.ArgumentError as error:
        raise errors.Invalid(f"The setting database: {error}", hint="Correct its hosts and ports.") from error
    found: dict[str, str] = {}
    for key, name in _POSTGRESQL.items():
        if value := told.get(key):
            found[name] = ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    if "PGSSLROOTCERT" in found and found.get("PGSSLMODE") != "verify-ca":
        found["PGSSLMODE"] = "verify-full"  # as the driver is told: the certificate has to be the host's
    return found


def _mariadb(url: URL) -> Plan:
    reach = [*_defaults(url), *_reach(url), *_mariadb_tls(url)]
    taking = ["--single-transaction", "--quick", "--routines", "--triggers"]
    restore = ["mariadb", *reach, "--password", str(url.database)]
    return Plan(
        program="mariadb-dump",
        package="mariadb-client",
        words=(*reach, *taking, str(url.database)),
        suffix="sql",
        restore=f"{shlex.join(restore)} <",
        secret={"MYSQL_PWD": url.password} if url.password else {},
    )


def _defaults(url: URL) -> list[str]:
    """The options' file that the URL names, or none: one of the caller's could name another server or password."""
    file = url.query.get("read_default_file")
    return [f"--defaults-file={file}" if file else "--no-defaults"]


def _reach(url: URL) -> list[str]:
    user = [f"--user={url.username}"] if url.username else []
    if socket := url.query.get("unix_socket"):
        return [*user, "--protocol=socket", f"--socket={socket}"]
    if not url.host and "read_default_file" in url.query:
        return user
    # The driver goes to "localhost" by TCP, too; the program would look for a socket.
    return [*user, "--protocol=tcp", f"--host={url.host or 'localhost'}", f"--port={url.port or 3306}"]


def _mariadb_tls(url: URL) -> list[str]:
    """A URL that names an authority wants its server's certificate, and for its host: the program knows no less."""
    told = [f"{flag}={url.query[key]}" for key, flag in _MARIADB_TLS.items() if key in url.query]
    wanted = "ssl_ca" in url.query or "ssl_capath" in url.query
    # Newer programs want a certificate from every server unless told otherwise.
    return [*told, "--ssl-verify-server-cert" if wanted else "--skip-ssl-verify-server-cert"]
