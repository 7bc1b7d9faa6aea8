"""Which test tries which kind of fault, for the last table of docs/reference/faults.md.

A place is a name in catalogue.py, whose sentence the page shows, or a test that has none of its own there because it
takes a virtual machine. May not: hold a place that is not there (test_catalogue.py looks).
"""

from __future__ import annotations

_E2E, _RAMDISK = "tests/e2e", "tests/ramdisk"

TRIED: dict[str, dict[str, tuple[str, ...]]] = {
    "BMC": {
        "dead": ("ipmi-silent", "redfish-silent", "redfish-refused", f"{_E2E}/test_bmc_faults.py"),
        "slow (20 s)": ("ipmi-slow", "redfish-slow"),
        "wrong password": (
            "ipmi-wrong-password",
            "ipmi-1.5-wrong-password",
            "redfish-wrong-password",
            f"{_E2E}/test_bmc_faults.py",
        ),
        "locked out": ("ipmi-locked-out", "redfish-locked-out"),
        "session limit": ("ipmi-sessions-full", "redfish-sessions-full"),
        "certificate expired": ("redfish-certificate",),
        "accepts power on and stays off": ("ipmi-power-stuck", "redfish-power-stuck"),
        "boot override ignored": ("ipmi-boot-ignored", "ipmi-boot-forgotten", "redfish-boot-forgotten"),
        "virtual media refused": ("redfish-media-refused",),
        "dies in mid-deploy and returns": ("ipmi-gone-in-a-run", "redfish-gone-in-a-run", "redfish-stays-away"),
        "carries an order out, and its answer is lost": (
            "tests/drivers/redfish/test_redfish.py::test_an_order_whose_answer_is_lost_is_not_given_twice",
            "tests/drivers/redfish/test_raid.py::test_volumes_whose_orders_lost_their_answers_are_made_once",
            "tests/drivers/redfish/test_firmware.py::test_an_update_whose_answer_is_lost_is_not_begun_twice",
        ),
    },
    "Network": {
        "no DHCP request": ("netboot-no-dhcp", f"{_E2E}/test_ramdisk_faults.py"),
        "DHCP, but no boot script": ("tftp-blocked", "dhcp-no-address"),
        "boot script, but no call": ("netboot-after-script", "netboot-after-kernel"),
        "wrong order of network cards": (f"{_E2E}/test_unknown_card.py::test_a_port_with_the_wrong_address",),
        "a foreign DHCP server answers first": (
            "dhcp-not-taken",
            "tests/netboot/test_other_dhcp.py::test_a_stranger_who_offers_addresses_is_found",
        ),
        "link down in mid-write": ("link-down",),
    },
    "Agent": {
        "out of memory": ("agent-out-of-memory",),
        "wrong token": (
            "agent-wrong-token",
            "tests/services/test_heartbeat.py::test_a_wrong_token_is_refused_and_noted_once",
        ),
        "replay": (
            "tests/services/test_heartbeat.py::test_a_new_boot_has_a_new_token_and_the_old_one_is_refused",
            f"{_E2E}/test_image_faults.py::test_a_forged_heartbeat_and_a_second_deployment_change_nothing",
        ),
        "another node's agent": (
            "agent-of-another-node",
            "tests/services/test_heartbeat.py::test_a_token_of_one_node_is_worth_nothing_for_another",
        ),
        "clock years off": (
            "agent-clock-ahead",
            "tests/agent/test_tls.py::test_a_clock_years_off_is_named",
            f"{_RAMDISK}/test_disk_faults.py::test_each_fault_is_named",
        ),
        "reboot in mid-write": ("agent-rebooted", "agent-restarted"),
    },
    "Image": {
        "wrong checksum": ("image-checksum", f"{_E2E}/test_image_faults.py::test_a_wrong_checksum"),
        "lying format": ("image-wrong-format", "image-backing-file"),
        "truncated": ("image-gzip-cut", "image-qcow2-cut"),
        "server gone": (
            "image-server-down",
            f"{_E2E}/test_image_faults.py::test_an_image_server_that_goes_away_in_the_middle",
            "tests/agent/test_write.py::test_a_server_that_falls_silent_is_told_while_it_is_waited_for",
        ),
        "too large": ("image-too-large", "disk-too-small"),
        "disk full on the controller": ("image-cache-full",),
    },
    "Disk": {
        "none": ("no-disk",),
        "too small": ("disk-too-small",),
        "hint mismatch": ("disk-no-match",),
        "dead sector, read-only": (f"{_RAMDISK}/test_disk_faults.py::test_each_fault_is_named", "agent-step-failed"),
    },
    "Controller": {
        "kill -9 at random": (
            f"{_E2E}/test_controller_faults.py::test_killed_at_random_instants_it_loses_nothing_and_writes_no_image_twice",
            "tests/flows/test_torture.py::test_killed_at_every_write_it_ends_as_if_undisturbed",
        ),
        "disk full": ("disk-full",),
        "database locked": ("database-held",),
    },
}
