"""Burn-in of the network: two nodes send each other numbered blocks, and each compares what it gets.

May not: end well when a byte was wrong. Invariant: each direction is counted by the side that received it.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from typing import Any

from ingot_agent import burnin, commands, errors, fields

_BLOCK = 1 << 20
_PORT = 9000
_PATIENCE = 900.0


def run(node: dict[str, Any], progress: commands.Progress) -> burnin.Result:
    """Bytes to and from a partner node, each direction for so long. Raises CleaningError."""
    given = burnin.knobs(node)
    runtime = given.number("agent_burnin_fio_network_runtime", 21600)
    config = fields.as_object(given.info.get("agent_burnin_fio_network_config")) or {}
    role, partner = config.get("role"), config.get("partner")
    if role not in ("writer", "reader") or not isinstance(partner, str) or not partner:
        raise errors.CleaningError(
            "The burn-in of the network needs driver_info agent_burnin_fio_network_config with role (writer or reader) "
            "and partner (an address). Pairing by a coordination service is not offered."
        )
    port = int(config.get("port", _PORT))
    result: burnin.Result = {}
    for turn in (role, "reader" if role == "writer" else "writer"):
        progress.begin(f"network burn-in with {partner}: {turn}")
        count = _send(runtime, port) if turn == "writer" else _receive(partner, port)
        result[turn] = {"bytes": count, "megabits_per_second": round(count * 8 / max(runtime, 0.001) / 1e6, 1)}
    return burnin.kept(result, given, "agent_burnin_fio_network_outputfile")


def _pattern(number: int) -> bytes:
    return struct.pack("<Q", number) * (_BLOCK // 8)


def _send(runtime: float, port: int) -> int:
    """Listen, then send numbered blocks to the partner for ``runtime`` seconds; gives the bytes he says he had."""
    with socket.create_server(("", port), reuse_port=False) as listener:
        listener.settimeout(_PATIENCE)
        try:
            client, _ = listener.accept()
        except TimeoutError:
            raise errors.CleaningError(f"No partner called port {port} within {_PATIENCE:.0f} s.") from None
    with client:
        client.settimeout(60)
        number, end = 0, time.monotonic() + runtime
        try:
            while time.monotonic() < end:
                client.sendall(_pattern(number))
                number += 1
            client.shutdown(socket.SHUT_WR)
            said = _exactly(client, 8)
            if len(said) < 8:
                raise OSError("the partner hung up")
            count = struct.unpack("<Q", said)[0]
        except OSError as error:
            raise errors.CleaningError(f"The connection to the partner broke off: {error}. Check the cable.") from error
    if count != number * _BLOCK:
        raise errors.CleaningError(f"The partner got {count} of {number * _BLOCK} bytes right. Check card and cable.")
    return count


def _receive(partner: str, port: int) -> int:
    """Call the partner until he listens, compare what he sends; gives the bytes that were right."""
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            connection = socket.create_connection((partner, port), 10)
            break
        except OSError as error:
            if time.monotonic() > end:
                raise errors.CleaningError(f"The partner {partner} does not listen: {error}.") from error
            threading.Event().wait(0.5)
    right = number = 0
    with connection:
        connection.settimeout(60)
        try:
            while block := _exactly(connection, _BLOCK):
                right += len(block) if block == _pattern(number) else 0
                number += 1
            connection.sendall(struct.pack("<Q", right))
        except OSError as error:
            raise errors.CleaningError(f"The connection to {partner} broke off: {error}. Check the cable.") from error
    if right != number * _BLOCK:
        raise errors.CleaningError(f"{number * _BLOCK - right} bytes from {partner} were wrong. Check card and cable.")
    return right


def _exactly(connection: socket.socket, length: int) -> bytes:
    """So many bytes; fewer, or none, only at the end."""
    whole = bytearray(length)
    view, done = memoryview(whole), 0
    while done < length and (count := connection.recv_into(view[done:])):
        done += count
    return bytes(whole[:done])
