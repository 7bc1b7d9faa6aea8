"""Which keys of driver_info are told as slips, and which may be meant so."""

from __future__ import annotations

import time

import pytest

from ingot.domain import spelling

KNOWN = ("ipmi_address", "ipmi_username", "ipmi_password", "ipmi_port")


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("ipmi_adress", "ipmi_address"),
        ("impi_address", "ipmi_address"),
        ("IPMI_Address", "ipmi_address"),
        ("ipmi_user", "ipmi_username"),
        ("ipmi_pasword", "ipmi_password"),
    ],
)
def test_a_near_miss_is_told_with_what_was_meant(given: str, meant: str) -> None:
    told = spelling.slips("ipmi", {given: 1}, KNOWN)
    assert told == f'"{given}" is not a property of driver ipmi; did you mean "{meant}"?'


def test_what_looks_like_the_drivers_own_is_told_without_a_guess() -> None:
    assert spelling.slips("ipmi", ["ipmi_foo"], KNOWN) == '"ipmi_foo" is not a property of driver ipmi.'
    assert spelling.slips("ipmi", ["ipmi_adress", "ipmi_address"], KNOWN).endswith("driver ipmi."), "it is given"


@pytest.mark.parametrize("key", [*KNOWN, "deploy_kernel", "rescue_ramdisk", "redfish_address", "console_port"])
def test_what_others_read_is_no_slip(key: str) -> None:
    assert spelling.slips("ipmi", [key], KNOWN) == ""


def test_of_many_keys_a_few_are_looked_at_and_fewer_told() -> None:
    """Callers may send as many as a request holds, and as long ones."""
    began = time.monotonic()
    told = spelling.slips("ipmi", [*(f"ipmi_{number}" for number in range(60_000)), "ipmi_" + "x" * 100_000], KNOWN)
    assert time.monotonic() - began < 2, "all of them take ten times as long"
    assert told.count("is not a property") == 5
    assert spelling.slips("ipmi", ["ipmi_" + "x" * 100_000], KNOWN) == ""
