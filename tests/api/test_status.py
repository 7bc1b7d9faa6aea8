"""Health, readiness and metrics of whole services, the last read by Prometheus's own parser."""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import programs
from cli.program import ingot_argv, serving, wait_for
from ingot.cli import client as api
from ingot.cli import exits
from ingot.domain import errors, ids, runs, states
from ingot.store import claims as claim_store
from ingot.store import runs as run_store
from ingot.telemetry import counts, metrics

if TYPE_CHECKING:
    from tests.api.conftest import Api

PASSWORD = "as long as it has to be"
PARSE = """
import json, sys
from prometheus_client import parser
found = {}
for family in parser.text_string_to_metric_families(sys.stdin.read()):
    samples = [list(sample)[:3] for sample in family.samples]
    found[family.name] = {"type": family.type, "help": family.documentation, "samples": samples}
print(json.dumps(found))
"""


def parsed(text: str) -> dict[str, Any]:
    words = [programs.peer(), "-c", PARSE]
    return json.loads(subprocess.run(words, input=text, text=True, check=True, capture_output=True, timeout=60).stdout)


def value(found: dict[str, Any], name: str, sample: str = "", **labels: str) -> float:
    return sum(
        number
        for known, marks, number in found[name]["samples"]
        if known == (sample or name) and labels.items() <= marks.items()
    )


@pytest.mark.peer
def test_a_working_service_is_ready_and_counts_what_it_does(tmp_path: Path) -> None:
    data = tmp_path / "data"
    words = ingot_argv("user", "add", "ann", "--password-stdin", "--data-dir", str(data))
    subprocess.run(words, input=PASSWORD, text=True, check=True, capture_output=True)
    with serving(data) as url:
        stranger, ann = api.Client(url), api.Client(url, "ann", PASSWORD)
        wait_for(lambda: stranger.get("/ingot/v1/health")["alive"])
        wait_for(lambda: _is_ready(stranger))
        checks = stranger.get("/ingot/v1/ready")["checks"]
        assert {name: check["ok"] for name, check in checks.items()} == dict.fromkeys(checks, True)
        assert set(checks) == {"database", "conductor", "dhcp"}
        with pytest.raises(exits.ApiRefused):
            stranger.text("/metrics")
        ann.call("POST", "/v1/nodes", {"driver": "fake-hardware", "name": "n1"})
        ann.call("PUT", "/v1/nodes/n1/states/provision", {"target": "manage"})
        wait_for(lambda: ann.get("/v1/nodes/n1")["provision_state"] == "manageable")
        for number in range(300):
            assert ann.find(f"/v1/nodes/nobody{number}") is None
            assert ann.find(f"/v1/nonsense{number}") is None
        found = parsed(ann.text("/metrics"))
    assert all(re.fullmatch(r"[A-Z].*\.", family["help"]) for family in found.values())
    assert value(found, "ingot_nodes", provision_state="manageable") == 1
    assert len(found["ingot_nodes"]["samples"]) == len(states.State)
    requests = "ingot_request_duration_seconds"
    assert value(found, requests, f"{requests}_count", route="/v1/nodes", method="POST", status="201") == 1
    assert value(found, requests, f"{requests}_count", route="/v1/nodes/{node}", status="404") == 300
    assert value(found, requests, f"{requests}_count", route="unknown", status="404") == 300
    assert value(found, requests, f"{requests}_bucket", route="unknown", le="+Inf") == 300
    assert value(found, "ingot_runs_ended", "ingot_runs_ended_total", kind="verify", status="succeeded") == 1
    assert value(found, "process_resident_memory_bytes") > 20e6
    assert 0 < value(found, "process_cpu_seconds", "process_cpu_seconds_total") < 60
    labels = {label for family in found.values() for _, marks, _ in family["samples"] for label in marks.values()}
    assert not [label for label in labels if "nobody" in label or label == "n1" or ids.is_uuid(label)]
    assert {"ingot_bmc_call_duration_seconds", "ingot_loop_lag_seconds", "ingot_webhook_lag_events"} <= set(found)


def _is_ready(client: api.Client) -> bool:
    try:
        return client.get("/ingot/v1/ready")["ready"]
    except errors.Misbehaved:
        return False


def test_a_held_database_is_said(tmp_path: Path) -> None:
    """Another program holds the database: alive, since it can be read, but not ready, and ready again after."""
    data = tmp_path / "data"
    with serving(data, "--noauth") as url:
        client = api.Client(url, timeout=30)
        wait_for(lambda: _is_ready(client))
        holder = sqlite3.connect(data / "ingot.db", isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(errors.Misbehaved) as refused:
            client.get("/ingot/v1/ready")
        assert "503" in refused.value.message
        assert client.get("/ingot/v1/health")["alive"]
        holder.execute("ROLLBACK")
        holder.close()
        wait_for(lambda: _is_ready(client), 30)


async def test_without_a_conductor_it_lives_and_is_not_ready(api: Api) -> None:
    assert (await api.get("/ingot/v1/health", version=None))["alive"]
    reply = await api.call("GET", "/ingot/v1/ready", version=None)
    assert (reply.status, reply.body["ready"]) == (503, False)
    assert reply.body["checks"]["conductor"] == {
        "ok": False,
        "reason": "No conductor has given a sign of life for 30 s.",
    }
    assert reply.body["checks"]["database"]["ok"]

    async def looked() -> float:
        return 99.0

    async def dhcp() -> bool:
        return False

    api.deps.bus.answer("last_look", looked)
    api.deps.bus.answer("dhcp_runs", dhcp)
    checks = (await api.call("GET", "/ingot/v1/ready")).body["checks"]
    assert checks["dhcp"] == {"ok": False, "reason": "DHCP does not run."}


@pytest.mark.peer
async def test_open_runs_are_counted_by_what_they_do(api: Api) -> None:
    store, now = api.deps.store, api.deps.clock()
    for number in range(3):
        made = await api.node(name=f"n{number}")
        run = runs.Run(id=ids.new(), node_uuid=made["uuid"], kind=runs.Kind.DEPLOY, wake_at=now - 100)
        await store.run(run_store.open_run, run)
    await store.run(claim_store.claim, "here/1", now, 60.0, 1)
    reply = await api.call("GET", "/metrics")
    assert reply.headers["Content-Type"] == metrics.CONTENT_TYPE
    found = await asyncio.to_thread(parsed, reply.raw.decode())
    assert value(found, "ingot_runs_open", kind="deploy", state="working") == 1
    assert value(found, "ingot_runs_open", kind="deploy", state="waiting") == 2
    assert 99 < value(found, "ingot_run_overdue_seconds") < 200


async def test_commands_to_bmcs_are_timed_with_their_outcome() -> None:
    before = dict(_counts())
    with counts.BMC_CALLS.timed("test"):
        pass
    with pytest.raises(errors.TimedOut), counts.BMC_CALLS.timed("test"):
        raise errors.TimedOut()
    after = _counts()
    grown = {key: after[key] - before.get(key, 0) for key in after if key[0] == "test"}
    assert grown == {("test", "ok"): 1, ("test", "TimedOut"): 1}


def _counts() -> dict[tuple[str, ...], float]:
    samples = counts.BMC_CALLS.family().samples
    return {tuple(mark for _, mark in labels): number for suffix, labels, number in samples if suffix == "_count"}


@pytest.mark.peer
def test_labels_are_written_so_that_a_judge_reads_them() -> None:
    odd = 'a"b\\c\nd'
    counter = metrics.Counter("odd_total", "Words with \\ and\na line break.", ("name",))
    counter.count(odd)
    found = parsed(metrics.text([counter.family()]).decode())
    assert found["odd"]["samples"][0][1] == {"name": odd}
