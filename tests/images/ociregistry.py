"""A small OCI registry over HTTP: manifests and blobs by digest and tag, with a token server or a password."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import urllib.parse
from collections.abc import AsyncGenerator
from typing import Any

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


class Registry:
    """Holds what ``add_*`` put in; ``auth`` is "none", "token" or "basic" with user ``me`` and password ``geheim``."""

    def __init__(self, auth: str = "none") -> None:
        self.auth = auth
        self.things: dict[str, tuple[str, bytes]] = {}  # "manifests/TAG" or "blobs/DIGEST" -> media type, content
        self.asked: list[str] = []
        self.busy = 0  # answers of 503 to come
        self.host = ""

    def add_blob(self, data: bytes) -> str:
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        self.things[f"blobs/{digest}"] = ("application/octet-stream", data)
        return digest

    def add_manifest(self, blobs: list[bytes], tag: str | None = None, kind: str = "application/x-disk") -> str:
        layers = [{"mediaType": kind, "digest": self.add_blob(one), "size": len(one)} for one in blobs]
        return self._add(MANIFEST, {"schemaVersion": 2, "mediaType": MANIFEST, "layers": layers}, tag)

    def add_index(self, entries: list[tuple[str, str | None, str | None]], tag: str) -> str:
        """``entries``: digest of a manifest, its architecture, its disktype."""
        found: list[dict[str, Any]] = []
        for digest, architecture, disk in entries:
            one: dict[str, Any] = {"mediaType": MANIFEST, "digest": digest, "size": 1}
            one |= {"platform": {"os": "linux", "architecture": architecture}} if architecture else {}
            one |= {"annotations": {"disktype": disk}} if disk else {}
            found.append(one)
        return self._add(INDEX, {"schemaVersion": 2, "mediaType": INDEX, "manifests": found}, tag)

    def _add(self, kind: str, body: dict[str, Any], tag: str | None) -> str:
        raw = json.dumps(body).encode()
        digest = "sha256:" + hashlib.sha256(raw).hexdigest()
        for name in (digest, *([tag] if tag else [])):
            self.things[f"manifests/{name}"] = (kind, raw)
        return digest

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncGenerator[Registry]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.host = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with server:
            yield self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError), contextlib.closing(writer):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            path = head.split(" ")[1]
            headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
            self.asked.append(path)
            if self.busy:
                self.busy -= 1
                status, more, body = 503, [], b""
            else:
                status, more, body = self._answer(path, headers.get("Authorization", ""))
            lines = [f"HTTP/1.1 {status} x", f"Content-Length: {len(body)}", *more]
            writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
            await writer.drain()

    def _answer(self, path: str, credentials: str) -> tuple[int, list[str], bytes]:
        basic = "Basic " + base64.b64encode(b"me:geheim").decode()
        if path.startswith("/token?"):
            query = urllib.parse.parse_qs(path.partition("?")[2])
            if credentials != basic or query["scope"] != ["repository:team/os:pull"] or query["service"] != ["here"]:
                return 401, [], b"{}"
            return 200, [], b'{"token": "t0ken"}'
        if self.auth == "token" and credentials != "Bearer t0ken":
            where = f'realm="http://{self.host}/token",service="here",scope="repository:team/os:pull"'
            return 401, [f"WWW-Authenticate: Bearer {where}"], b"{}"
        if self.auth == "basic" and credentials != basic:
            return 401, ['WWW-Authenticate: Basic realm="here"'], b"{}"
        kind, body = self.things.get(path.removeprefix("/v2/team/os/"), ("", b""))
        return (200, [f"Content-Type: {kind}"], body) if kind else (404, [], b"{}")
