"""Capabilities in every shape that Ironic's users write them."""

from __future__ import annotations

from typing import Any

import pytest

from ingot.domain import capabilities


@pytest.mark.parametrize(
    ("instance", "properties", "mode"),
    [
        ({}, {}, None),
        ({}, {"capabilities": "boot_mode:bios,cpu_vt:true"}, "bios"),
        ({}, {"capabilities": "boot_mode:UEFI"}, "uefi"),
        ({}, {"capabilities": "boot_mode:toaster"}, None),
        ({"capabilities": {"boot_mode": "uefi"}}, {"capabilities": "boot_mode:bios"}, "uefi"),
        ({"capabilities": '{"boot_mode": "bios"}'}, {}, "bios"),
        ({"capabilities": '{"boot_mode": '}, {"capabilities": "boot_mode:bios"}, "bios"),
        pytest.param({"capabilities": '{"a":' * 100_000}, {"capabilities": "boot_mode:bios"}, "bios", id="deep"),
        ({"deploy_boot_mode": "bios"}, {}, "bios"),
        ({"capabilities": {"secure_boot": "true"}}, {"capabilities": "boot_mode:bios"}, "uefi"),
    ],
)
def test_the_instance_is_heard_before_the_node(
    instance: dict[str, Any], properties: dict[str, Any], mode: str | None
) -> None:
    assert capabilities.wanted_boot_mode(instance, properties) == mode


def test_secure_boot_is_the_instances_wish_alone() -> None:
    assert capabilities.wants_secure_boot({"capabilities": "secure_boot:True"})
    assert not capabilities.wants_secure_boot({"capabilities": {"secure_boot": "false"}})
    assert not capabilities.wants_secure_boot({})
