"""Every fault that is injected somewhere in the tests, and the sentence that an operator is shown for it.

The test that injects a fault calls ``told`` with the sentence it really got. What it got last is in
``sentences.json``, and after how long in ``seconds.json`` (with INGOT_WRITE_DOCS=1 both are written anew);
docs/reference/faults.md is made of all three, and test_catalogue.py proves it. Invariant: a sentence that is no
longer shown, or late, fails the test that injects its fault.
"""

from __future__ import annotations

import ast
import functools
import json
import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from faults import tried

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
SENTENCES = FOLDER / "sentences.json"
SECONDS = FOLDER / "seconds.json"
PAGE = ROOT / "docs" / "reference" / "faults.md"
LIMIT = 60
_STEPS = (1, 5, 10, 20, 40, LIMIT)
"""Of a time is noted the first of these that it is not above: a slower machine makes the same page."""
_watch = {"began": 0.0}


class Fault(NamedTuple):
    """``cause`` and ``action``: words that the sentence must hold.

    ``later``: what tells within a minute where this very sentence comes at a deadline, which the test moves near.
    """

    area: str
    injected: str
    cause: str
    action: str
    test: str
    later: str = ""


_IPMI, _REDFISH = "tests/drivers/ipmi/test_faults.py", "tests/drivers/redfish/test_faults.py"
_AGENT, _IMAGE = "tests/drivers/generic/test_agent_faults.py", "tests/drivers/generic/test_image_faults.py"
_SILENCE, _FLOW = "tests/drivers/generic/test_silence.py", "tests/flows/test_faults.py"
_CONTROLLER, _START = "tests/e2e/test_controller_faults.py", "tests/e2e/test_start_faults.py"
_NETBOOT, _SECOND = "tests/netboot/test_netboot.py", "tests/drivers/generic/test_second_boot.py"
_INSPECT = "tests/drivers/generic/test_inspection.py"
_LACKING = "tests/e2e/test_lacking.py"
_DATABASE = "tests/servers/test_harmed.py"
_LINK, _DISKS, _TLS = "tests/e2e/test_link_down.py", "tests/e2e/test_disk_faults.py", "tests/agent/test_tls.py"
_OCI, _BROKER = "tests/images/test_oci.py", "tests/bus/test_rabbitmq.py"

_ERASE = "tests/e2e/test_secure_erase.py"
ALIKE: tuple[frozenset[str], ...] = (
    frozenset({"ipmi-silent", "ipmi-gone-in-a-run"}),
    frozenset({"redfish-refused", "redfish-gone-in-a-run", "redfish-stays-away"}),
    frozenset({"netboot-no-dhcp", "ipmi-boot-ignored"}),  # who hears nothing cannot tell why: the reason lists both
    frozenset({"netboot-after-script", "netboot-hung-twice"}),
)
"""Faults with one cause, or one that cannot be told from the other: only of these the words may fit each other."""

_DEADLINE = "at the state's deadline; till then `ingot node watch` names the step"
_WAITING = "at its deadline; the reason names what is waited for at once"

