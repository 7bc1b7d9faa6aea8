"""What PostgreSQL and MariaDB have to be told so that they keep what SQLite keeps.

Why: MariaDB's TEXT holds 64 KiB and its FLOAT seven digits, its sessions sort without regard to case. May not: know
a table. Invariant: a value of the schema's type is stored and compared alike on every database.
"""

from __future__ import annotations

import logging
import ssl
from typing import Any

import sqlalchemy
from sqlalchemy import URL, Engine, exc
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.pool import NullPool

from ingot.domain import errors, extras
from ingot.store import place

_SILENCE = 5
"""Seconds after which a server cuts off a client that holds a transaction and says nothing: less than a conductor's
lease, so that one that is stopped while it writes does not cost the others theirs."""
_PREPARED = 500
"""Statements that a connection keeps prepared."""
_GONE_STATES = frozenset({"0800", "0801", "57P0", "5330"})
"""PostgreSQL's: a connection's failures, a server that starts or stops, too many clients."""
_GONE_CODES = frozenset({1040, 1053, 1927, 2002, 2003, 2006, 2013})
"""MariaDB's of the same."""
_TLS_KEYS = ("sslrootcert", "sslmode")
_LARGEST = 64 * 1024**2
"""Bytes of a value that MariaDB puts together from many."""


@compiles(sqlalchemy.Text, "mysql", "mariadb")
def _text(_type: Any, _compiler: Any, **_: Any) -> str:  # pyright: ignore[reportUnusedFunction] # called by SQLAlchemy
    return "LONGTEXT"


@compiles(sqlalchemy.Float, "mysql", "mariadb")
def _float(_type: Any, _compiler: Any, **_: Any) -> str:  # pyright: ignore[reportUnusedFunction] # called by SQLAlchemy
    return "DOUBLE"


def make_engine(url: URL, patience: float) -> Engine:
    """An engine without a pool, whose connections commit only when told. To be used in greenlets, of one event loop.

    Raises errors.NotSupported when the server's driver is not installed.
    """
    # It repeats every note of the server's, and such a note may hold a value.
    logging.getLogger("asyncmy").setLevel(logging.ERROR)
    is_postgresql = url.get_backend_name() == "postgresql"
    settings, extra = (_postgresql, extras.POSTGRESQL) if is_postgresql else (_mariadb, extras.MARIADB)
    tls: dict[str, Any] = _tls(url) if is_postgresql else {}
    told = {**settings(patience), **tls}
    url = url.difference_update_query(_TLS_KEYS) if is_postgresql else url
    try:
        from sqlalchemy.ext.asyncio import create_async_engine

        made = create_async_engine(
            url, isolation_level="AUTOCOMMIT", poolclass=NullPool, hide_parameters=True, connect_args=told
        )
    except ImportError as error:
        raise extras.missing(extra, "The setting database", error) from error
    return made.sync_engine


def _tls(url: URL) -> dict[str, Any]:
    """What asyncpg is to be told of TLS, which the URL says in the words of PostgreSQL's own programs.

    ``sslrootcert=FILE``: the server has to show a certificate of that authority (or that itself) for the URL's host;
    ``sslmode`` alone as there. Without either TLS is used where the server offers it. Raises errors.Invalid.
    """
    file, mode = (str(url.query.get(key, "")) for key in _TLS_KEYS)
    if not file:
        return {"ssl": mode} if mode else {}
    try:
        context = ssl.create_default_context(cafile=file)
    except OSError as error:
        raise errors.Invalid(
            f"The certificate {file} of the setting database cannot be read: {error.strerror or 'it is none'}",
            hint="Name the file of the server's authority as sslrootcert, readable by ingot's account.",
        ) from error
    context.check_hostname = mode != "verify-ca"
    return {"ssl": context}


def _postgresql(patience: float) -> dict[str, Any]:
    session = {
        "application_name": "ingot",
        "idle_in_transaction_session_timeout": f"{_SILENCE}s",
        "lock_timeout": f"{int(patience * 1000)}ms",
        "jit": "off",
    }
    return {"timeout": patience, "server_settings": session, "prepared_statement_cache_size": _PREPARED}


def _mariadb(patience: float) -> dict[str, Any]:
    session = {
        "idle_transaction_timeout": _SILENCE,
        "innodb_lock_wait_timeout": max(1, round(patience)),
        "group_concat_max_len": _LARGEST,
        "time_zone": "'+00:00'",
        # The last one: what an UPDATE sets is worked out from the row as it was, as elsewhere.
        "sql_mode": "'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,SIMULTANEOUS_ASSIGNMENT'",
    }
    told = ", ".join(f"{name}={value}" for name, value in session.items())
    return {
        "connect_timeout": max(1, round(patience)),
        "charset": "utf8mb4",
        "init_command": f"SET SESSION {told}",
        "stmt_cache_size": _PREPARED,
    }


def snapshot(dialect: str) -> str:
    """The statement that begins a transaction which sees one moment and writes nothing."""
    if dialect == "postgresql":
        return "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
    return "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY"


def is_gone(error: BaseException) -> bool:
    """Whether the connection failed or the server takes none now, and not the statement."""
    if not isinstance(error, exc.DBAPIError):
        return isinstance(error, OSError)
    code = error.orig.args[0] if error.orig is not None and error.orig.args else None
    return error.connection_invalidated or _state(error)[:4] in _GONE_STATES or code in _GONE_CODES


def _state(error: BaseException) -> str:
    """PostgreSQL's word for what went wrong, empty without one."""
    return str(getattr(error.orig, "sqlstate", "")) if isinstance(error, exc.DBAPIError) else ""


def told(error: BaseException, where: str) -> BaseException:
    """A failure as callers know it: a server that is away, or a value that no column takes; others as they are."""
    if isinstance(error, exc.DataError) or _state(error).startswith("22"):
        # Not in the server's words: they repeat the value.
        text = "A value is too long, or holds a character that the database cannot store (such as NUL)"
        return errors.Invalid(text, hint="Shorten it, or leave the character out.")
    if isinstance(error, exc.IntegrityError) or not isinstance(error, (OSError, TimeoutError, exc.SQLAlchemyError)):
        return error
    words = _words_of(error)
    cure = "See that the server runs and that this host may reach it; ingot goes on by itself then."
    if "lock" in words.lower():
        cure = "Another program holds the database for writing: end it."
    elif "read-only" in words.lower():
        cure = "Name the server that may be written to, or let this one be; ingot goes on by itself."
    return errors.StoreDown(f"The database {place.shown(where)} cannot be used: {words}", hint=cure)


def _words_of(error: BaseException) -> str:
    """What a server or its driver said, without statement and values."""
    if isinstance(error, TimeoutError):
        return "it does not answer"
    said = error.orig if isinstance(error, exc.DBAPIError) else error
    text = str(said.args[-1] if said is not None and said.args else said)
    return text.rpartition(">: ")[2].partition("\n")[0]
