from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingot.domain import errors
from ingot.netboot import bootfiles, dhcp, ipxe, menus, ramdisk

RAMDISK = ramdisk.Ramdisk(
    api_url="http://172.22.0.1:6385",
    parameters={"ipa-debug": "1", "nofb": ""},
    extra="console=ttyS0,115200n8 intel_iommu=on",
    mac="52-54-00-AA-00-01",
)
URL = "http://172.22.0.1:6386/ramdisk"
WORDS = (
    "ipa-api-url=http://172.22.0.1:6385 BOOTIF=52:54:00:aa:00:01 ipa-debug=1 nofb console=ttyS0,115200n8 intel_iommu=on"
)


def test_ramdisk_script_is_golden() -> None:
    assert ipxe.render_ramdisk(RAMDISK, URL) == (
        "#!ipxe\n"
        "imgfree\n"
        f"kernel http://172.22.0.1:6386/ramdisk/${{buildarch}}/vmlinuz initrd=initrd {WORDS} || goto failed\n"
        "initrd --name initrd http://172.22.0.1:6386/ramdisk/${buildarch}/initrd || goto failed\n"
        "boot || goto failed\n"
        ":failed\n"
        "echo The ramdisk could not be booted, starting over in 10 seconds\n"
        "sleep 10\n"
        "reboot\n"
    )


def test_the_menus_of_the_other_loaders_are_golden() -> None:
    assert menus.render_syslinux(RAMDISK) == (
        f"DEFAULT ramdisk\nPROMPT 0\nLABEL ramdisk\nKERNEL /vmlinuz\nAPPEND initrd=/initrd {WORDS}\n"
    )
    quoted = " ".join(f"'{word}'" for word in WORDS.split())
    assert menus.render_grub(RAMDISK).startswith(
        "if [ $grub_cpu = arm64 ]; then set where=/arm64; fi\n"
        f"if linux $where/vmlinuz {quoted}; then\n  if initrd $where/initrd; then boot;"
    )


@pytest.mark.parametrize("word", ["a'b", 'a="b"', "a\\b"])
def test_grub_is_given_no_quotes(word: str) -> None:
    with pytest.raises(errors.Invalid, match="cannot be handed to a kernel by GRUB"):
        menus.render_grub(msgspec.structs.replace(RAMDISK, extra=word))


def test_entry_local_disk_and_unknown_scripts_are_golden() -> None:
    assert ipxe.render_entry("http://172.22.0.1:6385/") == (
        "#!ipxe\n"
        ":ask\n"
        "chain --autofree http://172.22.0.1:6385/boot/ipxe/${netX/mac} ||\n"
        "echo No boot script from the server for ${netX/mac}, asking again in 5 seconds\n"
        "sleep 5\n"
        "goto ask\n"
    )
    bios = "#!ipxe\nsanboot --no-describe --drive 0x80 || exit 1\n"
    assert ipxe.render_local_disk(ipxe.Firmware.BIOS) == bios
    assert ipxe.render_local_disk(ipxe.Firmware.UEFI) == "#!ipxe\nexit 0\n"
    unknown = ipxe.render_unknown("52:54:00:aa:00:01", "http://api")
    assert "52:54:00:aa:00:01 is not a port of any node of http://api" in unknown
    assert unknown.endswith("exit 1\n")


@pytest.mark.parametrize(
    "change",
    [
        {"api_url": "http://x\nshell"},
        {"api_url": "http://x||shell"},
        {"extra": "a && shell"},
        {"extra": "a\nshell"},
        {"extra": "${password}"},
        {"extra": "a ; shell"},
        {"extra": ";"},
        {"extra": "quiet #"},
        {"extra": "#a"},
        {"parameters": {"#": ""}},
        {"parameters": {"a b": "c"}},
        {"parameters": {"a": "c\td"}},
    ],
)
def test_no_value_can_add_a_command(change: dict[str, object]) -> None:
    changed = msgspec.structs.replace(RAMDISK, **change)
    with pytest.raises(errors.Invalid):
        changed.words()


def test_a_semicolon_or_hash_within_a_word_ends_nothing() -> None:
    words = msgspec.structs.replace(RAMDISK, extra="a=b;c d=; ;e f#g").words()
    assert words[-4:] == ["a=b;c", "d=;", ";e", "f#g"]


@given(st.text(max_size=60))
def test_extra_never_changes_the_number_of_lines(extra: str) -> None:
    plain = ipxe.render_ramdisk(RAMDISK, URL).count("\n")
    try:
        script = ipxe.render_ramdisk(msgspec.structs.replace(RAMDISK, extra=extra), URL)
    except errors.Invalid:
        return
    assert len(script.splitlines()) == plain


def test_mac_addresses_are_normalised_or_refused() -> None:
    assert ramdisk.normal_mac(" 52-54-00-AA-BB-CC ") == "52:54:00:aa:bb:cc"
    for bad in ("", "52:54:00:aa:bb", "52:54:00:aa:bb:cg", "../../etc/passwd"):
        with pytest.raises(errors.Invalid, match="is not a MAC address"):
            ramdisk.normal_mac(bad)


def test_boot_files_come_from_the_package(tmp_path: Path) -> None:
    bootfiles.lay_out(tmp_path / "tftp", "http://172.22.0.1:6385")
    laid = {path.name for path in (tmp_path / "tftp").iterdir()}
    assert laid - {"arm64.efi"} == {"bios.pxe", "boot.ipxe", "x64.efi"}  # Debian 13's package has ARM64's as well
    assert (tmp_path / "tftp/x64.efi").read_bytes()[:2] == b"MZ"


def test_missing_boot_files_name_the_package(tmp_path: Path) -> None:
    with pytest.raises(errors.NotSupported) as caught:
        bootfiles.lay_out(tmp_path / "tftp", "http://x", tmp_path)
    assert "'iPXE for BIOS' is not installed (looked for /usr/lib/ipxe/undionly.kpxe)" in caught.value.sentence()
    assert "apt-get install --no-install-recommends ipxe" in caught.value.sentence()


def test_ranges_are_planned_around_the_host() -> None:
    net = dhcp.plan("br0", "172.22.0.1/24")
    assert (net.first, net.last, net.netmask, net.host) == (
        "172.22.0.2",
        "172.22.0.254",
        "255.255.255.0",
        "172.22.0.1",
    )
    high = dhcp.plan("br0", "10.0.0.254/24")
    assert (high.first, high.last) == ("10.0.0.1", "10.0.0.253")


@pytest.mark.parametrize(
    ("address", "first", "last", "gateway", "said"),
    [
        ("172.22.0.1/31", None, None, None, "too small"),
        ("nonsense", None, None, None, "not valid"),
        ("172.22.0.1/24", "172.22.0.0", "172.22.0.9", None, "does not lie inside"),
        ("172.22.0.1/24", "172.22.0.9", "172.22.0.5", None, "does not lie inside"),
        ("172.22.0.5/24", "172.22.0.2", "172.22.0.9", None, "own address"),
        ("172.22.0.1/24", None, None, "10.0.0.1", "gateway"),
    ],
)
def test_wrong_networks_are_refused(
    address: str, first: str | None, last: str | None, gateway: str | None, said: str
) -> None:
    with pytest.raises(errors.Invalid, match=said):
        dhcp.plan("br0", address, first, last, gateway)
