"""The body of ``PUT states/provision``: which keys go with which verb and microversion, and their form.

May not: look at a node. Invariant: what passes here can be planned; step names themselves are judged by the flow.
"""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any

import msgspec

from ingot.api import spec, versions
from ingot.domain import errors, ids, schema_texts, states, steplists, truth, typed

_DEPLOYS = frozenset({"active", "deploy", "rebuild"})
_KEYS: dict[str, tuple[frozenset[str], int]] = {
    # key -> (verbs it goes with, first microversion)
    "configdrive": (_DEPLOYS, 1),
    "clean_steps": (frozenset({"clean"}), 15),
    "deploy_steps": (_DEPLOYS, 69),
    "service_steps": (frozenset({"service"}), 87),
    "rescue_password": (frozenset({"rescue"}), 38),
    "disable_ramdisk": (frozenset({"clean", "service"}), 70),
    "runbook": (frozenset({"clean", "service"}), 92),
}
_JUDGED_LATE = frozenset({"undeploy", "unhold", "service"})
"""Verbs whose microversion Ironic asks for only once the node's state allows them."""
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]


class CleanStep(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A step of manual cleaning or service."""

    interface: _Name
    step: _Name
    args: dict[str, Any] = {}
    order: int | None = None
    execute_on_child_nodes: bool | None = None
    limit_child_node_execution: list[str] | None = None


class DeployStep(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A step given with a deployment."""

    interface: _Name
    step: _Name
    args: dict[str, Any]
    priority: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]


