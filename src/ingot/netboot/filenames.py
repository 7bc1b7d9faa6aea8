"""The names under which firmware asks for its first program: the same for every machine, for DHCP never changes."""

from __future__ import annotations

BIOS = "bios.pxe"
X64 = "x64.efi"
ARM64 = "arm64.efi"
IPXE_SCRIPT = "boot.ipxe"
HTTP_PATH = "/boot/files"