FAULTS: dict[str, Fault] = {
    "ipmi-silent": Fault("BMC", "every packet to the BMC is lost", "No IPMI answer", "Check the address", _IPMI),
    "ipmi-slow": Fault("BMC", "each answer takes 20 s", "too slow", "Restart the BMC", _IPMI),
    "ipmi-sessions-full": Fault("BMC", "all its sessions are in use", "no free session", "Close other", _IPMI),
    "ipmi-wrong-password": Fault(
        "BMC", "the node has another password", "accept the password", "Correct ipmi_pass", _IPMI
    ),
    "ipmi-1.5-wrong-password": Fault("BMC", "the same, with IPMI 1.5", "to the password", "Correct ipmi_pass", _IPMI),
    "ipmi-locked-out": Fault(
        "BMC",
        "it locks the account after a wrong password",
        "no IPMI user 'admin', whom it let in",
        "Wait until",
        _IPMI,
    ),
    "ipmi-power-stuck": Fault(
        "BMC", "takes the order, the machine stays off", "BMC ADDRESS accepted", "Look at the machine;", _IPMI
    ),
    "ipmi-boot-forgotten": Fault("BMC", "takes the boot device and forgets it", "holds none", "Update or reset", _IPMI),
    "ipmi-boot-ignored": Fault("BMC", "the machine ignores the boot device", "no DHCP request", "Look at", _IPMI),
    "ipmi-gone-in-a-run": Fault("BMC", "it dies while the image is written", "No IPMI answer", "Check the", _IPMI),
    "redfish-wrong-password": Fault(
        "BMC", "the node has another password", "'admin' or the password", "Correct redfish", _REDFISH
    ),
    "redfish-locked-out": Fault(
        "BMC", "it locks the account", "it has locked the account, or somebody has changed", "Wait until", _REDFISH
    ),
    "redfish-sessions-full": Fault("BMC", "no session is free", "too many sessions", "Close other", _REDFISH),
    "redfish-certificate": Fault("BMC", "its certificate has expired", "expired", "Give the CA", _REDFISH),
    "redfish-power-stuck": Fault(
        "BMC", "takes the order, the machine stays off", "service ADDRESS accepted", "Look at the machine;", _REDFISH
    ),
    "redfish-boot-forgotten": Fault("BMC", "takes the override and forgets it", "override is None", "Update", _REDFISH),
    "redfish-media-refused": Fault(
        "BMC", "refuses virtual media", "answered 500", "Check that the BMC reaches", _REDFISH
    ),
    "redfish-silent": Fault("BMC", "takes connections, never answers", "did not answer", "Check address", _REDFISH),
    "redfish-slow": Fault("BMC", "each answer takes 20 s", "takes long", "restart the BMC", _REDFISH),
    "redfish-gone-in-a-run": Fault(
        "BMC", "its port closes before a run", "reached: Connection refused", "Check address", _REDFISH
    ),
    "redfish-stays-away": Fault(
        "BMC", "it does not come back", "reached: Connection refused", "Check address", _REDFISH, _WAITING
    ),
    "redfish-refused": Fault(
        "BMC", "nobody listens at its address", "reached: Connection refused", "Check address", _REDFISH
    ),
    "agent-wrong-token": Fault("agent", "its token changes", "another token", "boot it again", _AGENT),
    "agent-of-another-node": Fault(
        "agent", "another node's agent answers", "the agent of another node", "Look for a second DHCP", _AGENT
    ),
    "agent-rebooted": Fault(
        "agent", "the machine reboots in a step", "was rebooted in the middle", "Look at the machine's", _AGENT
    ),
    "agent-restarted": Fault(
        "agent", "the agent restarts in a step", "was restarted in the middle", "Look at the machine's", _AGENT
    ),
    "agent-clock-ahead": Fault(
        "agent",
        "its clock is beyond the time of the API's certificate",
        "expired; this machine's clock says",
        "set it, or renew the certificate",
        _TLS,
        "at once, in the ramdisk's log and on its console",
    ),
    "agent-out-of-memory": Fault(
        "agent", "its machine's memory is used up in a write", "ran out of memory", "Give the machine more", _LACKING
    ),
    "agent-step-failed": Fault(
        "disk",
        "the disk dies in a step",
        "write_image: The ramdisk's agent failed execute_deploy_step: the disk died",
        "Look in its log (ingot node logs NODE)",
        _AGENT,
    ),
    "disk-erase-refused": Fault(
        "disk", "it begins its own erase and aborts it", "did not erase itself", "continue_if_secure", _ERASE
    ),
    "disk-dead-sector": Fault("disk", "a sector of it cannot be written", "Writing", "Check or replace", _ERASE),
    "disk-driver-hangs": Fault("disk", "its driver hangs in an inspection", "still being loaded", "inspect", _INSPECT),
    "disk-too-small": Fault("disk", "the image is larger", "The image has", "Choose a larger disk", _DISKS),
    "disk-no-match": Fault("disk", "no disk fits the hints", "No disk fits the root", "Change the hints", _DISKS),
    "no-disk": Fault("disk", "a real machine has none", "none at all", "Add one", _LACKING),
    "image-checksum": Fault("image", "its checksum is another", "is wrong: expected", "correct it in", _IMAGE),
    "image-wrong-format": Fault("image", "qcow2 declared as raw", "its content is qcow2", "Set image_disk", _IMAGE),
    "image-backing-file": Fault("image", "it wants to read a file of ours", "backing file", "Flatten it", _IMAGE),
    "image-gzip-cut": Fault("image", "a gzip file ends early", "cannot be unpacked", "Upload it again", _IMAGE),
    "image-qcow2-cut": Fault("image", "a qcow2 file ends early", "damaged or cut off", "Upload it again", _IMAGE),
    "image-missing": Fault("image", "the server has no such file", "There is no image", "Correct image", _IMAGE),
    "image-server-down": Fault("image", "nobody listens at its URL", "could not be fetched", "Check the", _IMAGE),
    "image-too-large": Fault("image", "larger than the cache", "takes more than", "Use a smaller", _IMAGE),
    "image-cache-full": Fault("disk", "the cache's file system is full", "No space is left", "Free space", _IMAGE),
    "image-rotten": Fault("disk", "bits of a cached image flip", "damaged in the image cache", "Deploy again", _IMAGE),
    "registry-processor": Fault("image", "an index without our processor", "no disk image for", "Choose another", _OCI),
    "registry-forbidden": Fault("image", "it wants a password", "does not let us read", "image_pull_secret", _OCI),
    "registry-not-a-disk": Fault(
        "image", "a container instead of a disk", "is not a disk image", "Name an artifact", _OCI
    ),
    "registry-no-such-tag": Fault("image", "it has no such tag", "has no", "Correct image_source", _OCI),
    "registry-lies": Fault("image", "another manifest than its digest says", "another manifest", "Do not use", _OCI),
    "registry-down": Fault("network", "it answers 503", "answered 503", "Check image_source", _OCI),
    "netboot-no-dhcp": Fault("netboot", "no frame of the machine arrives", "no DHCP request", "wrong VLAN", _SILENCE),
    "netboot-told-disk": Fault(
        "netboot", "it boots when none is wanted", "told to start from its disk", "find out who", _SILENCE
    ),
    "netboot-after-script": Fault(
        "netboot", "silent after its boot script", "told to load the", "look at its console", _SILENCE
    ),
    "netboot-hung-twice": Fault(
        "netboot", "it hangs in its network boot, twice", "switched off and on again", "console", _SECOND, _WAITING
    ),
    "netboot-after-kernel": Fault(
        "netboot", "silent after the kernel", "loaded vmlinuz", "look at its console", _SILENCE
    ),
    "netboot-no-ramdisk": Fault("netboot", "the ramdisk's file is gone", "no deploy ramdisk in", "Make one", _SILENCE),
    "dhcp-no-address": Fault(
        "netboot", "the address range is used up", "no address available", "provision_range", _SILENCE
    ),
    "dhcp-neighbours-full": Fault(
        "netboot", "the host's ARP table is full", "could not send it", "raise net", _SILENCE
    ),
    "dhcp-not-taken": Fault(
        "network", "it takes another server's offer", "has not taken it", "look for a second DHCP", _SILENCE
    ),
    "tftp-blocked": Fault("network", "TFTP is blocked", "did not load its boot program", "look whether TFTP", _SILENCE),
    "netboot-no-arm64-ramdisk": Fault("netboot", "an ARM64 node, x86's ramdisk", "for ARM64", "Make one", _NETBOOT),
    "netboot-no-port": Fault("netboot", "the node has no port", "has no port", "Create one", _SILENCE),
    "netboot-off": Fault("netboot", "no interface is set", "Network boot is off", "set provision", _SILENCE),
    "step-hangs": Fault(
        "controller",
        "a step never ends",
        "its time ran out in the step deploy.prepare",
        "See with ingot node why NODE",
        _FLOW,
        _DEADLINE,
    ),
    "step-fails": Fault("controller", "a step of a driver fails", "it smokes", "Remove fake_fault", _FLOW),
    "ramdisk-never-calls": Fault(
        "agent", "no ramdisk ever calls", "ramdisk's call", "Remove fake_wait", _FLOW, _WAITING
    ),
    "driver-bug": Fault("controller", "a driver raises ValueError", "unforeseen ValueError", "Please report", _FLOW),
    "wrong-key": Fault("controller", "secret.key is another", "The secrets of node", "Put the secret.key", _FLOW),
    "run-in-the-way": Fault("controller", "two orders at once", "locked by the run", "retry after", _FLOW),
    "disk-full": Fault("database", "its file system is full", "is full", "Free space", _CONTROLLER),
    "database-held": Fault("database", "another program locks it", "Another program holds", "end it", _CONTROLLER),
    "sqlite-read-only": Fault("database", "its file may not be written", "readonly", "Let ingot's account", _DATABASE),
    "postgresql-read-only": Fault(
        "database", "PostgreSQL is read-only", "in a read-only transaction", "may be written to", _DATABASE
    ),
    "mariadb-read-only": Fault(
        "database",
        "MariaDB is read-only",
        "MariaDB server is running with the --read-only",
        "may be written to",
        _DATABASE,
    ),
    "postgresql-stopped": Fault(
        "database", "PostgreSQL is stopped", "cannot be used: No such file", "See that the server", _DATABASE
    ),
    "mariadb-stopped": Fault(
        "database", "MariaDB is stopped", "cannot be used: Can't connect", "See that the server", _DATABASE
    ),
    "broker-call-too-long": Fault("broker", "a call gets no answer in time", "did not finish", "try again", _BROKER),
    "broker-killed-in-a-call": Fault(
        "broker", "it is killed while a call is open", "connection ended while", "start it", _BROKER
    ),
    "broker-not-there": Fault("broker", "nobody listens at its URL", "not reached: the call echo", "start it", _BROKER),
    "api-port-taken": Fault("controller", "its port is taken", "Address already in use", "end it", _START),
    "files-port-taken": Fault("controller", "the file server's port is taken", "is taken", "stop that", _START),
    "dnsmasq-missing": Fault("netboot", "dnsmasq is not installed", "not installed", "Run: apt-get", _START),
    "dhcp-not-allowed": Fault("netboot", "who serves is not root", "by this account", "Run ingot as root", _START),
    "link-down": Fault(
        "network",
        "its link goes down while the image is written",
        "it does not answer at",
        "look whether its link or its switch port",
        _LINK,
    ),
    "interface-missing": Fault("network", "no such interface", "no network interface", "See ip link", _START),
    "address-not-ours": Fault("network", "the address is another host's", "no interface of this", "Compare", _START),
}

