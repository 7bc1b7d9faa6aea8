"""One BMC without its protocol: credentials, faults and the hardware behind it.

Why: IPMI and Redfish must lie, stall and refuse alike when a test asks for it.
May not: know a wire format. Invariant: with default faults, what a BMC says is what the hardware is.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hmac
import logging
import random
import time
from collections.abc import Mapping

from ingot_rack import errors, hardware
from ingot_rack.hardware import PowerAction, PowerState

log = logging.getLogger(__name__)


@dataclasses.dataclass(slots=True)
class Faults:
    """What is wrong with this BMC; the defaults mean nothing is.

    Counters (`*_next`) count down with use; times are seconds; rates are 0..1. `reset_next` carries a request out and
    then cuts the connection, so the client cannot know, `order_cut_next` does so with
    each POST that is no login; `power_says` is a lie (on or off), "" is the truth;
    with `boot_ignored` a boot device is kept but not booted from, with `boot_forgotten` it is taken and not even kept,
    with `http_uri_forgotten` only the URL to boot from is not kept; with `clock_kept` the BMC's clock cannot be set;
    `session_seconds` is how long an IPMI session may be silent, `reading_refused` names the sensor that tells nothing,
    `bmc_restart_status` is what is answered while the BMC itself restarts.
    """

    drop_rate: float = 0.0
    drop_next: int = 0
    delay: float = 0.0
    duplicate_rate: float = 0.0
    lockout_after: int = 0
    lockout_seconds: float = 60.0
    sessions_full: bool = False
    session_seconds: float = 60.0
    busy_next: int = 0
    unavailable_next: int = 0
    reset_next: int = 0
    order_cut_next: int = 0
    power_seconds: float = 0.0
    power_stuck: bool = False
    power_says: str = ""
    boot_ignored: bool = False
    media_refused: bool = False
    settings_ignored: bool = False
    task_seconds: float = 0.0
    task_fails: int = 0
    bmc_restart_seconds: float = 0.0
    bmc_restart_status: int = 503
    boot_forgotten: bool = False
    http_uri_forgotten: bool = False
    clock_kept: bool = False
    sdr_changes_next: int = 0
    reading_refused: str = ""

    def change(self, values: Mapping[str, object]) -> None:
        """Set faults by name; raises Invalid for an unknown name or a value of another type."""
        known = {field.name: _kind(getattr(self, field.name)) for field in dataclasses.fields(self)}
        for name, value in values.items():
            if name not in known:
                raise errors.Invalid(f"There is no fault {name!r}", hint=f"Known: {', '.join(sorted(known))}.")
            if isinstance(value, int) and not isinstance(value, bool) and known[name] is float:
                value = float(value)  # noqa: PLW2901  JSON has one kind of number
            if type(value) is not known[name]:
                raise errors.Invalid(f"Fault {name!r} wants {known[name].__name__}", hint=f"Got {value!r}.")
            if name == "power_says" and value not in {"", *PowerState}:
                raise errors.Invalid(f"power_says cannot be {value!r}", hint='Say "on", "off" or "" for the truth.')
            setattr(self, name, value)

    def take(self, name: str) -> bool:
        """Use up one of a counted fault; True while any was left."""
        left = int(getattr(self, name))
        if left > 0:
            setattr(self, name, left - 1)
        return left > 0

    def drops(self) -> bool:
        """Whether this packet or request is to be lost."""
        return self.take("drop_next") or (self.drop_rate > 0 and random.random() < self.drop_rate)


def _kind(value: object) -> type[object]:
    return type(value)


class Bmc:
    """The management controller of one machine.

    `kg` is IPMI's second key (20 bytes, or none), `maker` the enterprise number it tells, `privilege` the user's limit,
    `versions` of IPMI in which it opens sessions ("2.0", "1.5"), `suites` the cipher suites of 2.0 by number, `codes`
    the kinds of code that vouch for messages of 1.5 (0 none, 2 MD5, 4 a straight password), `vouched` whether those
    after the login have one, too,
    `readings` what sensors say instead of their usual raw reading, `satellites` the controllers behind this one by bus
    channel and address; `resets` are the restarts of the BMC itself that were asked for, as IPMI numbers them (2 cold,
    3 warm).
    """

    __slots__ = (
        "_failures",
        "_ignored_boot",
        "_locked_until",
        "_tasks",
        "_transitions",
        "boot_set_at",
        "codes",
        "faults",
        "hardware",
        "kg",
        "maker",
        "password",
        "privilege",
        "readings",
        "resets",
        "satellites",
        "starts",
        "suites",
        "user",
        "versions",
        "vouched",
    )

    def __init__(self, hw: hardware.Hardware, user: str, password: str) -> None:
        self.hardware = hw
        self.user = user
        self.password = password
        self.privilege = 4  # IPMI's highest level, administrator
        self.kg = b""
        self.versions = frozenset({"2.0"})
        self.suites = frozenset({3, 17})
        self.codes: tuple[int, ...] = (2, 4)
        self.vouched = True
        self.maker = 0
        self.faults = Faults()
        self.readings: dict[str, int | None] = {}
        self.satellites: dict[tuple[int, int], Bmc] = {}
        self.resets: list[int] = []
        self.boot_set_at = 0.0
        self.starts = 0  # of the machine, ordered here: what is pending takes force at one
        self._ignored_boot: hardware.BootOverride | None = None
        self._failures = 0
        self._locked_until = 0.0
        self._tasks: set[asyncio.Task[None]] = set()
        self._transitions = 0

    @property
    def locked_out(self) -> bool:
        """Whether too many wrong passwords have closed the account for now."""
        return time.monotonic() < self._locked_until

    @property
    def in_transition(self) -> bool:
        """Whether a slow power change is under way."""
        return self._transitions > 0

    @property
    def boot(self) -> hardware.BootOverride:
        """The boot override as this BMC tells it."""
        return self.hardware.boot if self._ignored_boot is None else self._ignored_boot

    async def set_boot(self, override: hardware.BootOverride) -> None:
        """Take a boot override; a fault may have it ignored or forgotten."""
        if self.faults.boot_forgotten:
            return
        if self.faults.http_uri_forgotten:
            override = dataclasses.replace(override, http_uri="")
        self.boot_set_at = time.monotonic()
        self._ignored_boot = override if self.faults.boot_ignored else None
        if not self.faults.boot_ignored:
            await self.hardware.set_boot(override)

    def says_power(self) -> PowerState:
        """The power state as this BMC tells it."""
        if self.faults.power_says:
            return PowerState(self.faults.power_says)
        return self.hardware.power

    def note_login(self, *, good: bool) -> None:
        """Count wrong passwords; the account locks when the fault `lockout_after` is reached."""
        if good:
            self._failures = 0
            return
        self._failures += 1
        limit = self.faults.lockout_after
        if limit and self._failures >= limit:
            self._locked_until = time.monotonic() + self.faults.lockout_seconds
            self._failures = 0

    def accepts(self, user: str, password: str) -> bool:
        """Check a user and password given in clear text, counting failures."""
        if self.locked_out:
            return False
        same_user = hmac.compare_digest(user.encode(), self.user.encode())
        good = hmac.compare_digest(password.encode(), self.password.encode()) and same_user
        self.note_login(good=good)
        return good

    async def power(self, action: PowerAction) -> None:
        """Begin a power action as a BMC does: refuse at once what cannot be, else act, perhaps later."""
        state = self.hardware.power
        if action in {PowerAction.RESET, PowerAction.CYCLE, PowerAction.NMI} and state is PowerState.OFF:
            raise errors.NotNow(f"{self.hardware.facts.name} is off", hint="Power it on first.")
        if self.faults.power_stuck:
            return
        if self.faults.power_seconds:
            self._later(action)
            return
        try:
            await self._act(action)
        except errors.RackError as error:
            log.warning("%s: %s failed: %s", self.hardware.facts.name, action, error)
            raise

    async def _act(self, action: PowerAction) -> None:
        off = self.hardware.power is PowerState.OFF
        await self.hardware.set_power(action)
        if action in {PowerAction.RESET, PowerAction.CYCLE} or (action is PowerAction.ON and off):
            self.starts += 1

    def _later(self, action: PowerAction) -> None:
        task = asyncio.get_running_loop().create_task(self._slowly(action))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _slowly(self, action: PowerAction) -> None:
        self._transitions += 1
        try:
            await asyncio.sleep(self.faults.power_seconds)
            await self._act(action)
        except errors.RackError as error:
            # the client was answered long ago, as by a real BMC
            log.warning("%s: %s failed: %s", self.hardware.facts.name, action, error)
        finally:
            self._transitions -= 1

    async def close(self) -> None:
        """End the power changes still under way."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
