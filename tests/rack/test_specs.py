"""A rack's description: what is derived, and what is refused with which sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from ingot_rack import errors, places, specs
from ingot_rack.hardware import BootMode


def test_names_give_the_rest_and_always_the_same() -> None:
    source = {"name": "r", "machines": [{"name": "a"}, {"name": "b", "firmware": "uefi", "bmc": "redfish"}]}
    first, second = specs.parse(source), specs.parse(source)
    a, b = first.machines
    assert (first.namespace, a.bmc_address, a.bmc_port, b.bmc_port) == ("ingot-r", "198.51.100.1", 623, 80)
    assert b.firmware is BootMode.UEFI
    assert a.mac != b.mac
    assert [one.mac for one in first.machines] == [one.mac for one in second.machines]
    assert specs.machine_uuid(first, a) == specs.machine_uuid(second, a)
    assert a.password != b.password
    assert len(a.password.encode()) <= 20


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ([], "not a table"),
        ({"machines": []}, "has no name"),
        ({"name": "r"}, "no machines"),
        ({"name": "r", "machines": [{"name": "a"}], "colour": 1}, "no setting 'colour'"),
        ({"name": "r", "machines": [{"name": "a", "memory_mb": "1G"}]}, "memory_mb of machine 0 has the wrong type"),
        ({"name": "r", "machines": [{"name": "a", "firmware": "open"}]}, "firmware of machine 0"),
        ({"name": "r", "machines": [{"name": "a", "bmc": "smoke"}]}, "'smoke'"),
        ({"name": "r", "machines": [{"name": "a"}, {"name": "a"}]}, "same name"),
        ({"name": "r", "machines": [{"name": "a", "processor": "vax"}]}, "processor of machine 0"),
        ({"name": "r", "machines": [{"name": "a", "processor": "aarch64"}]}, "has no BIOS"),
        ({"name": "r", "machines": [{"name": "a", "password": "x" * 21}]}, "at most 20 bytes"),
        ({"name": "r", "machines": [{"name": "a", "ipmi_versions": "2.0 3.0"}]}, "ipmi_versions '2.0 3.0' is unknown"),
        ({"name": "r", "machines": [{"name": "a"}], "address": "192.0.2.256/24"}, r"192\.0\.2\.256"),
        ({"name": "r", "machines": [{"name": "a"}], "bmc_network": "198.51.100.1/24"}, "has host bits set"),
        ({"name": "r", "machines": [{"name": "a"}, {"name": "b"}], "bmc_network": "198.51.100.0/31"}, "too small"),
    ],
)
def test_mistakes_are_told(source: object, sentence: str) -> None:
    with pytest.raises(errors.Invalid, match=sentence):
        specs.parse(source)


def test_toml_and_json_files(tmp_path: Path) -> None:
    toml, wrong = tmp_path / "r.toml", tmp_path / "w.json"
    toml.write_text('name = "r"\n[[machines]]\nname = "a"\ndisk_gib = 2\n')
    wrong.write_text("{")
    assert specs.read(toml).machines[0].disk_gib == 2.0
    with pytest.raises(errors.Invalid, match=r"w\.json"):
        specs.read(wrong)


@pytest.mark.parametrize("name", ["", "../x", "a/b", "-x", "a b", "x" * 41])
def test_rack_names_stay_in_their_folder(name: str) -> None:
    with pytest.raises(errors.Invalid):
        places.rack(name)


def test_long_paths_get_short_sockets(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 90)
    short = places.sockets(deep)
    assert len(str(short)) < 90
    assert short == places.sockets(deep)
    short.rmdir()
