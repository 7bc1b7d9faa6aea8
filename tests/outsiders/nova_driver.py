"""Nova's own baremetal driver, unchanged, against a service: its URL and an available node's uuid are the arguments.

Runs with upstream's interpreter (packaging/upstream.txt), as a nova-compute without its queue would: its driver, its
objects in a database of SQLite in the working directory, and its configuration. Prints what each of the driver's calls
came to, one line of JSON for each. Invariant: nothing of Nova is replaced, so what passes here passes there.
"""

from __future__ import annotations

import http.server
import json
import sys
import threading
import uuid
import warnings
from pathlib import Path
from typing import Any

warnings.simplefilter("ignore")

from nova import config, context, exception, objects  # noqa: E402 - warnings are silenced first
from nova.compute import power_state, provider_tree, vm_states  # noqa: E402 - warnings are silenced first
from nova.conf import CONF  # noqa: E402 - warnings are silenced first
from nova.db import migration  # noqa: E402 - warnings are silenced first
from nova.db.main import api as database  # noqa: E402 - warnings are silenced first
from nova.network import model  # noqa: E402 - warnings are silenced first
from nova.virt.ironic import driver as nova_driver  # noqa: E402 - warnings are silenced first

CTX = context.RequestContext("a-user", "a-project", is_admin=True)
VIF = str(uuid.uuid4())


class Neutron(http.server.BaseHTTPRequestHandler):
    """A network service without a single port, which Nova asks for security groups when it makes a config drive."""

    def do_GET(self) -> None:
        body = json.dumps({self.path.split("?")[0].rsplit("/", 1)[1].replace("-", "_"): []}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def configure(endpoint: str) -> None:
    """What an operator writes into nova.conf for a compute service of bare metal."""
    networks = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Neutron)
    threading.Thread(target=networks.serve_forever, daemon=True).start()
    config.parse_args([], default_config_files=[])
    CONF.set_override("connection", f"sqlite:///{Path.cwd()}/nova.sqlite", "database")
    CONF.set_override("lock_path", str(Path.cwd()), "oslo_concurrency")
    CONF.set_override("host", "a-compute")
    for option, value in {
        "auth_type": "none",
        "endpoint_override": endpoint,
        "api_retry_interval": 1,
        "serial_console_state_timeout": 5,
    }.items():
        CONF.set_override(option, value, "ironic")
    CONF.set_override("auth_type", "none", "neutron")
    CONF.set_override("endpoint_override", f"http://127.0.0.1:{networks.server_port}", "neutron")
    objects.register_all()
    database.configure(CONF)
    migration.db_sync(database="main")


def make_instance(node: str) -> objects.Instance:
    """A server as the scheduler hands it to the compute service."""
    flavor = objects.Flavor(
        id=1, name="gold", memory_mb=512, vcpus=1, root_gb=4, ephemeral_gb=0, swap=0, flavorid="gold",
        rxtx_factor=1.0, vcpu_weight=1, disabled=False, is_public=True,
        extra_specs={"resources:CUSTOM_GOLD": "1", "trait:CUSTOM_FAST": "required", "capabilities:boot_mode": "uefi"},
    )  # fmt: skip
    instance = objects.Instance(
        CTX, uuid=str(uuid.uuid4()), node=node, compute_id=1, host="a-compute", user_id="a-user",
        project_id="a-project", display_name="srv", hostname="srv", image_ref=str(uuid.uuid4()),
        config_drive="True", vm_state=vm_states.BUILDING,
        memory_mb=512, vcpus=1, root_gb=4, ephemeral_gb=0, flavor=flavor, old_flavor=None, new_flavor=None,
        system_metadata={"owner_project_name": "a-project", "owner_user_name": "a-user"}, metadata={},
        key_data="ssh-ed25519 AAAA me", key_name="mine", security_groups=objects.SecurityGroupList(objects=[]),
        keypairs=objects.KeyPairList(objects=[]),
    )  # fmt: skip
    instance.create()
    return instance


def network(address: str) -> model.NetworkInfo:
    """One port of one network, as Neutron's answer is kept."""
    ip = model.FixedIP(address="192.168.7.5", version=4)
    gateway = model.IP(address="192.168.7.1", version=4)
    subnet = model.Subnet(cidr="192.168.7.0/24", ips=[ip], gateway=gateway, dns=[], routes=[], version=4)
    net = model.Network(id=str(uuid.uuid4()), label="tenant", subnets=[subnet], bridge=None)
    return model.NetworkInfo([model.VIF(id=VIF, address=address, network=net, type=model.VIF_TYPE_OTHER)])


def say(what: str, value: object = True) -> None:
    """One line of the result."""
    sys.stdout.write(json.dumps({"call": what, "value": value}) + "\n")
    sys.stdout.flush()


