"""Where a database is: a file of SQLite, or the URL of a database on a PostgreSQL or MariaDB server.

May not: show a URL's password to anybody. Invariant: what ``shown`` returns may be logged.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import URL, exc, make_url

from ingot.domain import errors

Place = Path | str
_DRIVERS = {"postgresql": "postgresql+asyncpg", "mariadb": "mariadb+asyncmy", "mysql": "mariadb+asyncmy"}


def of(database: str | None, data: Path) -> Place:
    """The place that the setting ``database`` means: ``ingot.db`` in the data directory unless it is set."""
    return database or data / "ingot.db"


def url_of(where: str) -> URL:
    """A URL with the driver that ingot uses. Raises errors.Invalid for any but PostgreSQL's and MariaDB's."""
    hint = "Write postgresql://USER:PASSWORD@HOST/NAME or mariadb://USER:PASSWORD@HOST/NAME."
    try:
        url = make_url(where)
    except (exc.ArgumentError, ValueError):
        # Not what it says: it may hold a password.
        raise errors.Invalid("The setting database is no URL", hint=hint) from None
    driver = _DRIVERS.get(url.get_backend_name())
    if driver is None or not url.database:
        raise errors.Invalid(f"The setting database names nothing that ingot can use: {shown(where)}", hint=hint)
    return url.set(drivername=driver)


def shown(where: Place) -> str:
    """The place as people may read it, without its password."""
    return str(where) if isinstance(where, Path) else make_url(where).render_as_string(hide_password=True)
