"""What a deployment sends, from plain words."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from ingot.cli import deployment
from ingot.domain import errors

MAC = "52:54:00:00:00:01"


def test_a_local_file_gets_its_checksum(tmp_path: Path) -> None:
    file = tmp_path / "my disk.raw"
    file.write_bytes(b"data")
    image = deployment.image(str(file), None)
    assert image.source == file.as_uri()
    assert image.digest == hashlib.sha256(b"data").hexdigest()
    assert deployment.image(file.as_uri().replace("%20", " "), None) == image


@pytest.mark.parametrize(
    ("checksum", "algorithm"),
    [("sha256:" + "a" * 64, "sha256"), ("a" * 64, "sha256"), ("SHA512:" + "B" * 128, "sha512"), ("b" * 128, "sha512")],
)
def test_checksums_of_urls(checksum: str, algorithm: str) -> None:
    assert deployment.image("oci://example.org/a:b", None).instance_info()["image_os_hash_value"] is None
    image = deployment.image("http://example.org/disk.raw", checksum)
    assert image.instance_info()["image_os_hash_algo"] == algorithm
    assert image.digest == image.digest.lower()


@pytest.mark.parametrize("checksum", [None, "sha256:abc", "md5:" + "a" * 32, "x" * 64, ""])
def test_bad_checksums_are_refused(checksum: str | None) -> None:
    with pytest.raises(errors.Invalid, match="checksum"):
        deployment.image("http://example.org/disk.raw", checksum)


def test_the_drive_holds_what_was_asked_for() -> None:
    drive = deployment.Drive("web-1", ["ssh-ed25519 AAAA me"], deployment.network("dhcp", MAC), "#cloud-config\n")
    made = drive.configdrive()
    assert made is not None
    assert made["meta_data"]["hostname"] == "web-1"
    assert made["meta_data"]["public_keys"] == {"key0": "ssh-ed25519 AAAA me"}
    assert made["network_data"]["networks"][0]["type"] == "ipv4_dhcp"
    assert made["user_data"].startswith("#cloud-config")
    assert deployment.Drive().configdrive() is None


def test_a_fixed_address() -> None:
    data = deployment.network("192.0.2.7/24,gateway=192.0.2.1,dns=192.0.2.2", MAC)
    assert data is not None
    one = data["networks"][0]
    assert (one["ip_address"], one["netmask"]) == ("192.0.2.7", "255.255.255.0")
    assert one["routes"] == [{"network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": "192.0.2.1"}]
    assert data["services"] == [{"type": "dns", "address": "192.0.2.2"}]
    assert data["links"][0]["ethernet_mac_address"] == MAC


@pytest.mark.parametrize("words", ["", "192.0.2.7", "192.0.2.7/99", "2001:db8::1/64", "192.0.2.7/24,gate=192.0.2.1"])
def test_bad_networks_are_refused(words: str) -> None:
    with pytest.raises(errors.Invalid, match="not valid"):
        deployment.network(words, MAC)


def test_network_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "network.json"
    file.write_text('{"links": []}')
    assert deployment.network(f"@{file}", MAC) == {"links": []}
    file.write_text("[]")
    with pytest.raises(errors.Invalid, match="object"):
        deployment.network(f"@{file}", MAC)


def test_ssh_keys(tmp_path: Path) -> None:
    public, private = tmp_path / "id.pub", tmp_path / "id"
    public.write_text("ssh-ed25519 AAAA me\n")
    private.write_text("-----BEGIN OPENSSH PRIVATE KEY-----\n")
    assert deployment.ssh_key(public) == "ssh-ed25519 AAAA me"
    assert deployment.ssh_key(private) == "ssh-ed25519 AAAA me", "the public half beside a private key is meant"
    public.unlink()
    with pytest.raises(errors.Invalid, match="public SSH key"):
        deployment.ssh_key(private)
    with pytest.raises(errors.Invalid, match="cannot be read"):
        deployment.ssh_key(tmp_path / "none")
