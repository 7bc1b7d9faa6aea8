"""The ramdisk's small ``dataclasses`` beside Python's own: what the agent uses of it is the same."""

from __future__ import annotations

import ast
import dataclasses
import subprocess
import sys
from types import ModuleType
from typing import Any

import pytest

from agent.recipe import ROOT, load

AGENT = ROOT / "src/ingot_agent"
SLOW = {"inspect", "ast", "subprocess", "ssl", "ingot_agent.extensions"}
CLASSES = """
from __future__ import annotations

@dataclasses.dataclass(frozen=True)
class Place:
    disk: str
    number: int = 1

    @property
    def path(self) -> str:
        return f"{self.disk}p{self.number}"

@dataclasses.dataclass
class Work:
    name: str
    places: list[Place] = dataclasses.field(default_factory=list)
    hidden: int = dataclasses.field(default=0, repr=False)
    limit: float = 2.5

@dataclasses.dataclass(frozen=True)
class Named(Place):
    label: str = ""
"""
USES = [
    "Place('sda')",
    "Place('sda', number=2).path",
    "Place('sda') == Place('sda', 1), Place('sda') == Place('sdb'), Place('a') == Named('a')",
    "len({Place('sda'), Place('sda'), Place('sdb')})",
    "Named('a', 2, 'x')",
    "Named.__match_args__",
    "Work('w')",
    "Work('w').places is Work('w').places",
    "Work('w', [Place('a')], hidden=7)",
    "Work.limit",
    "dataclasses.replace(Place('sda'), number=3)",
    "dataclasses.asdict(Work('w', [Place('a'), Named('b', 2)]))",
    "Place()",
    "Place('a', 1, 2)",
    "Place('a', disk='b')",
    "Place('a', size=1)",
    "setattr(Place('a'), 'disk', 'b')",
    "setattr(Place('a'), 'more', 'b')",
    "hash(Work('w'))",
    "setattr(Work('w'), 'name', 'v')",
    "dataclasses.replace(Place('a'), size=1)",
]


def outcome(module: ModuleType, use: str) -> str:
    space: dict[str, Any] = {"dataclasses": module, "__name__": __name__}
    exec(CLASSES, space)
    try:
        return repr(eval(use, space))
    except (TypeError, AttributeError) as error:
        return type(error).__name__


@pytest.mark.parametrize("use", USES)
def test_it_does_as_pythons_own(use: str) -> None:
    assert outcome(load("slim_dataclasses"), use) == outcome(dataclasses, use)


@pytest.mark.parametrize(
    "body",
    [
        "shared: ClassVar[int] = 1",
        "given: dataclasses.InitVar[int]",
        *(f"def {name}(self, *_): ..." for name in ("__init__", "__post_init__", "__eq__", "__hash__")),
    ],
)
def test_what_it_does_not_do_it_refuses(body: str) -> None:
    text = f"from __future__ import annotations\n@dataclasses.dataclass\nclass Odd:\n    {body}"
    with pytest.raises(TypeError, match="Odd asks more of dataclasses"):
        exec(text, {"dataclasses": load("slim_dataclasses"), "__name__": __name__})


def test_the_agent_asks_for_no_more_than_it_has() -> None:
    asked: set[str] = set()
    for file in AGENT.glob("*.py"):
        for one in ast.walk(ast.parse(file.read_text())):
            if isinstance(one, ast.ImportFrom) and one.module == "dataclasses":
                asked |= {alias.name for alias in one.names}
    assert asked
    assert asked <= set(vars(load("slim_dataclasses")))


def test_the_agent_starts_with_it_and_without_what_is_slow() -> None:
    """As in the ramdisk: the modules of the first call, by a fresh Python that has the small one beside the agent."""
    program = (
        "import importlib.util as u, sys\n"
        f"spec = u.spec_from_file_location('dataclasses', {str(ROOT / 'ramdisk/slim_dataclasses.py')!r})\n"
        "sys.modules['dataclasses'] = made = u.module_from_spec(spec)\n"
        "spec.loader.exec_module(made)\n"
        f"sys.path.insert(0, {str(AGENT.parent)!r})\n"
        "import ingot_agent.boot\n"
        f"print(*sys.modules.keys() & {SLOW!r})\n"
        "import ingot_agent.extensions, ingot_agent.steps, ingot_agent.sharing\n"
    )
    done = subprocess.run([sys.executable, "-S", "-E", "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr
