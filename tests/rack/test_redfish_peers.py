"""The rack's Redfish resources beyond power and boot, judged by sushy in every maker's shape."""

from __future__ import annotations

import pytest

import programs
from drivers.redfish import peer
from ingot_rack.redfish import bios, secureboot, storage, updates
from ingot_rack.redfish.shapes import SHAPES
from rack.tools import run

_SUSHY = """
import sys, warnings
warnings.simplefilter("ignore")
import sushy
from sushy import auth
root = sushy.Sushy(sys.argv[1], auth=auth.SessionAuth("admin", sys.argv[2]), verify=False)
system = root.get_system_collection().get_members()[0]

assert system.bios.attributes["ActiveCores"] == 0
entries = {e.name: e for e in system.bios.get_attribute_registry().registry_entries.attributes}
assert entries["ActiveCores"].upper_bound == 64 and entries["BoardSerial"].read_only
system.bios.set_attributes({"ActiveCores": 8, "QuietBoot": False}, apply_time=sushy.ApplyTime.ON_RESET)
assert system.bios.pending_attributes["ActiveCores"] == 8
assert system.secure_boot.enabled is False
system.secure_boot.set_enabled(True)
system.reset_system(sushy.ResetType.ON)
system.bios.refresh(force=True)
assert system.bios.attributes["ActiveCores"] == 8 and system.bios.attributes["QuietBoot"] is False

if sys.argv[3] != "hpe-old":  # actions of its own, which sushy does not know
    owners = [system] if sys.argv[3] == "nvidia" else system.managers
    drive = [m for o in owners for m in o.virtual_media.get_members() if sushy.VirtualMediaType.CD in m.media_types][0]
    method = "Stream" if sys.argv[3] == "ami" else None
    drive.insert_media("http://192.0.2.1/a.iso", transfer_method=method)
    drive.refresh(force=True)
    assert drive.inserted and drive.image == "http://192.0.2.1/a.iso"
    drive.eject_media()
    drive.refresh(force=True)
    assert not drive.inserted

wanted = sushy.BOOT_SOURCE_TARGET_UEFI_HTTP
if sys.argv[3] not in ("lenovo", "ami"):  # lenovo: no HttpBootUri; ami: no UefiHttp, and the whole Boot object
    once = sushy.BOOT_SOURCE_ENABLED_ONCE
    system.set_system_boot_options(wanted, once, http_boot_uri="http://192.0.2.1/a.iso")
    system.refresh(force=True)
    assert (system.boot["target"], system.boot["http_boot_uri"]) == (wanted, "http://192.0.2.1/a.iso"), system.boot
    system.set_system_boot_options(sushy.BOOT_SOURCE_TARGET_PXE, once)
    system.refresh(force=True)
    assert system.boot["http_boot_uri"] is None
assert (wanted in system.get_allowed_system_boot_source_values()) == (sys.argv[3] != "ami")
system.managers[0].set_datetime("2031-02-03T04:05:06+00:00", "+00:00")
system.managers[0].refresh(force=True)
assert system.managers[0].datetime.startswith("2031-02-03T04:05:0"), system.managers[0].datetime

controller = system.storage.get_members()[0]
assert len(controller.drives) == 4 and controller.drives_max_size_bytes == 500 << 30
links = {"Drives": [{"@odata.id": d.path} for d in controller.drives[:2]]}
controller.volumes.create({"RAIDType": "RAID1", "Name": "v", "CapacityBytes": 100 << 30, "Links": links})
system.reset_system(sushy.ResetType.FORCE_RESTART)
controller.refresh(force=True)
controller.volumes.refresh(force=True)
volumes = controller.volumes.get_members()
assert [(v.name, v.raid_type, v.capacity_bytes >> 30) for v in volumes] == [("v", sushy.RAIDType.RAID1, 100)], volumes
if sys.argv[3] == "dell":  # elsewhere it is gone at once, and sushy asks for it once more
    volumes[0].delete()

service = root.get_update_service()
assert len(service.firmware_inventory.get_members()) == 3
if sys.argv[3] != "nvidia":  # takes pushed images only
    monitor = service.simple_update("http://192.0.2.1/bmc-9", transfer_protocol=sushy.UpdateTransferProtocolType.HTTP)
    monitor.wait(20)
    assert system.managers[0].firmware_version in ("1.0", "bmc-9")

events = root.get_event_service()
made = events.subscriptions.create({"Destination": "https://e.example/x", "Protocol": "Redfish", "Context": ""})
assert made.destination == "https://e.example/x"
made.delete()
if system.chassis[0].json.get("Thermal"):
    assert system.chassis[0].thermal.temperatures[0].reading_celsius == 48
    assert [f.reading for f in system.chassis[0].thermal.fans] == [5400, 5600]
system.set_indicator_led(sushy.IndicatorLED.BLINKING)
system.refresh(force=True)
assert system.indicator_led == sushy.IndicatorLED.BLINKING
print("sushy is content")
"""


@pytest.mark.peer
@pytest.mark.parametrize("shape", SHAPES)
async def test_sushy_agrees_with_every_shape(shape: str) -> None:
    async with peer.running(shape) as bmc:
        code, output = await run(programs.peer(), "-c", _SUSHY, bmc.url, peer.PASSWORD, shape)
        assert (code, output) == (0, "sushy is content\n")
        assert bmc.front.part(bios.State).now["ActiveCores"] == 8
        assert bmc.front.part(secureboot.State).was is True
        assert bmc.front.part(updates.Versions).read("BMC") == ("1.0" if shape == "nvidia" else "bmc-9")
        assert {one.name for one in bmc.front.part(storage.State).volumes.values()} == {"v"}
