"""The composition root: settings -> store -> bus -> registry -> services -> API and conductor.

Only this file knows which parts make up a process. May not: hold logic of any of them.
"""

from __future__ import annotations

import asyncio
import gc
import resource
import signal
import sys
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, cast
from urllib.parse import quote

import structlog

from ingot.bus.memory import MemoryBus
from ingot.deps import Deps, hostname
from ingot.domain import errors, extras
from ingot.interfaces.kit import Kit
from ingot.interfaces.registry import Registry
from ingot.settings import Settings
from ingot.store import compatibility, nodes, place, seal, upgrade
from ingot.store.engine import Store
from ingot.telemetry import supervisor

if TYPE_CHECKING:
    from ingot.bus.base import Bus
    from ingot.conductor.service import Conductor
    from ingot.images import download

_MOST_FILES = 65536
"""As in packaging/ingot.service; children that close all files one by one (dnsmasq) bear no more."""
_GARBAGE = 10_000
"""Objects that are new when the garbage collector looks for cycles among them. By its own 700 most are still in use
then, and looking at them took 4 to 8 % of the processor time of a busy service."""
_LOOK_AT_TABLES = 5.0
_END_WITHIN = 5.0
_THREADS = 32
"""For what blocks: writing, hashing and mapping images, passwords. Python's own number, four more than there are
processors, is used up by a few images on a slow disk, and whoever asks for a file then waits for them."""


def make_deps(settings: Settings, only: str | None = None) -> Deps:
    """The rooms every part needs; brings the database up to date. End with ``deps.store.close()``."""
    data = settings.data
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    where = place.of(settings.database, data)
    upgrade.upgrade(where)
    sealer = seal.Sealer(seal.open_keys(data / seal.KEY_FILE))
    return Deps(settings, Store(where), sealer, Registry(settings.drivers), _make_bus(settings, only))


def _make_bus(settings: Settings, only: str | None) -> Bus:
    if settings.broker is None:
        return MemoryBus()
    try:
        from ingot.bus.rabbitmq import RabbitBus
    except ImportError as error:
        raise extras.missing(extras.RABBITMQ, "The setting broker", error) from error
    return RabbitBus(settings.broker, hostname(settings), conductor=only != "api")


@asynccontextmanager
async def make_kit(deps: Deps) -> AsyncGenerator[Kit]:
    """Wire clients, image cache and network boot, running; they end with the context."""
    from ingot.clients.agent.agents import Agents
    from ingot.clients.ipmi.client import IpmiPool
    from ingot.clients.redfish.client import RedfishPool
    from ingot.clients.redfish.sessions import Sessions
    from ingot.images.cache import ImageCache
    from ingot.netboot.service import Netboot

    settings = deps.settings
    async with AsyncExitStack() as stack:
        ipmi = IpmiPool()
        stack.push_async_callback(ipmi.close)
        left = Sessions(settings.data / f"redfish-{quote(deps.hostname, safe='')}.sessions", deps.sealer)
        redfish = RedfishPool(left)
        stack.push_async_callback(redfish.close)
        agents = Agents()
        stack.push_async_callback(agents.close)
        images = ImageCache(settings.data / "images", settings.image_cache_size, fetching=_image_limits(settings))
        boot = await stack.enter_async_context(Netboot(settings, deps.store, images.find_file).running())
        deps.bus.answer("dhcp_runs", boot.dhcp_runs)
        yield Kit(settings, ipmi, redfish, agents, images, boot)


def _image_limits(settings: Settings) -> download.Limits:
    from ingot.images import download

    auth = Path(settings.oci_auth_file).expanduser() if settings.oci_auth_file else None
    dirs = tuple(Path(name) for name in settings.image_dirs)
    plain = settings.oci_plain_registries
    weak = settings.allow_md5_checksum
    return download.Limits(file_roots=dirs, weak=weak, plain_registries=plain, registry_auth=auth)


async def run(settings: Settings, only: str | None = None, stop: asyncio.Event | None = None) -> None:
    """Run one process until cancelled. ``only``: "api", "conductor", None for both.

    Once ``stop`` is set its work is handed over, and it ends. Raises errors.IngotError when it cannot start (port
    taken, dnsmasq missing, wrong key, ...).
    """
    stop = stop or asyncio.Event()
    deps = make_deps(settings, only)
    try:
        async with AsyncExitStack() as stack:
            await _check_key(deps)
            await stack.enter_async_context(deps.bus.running(deps.members.find_host))
            if only != "conductor":
                from ingot.api import listen

                await stack.enter_async_context(listen.listening(deps, lambda task: _tell_end(task, stop)))
            if only != "api":
                made = await asyncio.to_thread(_load_conductor)  # the API answers meanwhile
                kit = await stack.enter_async_context(make_kit(deps))
                conductor = made(deps, kit, deps.hostname)
                _end_start()
                await _work(conductor, stop)
            else:
                _end_start()
                await _stand_by(deps, stop)
    finally:
        deps.store.close()


