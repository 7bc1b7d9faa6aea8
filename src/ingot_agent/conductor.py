"""The agent's side of Ironic's API: lookup, heartbeat, the inspection report.

May not: run commands. Invariant: the agent token leaves the agent only in a heartbeat's body and the lock-
down rule holds: a masked token that this agent was never given means that somebody else holds it.
"""

from __future__ import annotations

import json
import os
import threading
import time
from dataclasses import dataclass
from typing import Any

from ingot_agent import errors, log, settings, sysfile, version, wire

_HEADER = "X-OpenStack-Ironic-API-Version"
_MASK = "******"
_SECRET_LENGTH = 32
LOOKUP_VERSION = (1, 62)
HEARTBEAT_VERSION = (1, 68)


@dataclass(frozen=True)
class Found:
    """What a lookup gave: the node and how often it wants to hear from us, in seconds."""

    node: dict[str, Any]  # the API's free-form node
    heartbeat_timeout: float
    address: str


class Client:
    """Talks to one API.

    Holds the agent token, kept in memory-backed ``run`` so that a restarted agent goes on.
    """

    def __init__(self, config: settings.Settings, roots: settings.Roots) -> None:
        self._config = config
        self._url = wire.parse_url(config.api_url)
        self._connection = wire.Connection(self._url, timeout=config.http_timeout, insecure=config.insecure, api=True)
        self._store = f"{roots.run}/ingot-agent-token"
        self._ceiling = HEARTBEAT_VERSION
        self.certificate = ""
        self.token = config.agent_token or self._kept_token()

    def _kept_token(self) -> str:
        return sysfile.read(self._store)

    def _headers(self, wanted: tuple[int, int]) -> dict[str, str]:
        major, minor = min(wanted, self._ceiling)
        return {_HEADER: f"{major}.{minor}", "Accept": "application/json", "Content-Type": "application/json"}

    def _call(self, method: str, path: str, wanted: tuple[int, int], body: bytes = b"") -> tuple[int, bytes]:
        """One request; an API too old for our microversion is asked again with its own newest one."""
        base = self._url.path.rstrip("/")
        status, text, newest = self._once(method, base + path, wanted, body)
        if status == 406 and newest:
            status, text, _ = self._once(method, base + path, wanted, body)
        return status, text

    def _once(self, method: str, path: str, wanted: tuple[int, int], body: bytes) -> tuple[int, bytes, str]:
        """One request on a connection of its own: calls are rare and servers drop idle connections."""
        try:
            response = self._connection.request(method, path, self._headers(wanted), body)
            newest = response.headers.get("x-openstack-ironic-api-maximum-version", "")
            self._ceiling = min(self._ceiling, _version(newest)) if newest else self._ceiling
            return response.status, response.read(), newest
        finally:
            self._connection.close()

    def lookup(self, addresses: list[str]) -> Found:
        """Ask once who we are.

        Raises NotKnown (not known, locked), Unreachable, Unauthorized (lock down).
        """
        status, text = self._call("GET", f"/v1/lookup?addresses={','.join(addresses)}", LOOKUP_VERSION)
        if status != 200:
            raise errors.NotKnown(f"The API answered {status} to the lookup of {', '.join(addresses)}.", str(status))
        try:
            body = json.loads(text)
            node, config = dict(body["node"]), dict(body["config"])
            timeout = float(config.get("heartbeat_timeout", 300))
        except (ValueError, KeyError, TypeError) as error:
            raise errors.NotKnown(f"The API's lookup answer is not usable: {error!r}.") from error
        self._take_token(config)
        return Found(node, timeout, self._connection.local_address)

    def _take_token(self, config: dict[str, Any]) -> None:
        token = str(config.get("agent_token") or "")
        if token and token != _MASK and len(token) >= _SECRET_LENGTH:
            self.token = token
            descriptor = os.open(self._store, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(token)
        elif not self.token and config.get("agent_token_required", True):
            raise errors.Unauthorized(
                "The API has given this machine's agent token to somebody else. "
                "Reboot the machine through the API, which makes a new token."
            )

    @property
    def takes_certificates(self) -> bool:
        """Whether the API is new enough to be sent the certificate of our callback; known after a lookup."""
        return self._ceiling >= HEARTBEAT_VERSION

    def heartbeat(self, node_uuid: str, callback_url: str) -> None:
        """Say once that we are alive. Raises Unreachable, also for a refusal."""
        body = {"callback_url": callback_url, "agent_token": self.token, "agent_version": version.VERSION}
        if self.certificate:
            body["agent_verify_ca"] = self.certificate
        status, text = self._call("POST", f"/v1/heartbeat/{node_uuid}", HEARTBEAT_VERSION, json.dumps(body).encode())
        if status not in (200, 202, 204):
            reason = text[:200].decode("utf-8", "replace").replace(self.token or _MASK, _MASK)
            raise errors.Unreachable(f"The API answered {status} to the heartbeat: {reason}")


def _between(low: float, high: float) -> float:
    """A random number, so that a fleet's machines do not call all at once (the random module loads slowly)."""
    return low + (high - low) * int.from_bytes(os.urandom(4), "little") / 0xFFFFFFFF


def _version(text: str) -> tuple[int, int]:
    major, _, minor = text.partition(".")
    return (int(major), int(minor)) if major.isdigit() and minor.isdigit() else (1, 31)


def lookup(client: Client, addresses: list[str], timeout: float, stop: threading.Event) -> Found:
    """Ask until the API knows us: pauses grow from 0.5 to 60 s, for a locked node from 5 to 30 s.

    Raises NotKnown after ``timeout`` seconds, Unauthorized at once.
    """
    end = time.monotonic() + timeout
    pause, locked = 0.5, 5.0
    while True:
        try:
            return client.lookup(addresses)
        except (errors.NotKnown, errors.Unreachable) as error:
            if time.monotonic() > end or stop.is_set():
                raise errors.NotKnown(
                    f"No lookup within {timeout:.0f} s: {error.message} "
                    "Is the machine enrolled with this address, in a state that waits for its ramdisk?"
                ) from error
            wait, network_down = pause * _between(0.8, 1.2), "unreachable" in error.message
            if error.details == "409":
                wait, locked = locked, min(locked * 2, 30.0)
            elif network_down:
                wait = 0.1  # the address is still on its way
            else:
                pause = min(pause * 2, 60.0)
                log.line(f"{error.message} Next try in {wait:.1f} s")
            stop.wait(wait)


class Heart:
    """Sends heartbeats from a thread of its own; ``force`` sends the next one at once."""

    def __init__(self, client: Client, found: Found, callback_url: str) -> None:
        self._client = client
        self._found = found
        self._callback_url = callback_url
        self._now = threading.Event()
        self._stop = threading.Event()

    def start(self) -> None:
        """Begin; the first heartbeat goes out at once."""
        threading.Thread(target=self._beat, name="heartbeat", daemon=True).start()

    def force(self) -> None:
        """Send one now."""
        self._now.set()

    def stop(self) -> None:
        """Send no more."""
        self._stop.set()
        self._now.set()

    def _beat(self) -> None:
        uuid = str(self._found.node["uuid"])
        failures = 0
        while True:
            self._now.clear()  # before the look at _stop, or a stop between the two would be slept over
            if self._stop.is_set():
                return
            wait = self._found.heartbeat_timeout * _between(0.3, 0.6)
            try:
                self._client.heartbeat(uuid, self._callback_url)
                if failures != 0:
                    log.line("the API answers heartbeats again")
                failures = 0
            except errors.AgentError as error:
                failures += 1
                wait = min(wait, 1.0 if failures < 3 else _between(5, 10))
                log.line(f"{error.message} Next heartbeat in {wait:.1f} s")
            self._now.wait(wait)


def post_inspection(url: str, report: dict[str, Any], config: settings.Settings) -> None:
    """Post the inventory to the inspection callback, five tries unless the API refuses it. Raises Unreachable."""
    target = wire.parse_url(url)
    body = json.dumps(report).encode()
    last = errors.Unreachable("never tried")
    for attempt in range(5):
        connection = wire.Connection(target, timeout=config.http_timeout, insecure=config.insecure, api=True)
        try:
            headers = {"Content-Type": "application/json", "Accept": "application/json"}
            response = connection.request("POST", target.path, headers, body)
            if response.status < 400:
                return
            last = errors.Unreachable(f"The API answered {response.status} to the inspection report.")
            if response.status != 409 and response.status < 500:
                break
        except errors.Unreachable as error:
            last = error
        finally:
            connection.close()
        threading.Event().wait(min(0.5 * 2**attempt, 5.0))
    raise last