_PLACES = [
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"), "UUID"),
    (re.compile(r"\b[0-9a-f]{2}(:[0-9a-f]{2}){5}\b"), "MAC"),
    (re.compile(r"\b[0-9a-f]{64}\b"), "DIGEST"),
    (re.compile(r"(?<![\w/.])(/[\w.+-]*[\w+-]){2,}"), "PATH"),
    (re.compile(r"(%2F[\w.+-]+)+"), "PATH"),
    (re.compile(r"/test\d+(?=\?)"), "/NAME"),  # a database of tests/servers
    (re.compile(r"\b(127|192\.0\.2|(?<=://)\d+)(\.\d+)+(:\d+)?"), "ADDRESS"),
    (re.compile(r"\bport \d+|(?<=sport = :)\d+", re.IGNORECASE), "port N"),
    (re.compile(r"\b0x[0-9a-f]+\b"), "0xN"),
    (re.compile(r"\b\d{4}-\d\d-\d\d \d\d:\d\d\b"), "TIME"),
    (re.compile(r"\bIR[0-9A-F]{11}\b"), "SERIAL"),  # a disk's in our rack
    (re.compile(r"\b\d+(\.\d+)? s\b"), "N s"),
    (re.compile(r"\b\d+(\.\d+)? (bytes|MiB)\b"), r"N \2"),
]


