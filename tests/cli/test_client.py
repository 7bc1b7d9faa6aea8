"""The small client: errors as sentences, credentials, servers that misbehave."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from cli.program import Run, run_here, serving
from ingot.cli import client as api
from ingot.cli import exits
from ingot.domain import errors

INNER = json.dumps({"faultcode": "Client", "faultstring": "Node x could not be found.", "debuginfo": None})


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"error_message": INNER}, "Node x could not be found."),
        ({"error_message": {"faultstring": "as an object"}}, "as an object"),
        ({"error_message": json.dumps({"code": 404, "title": "Not Found", "description": "no page"})}, "no page"),
        ({"error_message": json.dumps({"title": "Not Found", "description": ""})}, "Not Found"),
        ({"faultstring": "bare"}, "bare"),
        ("plain words", "plain words"),
        ({}, ""),
        ([1], ""),
        (None, ""),
    ],
)
def test_sentences_of_every_error_shape(body: object, text: str) -> None:
    assert api.sentence(body) == text


def test_a_silent_server_times_out(silent_server: str) -> None:
    with pytest.raises(errors.TimedOut, match="no answer"):
        api.Client(silent_server, timeout=0.3).get("/v1")
    assert exits.code(errors.TimedOut()) == exits.TIMED_OUT


class Pages(BaseHTTPRequestHandler):
    """Five ports, two at once however many are asked for: what a service with a low limit of its own does."""

    def do_GET(self) -> None:
        asked = parse_qs(urlsplit(self.path).query)
        first = int(asked["marker"][0]) if "marker" in asked else 0
        last = min(first + 2, first + int(asked["limit"][0]), 5)
        ports = [{"uuid": str(number)} for number in range(first + 1, last + 1)]
        more = {"next": "http://elsewhere"} if last < 5 else {}
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"ports": ports, **more}).encode())

    def log_message(self, format: str, *args: object) -> None:
        """Tell nobody."""


def test_lists_are_whole_however_they_are_paged() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        client = api.Client(f"http://127.0.0.1:{server.server_port}", timeout=5)
        found = client.every("ports")
        some = client.every("ports", 3)
        server.shutdown()
    assert [one["uuid"] for one in found] == ["1", "2", "3", "4", "5"]
    assert len(some) == 3


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """A service that asks for a password, and the password of its user ``ann``."""
    data = tmp_path_factory.mktemp("guarded")
    made = run_here("user", "add", "ann", "--generate", "--data-dir", str(data))
    assert made.exit_code == 0, made.output
    with serving(data) as url:
        yield url, made.stdout.strip()


def test_credentials_come_from_the_environment(run: Run, guarded: tuple[str, str]) -> None:
    url, password = guarded
    assert run("node", "list", url=url, INGOT_USER="ann", INGOT_PASSWORD=password).exit_code == 0
    wrong = run("node", "list", url=url, INGOT_USER="ann", INGOT_PASSWORD="wrong")
    assert wrong.exit_code == 3
    assert "INGOT_PASSWORD" in wrong.stderr
    assert run("node", "list", url=url).exit_code == 3


def test_a_removed_user_may_not_call(run: Run, tmp_path: Path) -> None:
    run("user", "add", "bob", "--generate", "--data-dir", str(tmp_path))
    assert run("user", "remove", "bob", "--data-dir", str(tmp_path)).exit_code == 0
    result = run("user", "remove", "bob", "--data-dir", str(tmp_path))
    assert result.exit_code == 1
    assert "bob" in result.stderr
