"""A key and a self-signed certificate for this boot, in milliseconds, without a program or OpenSSL.

Why: ingot verifies our callback by the certificate sent in the first heartbeat, and loading OpenSSL before that
costs an emulated machine a second. The arithmetic is plain Python: it runs twice per boot, on numbers that are never
used again, where nobody can time it; TLS itself is OpenSSL's. May not: be used for anything but this certificate.
Invariant: it is valid at any time, for a machine's clock may be years off and the key lives for one boot only.
Source: SEC 1 (ECDSA, private keys), FIPS 186-5 (curve P-256), RFC 5280 (certificates; 4.1.2.5 for "no end").
"""

from __future__ import annotations

import binascii
import os
import socket
import sys
from dataclasses import dataclass
from typing import Any

_P = 2**256 - 2**224 + 2**192 + 2**96 - 1
_N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_G = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)
_Point = tuple[int, int, int]  # Jacobian: x = X/Z**2, y = Y/Z**3; Z = 0 is the point at infinity

_EC_KEY = bytes.fromhex("06072a8648ce3d0201")
_P256 = bytes.fromhex("06082a8648ce3d030107")
_ECDSA_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")
_COMMON_NAME = bytes.fromhex("0603550403")
_ALT_NAMES = bytes.fromhex("0603551d11")


@dataclass(frozen=True)
class Certificate:
    """``pem`` is the certificate, ``key_pem`` its private key; both texts."""

    pem: str
    key_pem: str


def _double(point: _Point) -> _Point:
    x, y, z = point
    square = y * y % _P
    s = 4 * x * square % _P
    m = 3 * (x - z * z) * (x + z * z) % _P  # the curve's a is -3
    new_x = (m * m - 2 * s) % _P
    return new_x, (m * (s - new_x) - 8 * square * square) % _P, 2 * y * z % _P


def _add(point: _Point, other: tuple[int, int]) -> _Point:
    """Add an affine point that is neither ``point`` nor its inverse (a chance of 2**-128 in a multiplication)."""
    x, y, z = point
    if z == 0:
        return other[0], other[1], 1
    square = z * z % _P
    h = (other[0] * square - x) % _P
    r = (other[1] * square * z - y) % _P
    h2 = h * h % _P
    h3 = h * h2 % _P
    v = x * h2 % _P
    new_x = (r * r - h3 - 2 * v) % _P
    return new_x, (r * (v - new_x) - y * h3) % _P, z * h % _P


def _times_base(factor: int) -> tuple[int, int]:
    point: _Point = (0, 1, 0)
    for bit in f"{factor:0256b}":
        point = _double(point)
        if bit == "1":
            point = _add(point, _G)
    inverse = pow(point[2], -1, _P)
    return point[0] * inverse**2 % _P, point[1] * inverse**3 % _P


def _secret() -> int:
    while True:
        number = int.from_bytes(os.urandom(32), "big")
        if 0 < number < _N:
            return number


def _sign(message: bytes, key: int) -> bytes:
    # Python's own SHA-256, whose module was renamed in 3.12: hashlib would load OpenSSL.
    module: Any = __import__("_sha2" if sys.version_info >= (3, 12) else "_sha256")
    digest = int.from_bytes(module.sha256(message).digest(), "big")
    while True:
        nonce = _secret()
        r = _times_base(nonce)[0] % _N
        s = pow(nonce, -1, _N) * (digest + r * key) % _N
        if r and s:
            return _sequence(_integer(r), _integer(s))


def _der(tag: int, body: bytes) -> bytes:
    length = len(body)
    if length < 128:
        return bytes([tag, length]) + body
    size = (length.bit_length() + 7) // 8
    return bytes([tag, 0x80 | size]) + length.to_bytes(size, "big") + body


def _sequence(*parts: bytes) -> bytes:
    return _der(0x30, b"".join(parts))


def _integer(number: int) -> bytes:
    return _der(2, number.to_bytes(number.bit_length() // 8 + 1, "big"))


def _bits(body: bytes) -> bytes:
    return _der(3, b"\0" + body)


def _pem(label: str, body: bytes) -> str:
    text = binascii.b2a_base64(body, newline=False).decode()
    lines = [text[at : at + 64] for at in range(0, len(text), 64)]
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""])


def _alternative_name(host: str) -> bytes:
    try:
        return _der(0x87, socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host))
    except OSError:
        return _der(0x82, host.encode("ascii", "ignore"))


def _extensions(hosts: list[str]) -> bytes:
    names = b"".join(_alternative_name(one.partition("%")[0]) for one in hosts)
    return _der(0xA3, _sequence(_sequence(_ALT_NAMES, _der(4, _sequence(names)))))


def make(name: str, hosts: list[str]) -> Certificate:
    """Make a key and a certificate for ``name``, reached at these IP addresses or host names."""
    key = _secret()
    x, y = _times_base(key)
    point = b"\x04" + x.to_bytes(32, "big") + y.to_bytes(32, "big")
    who = _sequence(_der(0x31, _sequence(_COMMON_NAME, _der(0x0C, name.encode()[:64]))))
    always = _sequence(_der(0x18, b"19700101000000Z"), _der(0x18, b"99991231235959Z"))
    body = _sequence(
        _der(0xA0, _integer(2)),
        _integer(int.from_bytes(os.urandom(15), "big") + 1),
        _ECDSA_SHA256,
        who,
        always,
        who,
        _sequence(_sequence(_EC_KEY, _P256), _bits(point)),
        _extensions(hosts),
    )
    signed = _sequence(body, _ECDSA_SHA256, _bits(_sign(body, key)))
    private = _sequence(_integer(1), _der(4, key.to_bytes(32, "big")), _der(0xA0, _P256), _der(0xA1, _bits(point)))
    return Certificate(_pem("CERTIFICATE", signed), _pem("EC PRIVATE KEY", private))
