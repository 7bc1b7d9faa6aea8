"""The wheel installs and serves without a checkout: what a user of pip gets.

The wheel is built from this checkout and installed into a scratch environment that borrows the third-party packages of
the running one, those of constraints.txt and no others, by links: quick, and no network. The checkout is not borrowed.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.error
import urllib.request
import venv
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

from checkout import ROOT

READY_WITHIN = 30.0
SERVE = ["serve", "--noauth"]  # plus --port and --data-dir; binds to loopback by default


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def clean_environment() -> dict[str, str]:
    """The caller's environment without anything that would let the checkout shine through."""
    return {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "INGOT_"))}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    build = [
        sys.executable,
        "-P",
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        str(out),
        str(ROOT),
    ]
    done = subprocess.run(build, cwd=out, capture_output=True, text=True, check=False, env=clean_environment())
    assert done.returncode == 0, f"the wheel could not be built:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `ingot` program of a scratch environment that holds the wheel."""
    scratch = tmp_path_factory.mktemp("scratch")
    venv.create(scratch, with_pip=False, symlinks=True)
    site = Path(sysconfig.get_path("purelib", "venv", {"base": str(scratch)}))
    for name in borrowed():
        if not (site / name).exists():
            (site / name).symlink_to(Path(sysconfig.get_path("purelib")) / name)
    pip = [sys.executable, "-m", "pip", "--python", str(scratch / "bin/python"), "install", "-q", "--no-deps"]
    done = subprocess.run(
        [*pip, "--no-index", "--disable-pip-version-check", str(wheel)],
        capture_output=True,
        text=True,
        check=False,
        env=clean_environment(),
    )
    assert done.returncode == 0, f"pip could not install the wheel:\n{done.stderr[-3000:]}"
    return scratch / "bin/ingot"


def borrowed() -> set[str]:
    """What the pinned packages of the service have at the top of their folder of libraries."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    files = [file for line in lines for file in metadata.distribution(line.partition("==")[0]).files or []]
    return {file.parts[0] for file in files} - {"..", "__pycache__"}


def test_version_comes_from_the_wheel(wheel: Path, installed: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [installed, "--version"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env=clean_environment(),
    )
    assert done.returncode == 0, done.stderr
    assert wheel.name.split("-")[1] in done.stdout


@pytest.fixture
def served(installed: Path, tmp_path: Path) -> Iterator[str]:
    """The URL of `ingot serve` started in an empty folder; ends with the test."""
    port = free_port()
    log = tmp_path / "serve.log"
    command = [installed, *SERVE, "--port", str(port), "--data-dir", str(tmp_path / "data")]
    with log.open("wb") as output:
        server = subprocess.Popen(
            command,
            cwd=tmp_path,
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_for_port(server, port, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(timeout=20)


def wait_for_port(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + READY_WITHIN
    while time.monotonic() < deadline:
        assert server.poll() is None, f"ingot serve ended with {server.returncode}:\n{log.read_text()[-3000:]}"
        with socket.socket() as probe:
            probe.settimeout(0.2)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        pause(server)
    pytest.fail(f"no answer on port {port} within {READY_WITHIN:.0f} s:\n{log.read_text()[-3000:]}")


def pause(server: subprocess.Popen[bytes]) -> None:
    """A tenth of a second, or less if the server ends meanwhile."""
    try:
        server.wait(timeout=0.1)
    except subprocess.TimeoutExpired:
        return


def test_the_installed_service_answers(served: str) -> None:
    with urllib.request.urlopen(f"{served}/v1", timeout=10) as answer:
        body = json.load(answer)
        assert answer.headers["X-OpenStack-Ironic-API-Maximum-Version"] == "1.115"
    assert body["id"] == "v1"


def test_an_unknown_page_is_a_sentence(served: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{served}/v1/nonsense", timeout=10)
    with caught.value as answer:
        assert answer.code == 404
        assert b"error_message" in answer.read()
