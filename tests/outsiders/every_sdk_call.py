"""Every call of openstacksdk's bare metal proxy to the service of the first argument; prints those it did not make.

Runs with the peers' interpreter. Machines are imaginary (`fake-hardware`), the answers are the service's own.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from typing import Any

import openstack
from openstack import exceptions
from openstack.baremetal.v1 import _proxy
from openstack.utils import iterate_timeout

MADE: set[str] = set()


class Recorded:
    """The proxy, remembering which of its calls were made."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        MADE.add(name)
        return found


def refused(call: Callable[..., Any], *words: Any, **more: Any) -> str:
    """What the service says to a call that it has to refuse."""
    try:
        call(*words, **more)
    except exceptions.HttpException as error:
        assert error.status_code is not None and 400 <= error.status_code < 500, error
        return str(error)
    raise AssertionError(f"{call.__name__}{words} was not refused")


def ids(found: Any) -> list[str]:
    return [each.id for each in found]


def drivers(metal: Any) -> None:
    assert "fake-hardware" in {each.name for each in metal.drivers(details=True)}
    assert metal.get_driver("fake-hardware").default_power_interface == "fake"
    metal.list_driver_vendor_passthru("fake-hardware")
    refused(metal.call_driver_vendor_passthru, "fake-hardware", "GET", "no_such_method")
    (host,) = [each.hostname for each in metal.conductors(details=True)]
    assert "fake-hardware" in metal.get_conductor(host).drivers


def chassis(metal: Any) -> None:
    made = metal.create_chassis(description="row")
    assert ids(metal.chassis(details=True)) == [made.id] == [metal.find_chassis(made.id).id]
    metal.update_chassis(made, extra={"a": 1})
    metal.patch_chassis(made, [{"op": "add", "path": "/extra/b", "value": 2}])
    assert metal.get_chassis(made.id).extra == {"a": 1, "b": 2}
    metal.delete_chassis(made)
    assert metal.find_chassis(made.id, ignore_missing=True) is None


def node(metal: Any) -> Any:
    """A node, enrolled and described."""
    made = metal.create_node(
        driver="fake-hardware", name="sdk", resource_class="gold", driver_info={"a_password": "p"},
        rescue_interface="fake", bios_interface="fake", console_interface="fake", vendor_interface="fake",
        firmware_interface="fake",
    )  # fmt: skip
    assert made.driver_info == {"a_password": "******"}, made.driver_info
    metal.update_node(made, extra={"x": 1})
    metal.patch_node(made, [{"op": "add", "path": "/properties/cpus", "value": 4}])
    assert metal.get_node("sdk").extra == {"x": 1}
    assert metal.find_node("sdk").id == made.id
    assert ids(metal.nodes(details=True, provision_state="enroll")) == [made.id]
    metal.set_node_traits(made, ["CUSTOM_A"])
    metal.add_node_trait(made, "CUSTOM_B")
    metal.remove_node_trait(made, "CUSTOM_A")
    assert metal.get_node(made.id, fields=["traits"]).traits == ["CUSTOM_B"]
    metal.set_node_maintenance(made, "why")
    assert metal.get_node(made.id).is_maintenance
    metal.unset_node_maintenance(made)
    assert metal.validate_node(made, required=("power",))["power"].result
    return made


def ports(metal: Any, of: Any) -> None:
    group = metal.create_port_group(node_id=of.id, name="g1")
    assert ids(metal.port_groups(details=True, node=of.id)) == [group.id] == [metal.find_port_group("g1").id]
    metal.update_port_group(group, extra={"a": 1})
    metal.patch_port_group(group, [{"op": "add", "path": "/extra/b", "value": 2}])
    assert metal.get_port_group("g1").extra == {"a": 1, "b": 2}
    port = metal.create_port(address="52:54:00:00:00:02", node_id=of.id, port_group_id=group.id)
    assert ids(metal.ports(details=True, node_id=of.id)) == [port.id] == [metal.find_port(port.id).id]
    metal.update_port(port, extra={"a": 1})
    metal.patch_port(port, [{"op": "remove", "path": "/portgroup_uuid"}])
    assert metal.get_port(port.id).extra == {"a": 1}
    metal.delete_port_group(group)
    metal.attach_vif_to_node(of, "vif-1")
    assert metal.list_node_vifs(of) == ["vif-1"]
    assert metal.detach_vif_from_node(of, "vif-1")
    metal.delete_port(port)