class ConfigDrive(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A config drive as an object, from 1.56 on."""

    meta_data: dict[str, Any] | None = None
    network_data: dict[str, Any] | None = None
    user_data: dict[str, Any] | list[Any] | str | None = None
    vendor_data: dict[str, Any] | None = None


SHAPE = spec.fields(
    *_KEYS,
    target=spec.words(states.VERBS),
    configdrive=str | ConfigDrive | None,
    clean_steps=list[CleanStep] | None,
    deploy_steps=list[DeployStep] | None,
    service_steps=list[CleanStep] | None,
    rescue_password=str | None,
    disable_ramdisk=bool | None,
    runbook=str | None,
)


def verb_of(body: dict[str, Any]) -> str:
    """The verb. Raises errors.Invalid (none, or a key that goes with no verb)."""
    verb = body.get("target")
    if not isinstance(verb, str):
        raise errors.Invalid("Missing mandatory parameter: target", hint="Name the verb.")
    for key in body:
        if key != "target" and key not in _KEYS:
            raise errors.Invalid(f"Unexpected arguments: {key}", hint=f"Known beside target: {', '.join(_KEYS)}.")
    return verb


def check_verb(verb: str, version: int) -> None:
    """Refuse a verb that is newer than the microversion (errors.NotAcceptable), unless that is judged later."""
    if verb in states.VERBS and verb not in _JUDGED_LATE:
        versions.require(version, states.VERBS[verb][1])


def read(verb: str, body: dict[str, Any], version: int) -> dict[str, Any]:
    """The parameters that were given with a verb. Raises errors.Invalid, errors.NotAcceptable."""
    versions.require(version, states.VERBS[verb][1])
    given = {key: value for key, value in body.items() if key != "target" and value is not None}
    _check_keys(verb, given, version)
    for key in ("clean_steps", "service_steps"):
        if given.get(key) is not None:
            _check_clean_steps(key, given[key])
    if "deploy_steps" in given:
        _check_deploy_steps(given["deploy_steps"])
    if "configdrive" in given:
        _check_configdrive(given["configdrive"], version)
    if verb in {"clean", "service"}:
        _check_steps_given(verb, given)
    if "disable_ramdisk" in given:
        given["disable_ramdisk"] = truth.read("disable_ramdisk", given["disable_ramdisk"])
    words: Any = given.get("rescue_password")
    if verb == "rescue" and not (isinstance(words, str) and words.strip()):
        raise errors.Invalid('A non-empty "rescue_password" is required when setting target provision state to rescue')
    return given


def check_abort(verb: str, state: states.State, version: int) -> None:
    """Refuse abort in states whose abort is newer than the microversion (errors.NotAcceptable)."""
    if verb == "abort" and state == states.State.INSPECT_WAIT:
        versions.require(version, 41)
    if verb == "abort" and state == states.State.WAIT_CALL_BACK:
        versions.require(version, 110)


def _check_keys(verb: str, given: dict[str, Any], version: int) -> None:
    for key, value in given.items():
        verbs, first = _KEYS[key]
        if verb not in verbs and value not in ([], {}, "", False):
            raise errors.Invalid(
                f'"{key}" is only valid when setting target provision state to {" or ".join(sorted(verbs))}'
            )
        versions.require(version, 108 if key == "disable_ramdisk" and verb == "service" else first)
    if verb == "rebuild" and "configdrive" in given:
        versions.require(version, 35)


def _check_steps_given(verb: str, given: dict[str, Any]) -> None:
    key = f"{verb}_steps"
    if given.get("runbook") and given.get(key):
        raise errors.Invalid(f'Please provide either "{key}" or a runbook, but not both.', hint="Leave one out.")
    if not isinstance(given.get("runbook", ""), str):
        raise errors.Invalid("runbook must be the name or UUID of a runbook")
    if not given.get("runbook") and not given.get(key):
        raise errors.Invalid(
            f'"{key}" is required when setting target provision state to {verb}', hint="Give at least one step."
        )


def _check_clean_steps(key: str, steps: Any) -> None:
    found = _convert(key, steps, list[CleanStep])
    for step in found:
        steplists.check_allowed(key.removesuffix("_steps"), step.interface, step.step)
        if step.interface not in steplists.INTERFACES:
            raise errors.Invalid(
                f"Invalid {key}: '{step.interface}' is not one of {sorted(steplists.INTERFACES)}",
                hint="Correct the interface.",
            )
        if step.execute_on_child_nodes and not all(map(ids.is_uuid, step.limit_child_node_execution or [])):
            raise errors.Invalid(
                f"Invalid entry detected for execute_on_child_node parameter in step {step.step}.",
                hint="limit_child_node_execution takes UUIDs of nodes.",
            )


def _check_deploy_steps(steps: Any) -> None:
    found = _convert("deploy_steps", steps, list[DeployStep])
    names = [(step.interface, step.step) for step in found]
    for step in found:
        steplists.check_allowed("deploy", step.interface, step.step)
        if step.interface not in steplists.INTERFACES:
            raise errors.Invalid(
                f"Invalid deploy_steps: '{step.interface}' is not one of {sorted(steplists.INTERFACES)}",
                hint="Correct the interface.",
            )
    if len(set(names)) != len(names):
        raise errors.Invalid("Invalid deploy_steps: a step is given twice.", hint="Give each step once.")


def _check_configdrive(value: Any, version: int) -> None:
    if isinstance(value, dict):
        versions.require(version, 56)
        found = _convert("configdrive format", value, ConfigDrive)
        if found.vendor_data is not None:
            versions.require(version, 59)
        return
    if not isinstance(value, str):
        raise errors.Invalid(
            "Expected types <class 'NoneType'>, <class 'dict'>, <class 'str'> for configdrive",
            hint="Give text or an object.",
        )
    if value.startswith(("http://", "https://")) or not value:
        return
    try:
        base64.b64decode("".join(value.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise errors.Invalid(
            "Invalid configdrive format: it is neither a JSON, nor a URL, nor a base64 string",
            hint="Send a gzipped ISO image in base64, a URL, or an object.",
        ) from error


def _convert(key: str, value: Any, kind: Any) -> Any:
    try:
        return typed.convert(value, kind)
    except msgspec.ValidationError as error:
        text = f"Invalid {key}: {schema_texts.told(error, value)}"
        raise errors.Invalid(text, hint="Correct it and send again.") from error
