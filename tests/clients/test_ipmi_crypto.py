"""Byte-level checks of the IPMI session cryptography, computed a second way from the specification's text."""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
import struct
import subprocess
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingot.clients.ipmi import clear, codec, suites
from ingot.clients.ipmi.clear_login import ClearLogin
from ingot.clients.ipmi.login import Login
from ingot.clients.ipmi.sealed import SealedSession
from ingot.clients.ipmi.session import Session
from ingot.clients.ipmi.target import Bridge, Target
from ingot.clients.ipmi.transport import Transport
from ingot.domain import errors

CONSOLE_ID, BMC_ID = 0x11223344, 0xA0B0C0D0
CONSOLE_RANDOM, BMC_RANDOM = bytes(range(16)), bytes(range(100, 116))
GUID = bytes(range(200, 216))
ROLE, NAME, PASSWORD = 0x14, b"admin", "calvin"
FACTS = suites.Exchange(CONSOLE_ID, BMC_ID, CONSOLE_RANDOM, BMC_RANDOM, GUID, ROLE, NAME)
SUITES = pytest.mark.parametrize("suite", suites.PREFERRED, ids=lambda suite: f"suite{suite.number}")


def by_hand(name: str, key: bytes, data: bytes) -> bytes:
    """HMAC by its definition in RFC 2104, with the plain hash only."""
    key = key.ljust(64, b"\0")
    inner = hashlib.new(name, bytes(b ^ 0x36 for b in key) + data).digest()
    return hashlib.new(name, bytes(b ^ 0x5C for b in key) + inner).digest()


def by_openssl(name: str, key: bytes, data: bytes) -> bytes:
    command = ["openssl", "dgst", f"-{name}", "-mac", "HMAC", "-macopt", f"hexkey:{key.hex()}", "-binary"]
    return subprocess.run(command, input=data, capture_output=True, check=True).stdout


@SUITES
def test_rakp_codes(suite: suites.Suite) -> None:
    """Sections 13.31 and 13.32 of the specification, field by field."""
    key = PASSWORD.encode() + bytes(14)
    who = bytes([ROLE, len(NAME)]) + NAME
    sidm, sidc = struct.pack("<I", CONSOLE_ID), struct.pack("<I", BMC_ID)
    code2 = by_hand(suite.hash, key, sidm + sidc + CONSOLE_RANDOM + BMC_RANDOM + GUID + who)
    assert suites.rakp2_code(suite, suites.user_key(PASSWORD), FACTS) == code2
    assert suites.rakp3_code(suite, key, FACTS) == by_hand(suite.hash, key, BMC_RANDOM + sidm + who)
    kg = b"K" * 20
    sik = by_hand(suite.hash, kg, CONSOLE_RANDOM + BMC_RANDOM + who)
    keys = suites.derive(suite, key, kg, FACTS)
    assert keys.sik == sik
    assert keys.integrity == by_hand(suite.hash, sik, b"\x01" * 20)
    assert keys.aes == by_hand(suite.hash, sik, b"\x02" * 20)[:16]
    length = 12 if suite.number == 3 else 16
    check = by_hand(suite.hash, sik, CONSOLE_RANDOM + sidc + GUID)[:length]
    assert suites.rakp4_check(suite, keys.sik, FACTS) == check


@SUITES
def test_rakp_codes_agree_with_openssl(suite: suites.Suite) -> None:
    key = suites.user_key(PASSWORD)
    who = bytes([ROLE, len(NAME)]) + NAME
    data = BMC_RANDOM + struct.pack("<I", CONSOLE_ID) + who
    assert suites.rakp3_code(suite, key, FACTS) == by_openssl(suite.hash, key, data)


def test_known_hmac_vectors() -> None:
    """RFC 2202 case 2 and RFC 4231 case 2: the second computation itself is right."""
    data = b"what do ya want for nothing?"
    assert by_hand("sha1", b"Jefe", data).hex() == "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"
    assert by_hand("sha256", b"Jefe", data).hex().startswith("5bdcc146bf60754e6a042426089575c75a003f08")


def test_request_bytes() -> None:
    """Get Chassis Status: 20 00 E0, 81 04 01 and its checksum 7A."""
    assert codec.request(0x00, 0x01, 1, b"") == bytes.fromhex("2000e08104017a")
    framed = codec.sessionless(codec.request(0x06, 0x38, 1, b"\x8e\x04"))
    assert framed == bytes.fromhex("0600ff07000000000000000000092018c88104388e04b1")


def test_offered_suites() -> None:
    records = bytes.fromhex("c0000000 00 c003014181 c011034481 c14057010002014181".replace(" ", ""))
    assert suites.offered(records) == {0, 3, 17}


