"""Hash a password as crypt(3) does with SHA-512, for conductors that send it in clear.

Why our own: neither busybox nor newer Pythons have it. May not: keep a password. Source: the public SHA-crypt
specification (akkadia.org/drepper/SHA-crypt.txt); tests compare it with OpenSSL's.
"""

from __future__ import annotations

import os

_ALPHABET = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def salt() -> bytes:
    """Sixteen random letters."""
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