class Way:
    """One instance from the scheduler's choice to its end."""

    def __init__(self, node: str) -> None:
        self.node = node
        self.driver: Any = nova_driver.IronicDriver(None)
        self.instance = make_instance(node)
        self.image = objects.ImageMeta.from_dict({"id": self.instance.image_ref, "properties": {}})

    def state(self) -> int:
        return int(self.driver.get_info(self.instance, use_cache=False).state)

    def before(self) -> None:
        """What nova-compute asks at its start and for the scheduler."""
        self.driver._refresh_hash_ring(CTX) if CONF.ironic.peer_list else None
        self.driver._refresh_cache()
        say("nodes", self.node in self.driver.node_cache)
        say("names", self.driver.get_nodenames_by_uuid(refresh=True))
        say("is available", self.driver.node_is_available(self.node))
        tree = provider_tree.ProviderTree()
        tree.new_root(self.node, self.node)
        self.driver.update_provider_tree(tree, self.node)
        found = tree.data(self.node)
        say("inventory", {key: each["total"] - each["reserved"] for key, each in found.inventory.items()})
        say("traits", sorted(found.traits))
        say("resources", self.driver.get_available_resource(self.node)["hypervisor_type"])

    def spawn(self) -> None:
        address = next(iter(self.driver.ironic_connection.ports(node=self.node, details=True))).address
        self.vifs = network(address)
        self.instance.info_cache = objects.InstanceInfoCache(
            CTX, instance_uuid=self.instance.uuid, network_info=self.vifs
        )
        self.driver.prepare_for_spawn(self.instance)
        say("reserved", self.driver.instance_exists(self.instance))
        self.driver.prepare_networks_before_block_device_mapping(self.instance, self.vifs)
        say("binding host", bool(self.driver.network_binding_host_id(CTX, self.instance)))
        say("volume connector", self.driver.get_volume_connector(self.instance)["multipath"])
        self.driver.spawn(CTX, self.instance, self.image, [], "secret", {}, network_info=self.vifs)
        self.instance.vm_state = vm_states.ACTIVE
        self.instance.save()
        say("spawned", self.state() == power_state.RUNNING)
        say("nodes taken", self.driver.get_available_nodes(refresh=True) == [self.node])
        say("instances", (self.driver.get_num_instances(), self.driver.list_instance_uuids() == [self.instance.uuid]))

    def live(self) -> None:
        self.driver.power_off(self.instance)
        say("off", self.state() == power_state.SHUTDOWN)
        self.driver.power_on(CTX, self.instance, self.vifs)
        self.driver.reboot(CTX, self.instance, self.vifs, "SOFT")
        self.driver.reboot(CTX, self.instance, self.vifs, "HARD")
        self.driver.power_off(self.instance, timeout=5)
        self.driver.power_on(CTX, self.instance, self.vifs)
        say("on", self.state() == power_state.RUNNING)
        self.driver.trigger_crash_dump(self.instance)
        more = network("52:54:00:99:99:99")[0]
        self.driver.detach_interface(CTX, self.instance, self.vifs[0])
        more["id"] = str(uuid.uuid4())
        self.driver.attach_interface(CTX, self.instance, self.image, more)
        self.driver.detach_interface(CTX, self.instance, more)
        say("interfaces")
        self.driver.rescue(CTX, self.instance, self.vifs, self.image, "rescue-secret", None, None)
        say("rescued")
        self.driver.unrescue(CTX, self.instance)
        say("unrescued", self.state() == power_state.RUNNING)
        self.instance.task_state = "rebuild_spawning"
        self.instance.save()
        self.rebuild()

    def rebuild(self) -> None:
        """As the compute manager orders it: it has moved the instance to the state that the driver expects."""
        self.instance.task_state = "rebuilding"
        self.instance.save()
        self.driver.rebuild(
            CTX, self.instance, self.image, [], "secret", {}, objects.BlockDeviceMappingList(objects=[]),
            detach_block_devices=None, attach_block_devices=None, network_info=self.vifs,
        )  # fmt: skip
        say("rebuilt", self.state() == power_state.RUNNING)

    def console(self) -> None:
        try:
            say("console", self.driver.get_serial_console(CTX, self.instance).port > 0)
        except exception.ConsoleTypeUnavailable:
            say("console", "not available")

    def end(self) -> None:
        self.driver.destroy(CTX, self.instance, self.vifs)
        say("destroyed", not self.driver.instance_exists(self.instance) or self.state() == power_state.NOSTATE)
        self.driver.destroy(CTX, self.instance, self.vifs)  # a second time is nothing
        say("gone")


def main() -> None:
    """The whole way."""
    configure(sys.argv[1])
    way = Way(sys.argv[2])
    way.before()
    way.spawn()
    way.live()
    way.console()
    way.end()


if __name__ == "__main__":
    main()
