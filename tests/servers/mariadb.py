"""MariaDB for tests."""

from __future__ import annotations

from programs import system
from servers.server import PASSWORD, Server


class MariaDB(Server):
    """One data directory of its own, and its own place for temporary files: a server removes at its start what others
    have in use where they share that.
    """

    def create(self, name: str) -> str:
        self.sql(f"CREATE DATABASE {name}; GRANT ALL ON {name}.* TO ingot@localhost IDENTIFIED BY '{PASSWORD}'")
        return f"mariadb://ingot:{PASSWORD}@localhost/{name}?unix_socket={self._socket}"

    def sql(self, text: str) -> str:
        """What the client prints for statements, without heads."""
        return self.run(*self._client(), "-N", "-B", "-e", text)

    def let_write(self, *, allowed: bool) -> None:
        self.sql(f"SET GLOBAL read_only = {int(not allowed)}")

    def cut_connections(self) -> None:
        self.sql("KILL USER ingot@localhost")

    @property
    def _socket(self) -> str:
        return f"{self.folder}/socket"

    def _client(self) -> list[str]:
        return [system("mariadb"), "--no-defaults", "-u", "root", f"--socket={self._socket}"]

    def _make_files(self) -> None:
        made = ["--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"]
        self.run(system("mariadb-install-db"), "--no-defaults", *self._places(), *made)

    def _command(self) -> list[str]:
        files = [*self._places(), f"--socket={self._socket}", f"--pid-file={self.folder}/pid"]
        quick = [] if self.durable else ["--innodb-flush-log-at-trx-commit=0"]
        return [system("mariadbd"), "--no-defaults", *files, "--skip-networking", *quick]

    def _ping(self) -> list[str]:
        return [*self._client(), "-e", "SELECT 1"]

    def _places(self) -> list[str]:
        return [f"--datadir={self.data}", f"--tmpdir={self.folder}"]