def volumes(metal: Any, of: Any) -> None:
    metal.set_node_power_state(of, "power off", wait=True, timeout=30)
    one = metal.create_volume_connector(node_id=of.id, type="iqn", connector_id="iqn.2026-01.test:sdk")
    assert (
        ids(metal.volume_connectors(details=True, node=of.id)) == [one.id] == [metal.find_volume_connector(one.id).id]
    )
    metal.update_volume_connector(one, extra={"a": 1})
    metal.patch_volume_connector(one, [{"op": "add", "path": "/extra/b", "value": 2}])
    assert metal.get_volume_connector(one.id).extra == {"a": 1, "b": 2}
    metal.delete_volume_connector(one)
    two = metal.create_volume_target(
        node_id=of.id, volume_type="iscsi", boot_index=0, volume_id="v1", properties={"auth_password": "p"}
    )
    assert ids(metal.volume_targets(details=True, node=of.id)) == [two.id] == [metal.find_volume_target(two.id).id]
    metal.update_volume_target(two, volume_id="v2")
    metal.patch_volume_target(two, [{"op": "add", "path": "/extra/b", "value": 2}])
    assert metal.get_volume_target(two.id).volume_id == "v2"
    metal.delete_volume_target(two)


def machine(metal: Any, of: Any) -> None:
    """What the machine itself can do."""
    metal.set_node_provision_state(of, "manage", wait=True, timeout=30)
    metal.set_node_power_state(of, "power on")
    metal.wait_for_node_power_state(of, "power on", timeout=30)
    metal.wait_for_node_reservation(of, timeout=30)
    metal.set_node_boot_device(of, "pxe", persistent=True)
    assert metal.get_node_boot_device(of)["boot_device"] == "pxe"
    assert "pxe" in metal.get_node_supported_boot_devices(of)["supported_boot_devices"]
    metal.set_node_boot_mode(of, "uefi")
    metal.wait_for_node_reservation(of, timeout=30)
    metal.set_node_secure_boot(of, True)
    metal.wait_for_node_reservation(of, timeout=30)
    metal.inject_nmi_to_node(of)
    metal.enable_node_console(of)
    until(lambda: metal.get_node_console(of)["console_enabled"])
    metal.disable_node_console(of)
    metal.wait_for_node_reservation(of, timeout=30)
    metal.list_node_firmware(of)
    metal.list_node_vendor_passthru(of)
    refused(metal.call_node_vendor_passthru, of, "GET", "no_such_method")
    refused(metal.attach_vmedia_to_node, of, "no_such_device", "http://127.0.0.1/x.iso")
    metal.detach_vmedia_from_node(of, ["cdrom"])
    metal.set_node_provision_state(of, "inspect", wait=True, timeout=30)
    assert metal.get_node_inventory(of)["inventory"]
    steps = [{"interface": "deploy", "step": "erase_devices_metadata"}]
    metal.set_node_provision_state(of, "clean", clean_steps=steps, wait=True, timeout=30)
    metal.set_node_provision_state(of, "provide")
    assert ids(metal.wait_for_nodes_provision_state([of], "available", timeout=30)) == [of.id]


