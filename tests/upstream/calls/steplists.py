"""Deploy templates and runbooks."""

from __future__ import annotations

from typing import Any

from upstream.call import Call, add, delete, flat, get, gets, patch, patches, post, put, puts, remove, swap, uuid

_DEPLOY: dict[str, Any] = {"interface": "bios", "step": "apply_configuration", "args": {}, "priority": 150}
_CLEAN: dict[str, Any] = {"interface": "bios", "step": "apply_configuration", "args": {}, "order": 1}
_BAD_STEPS: tuple[Any, ...] = (
    [],
    None,
    "x",
    [1],
    [{}],
    [{"step": "x"}],
    [{"interface": "none", "step": "x", "args": {}, "priority": 1, "order": 1}],
    [{"interface": "bios", "step": "", "args": {}, "priority": 1, "order": 1}],
    [{"interface": "bios", "step": "x", "args": [], "priority": 1, "order": 1}],
    [{"interface": "bios", "step": "x", "args": {}, "priority": -1, "order": -1}],
    [{"interface": "bios", "step": "x", "args": {}, "priority": "x", "order": "x"}],
    [{"interface": "bios", "step": "x", "args": {}, "priority": "5", "order": "5"}],
    [{"interface": "bios", "step": "x", "args": {}, "nothing": 1}],
)


def _common(plural: str, kind: int, since: int, step: dict[str, Any]) -> list[Call]:
    path, one = f"/v1/{plural}", f"/v1/{plural}/{uuid(kind, 1)}"

    def made(number: int, name: Any, **more: Any) -> Call:
        return post(path, {"uuid": uuid(kind, number), "name": name, "steps": [step], **more})

    return flat(
        get(path).around(since),
        made(1, "CUSTOM_ONE", extra={"a": 1}),
        post(path, {"name": "CUSTOM_TWO", "uuid": uuid(kind, 2), "steps": [step]}).at(since - 1, since),
        made(1, "CUSTOM_X"),
        made(3, "CUSTOM_ONE"),
        [
            made(10 + at, name)
            for at, name in enumerate(("custom", "CUSTOM_", "HW_CPU_X86_VMX", "", None, 1, "X" * 256))
        ],
        [made(30 + at, "CUSTOM_THREE", steps=steps) for at, steps in enumerate(_BAD_STEPS)],
        [
            made(50, "CUSTOM_FOUR", steps=[step, step]),
            made(51, "CUSTOM_FIVE", nothing=1),
            made(52, "CUSTOM_SIX", extra=1),
        ],
        [made(53, "CUSTOM_SEVEN", extra=None), post(path, {}), post(path, []), post(path, {"name": "CUSTOM_EIGHT"})],
        made(54, "CUSTOM_NINE", uuid="none"),
        post(one, {}),
        get(one).around(since, 112),
        gets(f"{path}/", "CUSTOM_ONE", "CUSTOM_NONE", uuid(kind, 99), "a b", "CUSTOM_ONE/", "CUSTOM_ONE/nothing"),
        gets(f"{one}?", "fields=uuid", "fields=steps", "fields=nothing", "fields=links", "fields=extra,name", "x=1"),
        gets(path, "?detail=true", "?detail=false", "?detail=maybe", "?fields=name", "?fields=steps,uuid", "?fields=x"),
        gets(path, "?detail=true&fields=name", "?x=1", "?limit=1", "?limit=0", "?limit=x", "?limit=1&detail=true"),
        gets(
            path,
            f"?limit=1&marker={uuid(kind, 1)}",
            f"?marker={uuid(kind, 99)}",
            "?limit=1&fields=name",
            "/",
            "/detail",
        ),
        gets(
            path, *(f"?sort_key={name}" for name in ("name", "uuid", "steps", "extra", "nothing", "created_at", "id"))
        ),
        gets(path, "?sort_key=name&sort_dir=desc", "?sort_dir=up"),
        patches(one, swap("/name", "CUSTOM_NEW"), swap("/name", "CUSTOM_TWO"), swap("/name", "new"), remove("/name")),
        patches(one, swap("/extra", {}), add("/extra/a", 1), remove("/extra/a"), remove("/extra/a"), remove("/extra")),
        patch(one, swap("/name", "CUSTOM_NEW")),
        patches(one, swap("/steps", [{**step, "step": "b"}]), swap("/steps", []), remove("/steps"), remove("/steps/0")),
        patches(one, swap("/steps/0/step", "c"), swap("/steps/0/interface", "none"), remove("/steps/7")),
        patches(one, add("/steps/0/args/x", 1), swap("/steps/0/args", []), add("/steps/0/x", 1)),
        patches(one, *(swap(f"/{name}", "x") for name in ("uuid", "created_at", "links", "nothing", "id"))),
        [patch(one), patch(f"{path}/CUSTOM_NEW", add("/extra/b", 2)), patch(f"{path}/CUSTOM_NONE", add("/extra/b", 2))],
        patch(one, add("/extra/b", 2)).at(since - 1, since),
        [Call("PATCH", one, {}), put(one, {}), delete(path)],
        get(one),
        delete(one).at(since - 1),
        [delete(f"{one}?x=1"), delete(f"{path}/CUSTOM_NONE"), delete(one), delete(one), delete(f"{path}/CUSTOM_TWO")],
    )


