"""Bytes of an HTTP/1 answer, as they come, to a whole answer.

Why: bounds belong where bytes are taken in. May not: do I/O. Invariant: what is kept of an answer is bounded, head,
body and unpacked body alike.
"""

from __future__ import annotations

import zlib

import httptools
from multidict import CIMultiDict

from ingot.clients.http import client, failures

LARGEST_HEAD = 64 << 10
_UNPACKED = {"gzip", "x-gzip", "deflate"}  # HPE's iLO packs its registries whether asked to or not


class Answer:
    """One answer: feed it until it is ``complete``. ``keeps``: the connection may be used again afterwards."""

    def __init__(self, peer: str) -> None:
        self._peer = peer
        self._parser = httptools.HttpResponseParser(self)
        self._headers: CIMultiDict[str] = CIMultiDict()
        self._parts: list[bytes] = []
        self._head_ended = False
        self._size = self._status = 0
        self.begun = self.complete = self.keeps = False

    def feed(self, data: bytes) -> None:
        """Take some bytes. Raises ``httptools.HttpParserError``, ``errors.Misbehaved`` for too many."""
        self.begun = True
        self._size += len(data)
        if self._size > client.LARGEST_BODY:  # whatever it is of: body, chunks' heads, trailers
            raise failures.too_large(self._peer, "an answer", client.LARGEST_BODY)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as error:
            raise failures.not_http(self._peer, "it goes on in another protocol") from error
        if not self._head_ended and self._size > LARGEST_HEAD:
            raise failures.too_large(self._peer, "headers", LARGEST_HEAD)

    def end(self) -> None:
        """The connection has ended, which completes an answer that told no length."""
        open_ended = "Content-Length" not in self._headers and "Transfer-Encoding" not in self._headers
        self.complete = self.complete or (self._head_ended and open_ended)

    def reply(self) -> client.Reply:
        """The whole. Raises ``zlib.error``, ``errors.Misbehaved`` for a body that unpacks to too much."""
        body = b"".join(self._parts)
        if body and self._headers.get("Content-Encoding", "").lower() in _UNPACKED:
            unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32)  # 32: gzip or zlib, as its head says
            body = unpacker.decompress(body, client.LARGEST_BODY)
            if unpacker.unconsumed_tail:
                raise failures.too_large(self._peer, "an answer", client.LARGEST_BODY)
        return client.Reply(self._status, self._headers, body, self._peer)

    # What the parser calls.

    def on_message_begin(self) -> None:
        """A second answer to one request means that the connection is out of step."""
        if self.complete:
            self.keeps = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header; those behind the body are dropped."""
        if not self._head_ended:
            self._headers.add(name.decode("latin-1"), value.decode("latin-1"))

    def on_headers_complete(self) -> None:
        """The head is there."""
        self._head_ended = True
        if not self.complete:  # else it is of a second answer
            self._status = self._parser.get_status_code()

    def on_body(self, part: bytes) -> None:
        """Some of the body."""
        if not self.complete:
            self._parts.append(part)

    def on_message_complete(self) -> None:
        """All of it is there, unless it only announced the answer ("100 Continue")."""
        if self._status < 200:
            self._headers.clear()
            self._head_ended = False
        elif not self.complete:
            self.complete = True
            self.keeps = self._parser.should_keep_alive()
