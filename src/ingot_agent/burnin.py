"""Work hardware hard for a while and look whether its answers stay right: processors, memory, disks.

Why our own: stress-ng and fio with their libraries would double the ramdisk. May not: end well when an answer was
wrong. Invariant: every byte written is read back and compared. The knobs of ``driver_info`` have the names that
Ironic's agent gives them (``agent_burnin_*``); the network has a file of its own (burnin_network.py).
"""

from __future__ import annotations

import json
import mmap
import os
import signal
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ingot_agent import blockdev, commands, disks, errors, fields, guard, settings, sysfile

_DAY = 86400.0
_BLOCK = 1 << 20
_INVERSE = bytes(255 - byte for byte in range(256))
Result = dict[str, Any]


@dataclass(frozen=True)
class Knobs:
    """A node's ``driver_info``, read by name."""

    info: dict[str, Any]

    def number(self, name: str, default: float) -> float:
        """A number; raises CleaningError when it is none."""
        value = self.info.get(name, default)
        try:
            return float(value)
        except (TypeError, ValueError):
            raise errors.CleaningError(f"driver_info {name} is {value!r} and wants a number. Correct it.") from None


def knobs(node: dict[str, Any]) -> Knobs:
    """The burn-in settings of a node."""
    return Knobs(fields.find_object(node, "driver_info") or {})


def kept(result: Result, given: Knobs, name: str) -> Result:
    """Give the result, written to the file the operator named as well."""
    path = given.info.get(name)
    if isinstance(path, str) and path:
        with open(path, "w", encoding="utf-8") as file:
            json.dump(result, file)
    return result


def _in_processes(count: int, work: Callable[[int], Result]) -> list[Result]:
    """Run ``work(number)`` in so many processes at once. Raises CleaningError naming the first that died."""
    children: list[tuple[int, int]] = []
    for number in range(count):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            _keep_only(writer)
            code = 1
            try:
                os.write(writer, json.dumps(work(number)).encode())
                code = 0
            except BaseException as error:
                os.write(writer, json.dumps({"died": repr(error)}).encode())
                raise
            finally:
                os._exit(code)
        os.close(writer)
        children.append((child, reader))
    return _outcomes(children)


def _keep_only(writer: int) -> None:
    """Close what a worker has from the agent: with its listeners a new agent could not listen."""
    os.closerange(3, writer)
    os.closerange(writer + 1, os.sysconf("SC_OPEN_MAX"))


def _outcomes(children: list[tuple[int, int]]) -> list[Result]:
    """What each worker found. When one died, those after it are ended: they would work, and hold memory, for a day."""
    results: list[Result] = []
    dead: errors.CleaningError | None = None
    for child, reader in children:
        if dead is not None:
            os.kill(child, signal.SIGKILL)
        try:
            results.append(_outcome(child, reader))
        except errors.CleaningError as error:
            dead = dead or error
    if dead is not None:
        raise dead
    return results


def _outcome(child: int, reader: int) -> Result:
    with os.fdopen(reader, "rb") as pipe:
        said = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    result: Result = json.loads(said) if said else {"died": f"signal {-status}" if status < 0 else f"exit {status}"}
    if "died" in result:
        raise errors.CleaningError(f"A burn-in worker ended before its time: {result['died']}. Read the kernel's log.")
    return result


def _judged(results: list[Result], what: str) -> int:
    """The sum of the rounds. Raises CleaningError when any answer was wrong."""
    wrong = sum(one["errors"] for one in results)
    if wrong:
        raise errors.CleaningError(f"The burn-in of the {what} found {wrong} wrong answers. Replace the part.")
    return sum(one["rounds"] for one in results)


def cpu(node: dict[str, Any], progress: commands.Progress) -> Result:
    """All processors at work: integers, floating point, hashes, each round's answers known. Raises CleaningError."""
    given = knobs(node)
    seconds = given.number("agent_burnin_cpu_timeout", _DAY)
    workers = int(given.number("agent_burnin_cpu_cpu", 0)) or os.cpu_count() or 1
    progress.begin(f"burning in {workers} processors for {seconds:.0f} s")
    expected = _calculate()

    def work(_: int) -> Result:
        end, rounds, wrong = time.monotonic() + seconds, 0, 0
        while time.monotonic() < end:
            wrong += _calculate() != expected
            rounds += 1
        return {"rounds": rounds, "errors": wrong}

    rounds = _judged(_in_processes(workers, work), "processors")
    result = {"workers": workers, "seconds": seconds, "rounds": rounds, "errors": 0}
    return kept(result, given, "agent_burnin_cpu_outputfile")


def _calculate() -> tuple[int, float, str]:
    """One round of work whose answer is always the same."""
    import hashlib

    number = pow(3, 65537, (1 << 1279) - 1)
    value = 1.0
    for step in range(1, 2000):
        value = (value * 1.0000001 + 1 / step) ** 0.999999
    block = bytes(range(256)) * 256
    for _ in range(8):
        block = hashlib.blake2b(block).digest() * 1024
    return number, value, block[:64].hex()


