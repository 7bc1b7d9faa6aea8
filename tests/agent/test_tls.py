"""The agent's own certificate, its TLS server, and whom it believes to be the API."""

from __future__ import annotations

import base64
import contextlib
import datetime
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent import machines, peers
from faults import catalogue
from ingot_agent import boot, certificate, errors, settings, tls, wire
from ingot_rack.redfish import tls as bmc_tls


def _openssl(*words: str, given: str = "") -> str:
    done = subprocess.run(["openssl", *words], input=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("host", ["192.0.2.7", "2001:db8::7", "agent.example"])
def test_openssl_accepts_key_and_certificate(tmp_path: Path, host: str) -> None:
    for _ in range(8):  # lengths of the numbers differ
        made = certificate.make("ingot", [host])
        (tmp_path / "c.pem").write_text(made.pem)
        assert "Key is valid" in _openssl("pkey", "-check", "-noout", given=made.key_pem)
        named = ["-verify_hostname", host] if host[0] == "a" else ["-verify_ip", host]
        path = str(tmp_path / "c.pem")
        _openssl("verify", "-check_ss_sig", "-x509_strict", "-purpose", "sslserver", *named, "-CAfile", path, path)
        for when in ("946684800", "4102444800"):  # 2000 and 2100: this machine's clock does not matter
            _openssl("verify", "-attime", when, "-CAfile", path, path)
    assert certificate.make("ingot", [host]).key_pem != made.key_pem


@pytest.fixture
def roots(tmp_path: Path) -> settings.Roots:
    return machines.make(tmp_path / "machine")


@contextlib.contextmanager
def _running(api_url: str, roots: settings.Roots, **values: str) -> Iterator[boot.Agent]:
    config = settings.Settings(
        api_url=api_url, listen_port=0, address_wait=0, http_timeout=5, lookup_timeout=3, **values
    )  # pyright: ignore[reportArgumentType] - texts all
    agent = boot.Agent(config, roots, "127.0.0.1")
    thread = threading.Thread(target=agent.run)
    thread.start()
    try:
        yield agent
    finally:
        agent.lock_down()
        thread.join(10)
        assert not thread.is_alive()


def test_callback_is_pinned_to_the_certificate_of_this_boot(roots: settings.Roots) -> None:
    with peers.Ironic() as api, _running(f"http://127.0.0.1:{api.port}", roots) as agent:
        peers.wait_until(lambda: api.seen.heartbeats, 10, "the first heartbeat")
        own = api.seen.heartbeats[0]["agent_verify_ca"]
        base = f"https://127.0.0.1:{agent.server.port}"
        assert peers.AgentClient(base, ca=own).call("GET", "/v1/status")[0] == 200
        other = certificate.make("ingot", ["127.0.0.1"]).pem
        with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
            peers.AgentClient(base, ca=other).call("GET", "/v1/status")
        with socket.create_connection(("127.0.0.1", agent.server.port), 5) as plain:
            plain.sendall(b"GET /v1/status HTTP/1.1\r\n\r\n")
            with contextlib.suppress(ConnectionResetError):
                assert not plain.recv(100).startswith(b"HTTP")
        assert not list(Path(roots.run).glob("*.pem"))


def test_old_api_gets_a_plain_callback(roots: settings.Roots) -> None:
    with peers.Ironic(newest="1.65") as api, _running(f"http://127.0.0.1:{api.port}", roots) as agent:
        peers.wait_until(lambda: api.seen.heartbeats, 10, "the first heartbeat")
        assert "agent_verify_ca" not in api.seen.heartbeats[0]
        assert api.seen.heartbeats[0]["callback_url"].startswith("http://")
        assert peers.AgentClient(f"http://127.0.0.1:{agent.server.port}").call("GET", "/v1/status")[0] == 200


@pytest.fixture
def authority(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A CA's certificate (PEM) and a server's chain with key for 127.0.0.1."""
    ca, server = tmp_path / "ca.pem", tmp_path / "server.pem"
    key = str(tmp_path / "ca.key")
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-sha256"]
    _openssl("req", "-x509", *curve, "-subj", "/CN=ca", "-days", "30", "-keyout", key, "-out", str(ca))
    signed = ["-CA", str(ca), "-CAkey", key, "-addext", "subjectAltName=IP:127.0.0.1", "-days", "30"]
    own = str(tmp_path / "s.key")
    _openssl("req", "-x509", *curve, "-subj", "/CN=s", *signed, "-keyout", own, "-out", str(server))
    server.write_text(server.read_text() + Path(own).read_text())
    before = list(tls._own_authorities)  # pyright: ignore[reportPrivateUsage] - the process's state, put back
    yield ca.read_text(), server
    tls._own_authorities[:] = before  # pyright: ignore[reportPrivateUsage] - as above


def _secured(api: peers.Ironic, chain: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    api.server.socket = context.wrap_socket(api.server.socket, server_side=True)


def test_api_over_tls_by_the_ca_of_the_boot_parameters(roots: settings.Roots, authority: tuple[str, Path]) -> None:
    ca, chain = authority
    parameter = base64.urlsafe_b64encode(ssl.PEM_cert_to_DER_cert(ca)).decode().rstrip("=")
    config = settings.from_cmdline(f"ipa-api-url=https://127.0.0.1 ipa-ca={parameter} ingot-time=1790000000")
    assert config.now == 1790000000
    tls.trust(tls.find_authority(config))
    api = peers.Ironic()
    _secured(api, chain)
    with api, _running(f"https://127.0.0.1:{api.port}", roots):
        peers.wait_until(lambda: api.seen.heartbeats, 10, "the first heartbeat")


def test_api_with_a_certificate_of_nobody_we_trust(roots: settings.Roots, authority: tuple[str, Path]) -> None:
    api = peers.Ironic()
    _secured(api, authority[1])
    with api:
        connection = wire.Connection(wire.parse_url(f"https://127.0.0.1:{api.port}"), timeout=5, api=True)
        with pytest.raises(errors.Unreachable, match="certificate verify failed"):
            connection.request("GET", "/")
        other = certificate.make("ca", ["x"]).pem
        tls.trust(other)
        with pytest.raises(errors.Unreachable, match="certificate verify failed"):
            connection.request("GET", "/")


def test_an_authority_file_of_the_ramdisk_and_a_bad_parameter(tmp_path: Path) -> None:
    assert tls.find_authority(settings.Settings(), str(tmp_path)) == ""
    (tmp_path / "etc/ingot").mkdir(parents=True)
    (tmp_path / "etc/ingot/ca.pem").write_text("a CA")
    assert tls.find_authority(settings.Settings(), str(tmp_path)) == "a CA"
    with pytest.raises(errors.InvalidCommandParams, match="ipa-ca is not base64"):
        tls.find_authority(settings.Settings(ca="a"))


@pytest.mark.usefixtures("authority")
def test_a_clock_beyond_the_certificates_time_is_named() -> None:
    """To the agent it is one whether its clock is ahead or the certificate is old."""
    yesterday = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    context, pem = bmc_tls.context(["127.0.0.1"], until=yesterday)
    tls.trust(pem.decode())
    api = peers.Ironic()
    api.server.socket = context.wrap_socket(api.server.socket, server_side=True)
    with api:
        connection = wire.Connection(wire.parse_url(f"https://127.0.0.1:{api.port}"), timeout=5, api=True)
        with pytest.raises(errors.Unreachable) as refused:
            connection.request("GET", "/")
    catalogue.told("agent-clock-ahead", refused.value)


def test_a_clock_years_off_is_named() -> None:
    refused = ssl.SSLCertVerificationError()
    refused.verify_code = 9
    assert "not valid yet; this machine's clock says 20" in tls.explain(refused)
