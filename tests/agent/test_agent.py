"""A whole agent against a small Ironic: lookup, token rule, heartbeats, commands over HTTP."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import gzip
import io
import socket
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agent import machines, peers
from ingot_agent import boot, commands, conductor, errors, settings, version

MIB = 1 << 20


@contextmanager
def running(api: peers.Ironic, roots: settings.Roots, **values: Any) -> Iterator[tuple[boot.Agent, peers.AgentClient]]:
    """An agent in threads of this process, locked down at the end."""
    config = settings.Settings(
        api_url=f"http://127.0.0.1:{api.port}",
        listen_port=0,
        address_wait=0,
        http_timeout=5,
        boot_mac="52:54:00:aa:bb:cc",
        **values,
    )
    agent = boot.Agent(config, roots, "127.0.0.1")
    thread = threading.Thread(target=agent.run)
    thread.start()
    try:
        peers.wait_until(lambda: api.seen.heartbeats, 10, "the first heartbeat")
        ca = api.seen.heartbeats[0].get("agent_verify_ca", "")
        scheme = "https" if ca else "http"
        yield agent, peers.AgentClient(f"{scheme}://127.0.0.1:{agent.server.port}", ca=ca)
    finally:
        agent.lock_down()
        thread.join(10)
        assert not thread.is_alive()


@pytest.fixture
def roots(tmp_path: Path) -> settings.Roots:
    made = machines.make(tmp_path / "machine")
    machines.add_disk(made, "vda", 64 * MIB, serial="S1")
    return made


def test_lookup_and_heartbeat_as_ironic_wants_them(roots: settings.Roots) -> None:
    with peers.Ironic(lookup_answers=[404, 409]) as api, running(api, roots) as (agent, _):
        assert api.seen.lookups[-1] == "/v1/lookup?addresses=52:54:00:aa:bb:cc"
        assert len(api.seen.lookups) == 3
        beat = api.seen.heartbeats[0]
        assert beat.pop("path") == f"/v1/heartbeat/{peers.NODE}"
        url = f"https://127.0.0.1:{agent.config.advertise_port}"
        assert beat.pop("agent_verify_ca").startswith("-----BEGIN CERTIFICATE-----")
        assert beat == {"callback_url": url, "agent_token": peers.TOKEN, "agent_version": version.VERSION}
        assert api.seen.versions == ["1.62"] * 3 + ["1.68"]


def test_old_api_is_asked_with_its_own_version() -> None:
    assert conductor._version("1.31") == (1, 31)  # pyright: ignore[reportPrivateUsage] - the one rule worth a direct look
    assert conductor._version("junk") == (1, 31)  # pyright: ignore[reportPrivateUsage] - as above


def test_masked_token_never_given_to_us_locks_down(roots: settings.Roots) -> None:
    with peers.Ironic(token="******") as api:
        agent = boot.Agent(
            settings.Settings(api_url=f"http://127.0.0.1:{api.port}", listen_port=0, address_wait=0), roots, "127.0.0.1"
        )
        with pytest.raises(errors.Unauthorized, match="given this machine's agent token to somebody else"):
            agent.run()
        agent.lock_down()
        assert api.seen.heartbeats == []


def test_restarted_agent_goes_on_with_its_token(roots: settings.Roots) -> None:
    with peers.Ironic() as api, running(api, roots):
        pass
    with peers.Ironic(token="******") as api, running(api, roots):
        assert api.seen.heartbeats[0]["agent_token"] == peers.TOKEN


def test_failed_heartbeat_is_tried_again_soon(roots: settings.Roots) -> None:
    with peers.Ironic() as api:
        api.heartbeat_statuses += [500, 409]
        with running(api, roots):
            peers.wait_until(lambda: len(api.seen.heartbeats) >= 3, 10, "two more heartbeats")


def test_unreachable_api_is_a_sentence(roots: settings.Roots) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    agent = boot.Agent(
        settings.Settings(api_url=f"http://127.0.0.1:{port}", listen_port=0, address_wait=0, lookup_timeout=0.3),
        roots,
        "127.0.0.1",
    )
    with pytest.raises(errors.NotKnown, match=r"No lookup within 0 s: No connection to 127.0.0.1:.*refused"):
        agent.run()
    agent.lock_down()


def test_inspection_report(roots: settings.Roots) -> None:
    with peers.Ironic() as api:
        url = f"http://127.0.0.1:{api.port}/v1/continue_inspection"
        with running(api, roots, inspection_callback_url=url):
            report = api.seen.inspections[0]
    inventory = report["inventory"]
    assert report["error"] is None
    assert inventory["interfaces"][0]["mac_address"] == "52:54:00:aa:bb:cc"
    assert inventory["interfaces"][0]["pci_address"] == "0000:00:03.0"
    assert inventory["interfaces"][0]["vendor"] == "0x8086"
    assert inventory["cpu"]["count"] == 2
    assert inventory["cpu"]["socket_count"] == 2
    assert inventory["disks"][0] | {"by_path": None} == {
        "name": f"{roots.dev}/vda", "model": None, "size": 64 * MIB, "rotational": False, "wwn": None, "serial": "S1",
        "vendor": None, "wwn_with_extension": None, "wwn_vendor_extension": None, "hctl": None, "by_path": None,
        "logical_sectors": 512, "physical_sectors": 4096, "tran": None,
    }  # fmt: skip
    assert inventory["memory"] == {"total": 1024000 * 1024, "physical_mb": 1000}
    assert inventory["boot"] == {"current_boot_mode": "bios", "pxe_interface": "52:54:00:aa:bb:cc"}
    assert inventory["bmc_address"] == "0.0.0.0"


def test_paths_and_errors(roots: settings.Roots) -> None:
    with peers.Ironic() as api, running(api, roots) as (_, client):
        assert client.call("GET", "/")[1]["default_version"]["id"] == "v1"
        assert client.call("GET", "/v1/")[0] == 200
        assert client.call("GET", "/v1/status")[1]["version"] == version.VERSION
        assert client.call("GET", "/v1/commands/")[0] == 401
        assert client.call("GET", "/v1/commands/?agent_token=wrong")[0] == 401
        assert dataclasses.replace(client, token="x" * 40).post("standby.sync")[0] == 401
        status, fault = client.post("no.such")
        assert (status, fault["faultcode"]) == (404, "Client")
        assert "standby.sync" in fault["faultstring"]
        assert client.post("standby.nosuch")[0] == 400
        assert client.call("GET", "/status")[1]["version"] == version.VERSION
        assert client.call("GET", f"/commands/?agent_token={peers.TOKEN}")[0] == 200
        page = client.call("GET", "/v1")[1]
        assert page["links"][0]["href"] == f"{client.base}/v1"
        assert client.post("standby.prepare_image", {"image_info": {"id": "i"}}, wait=False)[0] == 400
        assert client.call("GET", f"/v1/commands/none?agent_token={peers.TOKEN}")[0] == 404
        assert client.call("GET", "/v2")[0] == 404
        assert client.post("poll.set_node_info")[0] == 400
        for body in (["list"], {"name": 5}, {"name": "nodot"}, {"name": "standby.sync", "params": [1]}):
            assert client.call("POST", f"/v1/commands/?agent_token={peers.TOKEN}", body)[0] == 400


def test_malformed_and_huge_requests_do_not_end_the_server(roots: settings.Roots) -> None:
    with peers.Ironic() as api, running(api, roots) as (agent, client):
        for raw in (b"nonsense\r\n\r\n", b"POST / HTTP/1.1\r\nContent-Length: 999999999999\r\n\r\n", b"\xff" * 40000):
            raw_client = socket.create_connection(("127.0.0.1", agent.server.port), 5)
            with raw_client, contextlib.suppress(OSError):  # the server may hang up at any of these calls
                raw_client.sendall(raw)
                raw_client.shutdown(socket.SHUT_WR)
                assert raw_client.recv(12) in (b"", b"HTTP/1.1 400")
        assert client.call("GET", "/v1/status")[0] == 200


def test_steps_are_listed_and_run(roots: settings.Roots) -> None:
    with peers.Ironic() as api, running(api, roots) as (_, client):
        listed = client.post("clean.get_clean_steps", {"node": {}, "ports": []})[1]["command_result"]
        steps = {one["step"]: one["priority"] for one in listed["clean_steps"]["ingot_generic"]}
        assert {name: priority for name, priority in steps.items() if priority} == {
            "erase_devices_metadata": 99,
            "erase_devices": 10,
        }
        on_request = {
            "erase_devices_express",
            "erase_pstore",
            "clean_uefi_nvram",
            "burnin_disk",
            "create_configuration",
        }
        assert on_request < set(steps)
        deploy = client.post("deploy.get_deploy_steps")[1]["command_result"]["deploy_steps"]["ingot_generic"]
        assert {one["step"] for one in deploy} == {
            "write_image", "erase_devices_metadata", "clean_uefi_nvram", "apply_configuration", "inject_files",
        }  # fmt: skip
        service = client.post("service.get_service_steps")[1]["command_result"]["service_steps"]["ingot_generic"]
        names = {one["step"]: one["interface"] for one in service}
        assert "burnin_disk" not in names  # it would destroy what the tenant has
        assert names["create_configuration"] == "raid"
        beats = len(api.seen.heartbeats)
        version_seen = listed["hardware_manager_version"]
        named = {"step": "erase_devices_metadata", "interface": "deploy", "priority": 99}
        secret = named | {"args": {"configdrive": "c2VjcmV0"}}
        step = {"step": secret, "node": {}, "ports": [], "clean_version": version_seen}
        result = client.post("clean.execute_clean_step", step)[1]
        assert result["command_status"] == "SUCCEEDED"
        assert result["command_name"] == "execute_clean_step"
        assert result["command_result"]["clean_step"] == named
        assert "c2VjcmV0" not in str(client.call("GET", f"/v1/commands?agent_token={peers.TOKEN}"))
        peers.wait_until(lambda: len(api.seen.heartbeats) > beats, 3, "the heartbeat after an asynchronous command")
        result = client.post("clean.execute_clean_step", step | {"clean_version": {"other": "2"}})[1]
        assert result["command_status"] == "CLEAN_VERSION_MISMATCH"
        result = client.post("clean.execute_clean_step", {"step": {"step": "nope"}})[1]
        assert result["command_status"] == "FAILED"
        assert result["command_error"]["type"] == "InvalidCommandParamsError"


def test_failure_comes_back_as_a_sentence(roots: settings.Roots) -> None:
    with peers.Ironic() as api, running(api, roots) as (_, client):
        info = {"urls": ["http://127.0.0.1:1/x"], "os_hash_algo": "sha256", "os_hash_value": "0" * 64}
        step = {
            "step": {"step": "write_image", "args": {"image_info": info}},
            "node": {"properties": {"root_device": {"size": 7}}},
        }
        error = client.post("deploy.execute_deploy_step", step)[1]["command_error"]
        assert error["type"] == "DeviceNotFound"
        assert "No disk fits the root device hints size=7" in error["message"]


def test_logs_are_a_tar(roots: settings.Roots) -> None:
    with peers.Ironic() as api, running(api, roots) as (_, client):
        packed = client.post("log.collect_system_logs")[1]["command_result"]["system_logs"]
    raw = gzip.decompress(base64.b64decode(packed))
    with tarfile.open(fileobj=io.BytesIO(raw)) as archive:
        agent_log = archive.extractfile("agent")
        assert agent_log is not None
        assert peers.TOKEN.encode() not in raw
        assert b"this is node" in agent_log.read()


def test_small_commands(roots: settings.Roots) -> None:
    with peers.Ironic() as api, running(api, roots) as (agent, client):
        assert client.post("standby.sync")[1]["command_result"] == {"result": "file systems flushed"}
        assert client.post("rescue.finalize_rescue", {"rescue_password": "clear", "hashed": True})[0] == 400
        bootc = client.post("standby.execute_bootc_install", {"image_source": "docker://x", "instance_info": {}})[1]
        assert "no podman" in bootc["command_error"]["details"]
        assert (
            client.post("poll.set_node_info", {"node_info": {"node": {"uuid": "u"}}})[1]["command_status"]
            == "SUCCEEDED"
        )
        assert agent.context.node == {"uuid": "u"}
        done = client.post("image.install_bootloader", {"root_uuid": None, "target_boot_mode": "bios"})[1]
        assert "own boot code" in done["command_result"]["result"]
        assert client.post("flow.start_flow", {"flow": [{"standby.sync": {}}]})[1]["command_status"] == "SUCCEEDED"
        assert client.post("flow.start_flow", {"flow": [{"no.such": {}}]})[1]["command_status"] == "FAILED"
        inventory = client.post("poll.get_hardware_info")[1]["command_result"]
        everything = client.post("ingot.get_inventory", {"collectors": "default,tpm,nosuch"})[1]["command_result"]
        assert everything["inventory"] == inventory
        assert everything["tpm"] == {"present": False, "version": None}
        assert set(everything) == {"inventory", "error", "root_disk", "boot_interface", "configuration", "tpm"}
        listed = client.call("GET", f"/v1/commands?agent_token={peers.TOKEN}")[1]["commands"]
        assert [one["command_name"] for one in listed][:2] == ["sync", "finalize_rescue"]
        assert "clear" not in str(listed)
        client.post("system.lockdown")
        peers.wait_until(agent.stopped.is_set, 5, "lock-down")


def test_an_agent_that_lets_go_is_silent_at_once_and_reachable_for_a_moment(roots: settings.Roots) -> None:
    """A conductor that was killed in a rescue asks for it again; an agent that ended would be started again."""
    with peers.Ironic() as api, running(api, roots) as (agent, client):
        agent.let_go(1.0)
        beats = len(api.seen.heartbeats)
        assert client.post("standby.sync")[1]["command_status"] == "SUCCEEDED"

        def refused() -> bool:
            try:
                client.post("standby.sync")
            except OSError:
                return True
            return False

        peers.wait_until(refused, 10, "the end of its server")
        assert len(api.seen.heartbeats) <= beats + 1
        assert not agent.stopped.is_set()


def test_a_refused_inspection_report_is_not_sent_again() -> None:
    with peers.Ironic() as api:
        url = f"http://127.0.0.1:{api.port}/v1/continue_inspection"
        api.inspection_statuses += [503, 404]
        with pytest.raises(errors.Unreachable, match="answered 404 to the inspection report"):
            conductor.post_inspection(url, {}, settings.Settings(http_timeout=5))
        assert len(api.seen.inspections) == 2


def test_an_agent_that_is_locked_down_stays(roots: settings.Roots) -> None:
    """One that ended would be started again, and would call the API again."""
    with peers.Ironic() as api:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port: int = probe.getsockname()[1]
        words = f"ipa-api-url=http://127.0.0.1:{api.port} ipa-listen-port={port} ipa-inspection-dhcp-wait-timeout=0"
        (Path(roots.proc) / "cmdline").write_text(f"{words} ingot-agent-tls=0")
        thread = threading.Thread(target=boot.main, args=(roots,), daemon=True)
        thread.start()
        peers.wait_until(lambda: api.seen.heartbeats, 10, "the first heartbeat")
        client = peers.AgentClient(f"http://127.0.0.1:{port}")
        assert client.post("system.lockdown")[1]["command_status"] == "SUCCEEDED"

        def refused() -> bool:
            with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), 5):
                return False
            return True

        peers.wait_until(refused, 10, "the end of its server")
        thread.join(1)
        assert thread.is_alive()


class Slow:
    """A command that runs until it is let go."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.runs = 0

    def run(self, _: commands.Params, progress: commands.Progress) -> commands.Result:
        self.runs += 1
        progress.begin("slow work", 10)
        progress.add(4)
        assert self.go.wait(10)
        return "done"


