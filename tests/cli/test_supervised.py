"""What `ingot serve` tells the program that watches over it."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import pytest

from cli.program import environment, free_port, ingot_argv
from ingot.cli import client as api


@pytest.mark.parametrize("abstract", [False, True])
def test_ready_is_said_once_somebody_may_ask(tmp_path: Path, abstract: bool) -> None:
    place = f"@ingot-{os.getpid()}" if abstract else str(tmp_path / "notify")
    port = free_port()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(place.replace("@", "\0", 1))
        listening.settimeout(60)
        argv = ingot_argv("serve", "--noauth", "--data-dir", str(tmp_path / "data"), "--port", str(port))
        with subprocess.Popen(argv, env={**environment(), "NOTIFY_SOCKET": place}) as child:
            try:
                assert listening.recv(100) == b"READY=1"
                assert api.Client(f"http://127.0.0.1:{port}").get("/v1/nodes") == {"nodes": []}, "at the first try"
            finally:
                child.terminate()
    assert child.returncode == 0


def test_a_start_that_fails_says_nothing_and_ends(tmp_path: Path) -> None:
    place = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening, socket.create_server(("127.0.0.1", 0)) as taken:
        listening.bind(str(place))
        words = ["serve", "--data-dir", str(tmp_path / "data"), "--port", str(taken.getsockname()[1])]
        env = {**environment(), "NOTIFY_SOCKET": str(place)}
        done = subprocess.run(ingot_argv(*words), env=env, capture_output=True, text=True, check=False, timeout=60)
        assert (done.returncode, "Another program has the port" in done.stderr) == (1, True)
        listening.setblocking(False)
        with pytest.raises(BlockingIOError):
            listening.recv(100)
