"""metalsmith, unchanged: takes a node by an allocation, deploys it and gives it back. Runs with upstream's interpreter.

Arguments: the service's URL, the image's URL, its SHA-256.
"""

from __future__ import annotations

import json
import sys

import metalsmith
import openstack
from metalsmith import instance_config, sources


def main() -> None:
    """One server, as its user sees it; a line of JSON with what came of each call."""
    url, image, checksum = sys.argv[1:]
    cloud = openstack.connect(auth_type="none", endpoint=url, baremetal_endpoint_override=url)
    smith = metalsmith.Provisioner(cloud_region=cloud.config)
    node = smith.reserve_node(resource_class="gold", traits=["CUSTOM_FAST"], hostname="srv")
    instance = smith.provision_node(
        node,
        sources.HttpWholeDiskImage(image, checksum=checksum),
        root_size_gb=4,
        config=instance_config.GenericConfig(ssh_keys=["ssh-ed25519 AAAA me"]),
        wait=60,
    )
    shown = smith.show_instance("srv")
    listed = [each.hostname for each in smith.list_instances()]
    told = {"state": instance.state.value, "shown": shown.uuid == node.id, "host": shown.hostname, "listed": listed}
    smith.unprovision_node(shown.node, wait=60)
    told["after"] = [each.hostname for each in smith.list_instances()]
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
