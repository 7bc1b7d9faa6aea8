"""Nodes and ports by the command line against a real service with imaginary hardware."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cli.program import Run


def created(run: Run, url: str, name: str, *more: str) -> dict[str, Any]:
    result = run("node", "create", "--driver", "fake-hardware", "--name", name, "--json", *more, url=url)
    assert result.exit_code == 0, result.output
    made: dict[str, Any] = json.loads(result.stdout)
    return made


def test_create_show_list_delete(run: Run, url: str) -> None:
    made = created(run, url, "first", "-p", "cpu_arch=x86_64", "-e", "rack=r1", "--mac", "52:54:00:00:00:01")
    shown = json.loads(run("node", "show", "first", "--json", url=url).stdout)
    assert shown["uuid"] == made["uuid"]
    assert shown["properties"] == {"cpu_arch": "x86_64"}
    assert shown["extra"] == {"rack": "r1"}
    ports = json.loads(run("port", "list", "--node", "first", "--json", url=url).stdout)
    assert [port["address"] for port in ports] == ["52:54:00:00:00:01"]
    listed = run("node", "list", url=url).stdout.splitlines()
    assert listed[0].split("\t")[:3] == ["name", "provision_state", "power_state"]
    assert any(line.startswith("first\tenroll\t") for line in listed[1:])
    assert run("node", "delete", "first", url=url).exit_code == 0
    assert run("node", "show", "first", url=url).exit_code == 3


def test_list_filters_and_limits(run: Run, url: str) -> None:
    for name in ("l1", "l2", "l3"):
        created(run, url, name)
    run("node", "maintenance", "l2", "on", "--reason", "dust", url=url)
    asked = run("node", "list", "--maintenance", "--fields", "name,maintenance_reason", url=url)
    assert asked.stdout.splitlines() == ["name\tmaintenance_reason", "l2\tdust"]
    assert len(json.loads(run("node", "list", "--limit", "2", "--json", url=url).stdout)) == 2
    assert run("node", "list", "--driver", "ipmi", url=url).stdout.splitlines()[1:] == []
    run("node", "maintenance", "l2", "off", url=url)
    run("node", "delete", "l1", "l2", "l3", url=url)


def test_set_reads_json_text_and_files(run: Run, url: str, tmp_path: Path) -> None:
    created(run, url, "s1", "-i", "fake_delay=0")
    secret = tmp_path / "secret"
    secret.write_text("hush\n")
    words = ["driver_info.fake_fault_text=@" + str(secret), "properties.cpus=4", "description=a box", "retired=true"]
    assert run("node", "set", "s1", *words, "--unset", "driver_info.fake_delay", url=url).exit_code == 0
    shown = json.loads(run("node", "show", "s1", "--json", url=url).stdout)
    assert shown["driver_info"] == {"fake_fault_text": "hush"}
    assert shown["properties"]["cpus"] == 4
    assert (shown["description"], shown["retired"]) == ("a box", True)
    assert run("node", "set", "s1", url=url).exit_code == 2
    half = run("node", "set", "s1", 'properties.root_device={"serial": "S3X1"', url=url)
    assert half.exit_code == 2
    assert "begins as JSON and is none" in half.output
    secret.write_bytes(b"\xff")
    refused = run("node", "set", "s1", f"description=@{secret}", url=url)
    assert (refused.exit_code, "is no text" in refused.stderr) == (2, True)
    assert run("node", "set", "s1", "description=@/no/file", url=url).exit_code == 2
    run("node", "delete", "s1", url=url)


def test_the_apis_refusal_is_its_sentence(run: Run, url: str) -> None:
    result = run("node", "create", "--driver", "no-such-driver", url=url)
    assert result.exit_code == 3
    assert "no-such-driver" in result.stderr
    assert "faultstring" not in result.stderr
    assert "Traceback" not in result.stderr


def test_a_piped_record_has_a_line_per_field(run: Run, url: str) -> None:
    created(run, url, "p1")
    lines = run("node", "show", "p1", "--fields", "name,driver", url=url).stdout.splitlines()
    assert lines == ["field\tvalue", "name\tp1", "driver\tfake-hardware"]
    run("node", "delete", "p1", url=url)


@pytest.mark.parametrize("words", [["node", "list"], ["node", "power", "x", "on"], ["port", "list"]])
def test_no_service_is_exit_code_4(run: Run, words: list[str]) -> None:
    result = run(*words, url="http://127.0.0.1:1")
    assert result.exit_code == 4
    assert "ingot serve" in result.stderr


def test_wrong_usage_is_exit_code_2(run: Run, url: str) -> None:
    assert run("node", "create", url=url).exit_code == 2
    assert run("node", "create", "--driver", "fake-hardware", "-i", "novalue", url=url).exit_code == 2
    assert run("node", "power", "x", "explode", url=url).exit_code == 2


def test_a_url_must_be_one(run: Run) -> None:
    result = run("node", "list", url="ftp://example.org")
    assert result.exit_code == 2
    assert "not the URL of an API" in result.stderr


def test_ports(run: Run, url: str) -> None:
    created(run, url, "q1")
    made = json.loads(run("port", "create", "q1", "52:54:00:00:00:0A", "--no-pxe", "--json", url=url).stdout)
    assert made["address"] == "52:54:00:00:00:0a"
    shown = run("port", "show", made["uuid"], url=url).stdout
    assert "pxe_enabled\tno" in shown
    assert run("port", "delete", made["uuid"], url=url).exit_code == 0
    assert run("port", "show", made["uuid"], url=url).exit_code == 3
    run("node", "delete", "q1", url=url)


def test_allocations(run: Run, url: str) -> None:
    refused = run("allocation", "create", "nothing", "--trait", "CUSTOM_A", "--name", "a1", "--wait", url=url)
    assert refused.exit_code == 1
    assert "no available nodes match the resource class nothing" in refused.stderr
    listed = run("allocation", "list", "--state", "error", url=url).stdout.splitlines()
    assert listed[1].startswith("a1\terror\tnothing\t")
    created(run, url, "k1", "--resource-class", "gold")
    for verb in ("manage", "provide"):
        assert run("node", verb, "k1", "--wait", url=url).exit_code == 0
    assert run("node", "power", "k1", "on", "--wait", url=url).exit_code == 0
    made = run("allocation", "create", "gold", "--candidate", "k1", "--owner", "p", "--json", url=url)
    assert json.loads(made.stdout)["state"] == "allocating"
    uuid = json.loads(made.stdout)["uuid"]
    assert run("allocation", "delete", uuid, url=url).exit_code == 0
    made = run("allocation", "create", "gold", "--wait", "--json", url=url)
    held = json.loads(made.stdout)
    assert held["state"] == "active"
    assert "node_uuid\t" + held["node_uuid"] in run("allocation", "show", held["uuid"], url=url).stdout
    assert run("allocation", "delete", "a1", held["uuid"], url=url).exit_code == 0
    run("node", "delete", "k1", url=url)
