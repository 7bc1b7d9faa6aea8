"""Keystone itself, which upstream and ingot ask about the same tokens, with a user of every role in every scope.

Invariant: leaving the context ends the process; everything it wrote is below the folder it was given.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import secrets
import subprocess
import threading
import time
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import programs
from upstream import configuration

_READY = 90.0
ROLES = ("admin", "manager", "member", "reader", "service")
PROJECTS = ("owner", "lessee", "third")
SYSTEM = "system"
DOMAIN = "domain admin"
NOWHERE = "nowhere"
"""A user whose token has no scope, as one gets it who has no role."""
EVERYONE = (*(f"{scope} {role}" for scope in (SYSTEM, *PROJECTS) for role in ROLES), DOMAIN, NOWHERE)
"""All callers: scope and role."""
_DEFAULT = {"id": "default"}


@dataclass
class Keystone:
    """``url`` ends in /v3. ``projects``: their ids by name; ``tokens``: one for each of ``EVERYONE``."""

    url: str
    password: str
    log: Path
    """Where it writes what went wrong."""
    projects: dict[str, str] = field(default_factory=dict[str, str])
    tokens: dict[str, str] = field(default_factory=dict[str, str])

    def call(self, method: str, path: str, body: Any = None, token: str = "") -> tuple[dict[str, Any], str]:
        """The body of an answer, and the token that came with it."""
        connection = http.client.HTTPConnection(self.url.split("/")[2], timeout=30)
        try:
            headers = {"Content-Type": "application/json", **({"X-Auth-Token": token} if token else {})}
            connection.request(method, f"/v3{path}", None if body is None else json.dumps(body), headers)
            reply = connection.getresponse()
            raw = reply.read()
            assert reply.status < 300, f"Keystone: {method} {path}: {reply.status} {raw[:500]!r}\n{self._errors()}"
            return json.loads(raw or b"{}"), reply.getheader("X-Subject-Token") or ""
        finally:
            connection.close()

    def _errors(self) -> str:
        """What it wrote about its own faults; a 500 tells the caller nothing."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join(line for line in lines if " ERROR " in line or "Error: " in line)[-3000:]

    def login(self, user: str, scope: Any, *, brief: bool = False) -> str:
        """A new token of a user's; ``scope``: as Keystone takes it, "unscoped" for none; ``brief``: for a second."""
        who = {"name": user, "domain": _DEFAULT, "password": self.password}
        asked = {"identity": {"methods": ["password"], "password": {"user": who}}, "scope": scope}
        return self.call("POST", f"/auth/tokens{'?brief' if brief else ''}", {"auth": asked})[1]

    def ended(self, who: str) -> str:
        """A token of one of ``EVERYONE`` that will have expired in a moment."""
        return self.login(who, self._scope(who.partition(" ")[0]), brief=True)

    def settle(self) -> None:
        """Make projects, users and their tokens."""
        admin = self.login("admin", {"system": {"all": True}})
        found, _ = self.call("GET", "/roles", token=admin)
        roles = {one["name"]: one["id"] for one in found["roles"]}
        for name in PROJECTS:
            made, _ = self.call("POST", "/projects", {"project": {"name": name, "domain_id": "default"}}, admin)
            self.projects[name] = made["project"]["id"]
        for who in EVERYONE:
            user = {"name": who, "domain_id": "default", "password": self.password}
            made, _ = self.call("POST", "/users", {"user": user}, admin)
            scope, _, role = who.partition(" ")
            if role:
                path = f"{self._place(scope)}/users/{made['user']['id']}/roles/{roles[role]}"
                self.call("PUT", path, token=admin)
            self.tokens[who] = self.login(who, self._scope(scope))

    def announce(self, kind: str, url: str) -> None:
        """Put a service into the catalogue."""
        admin = self.login("admin", {"system": {"all": True}})
        made, _ = self.call("POST", "/services", {"service": {"type": kind, "name": kind}}, admin)
        about = {"service_id": made["service"]["id"], "interface": "public", "url": url}
        self.call("POST", "/endpoints", {"endpoint": about}, admin)

    def _place(self, scope: str) -> str:
        places = {SYSTEM: "/system", "domain": "/domains/default"}
        return places.get(scope) or f"/projects/{self.projects[scope]}"

    def _scope(self, scope: str) -> Any:
        known = {SYSTEM: {"system": {"all": True}}, "domain": {"domain": _DEFAULT}, NOWHERE: "unscoped"}
        return known.get(scope) or {"project": {"id": self.projects[scope]}}

    def trusted(self) -> configuration.Sections:
        """What upstream's configuration has of it."""
        account = {"auth_type": "password", "username": "admin", "password": self.password, "system_scope": "all"}
        address = {"auth_url": self.url, "www_authenticate_uri": self.url, "user_domain_id": "default"}
        return {"DEFAULT": {"auth_strategy": "keystone"}, "keystone_authtoken": {**account, **address}}


@contextlib.contextmanager
def serving(folder: Path, port: int) -> Generator[Keystone]:
    """Keystone on this port of loopback, with everybody in it."""
    found = Keystone(f"http://127.0.0.1:{port}/v3", secrets.token_hex(8), folder / "keystone.log")
    script = str(Path(__file__).with_name("keystone_program.py"))
    words = [programs.upstream("python"), "-W", "ignore", script, str(folder), str(port), found.password]
    with (folder / "output").open("wb") as output:
        child = subprocess.Popen(words, stdout=output, stderr=output)
    try:
        _wait_ready(child, found, folder)
        found.settle()
        yield found
    finally:
        programs.end(child)


def _wait_ready(child: subprocess.Popen[bytes], keystone: Keystone, folder: Path) -> None:
    deadline = time.monotonic() + _READY
    pause = threading.Event()
    while True:
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
            keystone.call("GET", "")
            return
        if child.poll() is not None or time.monotonic() > deadline:
            raise AssertionError(f"Keystone did not start\n{(folder / 'output').read_text(errors='replace')[-3000:]}")
        pause.wait(0.2)
