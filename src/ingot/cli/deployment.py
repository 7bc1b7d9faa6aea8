"""What a deployment needs, from plain words: instance_info for the image, and the config drive.

Why: `node deploy` and the demo must send the same. May not: send anything. Invariant: the checksum is always there.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ingot.cli import jsons
from ingot.domain import errors

Json = dict[str, Any]
_DIGESTS = {"sha256": 64, "sha512": 128}


@dataclass(frozen=True)
class Image:
    """An image to write: its URL and checksum (``algorithm``: sha256 or sha512); a registry's has none of its own."""

    source: str
    algorithm: str = ""
    digest: str = ""

    def instance_info(self) -> Json:
        """The fields of ``instance_info`` that name it; None takes an earlier image's checksum away."""
        return {
            "image_source": self.source,
            "image_os_hash_algo": self.algorithm or None,
            "image_os_hash_value": self.digest or None,
        }


def image(source: str, checksum: str | None) -> Image:
    """The image at ``source`` (URL or path); the checksum ``[sha256:]HEX`` is computed for a local file without one.

    Raises errors.Invalid.
    """
    path = local_path(source)
    if checksum is None and source.startswith("oci://"):
        return Image(source)
    if checksum is None:
        if path is None:
            raise errors.Invalid("An image behind a URL needs a checksum", hint="Add --checksum sha256:...")
        return Image(path.as_uri(), "sha256", _digest(path))
    algorithm, colon, digest = checksum.rpartition(":")
    algorithm = algorithm.lower() if colon else "sha512" if len(digest) == _DIGESTS["sha512"] else "sha256"
    if _DIGESTS.get(algorithm) != len(digest) or set(digest.lower()) - set("0123456789abcdef"):
        raise errors.Invalid(
            f'"{checksum}" is not a checksum', hint="Say sha256: with 64, or sha512: with 128 hexadecimal digits."
        )
    return Image(path.as_uri() if path else source, algorithm, digest.lower())


def local_path(source: str) -> Path | None:
    """The file that ``source`` names on this machine, None when it is an http(s) or oci URL. Raises errors.Invalid."""
    if source.startswith(("http://", "https://", "oci://")):
        return None
    path = Path(source.removeprefix("file://")).expanduser().absolute()
    if not path.is_file():
        raise errors.Invalid(
            f"There is no image {path}", hint="Name a file on this machine, an http(s) URL or oci://HOST/NAME:TAG."
        )
    return path


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise errors.Invalid(
            f"The image {path} cannot be read: {error.strerror}", hint="Correct its rights."
        ) from error


@dataclass(frozen=True)
class Drive:
    """What the deployed system reads at its first boot. None leaves a part out."""

    hostname: str | None = None
    ssh_keys: Sequence[str] = ()
    network: Json | None = None
    user_data: str | None = None

    def configdrive(self) -> Json | None:
        """The config drive as the API takes it (microversion 1.56), None when it would be empty."""
        meta: Json = {}
        if self.hostname:
            meta["hostname"] = meta["name"] = self.hostname
        if self.ssh_keys:
            meta["public_keys"] = {f"key{index}": key for index, key in enumerate(self.ssh_keys)}
        parts: Json = {"meta_data": meta, "network_data": self.network, "user_data": self.user_data}
        return {key: value for key, value in parts.items() if value} or None


def ssh_key(path: Path) -> str:
    """The public key in a file (or beside a private one). Raises errors.Invalid."""
    public = path if path.suffix == ".pub" else path.with_name(path.name + ".pub")
    public = public if public.exists() else path
    try:
        text = public.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise errors.Invalid(f"The SSH key {public} cannot be read", hint="Name a public key file.") from error
    if "PRIVATE KEY" in text or not text.startswith(("ssh-", "ecdsa-", "sk-")):
        raise errors.Invalid(f"{public} does not hold a public SSH key", hint="Name the .pub file.")
    return text.splitlines()[0]


def network(words: str, mac: str) -> Json | None:
    """network_data for the card ``mac``: "dhcp", "ADDRESS/PREFIX[,gateway=A][,dns=A]", or "@FILE" with JSON.

    None leaves the network to the image's default. Raises errors.Invalid.
    """
    if words.startswith("@"):
        return _read_json(Path(words[1:]))
    link = {"id": "link0", "type": "phy", "ethernet_mac_address": mac}
    if words == "dhcp":
        return {"links": [link], "networks": [{"id": "network0", "type": "ipv4_dhcp", "link": "link0"}], "services": []}
    first, *rest = words.split(",")
    options = {name: value for name, _, value in (part.partition("=") for part in rest)}
    try:
        address = ipaddress.ip_interface(first)
        gateway = str(ipaddress.ip_address(options.pop("gateway"))) if "gateway" in options else None
        servers = [str(ipaddress.ip_address(one)) for one in [options.pop("dns", "")] if one]
    except ValueError as error:
        raise errors.Invalid(f"The network {words!r} is not valid: {error}", hint=_NETWORK_HINT) from error
    if options or "/" not in first or not isinstance(address, ipaddress.IPv4Interface):
        raise errors.Invalid(f"The network {words!r} is not valid", hint=_NETWORK_HINT)
    return _static(link, address, gateway, servers)


_NETWORK_HINT = "Say dhcp, 192.0.2.7/24,gateway=192.0.2.1,dns=192.0.2.1 or @network_data.json."


def _static(link: Json, address: ipaddress.IPv4Interface, gateway: str | None, servers: list[str]) -> Json:
    routes = [{"network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": gateway}] if gateway else []
    one = {"id": "network0", "type": "ipv4", "link": "link0", "ip_address": str(address.ip)}
    one |= {"netmask": str(address.netmask), "routes": routes}
    return {"links": [link], "networks": [one], "services": [{"type": "dns", "address": text} for text in servers]}


def _read_json(path: Path) -> Json:
    try:
        value: Any = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise errors.Invalid(f"The file {path} does not hold readable JSON: {error}", hint="Correct it.") from error
    if not isinstance(value, dict):
        raise errors.Invalid(f"The file {path} does not hold a JSON object", hint="Write network_data.")
    return jsons.table(value)  # pyright: ignore[reportUnknownArgumentType]  JSON
