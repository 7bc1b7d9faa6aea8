"""The rack's Redfish BMCs before the DMTF's validators: what they find wrong is named here with its reason."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pytest

import programs
from drivers.redfish import peer
from ingot_rack.redfish import tls
from rack.tools import run

EXPLAINED = {
    # aiohttp's parser refuses a method that HTTP does not have with 400, before the BMC sees it
    ("PROTO_HTTP_UNSUPPORTED_METHODS", "FAKEMETHODFORTEST"),
}
NO_USERS, OFF = "its one account cannot be added to", "a machine that is off cannot be restarted, which the BMC says"
EXPLAINED_USES = {"Add User": NO_USERS, "Reset Operation": OFF}
PLAIN_ENVIRONMENT = {"REQUESTS_CA_BUNDLE": "", "CURL_CA_BUNDLE": ""}
"""A CA file that the environment names would take precedence over "check no certificate"."""


@pytest.mark.peer
@pytest.mark.timeout(240)
@pytest.mark.parametrize("shape", ["plain", pytest.param("dell", marks=pytest.mark.long)])
async def test_the_protocol_validator_finds_only_what_is_explained(tmp_path: Path, shape: str) -> None:
    context, _ = tls.context(["127.0.0.1"])
    async with peer.running(shape, tls=context) as bmc:
        words = ("--user", "admin", "--password", peer.PASSWORD, "--rhost", bmc.url, "--no-cert-check")
        words += ("--avoid-http-redirect", "--report-type", "tsv", "--report-dir", str(tmp_path))
        program = programs.peer("rf_protocol_validator")
        _, output = await run(program, *words, env=PLAIN_ENVIRONMENT, seconds=200)
    report = next(tmp_path.glob("*.tsv"), None)
    assert report is not None, output
    rows = list(csv.DictReader(io.StringIO(report.read_text()), delimiter="\t"))
    failed = {(row["Assertion"], row["Method"]): row["Message"] for row in rows if row["Result"] == "FAIL"}
    assert {key: words for key, words in failed.items() if key not in EXPLAINED} == {}
    passed = [row for row in rows if row["Result"] == "PASS"]
    print(f"{shape}: {len(passed)} passed, {len(failed)} failed, {len(rows) - len(passed) - len(failed)} not tested")
    assert len(passed) > 270, "fewer were tried than before"


@pytest.mark.long
@pytest.mark.peer
@pytest.mark.timeout(240)
async def test_the_use_case_checkers_find_only_what_is_explained(tmp_path: Path) -> None:
    context, _ = tls.context(["127.0.0.1"])
    async with peer.running("plain", tls=context) as bmc:
        words = ("-u", "admin", "-p", peer.PASSWORD, "-r", bmc.url, "--report-dir", str(tmp_path))
        program = programs.peer("rf_use_case_checkers")
        _, output = await run(program, *words, env=PLAIN_ENVIRONMENT, seconds=200)
    log = next(tmp_path.rglob("*.log"), None)
    assert log is not None, output
    failed = set(re.findall(r"Failing the (.+) test", log.read_text()))
    assert failed == set(EXPLAINED_USES), output
    counts = re.search(r"\|\s*(\d+)\s*\|\s*(\d+)\s*\|\s*(\d+)\s*\|\s*(\d+)\s*\|", output)
    assert counts is not None, output
    print("{} passed, {} warnings, {} failed, {} not tested".format(*counts.groups()))
    assert int(counts[1]) >= 23, "fewer were tried than before"
