"""The URL of a database, in the words of the server's own programs: the same server, with the same trust."""

from __future__ import annotations

import pytest

from ingot.domain import errors
from ingot.store import dumps


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("u:p@/n?host=/run/postgresql", {"PGHOST": "/run/postgresql"}),
        ("u:p@db.example:5433/n", {"PGHOST": "db.example", "PGPORT": "5433"}),
        ("u:p@/n?host=a:1&host=b:2", {"PGHOST": "a,b", "PGPORT": "1,2"}),
        ("u:p@a/n?sslmode=require", {"PGHOST": "a", "PGSSLMODE": "require"}),
        ("u:p@a/n?sslrootcert=/ca", {"PGHOST": "a", "PGSSLROOTCERT": "/ca", "PGSSLMODE": "verify-full"}),
        (
            "u:p@a/n?sslrootcert=/ca&sslmode=require",
            {"PGHOST": "a", "PGSSLROOTCERT": "/ca", "PGSSLMODE": "verify-full"},
        ),
        (
            "u:p@a/n?sslrootcert=/ca&sslmode=verify-ca",
            {"PGHOST": "a", "PGSSLROOTCERT": "/ca", "PGSSLMODE": "verify-ca"},
        ),
    ],
)
def test_postgresql_is_reached_as_the_url_says(url: str, expected: dict[str, str]) -> None:
    plan = dumps.plan(f"postgresql://{url}")
    found = {key: text for key, text in plan.variables.items() if key != "PGCONNECT_TIMEOUT"}
    assert found == {"PGUSER": "u", "PGDATABASE": "n", **expected}
    assert plan.secret == {"PGPASSWORD": "p"}


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("u:p@/n?unix_socket=/run/s", "--protocol=socket --socket=/run/s --skip-ssl-verify-server-cert"),
        ("u:p@localhost/n", "--protocol=tcp --host=localhost --port=3306 --skip-ssl-verify-server-cert"),
        ("u:p@a:1/n?ssl_ca=/ca", "--protocol=tcp --host=a --port=1 --ssl-ca=/ca --ssl-verify-server-cert"),
    ],
)
def test_mariadb_is_reached_as_the_url_says(url: str, expected: str) -> None:
    plan = dumps.plan(f"mariadb://{url}")
    assert " ".join(plan.words).startswith(f"--no-defaults --user=u {expected} --single-transaction ")
    assert plan.words[-1] == "n"
    assert plan.secret == {"MYSQL_PWD": "p"}


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_a_password_is_in_the_environment_only(kind: str) -> None:
    plan = dumps.plan(f"{kind}://u:s%2Fcret%40@a/n")
    assert "s/cret@" in plan.environment({}).values()
    told = repr(plan) + plan.restore + " ".join(plan.words)
    assert "cret" not in told
    said = plan.without_password("no: s/cret@, s%2Fcret%40, s/cret%40")
    assert said == "no: ***, ***, ***"


def test_variables_of_the_caller_do_not_lead_elsewhere() -> None:
    """PostgreSQL's password, where the URL has none, is taken from there by its driver, too."""
    present = {"PATH": "/bin", "PGPASSWORD": "q", "PGSERVICE": "x", "PGHOSTADDR": "10.9.9.9", "MYSQL_PWD": "q"}
    made = dumps.plan("postgresql://u@a/n").environment(present)
    assert (made["PGPASSWORD"], made["PGHOST"], made["PATH"]) == ("q", "a", "/bin")
    assert not {"PGSERVICE", "PGHOSTADDR", "MYSQL_PWD"} & set(made)
    assert dumps.plan("postgresql://u:p@a/n").environment(present)["PGPASSWORD"] == "p"


@pytest.mark.parametrize("url", ["postgresql://u:p@/n?host=a:1&host=b", "sqlite:///x", "mariadb://u:p@a"])
def test_a_url_that_names_no_database_is_refused(url: str) -> None:
    with pytest.raises(errors.Invalid) as caught:
        dumps.plan(url)
    assert ":p@" not in caught.value.sentence()