_BOOK = f"/v1/runbooks/{uuid(6, 70)}"
_RUNBOOKS: list[Call] = flat(
    [
        post("/v1/runbooks", {"uuid": uuid(6, 70 + at), "name": f"CUSTOM_B{at}", "steps": [_CLEAN], **more})
        for at, more in enumerate(
            (
                {"disable_ramdisk": True},
                {"disable_ramdisk": "maybe"},
                {"public": True},
                {"public": "maybe"},
                {"owner": None},
                {"description": "text"},
                {"description": 1},
                {"traits": ["CUSTOM_A"]},
                {"public": True, "owner": "them"},
            )
        )
    ],
    post("/v1/runbooks", {"uuid": uuid(6, 90), "name": "free name", "steps": [_CLEAN]}),
    post("/v1/runbooks", {"uuid": uuid(6, 91), "name": "free.name~_-1", "steps": [_CLEAN]}).at(111, 112),
    post("/v1/runbooks", {"uuid": uuid(6, 92), "name": "CUSTOM_D", "description": "x", "steps": [_CLEAN]}).at(111),
    get(_BOOK).around(92, 112),
    get(f"{_BOOK}/traits").around(112),
    puts(f"{_BOOK}/traits", {"traits": ["CUSTOM_B", "CUSTOM_A"]}, {"traits": ["bad"]}, {}, {"traits": "x"}, []),
    [put(f"{_BOOK}/traits/CUSTOM_C"), put(f"{_BOOK}/traits/bad"), put(f"{_BOOK}/traits/CUSTOM_C", {"a": 1})],
    gets(f"{_BOOK}/traits", "", "/", "?x=1", "/CUSTOM_A"),
    [delete(f"{_BOOK}/traits/CUSTOM_C"), delete(f"{_BOOK}/traits/CUSTOM_NONE"), get(_BOOK), delete(f"{_BOOK}/traits")],
    get(f"{_BOOK}/traits"),
    patches(_BOOK, swap("/public", True), swap("/public", "maybe"), swap("/disable_ramdisk", True), remove("/public")),
    patches(_BOOK, swap("/description", "new"), remove("/description"), swap("/traits", []), swap("/owner", "x")),
    get(_BOOK),
    gets("/v1/runbooks?", "project=x", "owner=x", "public=true", "detail=true"),
)

CALLS: list[Call] = flat(
    _common("deploy_templates", 5, 55, _DEPLOY),
    post("/v1/deploy_templates", {"name": "CUSTOM_DESC", "uuid": uuid(5, 80), "steps": [_DEPLOY], "description": "x"}),
    _common("runbooks", 6, 92, _CLEAN),
    _RUNBOOKS,
)
