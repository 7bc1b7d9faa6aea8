"""Reads dnsmasq's log and remembers how far each machine got in its network boot.

Why: "no ramdisk call yet" has ten causes; the last DHCP or TFTP event of the MAC tells which.
May not: do I/O, or grow without bound. Invariant: at most ``_LIMIT`` machines are remembered, the latest ones.

Log lines (dnsmasq 2.80 to 2.90 with log-dhcp): ``[xid ]DHCPACK(br0) 10.0.0.5 52:54:..``, ``xid tags: ipxe, known``,
``sent /root/bios.pxe to 10.0.0.5``; after an offer that could not be sent ``ARP-cache injection failed: No buffer
space available``; as a proxy ``xid PXE(br0) [10.0.0.5 ]52:54:.. proxy``; over IPv6 ``xid client MAC
address: 52:54:..`` and then ``xid DHCPREPLY(br0) fd00::5 00:04:..`` (the last is a DUID).
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable
from enum import StrEnum

import msgspec

_LIMIT = 20_000
_DHCP = re.compile(
    r"(?:(?P<xid>\d+) )?DHCP(?P<verb>DISCOVER|OFFER|REQUEST|ACK|NAK|DECLINE)\([^)]*\) "
    r"(?:(?P<address>\d+\.\d+\.\d+\.\d+) )?(?P<mac>[0-9a-f]{2}(?::[0-9a-f]{2}){5})(?: (?P<rest>.*))?$"
)
_MAC = r"(?P<mac>[0-9a-f]{2}(?::[0-9a-f]{2}){5})"
_PROXY = re.compile(r"PXE\([^)]*\) (?:(?P<address>\d+\.\d+\.\d+\.\d+) )?" + _MAC + r" (?P<rest>.*)$")
_MAC6 = re.compile(r"(?P<xid>\d+) client MAC address: " + _MAC)
_DHCP6 = re.compile(
    r"(?P<xid>\d+) DHCP(?P<verb>SOLICIT|ADVERTISE|REPLY)\([^)]*\) (?:(?P<address>[0-9a-f]*:[0-9a-f:.]*) )?"
    r"(?P<duid>[0-9a-f]{2}(?::[0-9a-f]{2})+)(?: (?P<rest>.*))?$"
)
_TAGS = re.compile(r"(?P<xid>\d+) tags: (?P<tags>.*)$")
_UNSENT = re.compile(r"ARP-cache injection failed: (?P<reason>.*)$")
_SENT = re.compile(r"dnsmasq-tftp.*: (?:sent|failed sending) (?P<path>\S+) to (?P<address>[0-9a-f.:]+)")


class Stage(StrEnum):
    """How far a machine got, in the order of a boot."""

    ASKED = "asked"
    IGNORED = "ignored"
    OFFERED = "offered"
    UNSENT = "unsent"
    FOREIGN = "foreign"
    PROXIED = "proxied"
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
    """The last boot event of each MAC address, fed with dnsmasq's log lines.

    ``find_mac`` tells who has an IP address that another server gave.
    """

    def __init__(self, find_mac: Callable[[str], str | None] = lambda _: None) -> None:
        self._find_mac = find_mac
        self._events: OrderedDict[str, BootEvent] = OrderedDict()
        self._macs: dict[str, str] = {}
        self._by_xid: OrderedDict[str, str] = OrderedDict()
        self._ipxe: set[str] = set()
        self._answered: BootEvent | None = None

    def feed(self, line: str, now: float) -> BootEvent | None:
        """Take one log line seen at ``now``; return the event it meant, if any."""
        sent = _SENT.search(line)
        if sent:
            return self._sent(sent["path"], sent["address"], now, failed="failed sending" in line)
        tags = _TAGS.search(line)
        if tags:
            return self._tagged(tags["xid"], tags["tags"], now)
        for pattern, meaning in (
            (_UNSENT, self._unsent),
            (_DHCP, self._dhcp),
            (_PROXY, self._proxy),
            (_MAC6, self._mac6),
            (_DHCP6, self._dhcp6),
        ):
            found = pattern.search(line)
            if found:
                return meaning(found, now)
        return None

    def find(self, mac: str) -> BootEvent | None:
        """Return the last event of ``mac``, None if nothing was ever seen."""
        return self._events.get(mac.lower())

    def refused(self, since: float) -> list[str]:
        """The MAC addresses that asked for an address since then and belong to no known machine, latest first."""
        found = [event for event in self._events.values() if event.stage is Stage.IGNORED and event.at >= since]
        return [event.mac for event in reversed(found)]

    def sentence(self, mac: str, since: float) -> str:
        """Say how far ``mac`` got since ``since`` (seconds since the epoch); after a semicolon, what to do about it."""
        event = self.find(mac)
        if event is None or event.at < since:
            return f"no DHCP request seen from {mac} since power-on; wrong VLAN, cable or boot order?"
        words = _WORDS[event.stage].format(address=event.address, detail=event.detail)
        if event.stage is Stage.IGNORED:
            words += _NO_ADDRESS if "no address" in event.detail else _NO_PORT
        return f"{mac} {words}"

    def _dhcp(self, found: re.Match[str], now: float) -> BootEvent | None:
        mac, address, rest = found["mac"], found["address"], found["rest"] or ""
        if found["xid"]:
            self._join(found["xid"], mac)
        match found["verb"]:
            case "DISCOVER" | "REQUEST" if "ignored" in rest or "no address" in rest:
                return self._note(BootEvent(mac, Stage.IGNORED, now, detail=rest))
            case "DISCOVER":
                self._ipxe.discard(mac)
                return self._note(BootEvent(mac, Stage.ASKED, now))
            case "OFFER":
                self._answered = self._note(BootEvent(mac, Stage.OFFERED, now, address))
                return self._answered
            case "NAK" if "wrong server-ID" in rest:
                return self._note(BootEvent(mac, Stage.FOREIGN, now, address))
            case "ACK" if address:
                self._macs[address] = mac
                stage = Stage.IPXE if mac in self._ipxe else Stage.LEASED
                return self._note(BootEvent(mac, stage, now, address))
            case _:
                return None

    def _unsent(self, found: re.Match[str], now: float) -> BootEvent | None:
        """The answer told last did not leave this host; the line itself names nobody."""
        last, self._answered = self._answered, None
        if last is None:
            return None
        return self._note(BootEvent(last.mac, Stage.UNSENT, now, last.address, found["reason"]))

    def _proxy(self, found: re.Match[str], now: float) -> BootEvent:
        """We told a machine what to load, whose address another server gives."""
        mac, address = found["mac"], found["address"]
        if "ignored" in found["rest"]:
            return self._note(BootEvent(mac, Stage.IGNORED, now, detail="it belongs to no port"))
        if address:
            self._macs[address] = mac
        return self._note(BootEvent(mac, Stage.PROXIED, now, address))

    def _mac6(self, found: re.Match[str], now: float) -> None:
        """DHCPv6 names machines by DUIDs; the MAC address comes in a line of its own before."""
        self._join(found["xid"], found["mac"])

    def _dhcp6(self, found: re.Match[str], now: float) -> BootEvent | None:
        mac, address, rest = self._by_xid.get(found["xid"]), found["address"], found["rest"] or ""
        if mac is None:
            return None
        match found["verb"]:
            case "SOLICIT" if "ignored" in rest:
                return self._note(BootEvent(mac, Stage.IGNORED, now, detail=rest))
            case "SOLICIT":
                self._ipxe.discard(mac)
                return self._note(BootEvent(mac, Stage.ASKED, now))
            case "ADVERTISE" if address:
                return self._note(BootEvent(mac, Stage.OFFERED, now, address))
            case "REPLY" if address:
                self._macs[address] = mac
                return self._note(BootEvent(mac, Stage.IPXE if mac in self._ipxe else Stage.LEASED, now, address))
            case _:
                return None

    def _join(self, xid: str, mac: str) -> None:
        """Lines of the same exchange carry its number."""
        self._by_xid[xid] = mac
        if len(self._by_xid) > 1000:
            self._by_xid.popitem(last=False)

    def _tagged(self, xid: str, tags: str, now: float) -> BootEvent | None:
        mac = self._by_xid.get(xid)
        if mac is None or "ipxe" not in tags.split(", "):
            return None
        self._ipxe.add(mac)
        last = self._events.get(mac)
        return self._note(BootEvent(mac, Stage.IPXE, now, last.address if last else None))

    def _sent(self, path: str, address: str, now: float, *, failed: bool) -> BootEvent | None:
        mac = self._macs.get(address) or self._find_mac(address)
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


_NO_ADDRESS = "; make the setting provision_range wider"
_NO_PORT = "; look whether a port has this address"
_WORDS = {
    Stage.ASKED: "asked for an address and got no answer yet; look at its switch port (DHCP snooping)",
    Stage.IGNORED: "asked for an address and was refused: {detail}",
    Stage.OFFERED: "was offered {address} and has not taken it; look for a second DHCP server on this network",
    Stage.UNSENT: "was offered {address}, but this host could not send it: {detail}; raise "
    "net.ipv4.neigh.default.gc_thresh3 above the number of machines it talks to",
    Stage.FOREIGN: "took the address {address} from another DHCP server of this network, which knows no boot program; "
    "switch that server off here, or set dhcp_proxy",
    Stage.PROXIED: "was told its boot program, but did not load it; look whether the other DHCP server gives it an "
    "address, and whether UDP 4011 or TFTP (UDP 69) is blocked",
    Stage.LEASED: "got the address {address}, but did not load its boot program; look whether TFTP (UDP 69) is blocked",
    Stage.LOADER: "loaded {detail} as {address}, and nothing more was asked for; look at its console (Secure Boot?)",
    Stage.IPXE: "runs iPXE as {address}, but no boot script was asked for; look whether TFTP (UDP 69) is blocked",
    Stage.SCRIPT: "got the first iPXE script as {address}; look whether it reaches the file server, which has the next "
    "(setting files_port)",
}
