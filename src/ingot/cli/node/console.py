"""``ingot node console``: a node's serial console in this terminal.

May not: import aiohttp before it is needed. Invariant: the terminal is as before when the command ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import ssl
import sys
import termios
import threading
import time
import tty
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import click

from ingot.cli import client as api
from ingot.cli import options
from ingot.domain import errors

if TYPE_CHECKING:
    import aiohttp

ESCAPE = b"\x1d"
_KEYS = "Ctrl-] then: q leaves, t takes the keyboard, b sends a break, Ctrl-] sends itself"
_OPENS_WITHIN = 60.0
_LAST_WORDS = 2.0
"""Seconds a script that has sent everything goes on to hear the answers."""
_STDIN, _STDOUT = 0, 1


@click.command()
@click.argument("name")
@click.option("--watch", is_flag=True, help="Only look.")
@click.option("--take", is_flag=True, help="Take the keyboard from who has it.")
@click.option("--off", is_flag=True, help="Serve the console no more.")
@click.option("--log", metavar="RUN", help="Print what was said in that run; last: in the newest, idle: between runs.")
@options.connection
def console(name: str, watch: bool, take: bool, off: bool, log: str | None, url: str | None) -> None:
    """Open the serial console of the node NAME. Ctrl-] and then q leaves; the console goes on being served.

    What the machine says while its console is served is kept, apart for each run.
    """
    client = api.from_environment(url)
    if log is not None:
        click.echo(client.text(_log_path(client, name, log)), nl=False)
        return
    path = api.node_path(name, "states", "console")
    if off:
        client.call("PUT", path, {"enabled": False})
        click.echo(f"{name}: console off")
        return
    _enable(client, name, path)
    link = client.call("POST", "/ingot" + api.node_path(name, "console"))["url"]
    click.echo(f"Console of {name}. {_KEYS}.", err=True)
    wish = None if watch else {"take": take}
    ended = asyncio.run(_attach(link.replace("http", "ws", 1) + "/socket", client.tls(), wish))
    click.echo(f"\r\nLeft the console of {name}{f': {ended}' if ended else ''}.", err=True)


def _log_path(client: api.Client, name: str, run: str) -> str:
    if run == "last":
        run = client.get("/ingot" + api.node_path(name, "run"))["id"]
    return "/ingot" + api.node_path(name, "runs", run, "console")


def _enable(client: api.Client, name: str, path: str) -> None:
    """Have the console served; returns when it is. Raises errors.Misbehaved with the node's reason."""
    if client.get(path)["console_enabled"]:
        return
    client.call("PUT", path, {"enabled": True})
    ends, pause = time.monotonic() + _OPENS_WITHIN, threading.Event()
    while not client.get(path)["console_enabled"]:
        reason = client.get(api.node_path(name))["last_error"]
        if reason:
            raise errors.Misbehaved(reason, hint="")
        if time.monotonic() > ends:
            raise errors.TimedOut(f"The console of {name} did not open within {_OPENS_WITHIN:.0f} s")
        pause.wait(0.2)


async def _attach(url: str, trust: ssl.SSLContext | None, wish: dict[str, Any] | None) -> str | None:
    """Pass bytes both ways until the user leaves or the console ends; why it ended, None if the user left."""
    import aiohttp

    try:
        async with aiohttp.ClientSession() as session, session.ws_connect(url, ssl=trust or True) as socket:
            if wish is not None:
                await socket.send_str(json.dumps(wish))
            with _raw():
                return await _both_ways(socket)
    except aiohttp.ClientError as error:
        raise errors.Unreachable(f"The console cannot be reached: {error}", hint="Try again.") from error


async def _both_ways(socket: aiohttp.ClientWebSocketResponse) -> str | None:
    typing = asyncio.create_task(_type(socket))
    showing = asyncio.create_task(_show(socket))
    await asyncio.wait({typing, showing}, return_when=asyncio.FIRST_COMPLETED)
    reason = showing.result() if showing.done() else None
    typing.cancel()
    showing.cancel()
    await asyncio.gather(typing, showing, return_exceptions=True)
    return reason


async def _show(socket: aiohttp.ClientWebSocketResponse) -> str:
    async for message in socket:
        if isinstance(message.data, bytes):
            os.write(_STDOUT, message.data)
        elif isinstance(message.data, str) and (problem := json.loads(message.data).get("problem")):
            click.echo(f"\r\n[{problem}]\r", err=True)
    return "the service ended it"


async def _type(socket: aiohttp.ClientWebSocketResponse) -> None:
    """Send what is typed; returns when the user leaves or the input ends."""
    keys: asyncio.Queue[bytes] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    try:
        loop.add_reader(_STDIN, lambda: keys.put_nowait(os.read(_STDIN, 4096)))
    except PermissionError:  # a file, or /dev/null: always ready, and nothing that epoll would watch
        keys.put_nowait(await asyncio.to_thread(sys.stdin.buffer.read))
        keys.put_nowait(b"")
    escaped = False
    try:
        while data := await keys.get():
            for key in _split(data):
                if escaped:
                    escaped = False
                    if not await _command(socket, key):
                        return
                elif key == ESCAPE:
                    escaped = True
                else:
                    await socket.send_bytes(key)
    finally:
        loop.remove_reader(_STDIN)
    await asyncio.sleep(_LAST_WORDS)


def _split(data: bytes) -> list[bytes]:
    """Runs of ordinary bytes; each escape and the byte after it stand alone."""
    parts: list[bytes] = []
    for index, piece in enumerate(data.split(ESCAPE)):
        if index:
            parts.append(ESCAPE)
            parts += [piece[:1], piece[1:]]
        else:
            parts.append(piece)
    return [part for part in parts if part]


async def _command(socket: aiohttp.ClientWebSocketResponse, key: bytes) -> bool:
    """Do what the key after the escape asks; whether to go on."""
    match key:
        case b"q" | b".":
            return False
        case b"t":
            await socket.send_str('{"take": true}')
        case b"b":
            await socket.send_str('{"break": true}')
        case _ if key == ESCAPE:
            await socket.send_bytes(ESCAPE)
        case _:
            click.echo(f"\r\n[{_KEYS}]\r", err=True)
    return True


@contextlib.contextmanager
def _raw() -> Generator[None]:
    """A terminal that passes every key on; anything else stays as it is."""
    if not sys.stdin.isatty():
        yield
        return
    before = termios.tcgetattr(_STDIN)
    tty.setraw(_STDIN)
    try:
        yield
    finally:
        termios.tcsetattr(_STDIN, termios.TCSADRAIN, before)
