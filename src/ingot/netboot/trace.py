"""Reads dnsmasq's log and remembers how far each machine got in its network boot.

Why: "no ramdisk call yet" has ten causes; the last DHCP or TFTP event of the MAC tells which.
May not: do I/O, or grow without bound. Invariant: at most ``_LIMIT`` machines are remembered, the latest ones.

Log lines (dnsmasq 2.80 to 2.90 with log-dhcp): ``[xid ]DHCPACK(br0) 10.0.0.5 52:54:..``, ``xid tags: ipxe, known``
and ``sent /root/undionly.kpxe to 10.0.0.5``.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from enum import StrEnum

import msgspec

_LIMIT = 20_000
_DHCP = re.compile(
    r"(?:(?P<xid>\d+) )?DHCP(?P<verb>DISCOVER|OFFER|REQUEST|ACK|NAK|DECLINE)\([^)]*\) "
    r"(?:(?P<address>\d+\.\d+\.\d+\.\d+) )?(?P<mac>[0-9a-f]{2}(?::[0-9a-f]{2}){5})(?: (?P<rest>.*))?$"
)
_TAGS = re.compile(r"(?P<xid>\d+) tags: (?P<tags>.*)$")
_SENT = re.compile(r"dnsmasq-tftp.*: (?:sent|failed sending) (?P<path>\S+) to (?P<address>\d+\.\d+\.\d+\.\d+)")


class Stage(StrEnum):
    """How far a machine got, in the order of a boot."""

    ASKED = "asked"
    IGNORED = "ignored"
    OFFERED = "offered"
    LEASED = "leased"
    LOADER = "loader"
    IPXE = "ipxe"
    SCRIPT = "script"


class BootEvent(msgspec.Struct, frozen=True):
    """The last thing seen of one machine: ``at`` in seconds since the epoch; ``address`` None before a lease."""

    mac: str
    stage: Stage
    at: float
    address: str | None = None
    detail: str = ""


class Trace:
    """The last boot event of each MAC address, fed with dnsmasq's log lines."""

    def __init__(self) -> None:
        self._events: OrderedDict[str, BootEvent] = OrderedDict()
        self._macs: dict[str, str] = {}
        self._by_xid: OrderedDict[str, str] = OrderedDict()
        self._ipxe: set[str] = set()

    def feed(self, line: str, now: float) -> BootEvent | None:
        """Take one log line seen at ``now``; return the event it meant, if any."""
        sent = _SENT.search(line)
        if sent:
            return self._sent(sent["path"], sent["address"], now, failed="failed sending" in line)
        tags = _TAGS.search(line)
        if tags:
            return self._tagged(tags["xid"], tags["tags"], now)
        dhcp = _DHCP.search(line)
        return self._dhcp(dhcp, now) if dhcp else None

    def find(self, mac: str) -> BootEvent | None:
        """Return the last event of ``mac``, None if nothing was ever seen."""
        return self._events.get(mac.lower())

    def refused(self, since: float) -> list[str]:
        """The MAC addresses that asked for an address since then and belong to no known machine, latest first."""
        found = [event for event in self._events.values() if event.stage is Stage.IGNORED and event.at >= since]
        return [event.mac for event in reversed(found)]

    def sentence(self, mac: str, since: float) -> str:
        """Say how far ``mac`` got since ``since`` (seconds since the epoch), and what that hints at."""
        event = self.find(mac)
        if event is None or event.at < since:
            return f"no DHCP request seen from {mac} since power-on; wrong VLAN, cable or boot order?"
        return f"{mac} {_WORDS[event.stage].format(address=event.address, detail=event.detail)}"

    def _dhcp(self, found: re.Match[str], now: float) -> BootEvent | None:
        mac, address, rest = found["mac"], found["address"], found["rest"] or ""
        if found["xid"]:
            self._by_xid[found["xid"]] = mac
            if len(self._by_xid) > 1000:
                self._by_xid.popitem(last=False)
        match found["verb"]:
            case "DISCOVER" | "REQUEST" if "ignored" in rest or "no address" in rest:
                return self._note(BootEvent(mac, Stage.IGNORED, now, detail=rest))
            case "DISCOVER":
                self._ipxe.discard(mac)
                return self._note(BootEvent(mac, Stage.ASKED, now))
            case "OFFER":
                return self._note(BootEvent(mac, Stage.OFFERED, now, address))
            case "ACK" if address:
                self._macs[address] = mac
                stage = Stage.IPXE if mac in self._ipxe else Stage.LEASED
                return self._note(BootEvent(mac, stage, now, address))
            case _:
                return None

    def _tagged(self, xid: str, tags: str, now: float) -> BootEvent | None:
        mac = self._by_xid.get(xid)
        if mac is None or "ipxe" not in tags.split(", "):
            return None
        self._ipxe.add(mac)
        last = self._events.get(mac)
        return self._note(BootEvent(mac, Stage.IPXE, now, last.address if last else None))

    def _sent(self, path: str, address: str, now: float, *, failed: bool) -> BootEvent | None:
        mac = self._macs.get(address)
        if mac is None:
            return None
        name = path.rsplit("/", 1)[-1]
        stage = Stage.SCRIPT if name.endswith(".ipxe") else Stage.LOADER
        detail = f"{name} (the transfer failed)" if failed else name
        return self._note(BootEvent(mac, stage, now, address, detail))

    def _note(self, event: BootEvent) -> BootEvent:
        self._events[event.mac] = event
        self._events.move_to_end(event.mac)
        if len(self._events) > _LIMIT:
            old, _ = self._events.popitem(last=False)
            self._ipxe.discard(old)
        return event


_WORDS = {
    Stage.ASKED: "asked for an address and got no answer yet",
    Stage.IGNORED: "asked for an address and was refused: {detail}",
    Stage.OFFERED: "was offered {address} and has not taken it; two DHCP servers on this network?",
    Stage.LEASED: "got the address {address}, but did not load its boot program; is TFTP (UDP 69) blocked?",
    Stage.LOADER: "loaded {detail} as {address}, and nothing more was asked for",
    Stage.IPXE: "runs iPXE as {address}, but no boot script was asked for",
    Stage.SCRIPT: "got the first iPXE script as {address}; the next thing is the node's script over HTTP",
}