@pytest.fixture
async def transport() -> AsyncIterator[Transport]:
    transport = Transport(socket.AF_INET)
    yield transport
    transport.close()


class FarEnd:
    """The BMC's side of a session, from sections 13.6 and 13.28 to 13.29, with library CBC."""

    def __init__(self, suite: suites.Suite, keys: suites.Keys) -> None:
        self.suite, self.keys = suite, keys
        self.sequence = 0

    def check(self, data: bytes) -> bytes:
        return by_hand(self.suite.hash, self.keys.integrity, data)[: self.suite.check_length]

    def open(self, packet: bytes) -> bytes:
        head, code = packet[: -self.suite.check_length], packet[-self.suite.check_length :]
        assert code == self.check(head[4:])
        assert head[:6] == bytes.fromhex("0600ff0706c0")
        (number, _, size) = struct.unpack_from("<IIH", head, 6)
        assert number == BMC_ID
        assert head[16 + size :] == b"\xff\xff\x02\x07"
        assert len(head[4:]) % 4 == 0
        cipher = Cipher(algorithms.AES(self.keys.aes), modes.CBC(head[16:32])).decryptor()
        plain = cipher.update(head[32 : 16 + size]) + cipher.finalize()
        assert plain[-plain[-1] - 1 : -1] == bytes(range(1, plain[-1] + 1))
        return plain[: -plain[-1] - 1]

    def seal(self, message: bytes, sequence: int | None = None) -> bytes:
        self.sequence += 1
        pad = -(len(message) + 1) % 16
        plain = message + bytes(range(1, pad + 1)) + bytes([pad])
        vector = os.urandom(16)
        cipher = Cipher(algorithms.AES(self.keys.aes), modes.CBC(vector)).encryptor()
        body = vector + cipher.update(plain) + cipher.finalize()
        number = self.sequence if sequence is None else sequence
        packet = bytes.fromhex("0600ff0706c0") + struct.pack("<IIH", CONSOLE_ID, number, len(body)) + body
        packet += b"\xff\xff\x02\x07"
        return packet + self.check(packet[4:])


TERMS = clear.Terms(BMC_ID, clear.Auth.MD5, clear.key_of(PASSWORD), 7, 1)


@pytest.mark.parametrize("size", [0, 1, 40])
async def test_messages_in_clear_have_the_code_of_the_specification(transport: Transport, size: int) -> None:
    """Section 22.17.1: MD5 over password, session id, message, sequence number and password again, by openssl."""
    session = clear.ClearSession(transport, ("127.0.0.1", 9), TERMS)
    for number in (7, 8):
        message = codec.request(0x2C, 0x01, 5, os.urandom(size))
        packet = session.seal(message)
        key, sid, count = PASSWORD.encode().ljust(16, b"\0"), struct.pack("<I", BMC_ID), struct.pack("<I", number)
        told = subprocess.run(["openssl", "dgst", "-md5", "-binary"], input=key + sid + message + count + key,
                              capture_output=True, check=True).stdout  # fmt: skip
        assert packet == bytes.fromhex("0600ff0702") + count + sid + told + bytes([len(message)]) + message


async def test_of_messages_in_clear_only_the_genuine_count(transport: Transport) -> None:
    session = clear.ClearSession(transport, ("127.0.0.1", 9), TERMS)
    answer = answer_to(codec.request(0, 1, 1, b""), b"\0\x01")
    good = clear.build(clear.Auth.MD5, TERMS.key, BMC_ID, 1, answer)
    waiting = asyncio.create_task(session.request(codec.Request(0, 1, b""), (5.0,)))
    await asyncio.sleep(0)
    for place in range(4, len(good)):
        session.receive(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
    session.receive(clear.build(clear.Auth.NONE, b"", BMC_ID, 1, answer))
    session.receive(clear.build(clear.Auth.PASSWORD, TERMS.key, BMC_ID, 1, answer))
    await asyncio.sleep(0)
    assert not waiting.done()
    session.receive(good)
    assert await waiting == b"\0\x01"


def answer_to(request: bytes, body: bytes) -> bytes:
    head = bytes([0x81, request[1] | 4])
    tail = bytes([0x20, request[4], request[5]]) + body
    return head + bytes([-sum(head) & 0xFF]) + tail + bytes([-sum(tail) & 0xFF])


def ends(transport: Transport, suite: suites.Suite) -> tuple[SealedSession, FarEnd]:
    keys = suites.derive(suite, suites.user_key(PASSWORD), None, FACTS)
    session = SealedSession(transport, ("127.0.0.1", 9), (CONSOLE_ID, BMC_ID), suite, keys)
    return session, FarEnd(suite, keys)


@SUITES
@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 16, 24, 25, 100])
async def test_sealing(transport: Transport, suite: suites.Suite, size: int) -> None:
    session, far = ends(transport, suite)
    message = codec.request(0x2C, 0x01, 5, os.urandom(size))
    assert far.open(session.seal(message)) == message
    back = answer_to(message, b"\0" + os.urandom(size))
    assert session.unseal(far.seal(back)) == back


