"""The salted hash of a password as a Unix login checks it: crypt(3)'s SHA-512 form, ``$6$salt$hash``.

Source: Ulrich Drepper, "Unix crypt using SHA-256 and SHA-512", version 0.6; Python's own module is deprecated.
May not: choose the salt (no randomness here). Invariant: equal to ``openssl passwd -6``.
"""

from __future__ import annotations

import hashlib

_ROUNDS = 5000
_ALPHABET = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
SALT_LETTERS = frozenset(_ALPHABET)
LONGEST = 511
"""Bytes of a password that a Unix login checks; what the hash costs grows with their square."""


def sha512_crypt(password: str, salt: str) -> str:
    """The hash of ``password``; ``salt``: 8 to 16 letters of SALT_LETTERS."""
    key, grain = password.encode(), salt.encode()
    alternate = hashlib.sha512(key + grain + key).digest()
    first = hashlib.sha512(key + grain + _stretch(alternate, len(key)))
    length = len(key)
    while length:
        first.update(alternate if length & 1 else key)
        length >>= 1
    p = _stretch(hashlib.sha512(key * len(key)).digest(), len(key))
    result = first.digest()
    s = _stretch(hashlib.sha512(grain * (16 + result[0])).digest(), len(grain))
    for number in range(_ROUNDS):
        parts = p if number & 1 else result
        parts += (s if number % 3 else b"") + (p if number % 7 else b"")
        result = hashlib.sha512(parts + (result if number & 1 else p)).digest()
    return f"$6${salt}${_encoded(result)}"


def _stretch(digest: bytes, length: int) -> bytes:
    """``digest`` repeated to ``length`` bytes."""
    return (digest * (length // len(digest) + 1))[:length]


def _encoded(digest: bytes) -> str:
    """64 bytes as 86 letters; the order of the bytes is crypt's own."""
    triples = [(index, index + 21, index + 42) for index in range(21)]
    text = ""
    for index, (a, b, c) in enumerate(triples):
        turn = index % 3
        x, y, z = ((a, b, c), (b, c, a), (c, a, b))[turn]
        text += _letters(digest[x] << 16 | digest[y] << 8 | digest[z], 4)
    return text + _letters(digest[63], 2)


def _letters(value: int, count: int) -> str:
    return "".join(_ALPHABET[value >> 6 * index & 0x3F] for index in range(count))