def allocations(metal: Any, of: Any) -> None:
    """An allocation takes the node, which is deployed, rescued and given back."""
    made = metal.create_allocation(name="a1", resource_class="gold", traits=["CUSTOM_B"])
    assert metal.wait_for_allocation(made, timeout=30).node_id == of.id
    assert ids(metal.allocations(state="active")) == [made.id]
    metal.update_allocation(made, extra={"a": 1})
    metal.patch_allocation(made, [{"op": "add", "path": "/extra/b", "value": 2}])
    assert metal.get_allocation("a1").extra == {"a": 1, "b": 2}
    refused(metal.create_allocation, name="a1", resource_class="gold")
    metal.set_node_provision_state(of, "active", config_drive={"meta_data": {"name": "x"}}, wait=True, timeout=30)
    metal.set_node_provision_state(of, "rescue", rescue_password="secret", wait=True, timeout=30)
    metal.set_node_provision_state(of, "unrescue")
    metal.wait_for_nodes_provision_state([of], "active", timeout=30)
    metal.set_node_provision_state(of, "rebuild", wait=True, timeout=30)
    metal.set_node_provision_state(of, "deleted", wait=True, timeout=30)
    lost = metal.create_allocation(name="a2", resource_class="nobody-has-it")
    metal.wait_for_status(lost, "error", failures=["active"], attribute="state", wait=30)
    metal.delete_allocation(lost)
    metal.wait_for_delete(lost, wait=30)


def templates(metal: Any) -> None:
    steps = [{"interface": "deploy", "step": "erase_devices_metadata", "args": {}, "priority": 90}]
    one = metal.create_deploy_template(name="CUSTOM_T", steps=steps)
    assert ids(metal.deploy_templates(details=True)) == [one.id] == [metal.find_deploy_template("CUSTOM_T").id]
    metal.update_deploy_template(one, extra={"a": 1})
    metal.patch_deploy_template(one, [{"op": "add", "path": "/extra/b", "value": 2}])
    assert metal.get_deploy_template(one.id).extra == {"a": 1, "b": 2}
    metal.delete_deploy_template(one)
    two = metal.create_runbook(
        name="CUSTOM_R", steps=[{"interface": "power", "step": "reboot", "args": {}, "order": 1}]
    )
    assert ids(metal.runbooks(details=True)) == [two.id]
    metal.update_runbook(two, extra={"a": 1})
    metal.patch_runbook(two, [{"op": "add", "path": "/extra/b", "value": 2}])
    metal.set_runbook_traits(two, ["CUSTOM_X"])
    metal.add_runbook_trait(two, "CUSTOM_Y")
    metal.remove_runbook_trait(two, "CUSTOM_X")
    assert metal.get_runbook(two.id).extra == {"a": 1, "b": 2}
    metal.delete_runbook(two)


def rules(metal: Any) -> None:
    action = {"op": "set-attribute", "args": {"path": "description", "value": "seen"}}
    made = metal.create_inspection_rule(description="a rule", actions=[action])
    assert made.id in ids(metal.inspection_rules(details=True))
    metal.update_inspection_rule(made, description="another")
    metal.patch_inspection_rule(made, [{"op": "replace", "path": "/priority", "value": 7}])
    found = metal.get_inspection_rule(made.id)
    assert (found.description, found.priority) == ("another", 7)
    metal.delete_inspection_rule(made)


def until(condition: Callable[[], Any]) -> None:
    for _ in iterate_timeout(30, "what was asked for did not come about", wait=0.2):
        if condition():
            return


def main() -> None:
    cloud = openstack.connect(auth_type="none", endpoint=sys.argv[1], baremetal_endpoint_override=sys.argv[1])
    metal = Recorded(cloud.baremetal)
    drivers(metal)
    chassis(metal)
    of = node(metal)
    for part in (ports, volumes, machine, allocations):
        part(metal, of)
    templates(metal)
    rules(metal)
    metal.delete_node(of)
    there = {name for name, found in vars(_proxy.Proxy).items() if inspect.isfunction(found) and name[0] != "_"}
    sys.stdout.write(f"not called: {sorted(there - MADE)}\n")


if __name__ == "__main__":
    main()
