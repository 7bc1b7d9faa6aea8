"""Packets of IPMI over LAN: RMCP, the two session headers and the message inside.

Why: one place turns bytes into values and back (IPMI 2.0 specification, sections 13.1 to 13.8 and 13.28).
May not: hold state or know a command. Invariant: parse never raises anything but `Malformed`.
"""

from __future__ import annotations

import dataclasses
import struct

RMCP_IPMI = b"\x06\x00\xff\x07"
RMCP_ASF = b"\x06\x00\xff\x06"
AUTH_NONE = 0x00
AUTH_RMCPP = 0x06

PAYLOAD_IPMI = 0x00
PAYLOAD_SOL = 0x01
PAYLOAD_OPEN_REQUEST = 0x10
PAYLOAD_OPEN_RESPONSE = 0x11
PAYLOAD_RAKP1 = 0x12
PAYLOAD_RAKP2 = 0x13
PAYLOAD_RAKP3 = 0x14
PAYLOAD_RAKP4 = 0x15

ENCRYPTED = 0x80
AUTHENTICATED = 0x40
BMC_ADDRESS = 0x20
CODE_LENGTH = 16


class Malformed(Exception):
    """These bytes are not a packet; a BMC drops it silently."""


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """An IPMI request message; `source` and `lun` are echoed in the answer."""

    netfn: int
    command: int
    data: bytes
    source: int = 0x81
    sequence: int = 0
    lun: int = 0
    source_lun: int = 0
    target: int = BMC_ADDRESS


@dataclasses.dataclass(frozen=True, slots=True)
class Packet:
    """An RMCP+ (2.0) packet with its header; `payload` still as it was on the wire."""

    payload_type: int
    flags: int
    session_id: int
    sequence: int
    payload: bytes
    header_end: int


@dataclasses.dataclass(frozen=True, slots=True)
class Clear:
    """An IPMI 1.5 packet; outside a session the numbers are 0 and there is no code."""

    auth: int
    sequence: int
    session_id: int
    code: bytes
    message: bytes


def checksum(data: bytes) -> int:
    """The two's complement sum IPMI messages carry."""
    return -sum(data) & 0xFF


def parse_request(message: bytes, address: int = BMC_ADDRESS) -> Request:
    """Read an IPMI request message to the controller at `address` and check both sums."""
    if len(message) < 7 or checksum(message[:3]) or checksum(message[3:]):
        raise Malformed("bad message length or checksum")
    if message[0] != address:
        raise Malformed("not for this controller")
    return Request(
        netfn=message[1] >> 2,
        lun=message[1] & 3,
        source=message[3],
        sequence=message[4] >> 2,
        source_lun=message[4] & 3,
        command=message[5],
        data=message[6:-1],
        target=address,
    )


def build_response(request: Request, code: int, data: bytes = b"") -> bytes:
    """The answer to a request: completion code and data in a response message."""
    head = bytes([request.source, (request.netfn | 1) << 2 | request.source_lun])
    body = bytes([request.target, request.sequence << 2 | request.lun, request.command, code]) + data
    return head + bytes([checksum(head)]) + body + bytes([checksum(body)])


def parse_v15(datagram: bytes) -> Clear:
    """Read an IPMI 1.5 packet; its code, where it has one, is still unchecked."""
    if len(datagram) < 14:
        raise Malformed("short 1.5 packet")
    auth, sequence, session_id = struct.unpack_from("<BII", datagram, 4)
    start = 13 + (CODE_LENGTH if auth else 0)
    if len(datagram) <= start or len(datagram) < start + 1 + datagram[start]:
        raise Malformed("message longer than the packet")
    message = datagram[start + 1 : start + 1 + datagram[start]]
    return Clear(auth, sequence, session_id, datagram[13:start], message)


def build_v15(packet: Clear) -> bytes:
    """The packet as bytes."""
    head = struct.pack("<BII", packet.auth, packet.sequence, packet.session_id)
    return RMCP_IPMI + head + packet.code + bytes([len(packet.message)]) + packet.message


def parse_v20(datagram: bytes) -> Packet:
    """Read the RMCP+ header; the payload may still be encrypted and its trailer unchecked."""
    if len(datagram) < 16 or datagram[4] != AUTH_RMCPP:
        raise Malformed("short RMCP+ packet")
    kind = datagram[5]
    if kind & 0x3F == 0x02:
        raise Malformed("OEM payloads are not offered")
    session_id, sequence, length = struct.unpack_from("<IIH", datagram, 6)
    if len(datagram) < 16 + length:
        raise Malformed("payload longer than the packet")
    return Packet(
        payload_type=kind & 0x3F,
        flags=kind & 0xC0,
        session_id=session_id,
        sequence=sequence,
        payload=datagram[16 : 16 + length],
        header_end=16 + length,
    )


def build_v20(kind: int, session_id: int, sequence: int, payload: bytes) -> bytes:
    """RMCP and RMCP+ headers with the payload, without a session trailer."""
    return RMCP_IPMI + struct.pack("<BBIIH", AUTH_RMCPP, kind, session_id, sequence, len(payload)) + payload


def asf_pong(datagram: bytes) -> bytes | None:
    """The answer to an ASF presence ping; None when the packet is no ping (ASF 2.0, section 3.2.4.3)."""
    if len(datagram) < 12 or datagram[4:8] != b"\x00\x00\x11\xbe" or datagram[8] != 0x80:
        return None
    body = b"\x00\x00\x11\xbe" + b"\x00\x00\x00\x00" + b"\x81\x00" + bytes(6)
    return RMCP_ASF + b"\x00\x00\x11\xbe\x40" + bytes([datagram[9], 0, len(body)]) + body