def _load_conductor() -> type[Conductor]:
    from ingot.conductor.service import Conductor

    return Conductor


def _tell_end(task: asyncio.Task[None], stop: asyncio.Event) -> None:
    """A process that answers nobody any more must not look alive: it ends, and what watches it starts it again."""
    error = None if task.cancelled() else task.exception()
    structlog.get_logger("ingot.api").error("a part of the API has ended, so the process does", exc_info=error)
    stop.set()


async def _check_key(deps: Deps) -> None:
    """Raises errors.Invalid when another key sealed what is in the database: a second host's own, or a new one."""
    found = await deps.store.read(nodes.find_sealed)
    try:
        deps.sealer.open(*found or ("", None))
    except errors.Bug as error:
        raise errors.Invalid(
            f"The key {deps.settings.data / seal.KEY_FILE} is not the one that sealed this database",
            hint="Copy the file secret.key from the first host, or restore it from your backup.",
        ) from error


async def _stand_by(deps: Deps, stop: asyncio.Event) -> None:
    """Let the API serve until ``stop`` is set. Raises errors.Conflict once the database is too new for this program."""
    while not stop.is_set():
        try:
            async with asyncio.timeout(_LOOK_AT_TABLES):
                await stop.wait()
        except TimeoutError:
            with suppress(errors.Unreachable):
                await deps.store.read(compatibility.check, upgrade.HEAD)


async def _work(conductor: Conductor, stop: asyncio.Event) -> None:
    """Let a conductor work until ``stop`` is set; then it hands over. Raises what ends it before."""
    working = asyncio.create_task(conductor.run())
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            await working
        await conductor.drain()
    finally:
        ending = asyncio.gather(working, stopping, return_exceptions=True)
        for _ in range(2):  # the second time it ends a goodbye that waits for a database that is away
            working.cancel()
            stopping.cancel()
            await asyncio.wait({ending}, timeout=_END_WITHIN)


def _end_start() -> None:
    """Let the garbage collector begin now, and leave alone what the start has made: it stays, and there is much."""
    gc.freeze()
    gc.set_threshold(_GARBAGE)
    gc.enable()
    supervisor.tell_ready()


def serve(settings: Settings, only: str | None = None) -> None:
    """``run`` under an event loop of its own, until SIGTERM (in good order) or SIGINT. Raises errors.IngotError."""
    import uvloop

    _set_up_log()
    allow_many_connections()

    async def until_signal() -> None:
        task = asyncio.current_task()
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(_THREADS, thread_name_prefix="blocking"))
        stop = asyncio.Event()

        def end() -> None:
            """Asked a second time, it does not wait for anything."""
            if stop.is_set() and task is not None:
                task.cancel()
            stop.set()

        loop.add_signal_handler(signal.SIGTERM, end)
        loop.add_signal_handler(signal.SIGINT, lambda: task and task.cancel())
        await run(settings, only, stop)

    try:
        uvloop.run(until_signal())
    except asyncio.CancelledError:
        return
    except BaseExceptionGroup as group:
        raise _first(group) from group


def allow_many_connections() -> None:
    """Raise the limit of open files to what the system lets us, each Redfish BMC and each client being one."""
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_FILES if most == resource.RLIM_INFINITY else min(most, _MOST_FILES)
    if now != resource.RLIM_INFINITY and now < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def _set_up_log() -> None:
    """Tracebacks without the values of variables: structlog's own way prints them, and secrets are among them."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.StackInfoRenderer(),
            structlog.processors.TimeStamper(fmt="%Y-%m-%d %H:%M:%S", utc=False),
            structlog.dev.ConsoleRenderer(
                colors=sys.stdout.isatty(), exception_formatter=structlog.dev.plain_traceback
            ),
        ]
    )


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error that made a task group end: one of ours if there is one."""
    found: BaseException = group.split(errors.IngotError)[0] or group
    while isinstance(found, BaseExceptionGroup):
        found = cast("BaseExceptionGroup[BaseException]", found).exceptions[0]
    return found
