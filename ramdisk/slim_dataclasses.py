"""What the agent uses of Python's module ``dataclasses``, as the module of that name beside its start file.

Why: the library's own loads inspect, ast, dis and tokenize and compiles every method of every class: three quarters of
a second before the first call on an emulated machine. May not: accept what it does not do (the build imports every
module of the agent with it). Invariant: what it does, it does as the library's (tests/ramdisk/test_dataclasses.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_MISSING = object()
_FIELDS = "__dataclass_fields__"
_OWN = {"__init__", "__post_init__", "__eq__", "__hash__"}


class FrozenInstanceError(AttributeError):
    """A field of a frozen instance was to be set."""


class Field:
    """One field: its default or what makes one, and whether it is shown."""

    def __init__(self, default: Any, factory: Callable[[], Any] | None, shown: bool) -> None:
        self.default, self.factory, self.shown = default, factory, shown


def field(*, default: Any = _MISSING, default_factory: Callable[[], Any] | None = None, repr: bool = True) -> Any:
    """A field with more to say than its default."""
    return Field(default, default_factory, repr)


def dataclass(cls: Any = None, /, *, frozen: bool = False) -> Any:
    """Give a class its methods by its annotated names."""
    return (lambda one: _equip(one, frozen=frozen)) if cls is None else _equip(cls, frozen=frozen)


def _equip(cls: Any, *, frozen: bool) -> Any:
    found: dict[str, Field] = dict(getattr(cls, _FIELDS, {}))
    own: dict[str, str] = vars(cls).get("__annotations__", {})  # texts; inspect is what must not be loaded
    if _OWN & vars(cls).keys() or any("ClassVar" in one or "InitVar" in one for one in own.values()):
        raise TypeError(f"{cls.__name__} asks more of dataclasses than the ramdisk's does. Teach it that first.")
    for name in own:
        given = vars(cls).get(name, _MISSING)
        found[name] = given if isinstance(given, Field) else Field(given, None, shown=True)
        if isinstance(given, Field):
            if given.default is _MISSING:
                delattr(cls, name)
            else:
                setattr(cls, name, given.default)
    setattr(cls, _FIELDS, found)
    cls.__match_args__ = tuple(found)
    cls.__init__, cls.__eq__ = _init(found), _same
    if "__repr__" not in vars(cls):
        cls.__repr__ = _shown
    cls.__hash__ = _hash if frozen else None
    if frozen:
        cls.__setattr__ = cls.__delattr__ = _refuse
    return cls


def _init(found: dict[str, Field]) -> Callable[..., None]:
    names = tuple(found)

    def init(self: Any, *values: Any, **named: Any) -> None:
        given = dict(zip(names, values, strict=False))
        if len(values) > len(names) or given.keys() & named.keys() or named.keys() - found.keys():
            raise TypeError(f"{type(self).__name__} takes {', '.join(names)}; got {len(values)} values and {[*named]}")
        given |= named
        for name, one in found.items():
            object.__setattr__(self, name, given[name] if name in given else _default(self, name, one))

    return init


def _default(self: Any, name: str, one: Field) -> Any:
    if one.factory is not None:
        return one.factory()
    if one.default is _MISSING:
        raise TypeError(f"{type(self).__name__} lacks a value for {name}")
    return one.default


def _values(self: Any) -> tuple[Any, ...]:
    return tuple(getattr(self, name) for name in getattr(self, _FIELDS))


def _same(self: Any, other: object) -> Any:
    return _values(self) == _values(other) if type(other) is type(self) else NotImplemented


def _hash(self: Any) -> int:
    return hash(_values(self))


def _shown(self: Any) -> str:
    found = getattr(self, _FIELDS)
    told = ", ".join(f"{name}={getattr(self, name)!r}" for name, one in found.items() if one.shown)
    return f"{type(self).__qualname__}({told})"


def _refuse(_self: Any, name: str, *_: Any) -> None:
    raise FrozenInstanceError(f"cannot change field {name!r}")


def replace(instance: Any, /, **changes: Any) -> Any:
    """A new instance with some values changed."""
    return type(instance)(**({name: getattr(instance, name) for name in getattr(instance, _FIELDS)} | changes))


def asdict(instance: Any) -> dict[str, Any]:
    """The fields as a dict; instances, lists, tuples and dicts in them as well."""
    return {name: _plain(getattr(instance, name)) for name in getattr(instance, _FIELDS)}


def _plain(value: Any) -> Any:
    if hasattr(value, _FIELDS):
        return asdict(value)
    if isinstance(value, dict):
        return {_plain(key): _plain(one) for key, one in value.items()}
    return type(value)(map(_plain, value)) if isinstance(value, (list, tuple)) else value
