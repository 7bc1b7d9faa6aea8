"""Inspection rules: create, show, list, patch, delete."""

from __future__ import annotations

from typing import Any

from upstream.call import Call, add, delete, flat, get, gets, patch, patches, post, put, remove, swap, uuid

_R, _S = uuid(7, 1), uuid(7, 2)
_ALL = "/v1/inspection_rules"
_PATH = f"{_ALL}/{_R}"
_ACTION: dict[str, Any] = {"op": "set-attribute", "args": {"path": "extra/a", "value": "{inventory[cpu][count]}"}}
_CONDITION: dict[str, Any] = {"op": "eq", "args": {"values": ["a", "a"]}}
_FAIL: dict[str, Any] = {"op": "fail", "args": {"msg": "m"}}
_FIELDS: tuple[dict[str, Any], ...] = (
    {"conditions": [_CONDITION, {**_CONDITION, "loop": [1]}, {**_CONDITION, "loop": {"a": 1}, "multiple": "all"}]},
    {"conditions": [{"op": "!eq", "args": [[1, 1], True]}]},
    {"conditions": [{"op": "! eq", "args": {"values": [1]}}]},
    {"conditions": [{"op": "!!eq", "args": {"values": [1]}}]},
    {"conditions": [{"op": "eq"}]},
    {"conditions": [{**_CONDITION, "multiple": "most"}]},
    {"conditions": [{**_CONDITION, "loop": "x"}]},
    {"conditions": None},
    {"conditions": {}},
    {"actions": []},
    {"actions": None},
    {"actions": [{"op": "bogus", "args": {}}]},
    {"actions": [{"op": "fail"}]},
    {"actions": [{"op": "fail", "args": ["m"]}]},
    {"actions": [{"op": "fail", "args": "m"}]},
    {"actions": [{**_FAIL, "loop": [1], "more": 1}]},
    {"actions": [{"op": "log", "args": {"msg": "m", "level": "info"}}]},
    {"priority": 9999},
    {"priority": 10000},
    {"priority": -1},
    {"priority": None},
    {"phase": "main"},
    {"phase": "early"},
    {"phase": None},
    {"phase": 1},
    {"sensitive": True},
    {"sensitive": None},
    {"sensitive": "yes"},
    {"description": "x" * 255},
    {"description": "x" * 256},
    {"description": None},
    {"scope": "x"},
    {"uuid": _R},
)
_CRASHES: tuple[dict[str, Any], ...] = (
    {"actions": [{"op": "fail", "args": {}}]},
    {"actions": [{"op": "fail", "args": {"odd": 1}}]},
    {"conditions": [{"op": "eq", "args": {}}]},
)


def _made(number: int, **fields: Any) -> Call:
    crash: int = fields.pop("crash", 0)
    return post(_ALL, {"uuid": uuid(7, number), "conditions": [], "actions": [_ACTION], **fields}, crash=crash)


CALLS: list[Call] = flat(
    _made(1, description="d", priority=5, conditions=[_CONDITION]),
    _made(2, sensitive=True),
    get(_PATH).around(96),
    get(_ALL).around(96),
    gets(_ALL, "?detail=true", "?limit=1", "?fields=uuid,actions", "?fields=nothing", "?phase=main", "?x=1"),
    gets(_ALL, "?sort_key=priority&sort_dir=desc", "?sort_key=actions", "?sort_key=nothing", "?sort_dir=up"),
    gets(_ALL, f"?marker={_R}", f"?marker={uuid(7, 99)}", "?fields=uuid&detail=true", "?limit=0", "?detail=maybe"),
    gets(
        f"{_ALL}/", "none", uuid(7, 99), f"{_R}?fields=uuid,priority", f"{_R}?fields=nothing", f"{_S}?detail=true", _S
    ),
    [_made(100 + at, **fields) for at, fields in enumerate(_FIELDS)],
    [_made(200 + at, crash=400, **fields) for at, fields in enumerate(_CRASHES)],
    [delete(f"{_ALL}/{uuid(7, 100 + at)}") for at in range(len(_FIELDS))],
    post(_ALL, {"actions": [_ACTION], "conditions": []}).at("1.95"),
    patches(_PATH, swap("/priority", 9), swap("/actions/0/args/value", "z"), remove("/actions/0"), add("/bogus", 1)),
    patches(_PATH, remove("/description"), swap("/description", "x"), add("/conditions/-", _CONDITION)),
    patches(_PATH, swap("/phase", "early"), swap("/phase", None), swap("/priority", "x"), remove("/priority")),
    patches(_PATH, swap("/links", []), swap("/actions", []), remove("/actions"), swap("/conditions", [])),
    patches(_PATH, swap("/sensitive", True), swap("/sensitive", False), add("/description", "y")),
    patch(_PATH),
    patch(_PATH).at("1.95"),
    patch(f"{_ALL}/none", add("/description", "y")),
    patch(f"{_ALL}/{uuid(7, 99)}", add("/description", "y")),
    put(_PATH, {}),
    delete(_PATH).at("1.95"),
    delete(_PATH),
    delete(_PATH),
    delete(f"{_ALL}/none"),
    delete(_ALL, crash=204),
)
