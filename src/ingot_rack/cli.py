"""`python -m ingot_rack`: racks and fleets from the command line.

Why: virtual hardware without the rest of the product.
May not: hold logic of its own. Invariant: results go to stdout as JSON, sentences about failures to stderr with exit
code 1.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
from pathlib import Path

import uvloop

from ingot_rack import control, errors, fleet, places, rack, running, specs

NOT_ASKED, DETACHED, FAILED = -1, -2, -3


def main(argv: list[str] | None = None) -> int:
    """Run a command; the exit code."""
    options = _parser().parse_args(argv)
    options.ready = _detach() if getattr(options, "detach", False) else NOT_ASKED
    if options.ready in {DETACHED, FAILED}:
        return 0 if options.ready == DETACHED else 1
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s", stream=sys.stderr)
    try:
        run = uvloop.run if options.verb == "fleet" else asyncio.run  # thousands of sockets
        result = run(_run(options))
    except errors.RackError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    if result is not None:
        sys.stdout.write(json.dumps(result, indent=2) + "\n")
    return 0


def _detach() -> int:
    """Go on in a child that no terminal and no parent holds.

    In the child: the handle to say "ready" on. In the parent, when the child is ready or dead: DETACHED or FAILED.
    """
    hear, say = os.pipe()
    if os.fork() == 0:
        os.close(hear)
        os.setsid()
        return say
    os.close(say)
    heard = os.read(hear, 1)
    os.close(hear)
    return DETACHED if heard else FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ingot_rack", description="Virtual racks of servers with real BMCs.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb, text in (
        ("serve", "run a rack until SIGTERM or Ctrl-C"),
        ("up", "start a rack in the background"),
    ):
        one = verbs.add_parser(verb, help=text)
        one.add_argument("spec", type=Path, help="TOML or JSON description")
        if verb == "serve":
            one.add_argument("--detach", action="store_true", help="go to the background when the rack is up")
    one = verbs.add_parser("down", help="end a rack, also one that was killed")
    one.add_argument("name")
    one.add_argument("--purge", action="store_true", help="remove its disks and logs too")
    verbs.add_parser("status", help="the truth about all machines").add_argument("name")
    one = verbs.add_parser("screenshot", help="write a machine's screen as PNG")
    one.add_argument("name")
    one.add_argument("machine")
    one.add_argument("path", type=Path)
    one = verbs.add_parser("control", help="send one JSON request to a rack")
    one.add_argument("name")
    one.add_argument("request")
    _fleet(verbs.add_parser("fleet", help="simulate thousands of BMCs and agents"))
    return parser


def _fleet(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--ipmi", type=int, default=0, metavar="N", help="number of IPMI BMCs")
    parser.add_argument("--redfish", type=int, default=0, metavar="N", help="number of Redfish BMCs")
    parser.add_argument("--ipmi-port", type=int, default=6230)
    parser.add_argument("--redfish-port", type=int, default=8000)
    parser.add_argument(
        "--redfish-tls", action="store_true", help="serve Redfish by HTTPS, with a self-made certificate"
    )
    parser.add_argument("--agent-port", type=int, default=9999)
    parser.add_argument("--first", default="127.32.0.1", help="address of the first BMC")
    parser.add_argument("--user", default="admin")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds a power change takes")
    parser.add_argument("--api", default="", metavar="URL", help="the API the simulated agents call")
    parser.add_argument("--boot-url", default="", help="boot script URL with {mac} (default: agents always start)")
    parser.add_argument("--inspect", action="store_true", help="agents send their inventory even when not told to")
    parser.add_argument("--step-seconds", type=float, default=0.0, help="seconds a step takes in an agent")
    parser.add_argument("--control", type=Path, metavar="SOCKET", help="unix socket for status, faults and effects")
    parser.add_argument("--write", type=Path, help="write the nodes to enrol to this JSON file")
    parser.add_argument("--journal", type=Path, help="append every destructive effect to this JSON-lines file")


async def _run(options: argparse.Namespace) -> object:
    match options.verb:
        case "serve":
            return await _serve(specs.read(options.spec), options.ready)
        case "up":
            return await rack.start(options.spec)
        case "down":
            return {"ended": await rack.down(options.name, purge=options.purge)}
        case "status":
            return await control.call(rack.control_socket(options.name), {"do": "status"})
        case "screenshot":
            request: control.Json = {
                "do": "screenshot",
                "machine": options.machine,
                "path": str(options.path.absolute()),
            }
            return await control.call(rack.control_socket(options.name), request)
        case "control":
            return await control.call(rack.control_socket(options.name), json.loads(options.request))
        case _:
            return await _serve_fleet(options)


def _stop_on_signals(event: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, event.set)


async def _serve(spec: specs.Spec, ready: int = NOT_ASKED) -> None:
    """Bring a rack up, keep it until told to stop, clean up. A byte on `ready` says that it is up."""
    folder = places.rack(spec.name)
    rack.refuse_second(spec.name)
    one = running.Rack(spec)
    _stop_on_signals(one.stopping)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    (folder / "rack.pid").write_text(str(os.getpid()))
    try:
        await one.up()
        sys.stderr.write(f"rack {spec.name} is up; control socket {rack.control_socket(spec.name)}\n")
        if ready >= 0:
            os.write(ready, b"+")
            os.close(ready)
        await one.stopping.wait()
    finally:
        await one.down()
        (folder / "rack.pid").unlink(missing_ok=True)


async def _serve_fleet(options: argparse.Namespace) -> None:
    """Run a simulated fleet until told to stop."""
    password = os.environ.get("INGOT_RACK_PASSWORD", "fleet-password")
    plan = fleet.Plan(
        ipmi=options.ipmi,
        redfish=options.redfish,
        ipmi_port=options.ipmi_port,
        redfish_port=options.redfish_port,
        redfish_tls=options.redfish_tls,
        agent_port=options.agent_port,
        first=options.first,
        user=options.user,
        password=password,
        delay=options.delay,
        api=options.api,
        boot_url=options.boot_url,
        inspect=options.inspect,
        step_seconds=options.step_seconds,
        control=options.control,
        journal=options.journal,
    )
    stopping = asyncio.Event()
    _stop_on_signals(stopping)
    made = fleet.Fleet(plan)
    await made.start()
    if options.write:
        await asyncio.to_thread(options.write.write_text, json.dumps({"nodes": made.nodes()}, indent=1))
    sys.stderr.write(f"fleet of {plan.ipmi} IPMI and {plan.redfish} Redfish BMCs is up\n")
    with contextlib.suppress(asyncio.CancelledError):
        await stopping.wait()
    await made.close()
