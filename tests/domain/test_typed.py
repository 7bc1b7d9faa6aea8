"""Threads that make values of a type at the same time."""

from __future__ import annotations

import signal
import subprocess
import sys

import msgspec
import pytest

from ingot.domain import typed

# Fresh types again and again, since each is learnt once: two Structs, one within the other, four threads at once.
RACE = """
import sys, threading, types
import msgspec
from ingot.domain import typed

sys.setswitchinterval(1e-6)
make = {"typed": typed.decode, "msgspec": lambda data, kind: msgspec.json.decode(data, type=kind)}[sys.argv[1]]
FIELDS = "\\n".join(f"    f{number}: int | None = None" for number in range(30))
SOURCE = "from __future__ import annotations\\nimport msgspec\\nclass In(msgspec.Struct):\\n" + FIELDS
SOURCE += "\\nclass Out(msgspec.Struct):\\n    a: In\\n    b: list[In]\\n"
made = []
for number in range(200):
    module = sys.modules[f"m{number}"] = types.ModuleType(f"m{number}")
    exec(SOURCE, module.__dict__)
    barrier = threading.Barrier(4)

    def work():
        barrier.wait()
        made.append(make(b'{"a": {"f29": 1, "f0": 2}, "b": [{"f3": 1}]}', module.Out).a.f29)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
assert made == [1] * 800, len(made)
"""


def race(how: str) -> int:
    return subprocess.run([sys.executable, "-c", RACE, how], timeout=60, check=False, capture_output=True).returncode


def test_threads_that_begin_at_once_do_not_end_the_process() -> None:
    assert race("typed") == 0


def test_they_would_without_it() -> None:
    """Once this fails, msgspec does it by itself, and ``domain/typed.py`` can go."""
    assert any(race("msgspec") == -signal.SIGSEGV for _ in range(5))


def test_a_value_of_the_wrong_type_is_refused_each_time() -> None:
    for _ in range(2):
        with pytest.raises(msgspec.ValidationError):
            typed.decode(b'{"a": "x"}', dict[str, int])
        with pytest.raises(msgspec.ValidationError):
            typed.convert({"a": "1"}, dict[str, int])
    assert typed.convert({"a": "1"}, dict[str, int], strict=False) == {"a": 1}