def plain(sentence: str) -> str:
    """A sentence with what differs from run to run replaced by a word for it."""
    for pattern, word in _PLACES:
        sentence = pattern.sub(word, sentence)
    return sentence


def begin() -> None:
    """The time of the next fault counts from now: a test begins (conftest.py), or has told of the one before."""
    _watch["began"] = time.monotonic()


def told(name: str, sentence: object, *, timed: bool = True) -> None:
    """Fail unless ``sentence`` is the one the page shows for this fault, and names its cause and what to do in time.

    ``timed``: the test's time until now is counted as the fault's; not where a virtual machine has to boot first.
    """
    fault, shown = FAULTS[name], plain(str(sentence))
    assert fault.cause in shown, f"{name}: the true cause ({fault.cause!r}) is not named: {shown}"
    assert fault.action in shown, f"{name}: what to do ({fault.action!r}) is not told: {shown}"
    took = time.monotonic() - _watch["began"]
    noted = next((step for step in _STEPS if took <= step), None)
    assert noted or not timed, f"{name}: told only after {took:.0f} s"
    if os.environ.get("INGOT_WRITE_DOCS"):
        _write(SENTENCES, {**sentences(), name: shown})
        if noted and timed:
            _write(SECONDS, {**seconds(), name: noted})
    begin()
    assert sentences().get(name) == shown, f"{name}: run this test with INGOT_WRITE_DOCS=1, then test_catalogue.py"