def test_one_command_at_a_time_and_progress() -> None:
    slow, finished = Slow(), threading.Event()
    table = {"x.slow": commands.Entry(slow.run, asynchronous=True), "x.quick": commands.Entry(lambda _p, _g: {"a": 1})}
    executor = commands.Executor(lambda: table, finished.set)
    command = executor.start("x.slow", {})
    peers.wait_until(lambda: command.progress.done == 4, 5, "progress")
    assert command.as_dict()["ingot_progress"] == {"done": 4, "total": 10, "phase": "slow work"}
    with pytest.raises(errors.AgentIsBusy, match=r"busy with x.slow"):
        executor.start("x.quick", {})
    slow.go.set()
    assert finished.wait(5)
    assert executor.start("x.quick", {}).as_dict()["command_result"] == {"a": 1}
    assert "ingot_progress" not in command.as_dict()


def test_same_key_never_runs_twice() -> None:
    slow = Slow()
    executor = commands.Executor(lambda: {"x.slow": commands.Entry(slow.run, asynchronous=True)}, lambda: None)
    first = executor.start("x.slow", {"ingot_key": "run7/step2"})
    assert executor.start("x.slow", {"ingot_key": "run7/step2"}) is first
    slow.go.set()
    assert first.done.wait(5)
    assert executor.start("x.slow", {"ingot_key": "run7/step2"}) is first
    assert slow.runs == 1
    again = executor.start("x.slow", {"ingot_key": "run7/step3"})
    assert again is not first
    assert again.done.wait(5)
    assert slow.runs == 2


def test_a_bug_in_a_command_is_a_failed_command() -> None:
    def broken(_: commands.Params, __: commands.Progress) -> commands.Result:
        raise KeyError("oops")

    executor = commands.Executor(lambda: {"x.broken": commands.Entry(broken)}, lambda: None)
    command = executor.start("x.broken", {})
    assert command.status is commands.Status.FAILED
    assert command.error is not None
    assert "oops" in command.error.message
