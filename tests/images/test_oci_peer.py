"""Images from a registry that others wrote (Debian's docker-registry), with a password and without."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import socket
import subprocess
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bcrypt
import pytest

import programs
from cli import program
from images import ociregistry
from images.test_oci import ARM, DISK, SECRETS
from ingot.domain import errors
from ingot.images import download, locate
from ingot.images.cache import ImageCache

pytestmark = pytest.mark.peer


@dataclass
class Peer:
    """The registry, and what pushes into it."""

    port: int
    headers: dict[str, str] = field(default_factory=dict[str, str])

    def call(self, method: str, path: str, body: bytes = b"", kind: str = "application/octet-stream") -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        with contextlib.closing(connection):
            connection.request(method, path, body, {"Content-Type": kind, **self.headers})
            answer = connection.getresponse()
            told = answer.read()
            assert answer.status < 300, (method, path, answer.status, told)
            return answer.headers.get("Location", "")

    def push(self, data: bytes) -> str:
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        place = self.call("POST", "/v2/team/os/blobs/uploads/").split(f":{self.port}", 1)[-1]
        self.call("PUT", f"{place}{'&' if '?' in place else '?'}digest={digest}", data)
        return digest

    def describe(self, kind: str, body: dict[str, Any], tag: str) -> dict[str, Any]:
        raw = json.dumps({"schemaVersion": 2, "mediaType": kind, **body}).encode()
        self.call("PUT", f"/v2/team/os/manifests/{tag}", raw, kind)
        return {"mediaType": kind, "digest": "sha256:" + hashlib.sha256(raw).hexdigest(), "size": len(raw)}

    def push_artifact(self, data: bytes, tag: str) -> dict[str, Any]:
        config = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": self.push(b"{}"), "size": 2}
        layer = {"mediaType": "application/x-disk", "digest": self.push(data), "size": len(data)}
        return self.describe(ociregistry.MANIFEST, {"config": config, "layers": [layer]}, tag)


@contextlib.contextmanager
def running(folder: Path, auth: str = "") -> Generator[Peer]:
    folder.mkdir()
    port = program.free_port()
    (folder / "config.yml").write_text(
        f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {folder}/data}}}}\n"
        f"http: {{addr: 127.0.0.1:{port}}}\n{auth}"
    )
    words = [programs.system("docker-registry"), "serve", str(folder / "config.yml")]
    with (folder / "log").open("wb") as log:
        child = subprocess.Popen(words, stdout=log, stderr=log)
    try:
        program.wait_for(lambda: child.poll() is None and _listens(port), 20)
        yield Peer(port)
    finally:
        child.kill()  # it has nothing to end in order, and must not stay
        child.wait(10)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


async def bring(peer: Peer, folder: Path, reference: str, **more: str | None) -> bytes:
    host = f"127.0.0.1:{peer.port}"
    limits = download.Limits(stall=10, patience=1, pause=0.01, plain_registries=(host,))
    cache = ImageCache(folder / "cache", 1 << 30, fetching=limits)
    return (await cache.fetch(locate.ImageSource(f"oci://{host}/team/os{reference}", **more))).path.read_bytes()


async def test_a_tag_names_the_disk_of_the_processor(tmp_path: Path) -> None:
    with running(tmp_path / "registry") as peer:
        entries: list[dict[str, Any]] = []
        for name, data in (("amd64", DISK), ("arm64", ARM)):
            one = peer.push_artifact(data, name)
            platform = {"os": "linux", "architecture": name}
            entries.append({**one, "platform": platform, "annotations": {"disktype": "raw"}})
        index = peer.describe(ociregistry.INDEX, {"manifests": entries}, "5.3")
        assert await bring(peer, tmp_path, ":5.3", cpu_arch="x86_64") == DISK
        assert await bring(peer, tmp_path, ":5.3", cpu_arch="aarch64") == ARM
        assert await bring(peer, tmp_path, f"@{index['digest']}", cpu_arch="aarch64") == ARM
        assert await bring(peer, tmp_path, ":amd64") == DISK
        with pytest.raises(errors.NotFound, match="has no team/os with 6"):
            await bring(peer, tmp_path, ":6")


async def test_who_we_are_is_proved(tmp_path: Path) -> None:
    known = bcrypt.hashpw(b"geheim", bcrypt.gensalt(4)).decode()
    (tmp_path / "users").write_text(f"me:{known}\n")
    with running(tmp_path / "registry", f"auth: {{htpasswd: {{realm: r, path: {tmp_path}/users}}}}\n") as peer:
        peer.headers["Authorization"] = f"Basic {SECRETS[1]}"
        peer.push_artifact(DISK, "1")
        assert await bring(peer, tmp_path, ":1", pull_secret=SECRETS[0]) == DISK
        for bad in (None, "me:falsch"):
            with pytest.raises(errors.Forbidden, match="does not let us read team/os"):
                await bring(peer, tmp_path, ":1", pull_secret=bad)
