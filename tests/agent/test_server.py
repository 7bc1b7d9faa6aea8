"""The agent's HTTP server against clients that hold no token: what they can make it read, and for how long."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager

import pytest

from agent import peers
from ingot_agent import log, server

CONNECTIONS = 16


@contextmanager
def serving(strangers_time: float = 30) -> Generator[server.Server]:
    """A server that answers every request with its body's length and trusts ``?agent_token=right``."""

    def answer(request: server.Request) -> server.Answer:
        return 200, {"body": len(request.body)}

    running = server.Server("127.0.0.1", 0, answer, lambda query: query.get("agent_token") == "right", strangers_time)
    running.start()
    try:
        yield running
    finally:
        running.close()


def connect(running: server.Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", running.port), 10)


def head(target: str, length: int) -> bytes:
    return f"POST {target} HTTP/1.1\r\nContent-Length: {length}\r\n\r\n".encode()


def everything(client: socket.socket) -> bytes:
    """All the server sends until it closes."""
    with client.makefile("rb") as stream:
        return stream.read()


@pytest.mark.parametrize("target", ["/v1/commands/", "/v1/commands/?agent_token=wrong", "/nowhere"])
def test_no_token_is_refused_before_the_body(target: str) -> None:
    with serving() as running, connect(running) as client:
        client.sendall(head(target, 100 << 20))  # and not one byte of the body
        answer = everything(client)
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert b"agent token" in answer


def test_small_bodies_of_strangers_are_read_and_large_ones_of_the_trusted() -> None:
    with serving() as running, connect(running) as client:
        client.sendall(head("/x", 4096) + b"s" * 4096)
        assert b'{"body": 4096}' in client.recv(4096)
        client.sendall(head("/x?agent_token=right", 8 << 20) + b"t" * (8 << 20))
        assert b'{"body": 8388608}' in client.recv(4096)


def test_endless_headers_are_refused() -> None:
    with serving() as running, connect(running) as client:
        client.sendall(b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 200)
        assert everything(client).startswith(b"HTTP/1.1 400 ")


def test_a_stranger_who_drips_is_cut_off_and_the_trusted_is_not() -> None:
    with serving(strangers_time=0.5) as running, connect(running) as client, connect(running) as trusted:
        trusted.sendall(head("/?agent_token=right", 0))
        assert trusted.recv(4096).startswith(b"HTTP/1.1 200 ")
        client.settimeout(0.05)
        start, closed = time.monotonic(), False
        while not closed and time.monotonic() < start + 10:
            with contextlib.suppress(TimeoutError):
                client.sendall(b"G")
                closed = client.recv(1) == b""
        assert closed
        trusted.sendall(head("/", 0))
        assert trusted.recv(4096).startswith(b"HTTP/1.1 200 ")


def test_an_accept_that_fails_does_not_end_the_server() -> None:
    with serving() as running:
        listener = running._listener  # pyright: ignore[reportPrivateUsage] - nobody outside can make accept fail
        listener.shutdown(socket.SHUT_RDWR)  # accept() gives EINVAL from now on
        peers.wait_until(lambda: "no connection could be taken" in log.kept(), 10, "the failure")
        listener.listen(16)
        with socket.create_connection(listener.getsockname(), 10) as client:
            client.sendall(head("/", 0))
            assert client.recv(4096).startswith(b"HTTP/1.1 200 ")


def test_more_connections_than_places_wait() -> None:
    before = threading.active_count()
    with serving() as running, contextlib.ExitStack() as stack:
        held = [stack.enter_context(connect(running)) for _ in range(CONNECTIONS)]
        for client in held:
            client.sendall(head("/", 0))
            assert client.recv(4096).startswith(b"HTTP/1.1 200 ")
        extra = [stack.enter_context(connect(running)) for _ in range(5)]
        for client in extra:
            client.sendall(head("/", 0))
        extra[0].settimeout(0.3)
        with pytest.raises(TimeoutError):
            extra[0].recv(1)
        assert threading.active_count() - before <= CONNECTIONS + 1  # the clients' and the one that accepts
        held[0].close()
        extra[0].settimeout(10)
        assert extra[0].recv(4096).startswith(b"HTTP/1.1 200 ")
