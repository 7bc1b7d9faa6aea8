"""The login of a rescued machine: one user with a password hash and keys, and an SSH server.

Why here: nothing of it exists in a ramdisk until the conductor asks for it. May not: see a password in clear.
Invariant: done twice it is the same login.
"""

from __future__ import annotations

import os
import re
import threading

from ingot_agent import errors, programs, settings

USER = "rescue"
_HASH = re.compile(r"\$[0-9a-z]+\$[./0-9A-Za-z$=,]+")
_RENEWALS = (1.0, 15.0, 30.0, 60.0)
"""Seconds after which the address is asked for anew: the switch changes the network some time after our answer."""


def open_login(password_hash: str, keys: list[str], roots: settings.Roots) -> None:
    """Let the user ``rescue`` in by password (crypt(3) hash) or one of the public keys, and start the SSH server.

    Raises InvalidCommandParams for a hash or key that is none, AgentError when the server does not start.
    """
    if not _HASH.fullmatch(password_hash):
        raise errors.InvalidCommandParams("rescue_password is no crypt hash. Send it like $6$salt$hash.")
    if any(not key.strip() or "\n" in key for key in keys):
        raise errors.InvalidCommandParams("A key is empty or has several lines. Send one public key each.")
    write_account(password_hash, keys, roots.top)
    os.makedirs("/dev/pts", exist_ok=True)
    if not os.path.exists("/dev/pts/ptmx"):
        programs.run(["mount", "-t", "devpts", "-o", "gid=5,mode=620", "devpts", "/dev/pts"])
    done = programs.run(["dropbear", "-R", "-P", f"{roots.run}/dropbear.pid"])
    if not done.succeeded:
        text = done.output.decode(errors="replace").strip()[-200:]
        raise errors.AgentError(f"The SSH server did not start: {text or 'no word from it'}. Read the agent's log.")


def write_account(password_hash: str, keys: list[str], top: str) -> None:
    """Write passwd, shadow and authorized_keys below ``top``."""
    for folder in ("etc/dropbear", "root/.ssh"):
        os.makedirs(f"{top}/{folder}", mode=0o700, exist_ok=True)
    _write(f"{top}/etc/passwd", f"root:*:0:0:root:/root:/bin/sh\n{USER}:x:0:0:rescue:/root:/bin/sh\n", 0o644)
    _write(f"{top}/etc/shadow", f"{USER}:{password_hash}:19000:0:99999:7:::\n", 0o600)
    _write(f"{top}/root/.ssh/authorized_keys", "".join(f"{key.strip()}\n" for key in keys), 0o600)


def renew_addresses() -> None:
    """Have DHCP ask anew, several times over a minute: the machine moves to another network just now."""
    for delay in _RENEWALS:
        timer = threading.Timer(delay, _ask_anew)
        timer.daemon = True
        timer.start()


def _ask_anew() -> None:
    programs.run(["killall", "-USR2", "udhcpc"])  # gives the address back, which ends its hold on the old server
    programs.run(["killall", "-USR1", "udhcpc"])


def _write(path: str, text: str, mode: int) -> None:
    """A file that is never seen with wider rights."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, mode)
