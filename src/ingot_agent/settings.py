"""What the kernel command line says to the agent, and where it finds the machine's files.

May not: do I/O besides reading the command line. Invariant: unknown parameters are left alone, bad ones
fall back to defaults.
"""

from __future__ import annotations

from dataclasses import dataclass

_BEYOND = 1e15


@dataclass(frozen=True)
class Roots:
    """Folders of the machine; tests give their own."""

    sys: str = "/sys"
    proc: str = "/proc"
    dev: str = "/dev"
    run: str = "/run"
    top: str = ""


@dataclass(frozen=True)
class Settings:
    """The agent's settings; times in seconds, empty text means not given.

    ``ca``: base64 of the DER certificate that vouches for the API. ``now``: epoch seconds when the boot was ordered.
    """

    api_url: str = ""
    inspection_callback_url: str = ""
    inspection_collectors: str = ""
    agent_token: str = ""
    ca: str = ""
    now: float = 0.0
    tls: bool = True
    tls_min_version: str = "1.2"
    tls_cipher_suites: str = ""
    boot_mac: str = ""
    listen_port: int = 9999
    advertise_host: str = ""
    advertise_port: int = 9999
    collect_lldp: bool = False
    lldp_timeout: float = 30.0
    lookup_timeout: float = 600.0
    address_wait: float = 30.0
    http_timeout: float = 30.0
    insecure: bool = False
    inject_files_priority: int = 0
    debug: bool = False


def parse_cmdline(text: str) -> dict[str, str]:
    """Split a kernel command line; quotes hold a value together, a word without ``=`` has the value ""."""
    words: list[str] = []
    quoted, word = False, ""
    for letter in text.strip() + " ":
        if letter == '"':
            quoted = not quoted
        elif letter.isspace() and not quoted:
            if word:
                words.append(word)
            word = ""
        else:
            word += letter
    pairs = (entry.partition("=") for entry in words)
    return {name: value for name, _, value in pairs}


def boot_mac(bootif: str) -> str:
    """Turn BOOTIF (``01-52-54-00-12-34-56`` or a plain address) into ``52:54:00:12:34:56``; "" stays ""."""
    plain = bootif.replace("-", ":").lower()
    return plain[3:] if len(plain) == 20 else plain


def _number(values: dict[str, str], name: str, default: float) -> float:
    try:
        number = float(values[name])
    except (KeyError, ValueError):
        return default
    return number if abs(number) < _BEYOND else default  # neither nan nor inf, which Python reads as numbers


def _truth(values: dict[str, str], name: str, default: str = "0") -> bool:
    return values.get(name, default).lower() in ("1", "true", "yes", "on")


def from_cmdline(text: str) -> Settings:
    """Read the agent's settings from a kernel command line."""
    values = parse_cmdline(text)
    port = int(_number(values, "ipa-listen-port", 9999))
    return Settings(
        api_url=values.get("ipa-api-url", "").rstrip("/"),
        inspection_callback_url=values.get("ipa-inspection-callback-url", ""),
        inspection_collectors=values.get("ipa-inspection-collectors", ""),
        agent_token=values.get("ipa-agent-token", ""),
        ca=values.get("ipa-ca", ""),
        now=_number(values, "ingot-time", 0),
        tls=_truth(values, "ingot-agent-tls", "1"),
        tls_min_version=values.get("ipa-tls-min-version", "1.2"),
        tls_cipher_suites=values.get("ipa-tls-cipher-suites", ""),
        boot_mac=boot_mac(values.get("BOOTIF", "")),
        listen_port=port,
        advertise_host=values.get("ipa-advertise-host", ""),
        advertise_port=int(_number(values, "ipa-advertise-port", port)),
        collect_lldp=_truth(values, "ipa-collect-lldp"),
        lldp_timeout=_number(values, "ipa-lldp-timeout", 30),
        lookup_timeout=_number(values, "ipa-lookup-timeout", 600),
        address_wait=_number(values, "ipa-inspection-dhcp-wait-timeout", 30),
        http_timeout=_number(values, "ipa-http-request-timeout", 30),
        insecure=_truth(values, "ipa-insecure"),
        inject_files_priority=int(min(max(_number(values, "ipa-inject-files-priority", 0), 0), 99)),
        debug=_truth(values, "ipa-debug"),
    )
