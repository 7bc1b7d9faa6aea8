"""Keystone as one process with SQLite on loopback, run by upstream's Python.

Arguments: an empty folder, port, password.
Makes database and keys in the folder, the user admin and the roles every cloud has; serves until it is ended.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
from pathlib import Path
from typing import Any

import keystone.conf
from keystone.cmd import cli
from keystone.server.flask import core
from werkzeug import serving

_CONFIG = """[DEFAULT]
log_file = {folder}/keystone.log
[database]
connection = sqlite:///{folder}/keystone.sqlite
[fernet_tokens]
key_repository = {folder}/keys
[fernet_receipts]
key_repository = {folder}/keys
[credential]
key_repository = {folder}/keys
[identity]
password_hash_algorithm = bcrypt
password_hash_rounds = 4
[token]
allow_expired_window = 3600
"""


def main(folder: Path, port: str, password: str) -> None:
    """Set up and serve."""
    config = folder / "keystone.conf"
    config.write_text(_CONFIG.format(folder=folder))
    (folder / "keys").mkdir(mode=0o700)
    url = f"http://127.0.0.1:{port}/v3"
    bootstrap = ["--bootstrap-password", password, "--bootstrap-region-id", "here"]
    bootstrap += [f"--bootstrap-{kind}-url={url}" for kind in ("public", "internal", "admin")]
    account = [f"--keystone-user={os.getuid()}", f"--keystone-group={os.getgid()}"]
    for words in (["db_sync"], ["fernet_setup", *account], ["bootstrap", *bootstrap]):
        _manage(["keystone-manage", "--config-file", str(config), *words])
    with contextlib.closing(sqlite3.connect(folder / "keystone.sqlite")) as database:
        # a thread that has read and not said that it is done would keep all others from writing
        database.execute("PRAGMA journal_mode=WAL")
    made = core.initialize_application("public", config_files=[str(config)])

    def application(environ: dict[str, Any], start: Any) -> Any:
        """The same, but a token that is asked for with ?brief ends after a second."""
        lifetime = 1 if environ["QUERY_STRING"] == "brief" else 3600
        keystone.conf.CONF.set_override("expiration", lifetime, "token")
        return made(environ, start)

    serving.run_simple("127.0.0.1", int(port), application, threaded=True)


def _manage(words: list[str]) -> None:
    """Run one command of keystone-manage in a child, as a process may read its options but once."""
    child = os.fork()
    if child == 0:
        cli.main(words)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if status:
        raise SystemExit(f"{' '.join(words)} failed")


if __name__ == "__main__":
    words, sys.argv[1:] = sys.argv[1:], []  # Keystone would take them for its own
    main(Path(words[0]), *words[1:])
