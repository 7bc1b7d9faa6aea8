"""TLS of the API and the agents' listener: who is trusted, by which certificate, and when plain HTTP is spoken."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncGenerator
from pathlib import Path

import msgspec
import pytest
from cryptography import x509

from ingot import app
from ingot.api import listen
from ingot.cli import client as api
from ingot.domain import errors
from ingot.netboot.service import Netboot
from ingot.settings import Settings
from ingot.tls import authority, wanted
from ingot_agent import settings as agent_settings
from ingot_agent import tls as agent_tls


def free_port(address: str = "127.0.0.1") -> int:
    with socket.create_server((address, 0)) as probe:
        return int(probe.getsockname()[1])


@contextlib.asynccontextmanager
async def listening(folder: Path, **more: object) -> AsyncGenerator[Settings]:
    fixed = {"data_dir": str(folder), "port": free_port(), "drivers": ("fake-hardware",)}
    settings = msgspec.convert({**fixed, **more}, Settings)
    deps = app.make_deps(settings)
    try:
        async with listen.listening(deps, print):
            yield settings
    finally:
        deps.store.close()


async def root(url: str, ca: Path | None = None) -> object:
    client = api.Client(url, timeout=10, ca=str(ca) if ca else None)
    return await asyncio.to_thread(client.get, "/v1")


async def test_beyond_loopback_only_tls_is_spoken(tmp_path: Path) -> None:
    async with listening(tmp_path, host="0.0.0.0") as settings:
        ca = tmp_path / "tls" / "ca.pem"
        for name in ("127.0.0.1", "localhost", socket.gethostname()):
            with contextlib.suppress(socket.gaierror):
                socket.getaddrinfo(name, None)
                assert await root(f"https://{name}:{settings.port}", ca)
        with pytest.raises(errors.Unreachable, match="is not trusted") as refused:
            await root(f"https://127.0.0.1:{settings.port}")
        assert "INGOT_CACERT" in refused.value.hint
        with pytest.raises(errors.Unreachable) as refused:
            await root(f"http://127.0.0.1:{settings.port}")
        assert "https://" in refused.value.hint
        for key in ("tls/ca.key", "tls/server.pem"):
            assert (tmp_path / key).stat().st_mode & 0o077 == 0


async def test_loopback_is_plain_and_the_agents_listener_is_not(tmp_path: Path) -> None:
    """The address of the provisioning network stands for one that is not loopback: every host has another such."""
    address = _address()
    port = free_port(address)
    async with listening(tmp_path, provision_address=address, port=port) as settings:
        assert await root(f"http://127.0.0.1:{port}")
        deps = app.make_deps(settings)
        parameters = Netboot(settings, deps.store, _nothing).agent_parameters()
        deps.store.close()
        assert parameters["ipa-api-url"] == f"https://{address}:{port}"
        words = " ".join(f"{key}={value}" for key, value in parameters.items())
        config = agent_settings.from_cmdline(f"{words} console=ttyS0")
        assert len(words) < 1000, "a kernel command line has 2048 bytes"
        kept = tmp_path / "as-the-agent-reads-it.pem"
        kept.write_text(agent_tls.find_authority(config))
        assert await root(config.api_url, kept)
        with pytest.raises(errors.Unreachable, match="not trusted"):
            await root(config.api_url)


async def _nothing(_key: str, _file: str) -> Path | None:
    return None


def _address() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            pytest.skip("this host has no address but loopback")
        return str(probe.getsockname()[0])


async def test_plain_http_beyond_loopback_only_when_told(tmp_path: Path) -> None:
    async with listening(tmp_path, host="0.0.0.0", tls=False) as settings:
        assert await root(f"http://127.0.0.1:{settings.port}")
    async with listening(tmp_path, tls=True) as settings:
        assert await root(f"https://127.0.0.1:{settings.port}", tmp_path / "tls" / "ca.pem")


@pytest.mark.parametrize(
    ("tls", "address", "expected"),
    [
        (None, "127.0.0.1", False),
        (None, "localhost", False),
        (None, "::1", False),
        (None, "0.0.0.0", True),
        (None, "10.0.0.1", True),
        (None, "ingot.example.org", True),
        (False, "10.0.0.1", False),
        (True, "127.0.0.1", True),
    ],
)
def test_where_tls_is_spoken(tls: bool | None, address: str, expected: bool) -> None:
    assert wanted.is_wanted(Settings(tls=tls), address) is expected


async def test_a_given_certificate_is_shown_to_who_calls_by_name(tmp_path: Path) -> None:
    other = authority.Authority(tmp_path / "other")
    other.issue(["localhost", "ingot.example.org"])
    more = {"tls_cert": str(other.server_file), "tls_key": str(other.server_file), "tls": True}
    async with listening(tmp_path / "data", **more) as settings:
        assert await root(f"https://localhost:{settings.port}", other.ca_file)
        assert await root(f"https://127.0.0.1:{settings.port}", tmp_path / "data" / "tls" / "ca.pem")
        with pytest.raises(errors.Unreachable, match="not trusted"):
            await root(f"https://localhost:{settings.port}", tmp_path / "data" / "tls" / "ca.pem")


async def test_half_a_certificate_is_refused(tmp_path: Path) -> None:
    for more, text in (
        ({"tls_cert": "/nowhere"}, "only one is set"),
        ({"tls_cert": "/nowhere", "tls_key": "/nowhere"}, "cannot be used"),
    ):
        with pytest.raises(errors.Invalid, match=text):
            async with listening(tmp_path, tls=True, **more):
                pass


def test_certificates_are_renewed_a_month_before_their_end_and_for_new_names(tmp_path: Path) -> None:
    own = authority.Authority(tmp_path / "tls")
    now = datetime.datetime.now(datetime.UTC)
    assert own.issue(["a.example.org"], now)
    assert not own.issue(["a.example.org"], now + datetime.timedelta(days=360))
    assert own.issue(["a.example.org"], now + datetime.timedelta(days=370))
    assert own.issue(["a.example.org", "10.0.0.1"], now + datetime.timedelta(days=371))
    shutil.copy(own.server_file, tmp_path / "kept.pem")
    (tmp_path / "tls" / "ca.pem").unlink()
    own.issue(["a.example.org"], now)
    assert authority.read(own.server_file).issuer == own.certificate().subject


@pytest.mark.skipif(shutil.which("openssl") is None, reason="the openssl program is not installed")
def test_openssl_accepts_the_chain(tmp_path: Path) -> None:
    own = authority.Authority(tmp_path)
    own.issue(["ingot.example.org", "10.0.0.1"])
    words = ["openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-verify_ip", "10.0.0.1"]
    child = subprocess.run(
        [*words, "-CAfile", own.ca_file, own.server_file], capture_output=True, text=True, check=False
    )
    assert child.returncode == 0, child.stdout + child.stderr


def test_the_authority_survives_a_kill_between_its_files(tmp_path: Path) -> None:
    own = authority.Authority(tmp_path)
    first = own.certificate().public_key()
    own.ca_file.unlink()
    assert own.certificate().public_key() == first
    (tmp_path / "ca.key").write_bytes(b"")
    with pytest.raises(errors.Invalid, match=r"ca\.key cannot be read"):
        own.issue(["x"])
    assert isinstance(own.certificate(), x509.Certificate)


def test_a_strict_client_trusts_what_is_shown(tmp_path: Path) -> None:
    own = authority.Authority(tmp_path)
    own.issue(["127.0.0.1"])
    strict = ssl.create_default_context(cafile=str(own.ca_file))
    strict.verify_flags |= ssl.VERIFY_X509_STRICT
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(own.server_file)
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = strict.wrap_bio(back, there, server_hostname="127.0.0.1")
    server = serving.wrap_bio(there, back, server_side=True)
    for side in (client, server) * 2:
        with contextlib.suppress(ssl.SSLWantReadError):
            side.do_handshake()
    shown = client.getpeercert()
    assert shown is not None and shown["subjectAltName"] == (("IP Address", "127.0.0.1"),)
