"""What a BMC writes into UEFI's variables: a URL to boot from next time.

Why: on real servers the BMC hands HttpBootUri to the firmware; under QEMU the file of variables is the way to it.
May not: run while the machine does, for its firmware writes the same file. Invariant: a store that is not understood is
left as it is. Sources: UEFI 2.10 sections 3.1.3 (load options), 10.3.4.23 (URI device path), 3.3 (BootNext); edk2's
VariableFormat.h for the store with authenticated variables.
"""

from __future__ import annotations

import struct
import uuid
from pathlib import Path

from ingot_rack import errors

_GLOBAL = uuid.UUID("8be4df61-93ca-11d2-aa0d-00e098032b8c").bytes_le
_STORE = uuid.UUID("aaf32c78-947b-439a-a180-2e144ec37792").bytes_le
_HEADER = struct.Struct("<HBBIQ16sIII16s")
_START, _ADDED, _DELETED = 0x55AA, 0x3F, 0x3D
_KEPT_AND_SEEN = 7  # non-volatile, boot services, run time
_NUMBER = 0x4854  # of the boot entry; far above those that firmware numbers


def boot_from_uri(file: Path, uri: str) -> None:
    """Let the firmware whose variables are in `file` fetch `uri` at its next boot, and at that one only.

    Raises RackError when the file is no store of variables or is full.
    """
    store = bytearray(file.read_bytes())
    address = uri.encode()
    path = struct.pack("<BBH", 3, 24, 4 + len(address)) + address + struct.pack("<BBH", 0x7F, 0xFF, 4)
    name = "Redfish HTTP boot\0".encode("utf-16-le")
    entry = struct.pack("<IH", 1, len(path)) + name + path
    _write(store, f"Boot{_NUMBER:04X}", entry)
    _write(store, "BootNext", struct.pack("<H", _NUMBER))
    file.write_bytes(store)


def _write(store: bytearray, name: str, value: bytes) -> None:
    """Delete the variable where it is, and append it anew."""
    at, end = _bounds(store)
    words = f"{name}\0".encode("utf-16-le")
    while at + _HEADER.size <= end:
        start, state, _, _, _, _, _, names, size, owner = _HEADER.unpack_from(store, at)
        if start != _START:
            break
        found = bytes(store[at + _HEADER.size : at + _HEADER.size + names])
        if found == words and owner == _GLOBAL and state == _ADDED:
            store[at + 2] = _DELETED
        at += (_HEADER.size + names + size + 3) & ~3
    header = _HEADER.pack(_START, _ADDED, 0, _KEPT_AND_SEEN, 0, bytes(16), 0, len(words), len(value), _GLOBAL)
    whole = header + words + value
    if at + len(whole) > end:
        raise errors.RackError("The UEFI variables are full", hint="Delete the machine's folder and prepare it again.")
    store[at : at + len(whole)] = whole


def _bounds(store: bytearray) -> tuple[int, int]:
    """Where the first variable begins, and where the store ends."""
    head = struct.unpack_from("<H", store, 48)[0] if bytes(store[40:44]) == b"_FVH" else 0
    if not head or bytes(store[head : head + 16]) != _STORE:
        raise errors.RackError("This is no store of UEFI variables", hint="It has to be OVMF's own format.")
    (size,) = struct.unpack_from("<I", store, head + 16)
    return head + 28, head + size
