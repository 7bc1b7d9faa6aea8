"""Webhooks by the command line against a real service. What is delivered, and how: tests/api/test_events.py."""

from __future__ import annotations

import json

from cli.program import Run

ADDRESS = "http://127.0.0.1:9/told"


def test_create_list_switch_delete(run: Run, url: str) -> None:
    made = json.loads(run("webhook", "create", ADDRESS, "--kind", "run", "--json", url=url).stdout)
    assert (made["url"], made["kinds"], len(made["secret"]) > 30) == (ADDRESS, ["run"], True)
    listed = run("webhook", "list", url=url).stdout.splitlines()
    assert listed[1].split("\t")[:4] == [made["uuid"], ADDRESS, "run", "yes"]
    assert run("webhook", "switch", made["uuid"], "off", url=url).exit_code == 0
    shown = json.loads(run("webhook", "show", made["uuid"], "--json", url=url).stdout)
    assert (shown["enabled"], "secret" in shown) == (False, False)
    assert json.loads(run("webhook", "deliveries", made["uuid"], "--json", url=url).stdout) == []
    assert run("webhook", "delete", made["uuid"], url=url).exit_code == 0
    assert run("webhook", "show", made["uuid"], url=url).exit_code == 3


def test_a_key_of_ones_own_is_read_and_not_printed(run: Run, url: str) -> None:
    key = "0123456789abcdef0123"
    made = run("webhook", "create", ADDRESS, "--secret-stdin", "--json", url=url, stdin=f"{key}\n")
    assert (made.exit_code, key in made.stdout) == (0, False)
    run("webhook", "delete", json.loads(made.stdout)["uuid"], url=url)
    refused = run("webhook", "create", ADDRESS, "--secret-stdin", url=url, stdin="short\n")
    assert (refused.exit_code, "secret" in refused.stderr, "short" in refused.stderr) == (3, True, False)