@SUITES
async def test_only_the_awaited_answer_counts(transport: Transport, suite: suites.Suite) -> None:
    session, far = ends(transport, suite)
    first = asyncio.create_task(session.request(codec.Request(0, 1, b""), (5.0,)))
    await asyncio.sleep(0)
    request = codec.request(0, 1, 1, b"")
    good = far.seal(answer_to(request, b"\0\x01"))
    spoiled = bytearray(good)
    spoiled[40] ^= 1
    for wrong in (
        b"",
        good[:-1],
        bytes(spoiled),
        far.seal(answer_to(codec.request(0, 1, 2, b""), b"\0\x02")),  # another rqSeq
        far.seal(answer_to(codec.request(0, 2, 1, b""), b"\0\x03")),  # another command
        far.seal(answer_to(codec.request(6, 1, 1, b""), b"\0\x04")),  # another netfn
    ):
        session.receive(wrong)
        await asyncio.sleep(0)
        assert not first.done()
    session.receive(good)
    assert await first == b"\0\x01"
    session.receive(good)  # nobody waits: no harm


async def test_a_replayed_answer_is_dropped(transport: Transport) -> None:
    session, far = ends(transport, suites.SUITE_17)
    await drops_a_replay(session, lambda number, message: far.seal(message, sequence=number))


async def test_a_replayed_answer_in_clear_is_dropped(transport: Transport) -> None:
    session = clear.ClearSession(transport, ("127.0.0.1", 9), TERMS)
    md5 = clear.Auth.MD5
    await drops_a_replay(session, lambda number, message: clear.build(md5, TERMS.key, BMC_ID, number, message))


async def drops_a_replay(session: Session, sealed: Callable[[int, bytes], bytes]) -> None:
    """``sealed``: what the BMC sends, of a packet's number and the message in it."""

    def answer(turn: int, body: bytes) -> bytes:
        return sealed(turn, answer_to(codec.request(0, 1, turn & 0x3F, b""), body))

    old = answer(1, b"\0\x01")
    for turn in range(1, 65):  # the 6-bit rqSeq comes round
        waiting = asyncio.create_task(session.request(codec.Request(0, 1, b""), (5.0,)))
        await asyncio.sleep(0)
        session.receive(old if turn == 1 else answer(turn, b"\0\0"))
        await waiting
    waiting = asyncio.create_task(session.request(codec.Request(0, 1, b""), (5.0,)))
    await asyncio.sleep(0)
    session.receive(old)
    await asyncio.sleep(0)
    assert not waiting.done()
    session.receive(answer(65, b"\0\0"))
    assert await waiting == b"\0\0"


async def test_what_an_earlier_session_was_answered_is_no_answer(transport: Transport) -> None:
    """It had the same id and password, so its codes are right: the numbers alone tell the two apart."""
    session = clear.ClearSession(transport, ("127.0.0.1", 9), TERMS._replace(first=5000))
    message = answer_to(codec.request(0, 1, 1, b""), b"\0\x01")
    waiting = asyncio.create_task(session.request(codec.Request(0, 1, b""), (5.0,)))
    await asyncio.sleep(0)
    for number in (0, 1, 4999, 5000 + clear.WINDOW, 900_000):
        session.receive(clear.build(clear.Auth.MD5, TERMS.key, BMC_ID, number, message))
        await asyncio.sleep(0)
        assert not waiting.done(), number
    session.receive(clear.build(clear.Auth.MD5, TERMS.key, BMC_ID, 5002, message))  # two answers were lost
    assert await waiting == b"\0\x01"


@pytest.mark.parametrize("auth", [clear.Auth.NONE, clear.Auth.PASSWORD])
async def test_a_bmc_that_does_not_count_in_clear_is_accepted(transport: Transport, auth: clear.Auth) -> None:
    session = clear.ClearSession(transport, ("127.0.0.1", 9), TERMS._replace(auth=auth, first=5000))
    for turn in range(1, 5):
        waiting = asyncio.create_task(session.request(codec.Request(0, 1, b""), (5.0,)))
        await asyncio.sleep(0)
        message = answer_to(codec.request(0, 1, turn, b""), b"\0\x01")
        session.receive(clear.build(auth, TERMS.key, BMC_ID, 0, message))
        assert await waiting == b"\0\x01"


