"""The agent's life in the ramdisk: who am I, heartbeats, commands, until the machine is sent elsewhere.

May not: know steps or disks. Invariant: the command server listens before the first heartbeat names it.
"""

from __future__ import annotations

import os
import threading
import time

from ingot_agent import (
    api,
    certificate,
    commands,
    conductor,
    context,
    drivers,
    errors,
    log,
    machine,
    nics,
    server,
    settings,
    tls,
)


class Agent:
    """One agent on one machine; ``run`` returns only when told to stop."""

    def __init__(self, config: settings.Settings, roots: settings.Roots, host: str = "") -> None:
        self.config = config
        self.roots = roots
        self.client = conductor.Client(config, roots)
        self.stopped = threading.Event()
        self._heart: conductor.Heart | None = None
        self.context = context.Context(config, roots, self.lock_down, self.let_go)
        self.executor = commands.Executor(self._table, self._beat)
        self.api = api.Api(self.executor, lambda: self.client.token)
        self.server = server.Server(host, config.listen_port, self.api.answer, self.api.trusts)
        if self.client.token and not config.agent_token:
            victim = machine.killed_by_memory(roots)
            self.executor.restarted = (
                f"the machine ran out of memory and the kernel ended {victim}, so the agent was started anew"
                if victim
                else "the agent ended and was started anew"
            )
            log.line(self.executor.restarted)

    def _table(self) -> dict[str, commands.Entry]:
        from ingot_agent import extensions  # half a second on an emulated machine, which the first call is not to wait

        return extensions.table(self.context)

    def _beat(self) -> None:
        if self._heart is not None:
            self._heart.force()

    def lock_down(self) -> None:
        """Answer no more and fall silent."""
        self.server.close()
        self._fall_silent()
        self.stopped.set()

    def let_go(self, linger: float) -> None:
        """Fall silent at once, and answer no more after ``linger`` seconds (a conductor that died may ask again).

        The agent itself stays: one that ended would be started again.
        """
        self._fall_silent()
        timer = threading.Timer(linger, self.server.close)
        timer.daemon = True
        timer.start()

    def _fall_silent(self) -> None:
        if self._heart is not None:
            self._heart.stop()

    def run(self) -> None:
        """Report, look ourselves up, then serve until locked down.

        Raises the agent's errors when that fails.
        """
        addresses = self._addresses()
        self._await_address()
        callback = self.config.inspection_callback_url
        if not callback and self.config.inspection_collectors:
            callback = f"{self.config.api_url}/v1/continue_inspection"
        if callback:
            drivers.load_rest(self.roots)
            self._inspect(callback)
        found = conductor.lookup(self.client, addresses, self.config.lookup_timeout, self.stopped)
        if not callback:
            drivers.load_rest(self.roots)
        log.line(f"this is node {found.node['uuid']}")
        self.context.node = found.node
        host = self.config.advertise_host or found.address
        scheme, own = "http", None
        if self.config.tls and self.client.takes_certificates:
            scheme, own = "https", certificate.make(os.uname().nodename, [host])
            self.client.certificate = own.pem
        shown = f"[{host}]" if ":" in host else host
        self._heart = conductor.Heart(self.client, found, f"{scheme}://{shown}:{self.config.advertise_port}")
        self._heart.start()
        # OpenSSL is loaded after the first heartbeat is on its way; who calls back meanwhile is in the backlog.
        self.server.start((lambda: tls.server_context(own, self.config, self.roots.run)) if own else None)
        self.executor.prepare()
        self.stopped.wait()

    def _addresses(self) -> list[str]:
        """Wait for a network interface, a minute at most."""
        end = time.monotonic() + 60
        while not (found := nics.addresses(self.roots, self.config.boot_mac)):
            if time.monotonic() > end:
                raise errors.DeviceNotFound("This machine shows no network interface: the ramdisk lacks its driver.")
            self.stopped.wait(0.2)
        return found

    def _await_address(self) -> None:
        """Wait for DHCP; without an answer in time the lookup goes on and says what it cannot reach."""
        end = time.monotonic() + self.config.address_wait
        while not nics.has_address(self.roots) and time.monotonic() < end and not self.stopped.is_set():
            self.stopped.wait(0.05)

    def _inspect(self, callback: str) -> None:
        from ingot_agent import collectors

        report = collectors.report(self.config, self.roots)
        end = time.monotonic() + self.config.lookup_timeout
        while True:
            try:
                conductor.post_inspection(callback, report, self.config)
                log.line("inventory reported")
                return
            except errors.Unreachable as error:
                if time.monotonic() > end or "answered" in error.message:
                    log.line(f"{error.message} Going on without inspection")
                    return


def _set_clock(now: float) -> None:
    """Mend a clock that is behind the time at which this boot was ordered (an empty battery: years), or far ahead.

    With such a clock no certificate of the API would be valid.
    """
    wrong = time.time() - now
    if now and not -60 < wrong < 86400:
        time.clock_settime(time.CLOCK_REALTIME, now)
        log.line(f"the machine's clock was wrong by {wrong / 86400:.0f} days and is set to the time of the boot order")


def main(roots: settings.Roots | None = None) -> None:
    """Start on the machine itself; ends with a line on the console when it cannot go on, but not once locked down."""
    roots = roots or settings.Roots()
    log.open_consoles(roots.sys, roots.dev)
    with open(f"{roots.proc}/cmdline", encoding="utf-8", errors="replace") as file:
        config = settings.from_cmdline(file.read())
    log.line(f"agent up, machine is {machine.uptime(roots):.1f} s old")
    if not config.api_url:
        log.line("The kernel command line lacks ipa-api-url, so the agent knows no API. Boot with it.")
        threading.Event().wait(60)
        return
    _set_clock(config.now)
    tls.trust(tls.find_authority(config))
    agent = Agent(config, roots)
    try:
        agent.run()
    except errors.Unauthorized as error:
        log.line(error.message)
        agent.lock_down()  # who calls is refused at once, not left waiting
    except errors.AgentError as error:
        log.line(error.message)
        return
    threading.Event().wait()  # an agent that ended would be started again
