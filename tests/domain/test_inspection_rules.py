"""Inspection rules as pure functions: what may be written, what {...} becomes, every condition, every action."""

from __future__ import annotations

import copy
from typing import Any

import msgspec
import pytest

from ingot.domain import errors, inspection_rules, node, rule_actions, rule_conditions, rule_terms

INVENTORY: dict[str, Any] = {
    "cpu": {"count": 8, "architecture": "x86_64", "flags": ["vmx"]},
    "interfaces": [{"name": "eth0", "mac_address": "52:54:00:00:00:01"}],
    "bmc_address": "192.0.2.7",
    "system_vendor": {"manufacturer": "ACME Inc."},
    "bmc_password": "p",
    "nothing": None,
}
SCOPE: dict[str, Any] = {
    "node": {"name": "n1", "properties": {"cpus": 8}, "driver_info": {"ipmi_password": "******"}},
    "inventory": rule_terms.masked(INVENTORY),
    "plugin_data": {"a": {"b": 1}},
}


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("{inventory[cpu][count]}", "8"),
        ("{node.properties[cpus]}-{node.name}", "8-n1"),
        ("{inventory[interfaces][0][mac_address]}", "52:54:00:00:00:01"),
        ("{inventory[bmc_password]}", "***"),
        ("{inventory[nothing]}", "None"),
        ("{inventory[cpu][count]:>4}", "   8"),
        ("{node.name!r}", "'n1'"),
        ("{{plain}}", "{plain}"),
        ("{inventory[cpu][bogus]}", "{inventory[cpu][bogus]}"),
        ("{node.__class__.__init__.__globals__}", "{node.__class__.__init__.__globals__}"),
        ("{item}", "{item}"),
        ("{inventory[cpu][count]:>99999999}", "{inventory[cpu][count]:>99999999}"),
        ("{inventory[interfaces][9]}", "{inventory[interfaces][9]}"),
        ("{", "{"),
        (7, 7),
        ({"k {node.name}": ["{node.name}", 1]}, {"k n1": ["n1", 1]}),
    ],
)
def test_terms(written: Any, read: Any) -> None:
    assert rule_terms.fill(written, SCOPE) == read


@pytest.mark.parametrize(
    ("op", "args", "verdict"),
    [
        ("eq", {"values": ["{inventory[cpu][count]}", "8"]}, True),
        ("eq", {"values": ["{inventory[cpu][count]}", 8]}, False),
        ("eq", {"values": ["{inventory[cpu][count]}", 8], "force_strings": True}, True),
        ("eq", [[1, 1, 2]], False),
        ("eq", {"values": [1]}, True),
        ("!eq", {"values": [1, 2]}, True),
        ("lt", {"values": [1, 2, 3]}, True),
        ("lt", {"values": [4, "{inventory[cpu][count]}"]}, True),
        ("gt", {"values": ["{inventory[cpu][count]}", 16]}, False),
        ("!gt", {"values": [1, 2]}, True),
        ("is-empty", {"value": "{inventory[bogus]}"}, True),
        ("is-empty", {"value": "{inventory[cpu]}"}, False),
        ("!is-empty", {"value": "x"}, True),
        ("is-empty", {"value": []}, True),
        ("in-net", {"address": "{inventory[bmc_address]}", "subnet": "192.0.2.0/24"}, True),
        ("!in-net", {"address": "{inventory[bmc_address]}", "subnet": "198.51.100.0/24"}, True),
        ("matches", {"value": "{inventory[system_vendor][manufacturer]}", "regex": "ACME"}, False),
        ("matches", {"value": "{inventory[system_vendor][manufacturer]}", "regex": "ACME.*$"}, True),
        ("contains", {"value": "{inventory[system_vendor][manufacturer]}", "regex": "CME I"}, True),
        ("one-of", {"value": "{node.name}", "values": ["n0", "n1"]}, True),
        ("one-of", {"value": "{node.name}"}, False),
        ("is-none", {"value": None}, True),
        ("!is-none", {"value": "{node.name}"}, True),
        ("is-true", {"value": "Yes"}, True),
        ("is-true", {"value": 0}, False),
        ("is-true", {"value": ["x"]}, False),
        ("is-false", {"value": "no"}, True),
        ("is-false", {"value": None}, True),
        ("!is-false", {"value": 1}, True),
    ],
)
def test_conditions(op: str, args: Any, verdict: bool) -> None:
    assert rule_conditions.holds({"op": op, "args": args}, SCOPE) is verdict


@pytest.mark.parametrize(
    ("op", "multiple", "verdict"),
    [
        ("eq", "any", True),
        ("eq", "all", False),
        ("eq", "first", True),
        ("eq", "last", False),
        ("!eq", "any", True),
        ("!eq", "last", True),
    ],
)
def test_conditions_in_loops(op: str, multiple: str, verdict: bool) -> None:
    args = {"values": ["{item}", "{node.name}"]}
    condition = {"op": op, "args": args, "loop": ["n0", "n1", 2], "multiple": multiple}
    assert rule_conditions.holds(condition, SCOPE) is verdict


