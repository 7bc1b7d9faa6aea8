"""Let the owner of a machine into the ramdisk: a password for the user ``rescue``, and an SSH server.

May not: keep the password. Invariant: without ``open_door`` nobody can log in.
Source of the hash: the public SHA-crypt specification (akkadia.org), checked against crypt(3).
"""

from __future__ import annotations

import os

from ingot_agent import errors, programs, settings

_SERVER = "/usr/sbin/dropbear"
_FILES = ("passwd", "shadow")
_ALPHABET = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def _salt() -> bytes:
    return "".join(_ALPHABET[byte & 63] for byte in os.urandom(16)).encode()


def hash_password(password: bytes, salt: bytes) -> str:
    """SHA-512 crypt with its usual 5000 rounds, as crypt(3) would give it."""
    import hashlib

    def digest(*parts: bytes) -> bytes:
        return hashlib.sha512(b"".join(parts)).digest()

    def spread(block: bytes, length: int) -> bytes:
        return (block * (length // 64 + 1))[:length]

    size = len(password)
    second = digest(password, salt, password)
    bits = [second if bit == "1" else password for bit in reversed(f"{size:b}")] if size else []
    block = digest(password, salt, spread(second, size), *bits)
    word, grain = spread(digest(password * size), size), spread(digest(salt * (16 + block[0])), len(salt))
    for number in range(5000):
        parts = [word if number & 1 else block]
        parts += [grain] * bool(number % 3) + [word] * bool(number % 7)
        block = digest(*parts, block if number & 1 else word)
    return f"$6${salt.decode()}${_encoded(block)}"


def _encoded(block: bytes) -> str:
    text = ""
    at = (0, 21, 42)
    for _ in range(21):
        text += _letters(block[at[0]] << 16 | block[at[1]] << 8 | block[at[2]], 4)
        at = (at[1] + 1, at[2] + 1, at[0] + 1)
    return text + _letters(block[63], 2)


def _letters(value: int, count: int) -> str:
    return "".join(_ALPHABET[value >> 6 * place & 63] for place in range(count))


def open_door(password: str, *, hashed: bool, roots: settings.Roots, etc: str = "/etc") -> str:
    """Set the password and start the server; says so. Raises AgentError when this ramdisk has no SSH server."""
    if not os.path.exists(_SERVER):
        raise errors.AgentError("This ramdisk has no SSH server, so nobody could log in. Build the full one.")
    kept = password if hashed else hash_password(password.encode(), _salt())
    if ":" in kept or "\n" in kept:
        raise errors.InvalidCommandParams("rescue_password has a colon or a line break. Send another one.")
    entries = {"passwd": "rescue:x:0:0:rescue:/root:/bin/sh\n", "shadow": f"rescue:{kept}:19000:0:99999:7:::\n"}
    for name in _FILES:
        _append(f"{etc}/{name}", entries[name])
    for folder in ("/root", f"{etc}/dropbear"):
        os.makedirs(folder, exist_ok=True)
    _append(f"{etc}/shells", "/bin/sh\n")
    if not programs.run([_SERVER, "-R", "-p", "22"]).succeeded:
        raise errors.AgentError("The SSH server of the ramdisk did not start. Look at the machine's console.")
    return "the user rescue may log in by SSH"


def _append(path: str, text: str) -> None:
    """Add a line to a file that only root may read, taking out what an earlier call added for the same name."""
    name = text.partition(":")[0]
    try:
        with open(path, encoding="utf-8") as file:
            old = [line for line in file if line.partition(":")[0].strip() != name.strip()]
    except OSError:
        old = []
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write("".join(old) + text)