def sentences() -> dict[str, str]:
    """What was shown last, by fault."""
    return json.loads(SENTENCES.read_text()) if SENTENCES.exists() else {}


def seconds() -> dict[str, int]:
    """Within how many seconds of the test's begin it was shown, by fault; without those of virtual machines."""
    return json.loads(SECONDS.read_text()) if SECONDS.exists() else {}


def _write(file: Path, values: Mapping[str, str | int]) -> None:
    file.write_text(json.dumps(values, indent=1, sort_keys=True) + "\n")


def verdict(name: str) -> str:
    """Whether what was shown last is right: the true cause, what to do, in time."""
    fault, shown = FAULTS[name], sentences().get(name, "")
    if not shown or fault.cause not in shown:
        return "wrong: another cause"
    if fault.action not in shown:
        return "wrong: not what to do"
    return "right"


def _within(name: str) -> str:
    fault, took = FAULTS[name], seconds().get(name)
    return fault.later or (f"{took} s" if took else "at once, in its step")


def page() -> str:
    """docs/reference/faults.md."""
    shown = sentences()
    verdicts = [verdict(name) for name in FAULTS]
    right = sum(one.startswith("right") for one in verdicts)
    lines = [_HEAD, "", f"Right: {right} of {len(verdicts)}."]
    for area in sorted({fault.area for fault in FAULTS.values()}):
        heads = ("fault", "injected", "sentence shown", "within", "right or wrong")
        lines += ["", f"## {area[0].upper()}{area[1:]}", "", f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
        for name, one in FAULTS.items():
            cells = (name, one.injected, _cell(shown.get(name, "(never shown)")), _within(name), verdict(name))
            lines += [f"| {' | '.join(cells)} |"] if one.area == area else []
    lines += ["", "## Where each kind is tried", "", "| of | fault | tests |", "|---|---|---|"]
    for area, kinds in tried.TRIED.items():
        for kind, places in kinds.items():
            tests = dict.fromkeys(test_of(place) for place in places)
            lines.append(f"| {area} | {kind} | {'<br>'.join(f'`{one}`' for one in tests)} |")
    return "\n".join(lines) + "\n"


def test_of(place: str) -> str:
    """The test a place of tried.TRIED means: of a fault of this catalogue the function that injects it."""
    fault = FAULTS.get(place)
    return place if fault is None else f"{fault.test}::{injecting(fault.test, place)}"


@functools.cache
def injecting(file: str, name: str) -> str:
    """The function in ``file`` that names the fault; "?" where none does."""
    for found in ast.walk(ast.parse((ROOT / file).read_text())):
        if isinstance(found, ast.AsyncFunctionDef | ast.FunctionDef) and found.name.startswith("test_"):
            words = (one.value for one in ast.walk(found) if isinstance(one, ast.Constant))
            if name in words:
                return found.name
    return "?"


_HEAD = f"""# Faults and what is said of them

{len(FAULTS)} faults that the tests inject, and the sentence that `last_error`, the run's reason or the command line
showed when they were injected last. Each test fails when the sentence is another than here, names another cause, or
does not say what to do. "within" counts from the beginning of the test, which sets things up first, or from its last
sentence, so the fault itself was told sooner; what is told after more than {LIMIT} s fails the test. ADDRESS, UUID, N
and the like stand for what differs from run to run. Which test injects which fault stands in the last table. Written
by the tests: `INGOT_WRITE_DOCS=1 ./ingot test` with their files, then with tests/faults."""


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
