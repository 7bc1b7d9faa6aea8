"""The way of a node by the command line, with imaginary hardware: verbs, waiting, watching, failing."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path

import pytest

from cli.program import Run, wait_for
from ingot.cli import client as api
from ingot.cli import following
from ingot.domain import errors

IMAGE = b"\x00" * 1024 * 1024


def enrol(run: Run, url: str, name: str, *more: str) -> None:
    words = ["node", "create", "--driver", "fake-hardware", "--name", name, "--mac", mac(name), *more]
    result = run(*words, url=url)
    assert result.exit_code == 0, result.output


def mac(name: str) -> str:
    return "52:54:01:" + hashlib.blake2b(name.encode(), digest_size=3).digest().hex(":")


def state(run: Run, url: str, name: str) -> str:
    shown = run("node", "show", name, "--fields", "provision_state", "--json", url=url)
    return str(json.loads(shown.stdout)["provision_state"])


def test_from_enroll_to_active_and_back(run: Run, url: str, tmp_path: Path) -> None:
    enrol(run, url, "way")
    for verb, goal in (("manage", "manageable"), ("inspect", "manageable"), ("provide", "available")):
        result = run("node", verb, "way", "--wait", url=url)
        assert result.exit_code == 0, result.output
        assert state(run, url, "way") == goal
        assert goal in result.stdout
    image, key = tmp_path / "disk.raw", tmp_path / "key.pub"
    image.write_bytes(IMAGE)
    key.write_text("ssh-ed25519 AAAA me\n")
    words = ["--image", str(image), "--ssh-key", str(key), "--network", "192.0.2.9/24", "--wait"]
    deployed = run("node", "deploy", "way", *words, url=url)
    assert deployed.exit_code == 0, deployed.output
    assert state(run, url, "way") == "active"
    info = json.loads(run("node", "show", "way", "--json", url=url).stdout)["instance_info"]
    assert info["image_os_hash_algo"] == "sha256"
    assert info["display_name"] == "way"
    events = run("node", "history", "way", url=url).stdout
    assert "active" in events
    assert run("node", "undeploy", "way", "--wait", url=url).exit_code == 0
    assert state(run, url, "way") == "available"


def test_a_failure_is_told_with_its_reason(run: Run, url: str) -> None:
    enrol(run, url, "bad", "-i", "fake_fault=power.get", "-i", "fake_fault_text=the BMC is on fire")
    result = run("node", "manage", "bad", "--wait", url=url)
    assert result.exit_code == 1
    assert "the BMC is on fire" in result.stderr
    assert "ingot node history bad" in result.stderr
    assert result.output.count("on fire") == 1, "nobody is to read it twice"
    assert "bad: enroll" in result.stdout
    watched = run("node", "watch", "bad", url=url)
    assert (watched.exit_code, watched.output.count("on fire")) == (0, 1)
    enrol(run, url, "worse", "-i", "fake_fault=power.get", "-i", "fake_fault_text=it is gone")
    both = run("node", "manage", "bad", "worse", "--wait", url=url)
    assert (both.stderr.count("on fire"), both.stderr.count("it is gone")) == (1, 1)


def test_a_misspelt_key_is_named(run: Run, url: str) -> None:
    words = ["--driver", "fake-hardware", "--name", "slip", "-i", "fake_fault=power.get", "-i", "deploy_kernel=x"]
    made = run("node", "create", *words, "-i", "fake_dely=0", url=url)
    slip = '"fake_dely" is not a property of driver fake-hardware; did you mean "fake_delay"?'
    assert (made.exit_code, made.stderr) == (0, f"ingot: warning: {slip}\n"), "Ironic's API takes it, so it is made"
    failed = run("node", "manage", "slip", "--wait", url=url)
    assert (failed.exit_code, slip in failed.stderr) == (1, True)
    assert run("node", "set", "slip", "driver_info.fake_falt_text=x", url=url).stderr.count("did you mean") == 2
    assert run("node", "set", "slip", "description=x", url=url).stderr == ""


def test_waiting_has_an_end(run: Run, url: str) -> None:
    enrol(run, url, "slo", "-i", "fake_delay=30")
    result = run("node", "manage", "slo", "--wait", "--timeout", "1", url=url)
    assert result.exit_code == 5
    assert "slo" in result.stderr
    assert "verifying" in result.stderr


def test_why_one_failed_is_told_though_another_takes_too_long(run: Run, url: str) -> None:
    enrol(run, url, "lost", "-i", "fake_fault=power.get", "-i", "fake_fault_text=it is gone")
    enrol(run, url, "slower", "-i", "fake_delay=60")
    assert run("node", "manage", "lost", "--wait", url=url).exit_code == 1
    assert run("node", "manage", "slower", url=url).exit_code == 0
    with pytest.raises(errors.TimedOut, match=r"slower: verifying.*; lost: enroll: .*it is gone"):
        following.follow(api.Client(url), ["slower", "lost"], 0.5, reasons=False)


def test_waiting_ends_at_its_deadline_though_the_api_is_gone() -> None:
    gone = api.Client("http://127.0.0.1:1", timeout=5)
    began = time.monotonic()
    with pytest.raises(errors.Unreachable):
        following.follow(gone, ["n1"], 1.5)
    assert time.monotonic() - began < following.PATIENCE / 2


def test_without_wait_it_returns_at_once(run: Run, url: str) -> None:
    enrol(run, url, "run")
    result = run("node", "manage", "run", url=url)
    assert result.exit_code == 0
    assert "ingot node watch run" in result.stdout
    wait_for(lambda: state(run, url, "run") == "manageable")


def test_watch_ends_when_all_rest(run: Run, url: str) -> None:
    enrol(run, url, "eye", "-i", "fake_delay=1")
    run("node", "manage", "eye", url=url)
    result = run("node", "watch", "eye", url=url)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert "eye: verifying" in lines[0]
    assert lines[-1].endswith("eye: manageable")


def test_an_impossible_verb_is_refused_with_what_is_possible(run: Run, url: str) -> None:
    enrol(run, url, "new")
    result = run("node", "provide", "new", url=url)
    assert result.exit_code == 3
    assert "enroll" in result.stderr


def test_power(run: Run, url: str) -> None:
    enrol(run, url, "pow")
    run("node", "manage", "pow", "--wait", url=url)
    for action, power in (("on", "power on"), ("reboot", "power on"), ("off", "power off")):
        result = run("node", "power", "pow", action, "--wait", url=url)
        assert result.exit_code == 0, result.output
        assert f"pow is {power}" in result.stdout


def test_clean_wants_steps(run: Run, url: str, tmp_path: Path) -> None:
    enrol(run, url, "cle")
    run("node", "manage", "cle", "--wait", url=url)
    assert run("node", "clean", "cle", url=url).exit_code == 2
    assert run("node", "clean", "cle", "--step", "nodot", url=url).exit_code == 2
    broken = tmp_path / "steps.json"
    broken.write_text("{")
    assert run("node", "clean", "cle", "--steps-file", str(broken), url=url).exit_code == 2
    result = run("node", "clean", "cle", "--step", "deploy.erase_devices_metadata", "--wait", url=url)
    assert result.exit_code == 0, result.output


def test_adopt_service_rescue_and_back(run: Run, url: str, tmp_path: Path) -> None:
    enrol(run, url, "old", "--interface", "rescue=fake")
    run("node", "manage", "old", "--wait", url=url)
    held = ["--step", "power.hold", "--no-ramdisk", "--wait"]
    for words, goal in (
        (["adopt", "old", "--wait"], "active"),
        (["service", "old", "--step", "power.reboot", "--no-ramdisk", "--wait"], "active"),
        (["rescue", "old", "--password-file", str(password(tmp_path)), "--wait"], "rescue"),
        (["unrescue", "old", "--wait"], "active"),
    ):
        result = run("node", *words, url=url)
        assert (result.exit_code, state(run, url, "old")) == (0, goal), result.output
    assert run("node", "service", "old", *held, url=url).exit_code == 1
    assert state(run, url, "old") == "service hold"
    assert run("node", "unhold", "old", "--wait", url=url).exit_code == 0
    wait_for(lambda: state(run, url, "old") == "active")
    both = ["--step", "power.hold", "--runbook", "wipe"]
    assert run("node", "service", "old", *both, url=url).exit_code == 2
    told = run("node", "rescue", "old", url=url)
    assert "password of the user rescue: " in told.stdout
    refused = run("node", "rescue", "old", url=url)
    assert (refused.exit_code != 0, "password" in refused.output) == (True, False), "of none that would be good"


def password(folder: Path) -> Path:
    path = folder / "password"
    path.write_text("geheim\n")
    return path


def test_a_missing_image_is_refused_before_anything_is_sent(run: Run, url: str) -> None:
    result = run("node", "deploy", "way", "--image", "/nowhere/disk.raw", url=url)
    assert result.exit_code == 2
    assert "/nowhere/disk.raw" in result.stderr


def test_validate_tells_each_interface(run: Run, url: str) -> None:
    enrol(run, url, "val")
    lines = run("node", "validate", "val", url=url).stdout.splitlines()
    assert lines[0] == "interface\tresult\treason"
    assert any(line.startswith("power\tyes") for line in lines)
