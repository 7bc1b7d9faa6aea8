"""Bytes of RMCP, RMCP+ and IPMI messages, both ways.

Why: the wire's layout in one place, from IPMI 2.0 sections 13.6 (framing) and 13.8 (LAN messages).
May not: do I/O, hold state, know keys. Invariant: a decoder answers None for bytes it does not understand
and never raises, because anyone can send a datagram to our socket.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from ingot.clients.ipmi.target import BMC_ADDRESS, Bridge

RMCP = b"\x06\x00\xff\x07"
AUTH_NONE = 0x00
AUTH_RMCPP = 0x06
CONSOLE_ADDRESS = 0x81

PAYLOAD_IPMI = 0x00
PAYLOAD_SERIAL = 0x01  # over LAN
PAYLOAD_OPEN_REQUEST = 0x10
PAYLOAD_OPEN_RESPONSE = 0x11
PAYLOAD_RAKP1 = 0x12
PAYLOAD_RAKP2 = 0x13
PAYLOAD_RAKP3 = 0x14
PAYLOAD_RAKP4 = 0x15

V15_HEADER = 14  # RMCP, auth type, sequence, session id, length
V20_HEADER = 16  # RMCP, auth type, payload type, session id, sequence, length
MIN_RESPONSE = 8  # addresses, netfn, sequence, command, completion code and two checksums

SEALED_HEADER = struct.Struct("<4sBBIIH")
_V20 = struct.Struct("<BBIIH")
_WORD = struct.Struct("<I").unpack_from
_HALF = struct.Struct("<H").unpack_from


NETFN_APP = 0x06
SEND_MESSAGE = 0x34
TRACKED = 0x40


class Request(NamedTuple):
    """A command (``netfn`` even) for LUN 0 of the BMC, or of the controller at the end of ``bridge``."""

    netfn: int
    command: int
    data: bytes = b""
    bridge: Bridge | None = None
    once: bool = False
    """Not to be repeated when no answer comes: the BMC may have acted."""


class Response(NamedTuple):
    """An IPMI answer: ``body`` is the completion code and the data."""

    netfn: int
    rq_seq: int
    command: int
    body: bytes


class Open(NamedTuple):
    """A packet of the session set-up."""

    payload_type: int
    payload: bytes


def request(netfn: int, command: int, rq_seq: int, data: bytes) -> bytes:
    """An IPMI request message to LUN 0 of the BMC, with its two checksums."""
    first = netfn << 2
    sequence = rq_seq << 2
    return (
        bytes((BMC_ADDRESS, first, -(BMC_ADDRESS + first) & 0xFF, CONSOLE_ADDRESS, sequence, command))
        + data
        + bytes((-(CONSOLE_ADDRESS + sequence + command + sum(data)) & 0xFF,))
    )


def bridged(asked: Request, bridge: Bridge, rq_seq: int) -> bytes:
    """A request inside one Send Message or two, all with the same sequence number (sections 6.13.2 and 22.7)."""
    source = bridge.local if bridge.transit else CONSOLE_ADDRESS
    inner = _message(bridge.address, source, asked, rq_seq)
    inner = bytes((TRACKED | bridge.channel,)) + inner
    if bridge.transit:
        channel, address = bridge.transit
        middle = _message(address, CONSOLE_ADDRESS, Request(NETFN_APP, SEND_MESSAGE, inner), rq_seq)
        inner = bytes((TRACKED | channel,)) + middle
    return request(NETFN_APP, SEND_MESSAGE, rq_seq, inner)


def _message(address: int, source: int, asked: Request, rq_seq: int) -> bytes:
    """A request message between two bus addresses."""
    head = bytes((address, asked.netfn << 2))
    body = bytes((source, rq_seq << 2, asked.command)) + asked.data
    return head + bytes((-sum(head) & 0xFF,)) + body + bytes((-sum(body) & 0xFF,))


def response(message: bytes) -> Response | None:
    """Decode an IPMI answer; None when it is too short or a checksum is wrong."""
    if len(message) < MIN_RESPONSE or sum(message[:3]) & 0xFF or sum(message[3:]) & 0xFF:
        return None
    return Response(message[1] >> 2, message[4] >> 2, message[5], message[6:-1])


def sessionless(message: bytes) -> bytes:
    """Frame a message for use before a session: IPMI 1.5 header, no authentication."""
    return RMCP + struct.pack("<BIIB", AUTH_NONE, 0, 0, len(message)) + message


def read_sessionless(packet: bytes) -> Response | None:
    """The answer inside an unauthenticated IPMI 1.5 packet, or None."""
    if len(packet) <= V15_HEADER or packet[:4] != RMCP or packet[4] != AUTH_NONE:
        return None
    length = packet[13]
    if len(packet) < V15_HEADER + length:
        return None
    return response(packet[V15_HEADER : V15_HEADER + length])


def setup(payload_type: int, payload: bytes) -> bytes:
    """Frame an Open Session or RAKP payload: RMCP+ header, session id and sequence 0."""
    return RMCP + _V20.pack(AUTH_RMCPP, payload_type, 0, 0, len(payload)) + payload


def read_setup(packet: bytes) -> Open | None:
    """The payload of an unauthenticated RMCP+ packet outside a session, or None."""
    if len(packet) < V20_HEADER or packet[:4] != RMCP or packet[4] != AUTH_RMCPP:
        return None
    _, payload_type, session_id, _, length = _V20.unpack_from(packet, 4)
    if session_id or payload_type & 0xC0 or len(packet) < V20_HEADER + length:
        return None
    return Open(payload_type, packet[V20_HEADER : V20_HEADER + length])


def clear_session_id(packet: bytes) -> int:
    """The id of the session an IPMI 1.5 packet belongs to; 0 for packets outside a session or unknown bytes."""
    if len(packet) < V15_HEADER or packet[4] == AUTH_RMCPP:
        return 0
    number: int = _WORD(packet, 9)[0]
    return number


def session_id(packet: bytes) -> int:
    """The id of the session an RMCP+ packet belongs to; 0 for packets outside a session or unknown bytes."""
    if len(packet) < V20_HEADER or packet[4] != AUTH_RMCPP:
        return 0
    number: int = _WORD(packet, 6)[0]
    return number


def sequence(packet: bytes) -> int:
    """The session sequence number of an RMCP+ packet of at least ``V20_HEADER`` bytes."""
    number: int = _WORD(packet, 10)[0]
    return number


def sealed_length(packet: bytes) -> int:
    """The payload length of an RMCP+ packet of at least ``V20_HEADER`` bytes."""
    number: int = _HALF(packet, 14)[0]
    return number
