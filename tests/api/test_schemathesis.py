"""Schemathesis, which knows nothing of ingot but its OpenAPI document, calls every operation of a running service.

It sends what the document allows and what it forbids; answers must be documented statuses, content types and bodies,
and never an unforeseen error. The service is a real process with authentication and imaginary hardware.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

import programs
from api import seeds
from cli.program import ingot_argv, serving
from ingot.cli import client as api

pytestmark = [pytest.mark.peer, pytest.mark.slow, pytest.mark.timeout(300)]

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
SECONDS = 50
PASSWORD = "as long as it has to be"
# What stands in paths, so that calls reach something; what deletes comes last.
CONFIG = """
[parameters]
"header.X-OpenStack-Ironic-API-Version" = "latest"
"path.node" = "{node}"
"path.port" = "{port}"
"path.portgroup" = "{portgroup}"
"path.chassis" = "{chassis}"
"path.ident" = "{runbooks}"
"path.webhook" = "{webhook}"
"path.driver" = "fake-hardware"
"path.trait" = "CUSTOM_ONE"
"path.indicator" = "led@system"
"query.timeout" = "1"
"""


def reached(metrics: str) -> tuple[set[str], set[str]]:
    """The operations that were called, and those of them that did what was asked at least once.

    Some cannot: vendor methods, addresses that only refuse, and what waits for a ramdisk.
    """
    found = re.findall(r'duration_seconds_count{method="(\w+)",route="(/[^"]*)",status="(\d+)"}', metrics)
    return (
        {f"{method} {route}" for method, route, _ in found},
        {f"{method} {route}" for method, route, status in found if status.startswith("2")},
    )


def judge(url: str, folder: Path, seconds: int, *words: str) -> None:
    command = [
        *(programs.peer("schemathesis"), "run", f"{url}/ingot/v1/openapi.json", "--auth", f"judge:{PASSWORD}", *words),
        *("--checks", CHECKS, "--phases", "coverage,fuzzing", "--max-time", str(seconds), "--seed", "39"),
        *("--suppress-health-check", "all", "--no-shrink", "--continue-on-failure", "--warnings", "off"),
        *("--max-examples", "30", "--output-truncate", "false"),
    ]
    found = {"SCHEMATHESIS_HOOKS": "schemathesis_seeds", "INGOT_SEEDS": str(folder / "seeds.json")}
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parent), **found}
    child = subprocess.run(
        command, capture_output=True, text=True, cwd=folder, env=env, timeout=seconds + 120, check=False
    )
    assert child.returncode == 0, child.stdout[-20_000:] + child.stderr[-2_000:]


def test_every_operation_answers_as_documented(tmp_path: Path) -> None:
    data = tmp_path / "data"
    words = ingot_argv("user", "add", "judge", "--password-stdin", "--data-dir", str(data))
    subprocess.run(words, input=PASSWORD, text=True, check=True, capture_output=True)
    with serving(data) as url:
        client = api.Client(url, "judge", PASSWORD)
        ids = seeds.settle(client)
        (tmp_path / "schemathesis.toml").write_text(CONFIG.format(**ids))
        (tmp_path / "seeds.json").write_text(json.dumps(seeds.calls(ids)))
        # The stream of events is left out: its answer has no end; test_events.py reads it.
        judge(url, tmp_path, SECONDS, "--exclude-method", "DELETE", "--exclude-path", "/ingot/v1/events")
        judge(url, tmp_path, SECONDS // 4, "--include-method", "DELETE", "--exclude-path", "/v1/nodes/{node}")
        judge(url, tmp_path, SECONDS // 10, "--include-method", "DELETE", "--include-path", "/v1/nodes/{node}")
        asked, done = reached(client.text("/metrics"))
        assert len(asked) > 150, "the judge has hardly called anything"
        assert len(done) / len(asked) > 0.6, f"calls that never succeeded say little: {sorted(asked - done)}"