async def test_a_late_refusal_to_pass_on_is_not_the_next_ones(transport: Transport) -> None:
    session, far = ends(transport, suites.SUITE_17)
    asked = codec.Request(0, 1, b"", Bridge(6, 0x72))
    assert await session.request(asked, (0.01,)) is None
    waiting = asyncio.create_task(session.request(asked, (5.0,)))
    await asyncio.sleep(0)
    late, own = (codec.request(codec.NETFN_APP, codec.SEND_MESSAGE, turn, b"") for turn in (1, 2))
    session.receive(far.seal(answer_to(late, b"\x83")))
    await asyncio.sleep(0)
    assert not waiting.done()
    session.receive(far.seal(answer_to(own, b"\0" + answer_to(codec.request(0, 1, 2, b""), b"\0\x01"))))
    assert await waiting == b"\0\x01"


async def test_a_bmc_that_does_not_count_is_accepted(transport: Transport) -> None:
    session, far = ends(transport, suites.SUITE_3)
    for turn in range(1, 5):
        waiting = asyncio.create_task(session.request(codec.Request(0, 1, b""), (5.0,)))
        await asyncio.sleep(0)
        session.receive(far.seal(answer_to(codec.request(0, 1, turn, b""), b"\0\x01"), sequence=7))
        assert await waiting == b"\0\x01"


async def test_sealed_garbage_inside_a_genuine_packet(transport: Transport) -> None:
    """Even a BMC with the right keys cannot make us raise."""
    session, far = ends(transport, suites.SUITE_17)
    for inner in (b"", b"\xff" * 15, bytes(31), b"\x10" * 16, os.urandom(100)):
        session.unseal(far.seal(inner))


class Tardy(asyncio.DatagramProtocol):
    """A BMC that answers each question when the next one comes: that it offers no kind of code."""

    def connection_made(self, transport: Any) -> None:
        self.way, self.last = transport, b""

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if self.last:
            self.way.sendto(codec.sessionless(answer_to(self.last, bytes(9))), addr)
        self.last = data[codec.V15_HEADER :]


async def test_a_late_answer_to_the_login_before_is_none_to_this_one(transport: Transport) -> None:
    way, _ = await asyncio.get_running_loop().create_datagram_endpoint(Tardy, ("127.0.0.1", 0))
    peer = way.get_extra_info("sockname")
    for _ in range(3):
        with pytest.raises(errors.Unreachable, match="No IPMI answer"):
            await ClearLogin(transport, peer, Target(*peer)).run((0.1,))
    way.close()


@given(packet=st.binary(max_size=200), kind=st.sampled_from(["", "0600ff0700", "0600ff0706"]))
@settings(max_examples=400)
def test_decoders_never_raise(packet: bytes, kind: str) -> None:
    data = bytes.fromhex(kind) + packet
    codec.response(data)
    codec.read_sessionless(data)
    codec.read_setup(data)
    codec.session_id(data)
    codec.clear_session_id(data)
    clear.parse(data)
    suites.offered(data)


KINDS = ["", "0600ff0700", "0600ff0702", "0600ff0706", "0600ff0706c044332211"]


@given(packet=st.binary(max_size=200), kind=st.sampled_from(KINDS))
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
async def test_receivers_never_raise(transport: Transport, packet: bytes, kind: str) -> None:
    data, peer = bytes.fromhex(kind) + packet, ("127.0.0.1", 9)
    sessions: list[Session] = [ends(transport, suites.BY_NUMBER[number])[0] for number in (1, 2, 12, 17)]
    sessions.append(clear.ClearSession(transport, peer, TERMS))
    logins = [kind(transport, (peer[0], port), Target(peer[0])) for port, kind in ((7, Login), (8, ClearLogin))]
    tasks = [asyncio.create_task(one.request(codec.Request(0, 1, b""), (5.0,))) for one in sessions]
    entering = [asyncio.create_task(one.run()) for one in logins]
    await asyncio.sleep(0)
    for receiver in (*sessions, *logins):
        receiver.receive(data)
    assert not any(task.done() for task in tasks)
    for task in (*tasks, *entering):
        task.cancel()
    await asyncio.gather(*tasks, *entering, return_exceptions=True)


@pytest.mark.parametrize(
    ("field", "value"),
    [("port", 0), ("username", "x" * 17), ("password", "x" * 21), ("kg", b"short"), ("cipher_suite", 0)],
)
def test_impossible_targets(field: str, value: Any) -> None:
    with pytest.raises(errors.Invalid):
        Target("10.0.0.1", **{field: value})


def test_a_target_does_not_show_its_secrets() -> None:
    shown = repr(Target("fe80::1", 623, "admin", "hush-hush", kg=b"hushhushhushhushhush"))
    assert "hush" not in shown
    assert "[fe80::1]:623" in shown