def memory(node: dict[str, Any], roots: settings.Roots, progress: commands.Progress) -> Result:
    """Memory filled with changing patterns and read back. Raises CleaningError."""
    given = knobs(node)
    seconds = given.number("agent_burnin_vm_timeout", _DAY)
    workers = int(given.number("agent_burnin_vm_vm", 0)) or os.cpu_count() or 1
    each = _wanted_memory(str(given.info.get("agent_burnin_vm_vm-bytes", "90%")), roots) // workers
    each = max(_BLOCK, each - each % _BLOCK)
    progress.begin(f"burning in {workers * each >> 20} MiB of memory for {seconds:.0f} s")

    def work(number: int) -> Result:
        end, rounds, wrong = time.monotonic() + seconds, 0, 0
        with mmap.mmap(-1, each) as area:
            while rounds == 0 or time.monotonic() < end:
                wrong += _fill_and_compare(area, each, number + rounds, end if rounds else float("inf"))
                rounds += 1
        return {"rounds": rounds, "errors": wrong}

    rounds = _judged(_in_processes(workers, work), "memory")
    result = {"workers": workers, "bytes": workers * each, "seconds": seconds, "rounds": rounds, "errors": 0}
    return kept(result, given, "agent_burnin_vm_outputfile")


def _wanted_memory(text: str, roots: settings.Roots) -> int:
    """Bytes of ``98%`` (of what is available, 90 % at most: the ramdisk lives in memory too), ``512M``, ``1024``."""
    lines = sysfile.read(f"{roots.proc}/meminfo").splitlines()
    available = next((int(one.split()[1]) << 10 for one in lines if one.startswith("MemAvailable:")), 256 << 20)
    most = available * 9 // 10
    amount, unit = text.rstrip("%kKmMgG"), text[-1:].lower()
    if not amount.isdigit():
        raise errors.CleaningError(f"agent_burnin_vm_vm-bytes is {text!r}; write 80%, 512M or 2G.")
    scale = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}.get(unit, 1)
    wanted = available * int(amount) // 100 if unit == "%" else int(amount) * scale
    return min(wanted, most)


def _fill_and_compare(area: mmap.mmap, size: int, seed: int, end: float) -> int:
    """Two rounds of a random pattern and its inverse; counts the wrong blocks. Stops early at ``end``."""
    plain = os.urandom(_BLOCK)
    patterns = (plain, plain.translate(_INVERSE), bytes([0x55 if seed & 1 else 0xAA]) * _BLOCK)
    wrong = 0
    for pattern in patterns:
        for place in range(0, size, _BLOCK):
            area[place : place + _BLOCK] = pattern
        for place in range(0, size, _BLOCK):
            wrong += area[place : place + _BLOCK] != pattern
        if time.monotonic() > end:
            break
    return wrong


def disk(node: dict[str, Any], found: list[disks.Disk], progress: commands.Progress) -> Result:
    """Disks written and read back, all at once, so many times over or for so long. Raises CleaningError."""
    given = knobs(node)
    loops = int(given.number("agent_burnin_fio_disk_loops", 4))
    runtime = given.number("agent_burnin_fio_disk_runtime", 0)
    progress.begin(f"burning in {len(found)} disks", 0 if runtime else loops * sum(one.size for one in found))
    results: dict[str, Result] = {}
    failures: list[str] = []

    def one(path: str) -> None:
        result, error = guard.outcome(lambda: _work_disk(path, loops, runtime, progress))
        if result is not None:
            results[path] = result
        elif isinstance(error, errors.AgentError):
            failures.append(error.message)
        else:
            failures.append(f"{path} failed unforeseen: {error!r}. Read the agent's log.")

    threads = [threading.Thread(target=one, args=(each.name,), daemon=True) for each in found]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise errors.CleaningError(f"The burn-in found faulty disks. {' '.join(sorted(failures))}")
    if given.info.get("agent_burnin_fio_disk_smart_test"):
        results["smart"] = {"skipped": "this ramdisk has no smartctl"}
    return kept({"disks": results}, given, "agent_burnin_fio_disk_outputfile")


def _work_disk(path: str, loops: int, runtime: float, progress: commands.Progress) -> Result:
    began, written = time.monotonic(), 0
    end = began + runtime if runtime else float("inf")
    buffer = mmap.mmap(-1, 4 * _BLOCK)
    with blockdev.opened(path) as device:
        whole = device.size // len(buffer) * len(buffer)
        for number in range(loops if not runtime else 1 << 30):
            for place in range(0, whole, len(buffer)):
                buffer[:] = os.urandom(4096) * (len(buffer) // 4096)
                struct.pack_into("<QQ", buffer, 0, place, number)
                device.write(memoryview(buffer), place, page_aligned=True)
                device.flush()
                device.drop_cache()
                if device.read(place, len(buffer)) != buffer[:]:
                    raise errors.BlockDeviceError(f"{path} gives back other data at byte {place}. Replace the disk.")
                written += len(buffer)
                progress.add(len(buffer))
                if time.monotonic() > end:
                    break
            if time.monotonic() > end:
                break
    return {"bytes": written, "seconds": round(time.monotonic() - began, 1), "errors": 0}