def test_an_item_may_itself_name_a_value() -> None:
    args = {"values": ["{item[value]}", 8]}
    condition = {"op": "eq", "args": args, "loop": {"value": "{inventory[cpu][count]}"}}
    assert rule_conditions.holds(condition, SCOPE)


@pytest.mark.parametrize(
    ("op", "args", "why"),
    [
        ("lt", {"values": [1, "much"]}, "1 and 'much' have no order"),
        ("lt", {"values": [1, None]}, "1 and None have no order"),
        ("eq", {"values": "{inventory[cpu]}"}, "its values are no list but"),
        ("in-net", {"address": "zz", "subnet": "192.0.2.0/24"}, "'zz' does not appear to be"),
        ("in-net", {"address": "192.0.2.1", "subnet": "bogus"}, "'bogus' does not appear to be"),
        ("matches", {"value": "x", "regex": "("}, "invalid regular expression"),
        ("one-of", {"value": "x", "values": 7}, "its values are no list but 7"),
    ],
)
def test_what_cannot_be_judged_is_explained(op: str, args: Any, why: str) -> None:
    with pytest.raises(errors.Invalid, match=why.replace("(", r"\(")):
        rule_conditions.holds({"op": op, "args": args}, SCOPE)


def record() -> rule_actions.Record:
    machine = node.Node(uuid="u", driver="d", properties={"capabilities": "a:1,b:2"}, extra={"list": [1], "deep": {}})
    port = node.Port(uuid="p", node_uuid="u", address="52:54:00:00:00:01", extra={"x": [1]})
    fields = [copy.deepcopy(msgspec.structs.asdict(each)) for each in (machine, port)]
    return rule_actions.Record(fields[0], ["CUSTOM_A"], [fields[1]], {"a": {"b": 1}, "l": [1]})


@pytest.mark.parametrize(
    ("name", "args", "columns"),
    [
        ("set-attribute", {"path": "extra/a/b", "value": "v"}, {"extra": {"list": [1], "deep": {}, "a": {"b": "v"}}}),
        ("set-attribute", {"path": "extra.a", "value": 1}, {"extra": {"list": [1], "deep": {}, "a": 1}}),
        ("set-attribute", {"path": "/resource_class", "value": "gold"}, {"resource_class": "gold"}),
        ("set-attribute", {"path": "maintenance", "value": "true"}, {"maintenance": True}),
        ("extend-attribute", {"path": "extra.list", "value": 1}, {"extra": {"list": [1, 1], "deep": {}}}),
        ("extend-attribute", {"path": "extra.list", "value": 1, "unique": True}, {}),
        ("extend-attribute", {"path": "extra.new", "value": 2}, {"extra": {"list": [1], "deep": {}, "new": [2]}}),
        ("del-attribute", {"path": "extra.deep"}, {"extra": {"list": [1]}}),
        ("del-attribute", {"path": "extra"}, {"extra": {}}),
        ("set-capability", {"name": "a", "value": "9"}, {"properties": {"capabilities": "b:2,a:9"}}),
        ("unset-capability", {"name": "a"}, {"properties": {"capabilities": "b:2"}}),
        ("unset-capability", {"name": "z"}, {}),
    ],
)
def test_actions_on_the_node(name: str, args: dict[str, Any], columns: dict[str, Any]) -> None:
    after = record()
    assert rule_actions.act(name, args, after) is None
    assert rule_actions.difference(record(), after) == rule_actions.Findings(columns, None, {}, None)


@pytest.mark.parametrize(
    ("name", "args", "traits", "port", "data"),
    [
        ("add-trait", {"name": "CUSTOM_B"}, ("CUSTOM_A", "CUSTOM_B"), None, None),
        ("add-trait", {"name": "CUSTOM_A"}, None, None, None),
        ("remove-trait", {"name": "CUSTOM_A"}, (), None, None),
        ("remove-trait", {"name": "CUSTOM_Z"}, None, None, None),
        (
            "set-port-attribute",
            {"port_id": "p", "path": "physical_network", "value": "n"},
            None,
            {"physical_network": "n"},
            None,
        ),
        (
            "set-port-attribute",
            {"port_id": "p", "path": "pxe_enabled", "value": "false"},
            None,
            {"pxe_enabled": False},
            None,
        ),
        (
            "extend-port-attribute",
            {"port_id": "52:54:00:00:00:01", "path": "extra.x", "value": 2},
            None,
            {"extra": {"x": [1, 2]}},
            None,
        ),
        ("del-port-attribute", {"port_id": "p", "path": "extra/x"}, None, {"extra": {}}, None),
        ("set-plugin-data", {"path": "a.c", "value": 2}, None, None, {"a": {"b": 1, "c": 2}, "l": [1]}),
        ("extend-plugin-data", {"path": "l", "value": 2}, None, None, {"a": {"b": 1}, "l": [1, 2]}),
        ("extend-plugin-data", {"path": "l", "value": 1, "unique": True}, None, None, None),
        ("unset-plugin-data", {"path": "a.b"}, None, None, {"l": [1]}),
        ("unset-plugin-data", {"path": "z.b"}, None, None, None),
    ],
)
def test_actions_on_what_belongs_to_the_node(
    name: str, args: dict[str, Any], traits: tuple[str, ...] | None, port: dict[str, Any] | None, data: Any
) -> None:
    after = record()
    assert rule_actions.act(name, args, after) is None
    wanted = rule_actions.Findings({}, traits, {"p": port} if port else {}, data)
    assert rule_actions.difference(record(), after) == wanted


