"""Manifests and the registry: errors that name file and key, defaults, and no driver imported before its use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ingot.domain import errors, node
from ingot.interfaces import contract, manifest
from ingot.interfaces import registry as registry_module
from ingot.interfaces.registry import Registry

GOOD = 'name = "acme"\nsummary = "ACME"\nstatus = "beta"\n'
SHIPPED = Path(registry_module.__file__).parent.parent / "drivers"


def write(root: Path, text: str, folder: str = "acme") -> Path:
    (root / folder).mkdir(exist_ok=True)
    file = root / folder / "driver.toml"
    file.write_text(text)
    return file


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('summary = "x"\nstatus = "beta"\n', "name"),
        (GOOD + "requires = 5\n", r"requires"),
        (GOOD + '[[driver_info]]\nsummary = "no name"\n', r"driver_info\[0\]"),
        (GOOD + '[[driver_info]]\nname = "a"\nsummary = "b"\nsecret = "yes"\n', r"driver_info\[0\]\.secret"),
        (GOOD + '[provides.teleport]\nx = "m:C"\n', "no such interface: teleport"),
        (GOOD + '[uses]\nwarp = ["x"]\n', "no such interface: warp"),
        (GOOD + 'colour = "red"\n', "colour"),
        ("name = \n", "not valid TOML"),
    ],
)
def test_a_bad_manifest_names_its_file_and_key(tmp_path: Path, text: str, words: str) -> None:
    file = write(tmp_path, text)
    with pytest.raises(errors.Invalid, match=words) as refused:
        manifest.load(file)
    assert str(file) in refused.value.message


def test_borrowed_keys_are_known_and_not_required(tmp_path: Path) -> None:
    key = '[[driver_info]]\nname = "acme_address"\nrequired = true\nsummary = "Where. Required."\n'
    write(tmp_path, GOOD + key)
    write(tmp_path, GOOD.replace("acme", "other") + 'borrows = ["acme"]\n', "other")
    (borrowed,) = manifest.load_all(tmp_path)["other"].driver_info
    assert (borrowed.name, borrowed.required, borrowed.summary) == ("acme_address", False, "Where.")
    write(tmp_path, GOOD.replace("acme", "other") + 'borrows = ["nobody"]\n', "other")
    with pytest.raises(errors.Invalid, match="borrows from nobody"):
        manifest.load_all(tmp_path)


def test_what_is_enabled_is_served_and_the_rest_refused_by_name(tmp_path: Path) -> None:
    write(tmp_path, GOOD + '[provides.power]\nacme = "power:AcmePower"\n[uses]\nboot = ["ipxe", "pxe"]\n')
    write(tmp_path, GOOD.replace("acme", "other"), "other")
    found = Registry(("acme",), tmp_path)
    assert found.enabled == ("acme",)
    assert found.names("acme", "power") == ("acme",)
    assert found.names("acme", "boot") == ("ipxe", "pxe")
    assert found.names("acme", "raid") == ("no-raid",)
    assert found.defaults("acme")["boot_interface"] == "ipxe"
    assert set(found.defaults("acme")) == {f"{kind}_interface" for kind in node.INTERFACES}
    found.check("acme", "boot", "pxe")
    with pytest.raises(errors.Invalid, match="floppy") as refused:
        found.check("acme", "boot", "floppy")
    assert "Valid interfaces are ['ipxe', 'pxe']" in refused.value.sentence()
    with pytest.raises(errors.NotFound, match="supports driver other") as missing:
        found.driver("other")
    assert "Drivers here: acme." in missing.value.sentence()


@pytest.mark.parametrize("name", [None, "no-raid", "unknown"])
def test_an_interface_that_does_nothing_says_so(name: str | None) -> None:
    with pytest.raises(errors.NotSupported):
        Registry(("fake-hardware",)).implementation("raid", name)


@pytest.mark.parametrize("driver", manifest.load_all(SHIPPED))
def test_the_shipped_manifests_keep_their_promises(driver: str) -> None:
    found = manifest.load_all(SHIPPED)[driver]
    registry = Registry((driver,))
    assert found.summary and found.status in {"alpha", "beta", "supported"}
    assert len({one.name for one in found.driver_info}) == len(found.driver_info)
    for kind, implementations in found.provides.items():
        for name in implementations:
            assert isinstance(registry.implementation(kind, name), contract.Interface)
    for kind, names in found.uses.items():
        for name in names:
            if not name.startswith("no-"):
                assert isinstance(registry.implementation(kind, name), contract.Interface), f"{kind} {name}"


def test_no_driver_is_imported_before_its_use() -> None:
    code = """
import sys
from ingot.interfaces.registry import Registry
registry = Registry(("ipmi", "redfish", "fake-hardware"))
registry.defaults("ipmi")
assert not [name for name in sys.modules if name.startswith("ingot.drivers.")], sys.modules
registry.implementation("power", "fake")
loaded = sorted(name for name in sys.modules if name.startswith("ingot.drivers."))
assert loaded == ["ingot.drivers.fake", "ingot.drivers.fake.acts", "ingot.drivers.fake.power"], loaded
"""
    source = str(Path(registry_module.__file__).parents[2])
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": source}, timeout=60)