@pytest.mark.parametrize(
    ("name", "args", "why"),
    [
        ("fail", {"msg": "too small"}, "too small"),
        ("set-attribute", {"path": "provision_state", "value": "active"}, "none that a rule may change"),
        ("set-attribute", {"path": "bogus", "value": 1}, "none that a rule may change"),
        ("set-attribute", {"path": "resource_class", "value": {"a": 1}}, "resource_class cannot be"),
        ("set-attribute", {"path": "maintenance", "value": "maybe"}, "maintenance cannot be 'maybe'"),
        ("set-attribute", {"path": "name", "value": "a b"}, "is no name"),
        ("set-attribute", {"path": "extra/list/x", "value": 1}, "'list' holds list, not an object"),
        ("extend-attribute", {"path": "driver", "value": 1}, "driver is not a list"),
        ("del-attribute", {"path": "driver"}, "driver cannot be without a value"),
        ("del-attribute", {"path": "extra.bogus"}, "there is no extra.bogus"),
        ("add-trait", {"name": "gpu"}, "does not match"),
        ("set-port-attribute", {"port_id": "q", "path": "name", "value": "x"}, "Port q could not be found"),
        ("set-port-attribute", {"port_id": "p", "path": "address", "value": "x"}, "none that a rule may change"),
        ("log", {"msg": "m", "level": "shout"}, "Invalid log level: shout"),
        ("api-call", {"url": "file:///etc/passwd"}, "Invalid parameter"),
        ("api-call", {"url": "http://h/", "timeout": "soon"}, "Invalid parameter"),
    ],
)
def test_what_cannot_be_done_is_explained(name: str, args: dict[str, Any], why: str) -> None:
    after = record()
    with pytest.raises(errors.Refused, match=why):
        rule_actions.act(name, args, after)
        rule_actions.difference(record(), after)


def test_what_leaves_the_process_is_given_back() -> None:
    assert rule_actions.act("log", {"msg": "m", "level": "WARNING"}, record()) == rule_actions.Said("m", "warning")
    proxies = {"http": "http://proxy:1"}
    asked = {"url": "http://h/x", "proxies": proxies, "headers": {"a": 1}, "retries": "1"}
    fetched = rule_actions.act("api-call", asked, record())
    assert fetched == rule_actions.Fetch("http://h/x", {"a": "1"}, "http://proxy:1", 5.0, 1, 0.3)


def rule(**fields: Any) -> inspection_rules.Rule:
    given: dict[str, Any] = {"uuid": "u", "actions": [{"op": "fail", "args": {"msg": "m"}}], **fields}
    return inspection_rules.Rule(**given)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"actions": []}, "should be non-empty"),
    ({"actions": [{"op": "bogus", "args": {}}]}, "'bogus' is not one of"),
    ({"actions": [{"op": "fail"}]}, "'args' is a required property"),
    ({"actions": [{"op": "fail", "args": {"odd": 1}}]}, "missing required argument.*unexpected argument"),
    ({"actions": [{"op": "fail", "args": []}]}, "missing required argument"),
    ({"actions": [{"op": "fail", "args": "m"}]}, "args must be either a list or dictionary"),
    ({"actions": [{"op": "fail", "args": ["m"], "loop": "x"}]}, "is not of type"),
    ({"conditions": [{"op": "!!eq", "args": [[1]]}]}, "'!!eq' is not one of"),
    ({"conditions": [{"op": "! eq", "args": [[1]]}]}, "'! eq' is not one of"),
    ({"conditions": [{"op": "eq", "args": [[1]], "multiple": "most"}]}, "is not one of"),
    ({"phase": "early"}, "Invalid phase: early"),
    ({"priority": 10000}, "Priority must be between 0 and 9999"),
]


@pytest.mark.parametrize(("fields", "why"), REFUSED)
def test_rules_that_are_refused(fields: dict[str, Any], why: str) -> None:
    with pytest.raises(errors.Invalid, match=why):
        inspection_rules.check(rule(**fields))


def test_rules_of_the_settings_may_come_before_all_others() -> None:
    inspection_rules.check(rule(priority=10000), built_in=True)
    every = [
        {"op": f"!{name}", "args": ["x"] * len(form.names())} for name, form in inspection_rules.CONDITIONS.items()
    ]
    inspection_rules.check(rule(conditions=every))


def test_a_text_cannot_grow_without_end() -> None:
    assert len(rule_terms.fill("{node.name:9999}", SCOPE)) == 9999
    with pytest.raises(errors.Invalid, match="grows beyond 1048576 characters"):
        rule_terms.fill("{node.name:9999}" * 200, SCOPE)
